"""The endless stream of training batches: batch number `step` is a function of seed and step.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.1, uniform task sampling; not drawn in Figure 2.

Because nothing but the seed and the step decides what is in a batch, a run that stops after any
step continues with the batches it would have seen, with any number of workers, and a batch
that made trouble can be made again.

Not here: what happens to a sample (`data/transforms.py`), how samples become a batch
(`data/collate.py`).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float64, Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from minioneformer.data.collate import pack
from minioneformer.data.packed_batch import PackedBatch
from minioneformer.structures import TASKS, Batch, Category, PanopticSample, Task
from minioneformer.text.text_list import TEMPLATE, check_template
from minioneformer.text.tokenizer import BPETokenizer

UNIFORM: Mapping[Task, float] = {task: 1 / len(TASKS) for task in TASKS}
# Two streams of random numbers that must never meet.
ORDER, SAMPLE = 0, 1


class TrainingStream(Dataset[Batch]):
    """Batches by number: shuffled epochs, one task drawn per image.

    Position p of the stream is image `order[p % n]` of epoch `p // n`, where n is the number of
    images and each epoch has its own order; batch `step` holds the positions from
    `step * batch_size` on. A batch may reach over the end of an epoch.

    Args:
        dataset: The samples; its length must not change.
        transform: Augments a sample; may draw from torch's global CPU generator.
        categories: The catalogue that the labels index.
        tokenizer: For prompts and texts.
        num_text: Texts per image; None leaves texts out.
        batch_size: Images per batch.
        seed: At least 0; decides order, tasks and augmentation.
        task_probabilities: Of each task, summing to 1; a task left out is never drawn. None
            means 1/3 each.
        context_length: Tokens of a prompt and of a text.
        size_divisibility: Batches are padded to a multiple of it, in pixels.
        text_template: Of the text of a mask, see `class_texts` in `text/text_list.py`.

    Raises:
        ValueError: If the data set is empty, `batch_size` is below 1, `seed` is below 0, or
            `task_probabilities` names another task, has a negative value or does not sum to 1, or
            `text_template` is none.

    Fidelity:
        Official code: draws the task from cumulative thresholds (0.33, 0.66) and, by default,
        fills a batch with images of one orientation (landscape or portrait). Here the
        probabilities are exact and orientations mix.
    """

    def __init__(
        self,
        *,
        dataset: Dataset[PanopticSample],
        transform: Callable[[PanopticSample], PanopticSample],
        categories: Sequence[Category],
        tokenizer: BPETokenizer,
        num_text: int | None,
        batch_size: int,
        seed: int = 0,
        task_probabilities: Mapping[Task, float] | Mapping[str, float] | None = None,
        context_length: int = 77,
        size_divisibility: int = 32,
        text_template: str = TEMPLATE,
    ) -> None:
        self.num_samples = len(dataset)  # type: ignore[arg-type]
        if self.num_samples < 1:
            raise ValueError(f"a stream needs at least one sample, got {self.num_samples=}.")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size=}.")
        if seed < 0:
            raise ValueError(f"seed must be at least 0, got {seed=}.")
        self.dataset = dataset
        self.transform = transform
        self.categories = categories
        self.tokenizer = tokenizer
        self.num_text = num_text
        self.batch_size = batch_size
        self.seed = seed
        self.task_probabilities = _check_probabilities(
            UNIFORM if task_probabilities is None else task_probabilities
        )
        self.context_length = context_length
        self.size_divisibility = size_divisibility
        check_template(text_template)
        self.text_template = text_template
        self._order: tuple[int, Int[Tensor, " n"]] | None = None  # epoch and its order

    def __getitem__(self, step: int) -> Batch:
        """Make batch number `step`.

        Args:
            step: From 0; there is no last one.

        Returns:
            The same batch whenever it is asked for; torch's random state is left as it was.

        Raises:
            IndexError: If `step` is negative.
            ValueError: If a sample cannot be read or used; the message names it.
        """
        return self.pack(step).unpack()

    def pack(self, step: int) -> PackedBatch:
        """Make batch number `step`, up to the form in which it leaves a worker process.

        Args:
            step: From 0; there is no last one.

        Returns:
            What unpacks to the batch.

        Raises:
            IndexError: If `step` is negative.
            ValueError: If a sample cannot be read or used; the message names it.
        """
        if step < 0:
            raise IndexError(f"steps count from 0, got {step=}.")
        first = step * self.batch_size
        drawn = [self._draw(position) for position in range(first, first + self.batch_size)]
        return pack(
            [sample for sample, _ in drawn],
            [task for _, task in drawn],
            categories=self.categories,
            tokenizer=self.tokenizer,
            num_text=self.num_text,
            context_length=self.context_length,
            size_divisibility=self.size_divisibility,
            text_template=self.text_template,
        )

    def _draw(self, position: int) -> tuple[PanopticSample, Task]:
        """The augmented sample and the task at a position of the stream."""
        epoch, place = divmod(position, self.num_samples)
        index = int(self._epoch_order(epoch)[place])
        with torch.random.fork_rng(devices=[]):
            # subtle: torch.manual_seed would also seed every GPU, which fork_rng does not undo
            # here, so dropout would depend on whether workers make the batches.
            torch.random.default_generator.manual_seed(_derive_seed(self.seed, SAMPLE, position))
            choice = int(torch.multinomial(self.task_probabilities, 1))
            return self.transform(self.dataset[index]), TASKS[choice]

    def _epoch_order(self, epoch: int) -> Int[Tensor, " n"]:
        """A permutation of the data set; the last one is kept."""
        if self._order is None or self._order[0] != epoch:
            generator = torch.Generator().manual_seed(_derive_seed(self.seed, ORDER, epoch))
            self._order = epoch, torch.randperm(self.num_samples, generator=generator)
        return self._order[1]


class _PackedBatches(Dataset[PackedBatch]):
    """A stream as a worker process sends it; what arrives is the batch."""

    def __init__(self, stream: TrainingStream) -> None:
        self.stream = stream

    def __getitem__(self, step: int) -> PackedBatch:
        return self.stream.pack(step)


def make_loader(
    stream: TrainingStream,
    *,
    start_step: int,
    end_step: int,
    parts: int = 1,
    rank: int = 0,
    processes: int = 1,
    num_workers: int = 0,
) -> DataLoader[Batch]:
    """Iterate over the batches of a stretch of steps, in order.

    Each step has `processes * parts` batches of the stream, `parts` in a row for each process, so
    that the same images make a step however it is cut.

    Args:
        stream: Makes the batches.
        start_step: The first step.
        end_step: One past the last.
        parts: Batches of a process in a step.
        rank: Number of the process whose batches these are.
        processes: How many there are.
        num_workers: Processes that make batches ahead; 0 makes them in this one. The batches
            are the same.

    Returns:
        A loader of `(end_step - start_step) * parts` batches, which draws nothing from torch's
        global generator.

    Raises:
        ValueError: If not 0 <= start_step <= end_step.
    """
    if not 0 <= start_step <= end_step:
        raise ValueError(f"needs 0 <= start_step <= end_step, got {start_step=}, {end_step=}.")
    batches: Dataset = _PackedBatches(stream) if num_workers else stream
    return DataLoader(
        batches,
        batch_size=None,  # the stream makes whole batches
        sampler=[
            (step * processes + rank) * parts + part
            for step in range(start_step, end_step)
            for part in range(parts)
        ],
        num_workers=num_workers,
        worker_init_fn=_leave_signals_to_the_run,
        # subtle: every iterator draws a seed for its workers; drawn from the global generator
        # it would make a resumed run, which starts one iterator more, differ.
        generator=torch.Generator(),
    )


def _leave_signals_to_the_run(_worker: int) -> None:
    """Ctrl-C and some schedulers signal every process; the run needs batches to end its step."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":  # others cannot say who has sent a signal
        # subtle: the run itself ends a worker by SIGTERM, and waits until it is gone
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        threading.Thread(target=_end_with_the_run, daemon=True).start()


def _end_with_the_run() -> None:
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != os.getppid():
        pass
    os._exit(0)


def _check_probabilities(
    probabilities: Mapping[Task, float] | Mapping[str, float],
) -> Float64[Tensor, " tasks"]:
    """One probability per task, in the order of TASKS."""
    unknown = [task for task in probabilities if task not in TASKS]
    if unknown:
        raise ValueError(f"task_probabilities has keys {', '.join(TASKS)}, got {unknown=}.")
    values = [float(probabilities.get(task, 0.0)) for task in TASKS]
    # written so that NaN fails too
    if not (min(values) >= 0 and abs(sum(values) - 1) < 1e-6):
        raise ValueError(
            f"task_probabilities must be >= 0 and sum to 1, got {dict(probabilities)}, "
            f"sum {sum(values)}."
        )
    return torch.tensor(values, dtype=torch.float64)


def _derive_seed(*numbers: int) -> int:
    """Mix numbers into 32 well spread bits, all that torch's CPU generator uses of a seed."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
