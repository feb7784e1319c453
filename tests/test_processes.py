"""Faults in mind: a helper that needs a group; values in order of arrival; a group left open."""

import socket

import pytest
import torch
import torch.distributed as dist

from minioneformer import processes


def all_answers():
    """What this process knows, as one tuple."""
    number = processes.rank()
    gathered = processes.gather_objects({"rank": number, "shape": torch.zeros(number, 2).shape})
    alone = (processes.world_size(), processes.is_main(), processes.in_group())
    return (number, gathered, processes.from_main(f"from {number}"), *alone)


def test_without_a_group_there_is_one_process():
    value = object()
    assert processes.gather_objects(value) == [value] and processes.from_main(value) is value
    assert all_answers()[0] == 0 and all_answers()[2:] == ("from 0", 1, True, False)
    with processes.joined_processes():
        assert not processes.in_group()


def test_each_process_sees_the_values_of_all_in_the_order_of_ranks(in_processes):
    answers = in_processes(all_answers, 3)
    gathered = [{"rank": i, "shape": (i, 2)} for i in range(3)]
    assert answers == [(i, gathered, "from 0", 3, i == 0, True) for i in range(3)]


def test_processes_of_the_tests_can_go_backwards_whatever_was_run_before(in_processes):
    def slope():
        x = torch.tensor(float(processes.rank()), requires_grad=True)
        (x * x).backward()
        return x.grad.item()

    torch.export.export(torch.nn.Linear(3, 2), (torch.zeros(5, 3),))
    slope()
    assert in_processes(slope, 2) == [0.0, 2.0]


def test_the_environment_of_torchrun_makes_a_group_that_is_left_at_the_end(
    monkeypatch, unused_port
):
    environment = dict(RANK=0, WORLD_SIZE=1, LOCAL_RANK=0, MASTER_PORT=unused_port)
    for name, value in (environment | {"MASTER_ADDR": "127.0.0.1"}).items():
        monkeypatch.setenv(name, str(value))
    with processes.joined_processes():
        group = dist.group.WORLD
        assert all_answers() == (0, [{"rank": 0, "shape": (0, 2)}], "from 0", 1, True, True)
        with processes.joined_processes():  # e.g. a command that calls another
            assert dist.group.WORLD is group
        assert processes.in_group()
    assert not processes.in_group()
    with pytest.raises(KeyError, match="boom"), processes.joined_processes():
        raise KeyError("boom")
    assert not processes.in_group()


def test_more_processes_than_gpus_are_refused(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.setenv(name, "2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError, match="got local_rank=2, num_gpus=2"):
        with processes.joined_processes():
            pass


@pytest.fixture
def unused_port():
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return chosen.getsockname()[1]


@pytest.fixture
def torchrun(monkeypatch, unused_port):
    """What torchrun's workers find in their environment, and the store that it keeps for them."""
    environment = {
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_MAX_RESTARTS": "3",
        "TORCHELASTIC_RESTART_COUNT": "0",
        "GROUP_WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(unused_port),
        "RANK": "0",
        "WORLD_SIZE": "1",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return dist.TCPStore("127.0.0.1", unused_port, is_master=True)


def test_processes_that_are_started_again_do_not_wait_for_the_dead(torchrun, monkeypatch):
    processes._store_of_this_start().set("address of rank 1", "nobody lives here")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert not processes._store_of_this_start().check(["address of rank 1"])
    with processes.joined_processes():
        assert processes.gather_objects("here") == ["here"]


@pytest.mark.parametrize(("restarts", "warned"), [("3", True), ("0", False)])
def test_on_several_machines_that_may_start_again_the_way_out_is_named(
    torchrun, monkeypatch, caplog, restarts, warned
):
    monkeypatch.setenv("GROUP_WORLD_SIZE", "2")
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", restarts)
    assert processes._store_of_this_start() is None
    assert ("TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1" in caplog.text) is warned


def test_without_torchruns_store_torch_chooses(torchrun, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "False")
    assert processes._store_of_this_start() is None


def test_means_and_maxima_are_over_all_processes(in_processes):
    def share():
        number = processes.rank()
        own = torch.tensor([1.0 * number, 4.0])
        return (
            processes.mean_over_processes(own).tolist(),
            own.tolist(),
            (processes.max_over_processes(3 * number)),
        )

    assert in_processes(share, 3) == [([1.0, 4.0], [1.0 * i, 4.0], 6) for i in range(3)]
    alone = torch.tensor([2.0])
    assert processes.mean_over_processes(alone) is alone
    assert processes.max_over_processes(7) == 7


def test_gathered_rows_carry_gradients_from_all_processes(in_processes):
    def share():
        rows = torch.tensor([[1.0 + processes.rank(), 2.0]], requires_grad=True)
        everybody = processes.gather_rows(rows)
        (everybody.sum(1) * torch.tensor([1.0, 10.0]) * (1 + processes.rank())).sum().backward()
        return everybody.tolist(), rows.grad.tolist()

    # Row i counts 10^i in both losses, and the second loss counts twice.
    together = [[1.0, 2.0], [2.0, 2.0]]
    assert in_processes(share, 2) == [(together, [[3.0, 3.0]]), (together, [[30.0, 30.0]])]
    alone = torch.ones(2, 3)
    assert processes.gather_rows(alone) is alone
