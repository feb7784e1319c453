"""Fixtures shared by all tests."""

import pickle
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing

# subtle: at the first backward pass torch starts threads for each kind of device but the CPU, and a
# process with such threads cannot be forked into one that goes backwards. torch.export brings a
# further kind, so the first pass is here, before all tests.
torch.zeros((), requires_grad=True).backward()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What `make test-notebooks` measured, at the end, whichever worker did it."""
    reports = [r for name in ("passed", "failed") for r in terminalreporter.getreports(name)]
    rows = sorted(value for r in reports for key, value in r.user_properties if key == "notebook")
    if rows:
        terminalreporter.section("notebooks")
    for name, seconds, kilobytes in rows:
        terminalreporter.write_line(f"{name:32} {seconds:4.0f} s {kilobytes:4.0f} kB")


@pytest.fixture
def rng() -> torch.Generator:
    """A generator with a fixed seed; pass it, never seed globally."""
    return torch.Generator().manual_seed(0)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Parameters and dropout draw from the global generator: make them repeatable."""
    torch.manual_seed(0)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C works as in a terminal, also where the tests run in the background and ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data with published numbers; skips where it is absent."""
    folder = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the shared real data is not beside the checkout")
    return folder


@pytest.fixture
def in_processes(tmp_path: Path) -> Callable[[Callable[[], Any], int], list[Any]]:
    """Run a function in several processes of one group, and return what it returns, by rank.

    They are forked: a closure will do, nothing is imported again, a group costs 0.1 seconds.
    """
    if sys.platform != "linux" or torch.cuda.is_available():
        pytest.skip("processes are forked: on Linux, without CUDA (set CUDA_VISIBLE_DEVICES=)")

    def run(function: Callable[[], Any], num_processes: int) -> list[Any]:
        folder = tmp_path / f"processes_{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        with warnings.catch_warnings():  # of Python 3.12: threads do not survive a fork
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.multiprocessing.start_processes(
                _join_and_call,
                (num_processes, folder, function),
                num_processes,
                start_method="fork",
            )
        return [pickle.loads((folder / str(i)).read_bytes()) for i in range(num_processes)]

    return run


def _join_and_call(rank: int, num_processes: int, folder: Path, function: Callable) -> None:
    torch.set_num_threads(1)  # subtle: the threads of the parent are gone, waiting for them hangs
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=num_processes)
    dist.barrier()  # subtle: one that is done at once would break off the other's joining
    (folder / str(rank)).write_bytes(pickle.dumps(function()))
    dist.destroy_process_group()
