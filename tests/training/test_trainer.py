"""Mutants that must fail: steps not seeded, loader restarted at 0, accumulation not divided,
learning rate set after the step, log kept on resume, update done before the check.

Run as a script (`python test_trainer.py FOLDER`) this file is a slow run, to be killed.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from minioneformer.processes import rank
from minioneformer.structures import Batch, TaskTarget
from minioneformer.training import trainer as trainer_module
from minioneformer.training.checkpoint import latest_checkpoint, list_checkpoints, load_checkpoint
from minioneformer.training.failure import NonFiniteLossError
from minioneformer.training.optimizer import build_optimizer
from minioneformer.training.randomness import seed_step
from minioneformer.training.schedule import Schedule
from minioneformer.training.trainer import Trainer
from minioneformer.training.update import PartLosses


class TinyModel(nn.Module):
    """Random state, buffers and two learning rates: all that a checkpoint can forget."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Conv2d(4, 1, 1)

    def forward(self, images):
        return self.head(self.dropout(self.norm(self.backbone(images)).relu()))


def make_batch(number, size=2):
    generator = torch.Generator().manual_seed(number)
    masks = torch.rand(size, 1, 5, 7, generator=generator) > 0.5
    return Batch(
        images=torch.randn(size, 3, 5, 7, generator=generator),
        padding_mask=torch.zeros(size, 5, 7, dtype=torch.bool),
        task_tokens=torch.zeros(size, 3, dtype=torch.long),
        text_tokens=None,
        targets=tuple(
            TaskTarget(task="semantic", labels=torch.zeros(1, dtype=torch.long), masks=mask)
            for mask in masks
        ),
        tasks=("semantic",) * size,
        image_ids=tuple(f"image-{number}-{index}" for index in range(size)),
    )


def rude_loader_from(first):
    """Draws from the global generator when it starts and for each batch, as a loader may."""
    torch.rand(3)
    for number in range(first, 100):
        torch.rand(number + 1)
        yield make_batch(number)


def tiny_losses(model):
    def compute_losses(batch):
        logits = model(batch.images)
        masks = torch.stack([target.masks for target in batch.targets]).float()
        return {
            "loss_mask": nn.functional.binary_cross_entropy_with_logits(logits, masks),
            "loss_mask_0": 0.1 * logits.square().mean(),
            "loss_mask_1": 0.2 * logits.square().mean(),
        }

    return compute_losses


def in_parts(compute_losses):
    """Losses of an update from those of one batch."""
    return lambda parts: (PartLosses(compute_losses(part)) for part in parts)


def make_trainer(folder, *, losses=tiny_losses, **changes):
    torch.manual_seed(3)
    model = TinyModel()
    options = {
        "model": model,
        "compute_losses": in_parts(losses(model)),
        "optimizer": build_optimizer(model, base_lr=0.01),
        "schedule": Schedule(total_steps=9),
        "loader_from": rude_loader_from,
        "total_steps": 9,
        "folder": folder,
        "recipe": {"name": "tiny", "data": {"seed": 3}},
        "checkpoint_every": 4,
        "progress": False,
    }
    return Trainer(**(options | changes))


class KilledError(Exception):
    pass


def kill_at(step):
    def callback(row):
        if row["step"] == step:
            raise KilledError

    return callback


def weights(trainer):
    return trainer.model.state_dict()


def assert_same_weights(a, b):
    for name, tensor in weights(a).items():
        assert torch.equal(tensor, weights(b)[name]), name


def log_rows(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.fixture
def no_pictures(monkeypatch):
    monkeypatch.setattr("minioneformer.training.logbook.draw_curves", lambda rows, path: None)


@pytest.fixture
def whole_run(tmp_path, no_pictures):
    trainer = make_trainer(tmp_path / "whole")
    trainer.fit()
    return trainer


@pytest.mark.parametrize("step", [1, 3, 4, 5, 8, 9])
def test_killed_at_any_step_and_resumed_the_weights_are_the_same_bits(whole_run, tmp_path, step):
    with pytest.raises(KilledError):
        make_trainer(tmp_path / "killed", callbacks=[kill_at(step)]).fit()
    torch.manual_seed(99)  # whatever state the new process is in
    resumed = make_trainer(tmp_path / "killed")
    with torch.no_grad():
        resumed.model.head.weight.fill_(7.0)
    resumed.fit(resume=True)
    assert_same_weights(resumed, whole_run)
    rows = log_rows(tmp_path / "killed")
    assert [row["step"] for row in rows] == list(range(1, 10))
    assert [row["loss"] for row in rows] == [row["loss"] for row in log_rows(whole_run.folder)]


def test_killed_twice_with_accumulation_and_clipping_it_still_is(tmp_path, no_pictures):
    options = {"accumulate": 3, "clip_norm": 0.05, "checkpoint_every": 2}
    whole = make_trainer(tmp_path / "whole", **options)
    whole.fit()
    with pytest.raises(KilledError):
        make_trainer(tmp_path / "killed", callbacks=[kill_at(3)], **options).fit()
    with pytest.raises(KilledError):
        make_trainer(tmp_path / "killed", callbacks=[kill_at(7)], **options).fit(resume=True)
    resumed = make_trainer(tmp_path / "killed", **options)
    resumed.fit(resume=True)
    assert_same_weights(resumed, whole)


def test_a_process_killed_by_the_system_resumes_to_the_same_bits(whole_run, tmp_path):
    folder = tmp_path / "killed"
    root = str(Path(__file__).resolve().parents[2])
    process = subprocess.Popen(
        [sys.executable, __file__, str(folder)], env=os.environ | {"PYTHONPATH": root}
    )
    deadline = time.monotonic() + 60
    while not (folder / "log.jsonl").exists() or len(log_rows_of_running(folder)) < 6:
        assert process.poll() is None, "the run ended by itself"
        assert time.monotonic() < deadline, "the run did not get going"
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert len(log_rows_of_running(folder)) < 9
    resumed = make_trainer(folder)
    resumed.fit(resume=True)
    assert_same_weights(resumed, whole_run)
    assert [row["step"] for row in log_rows(folder)] == list(range(1, 10))


def log_rows_of_running(folder):
    return (folder / "log.jsonl").read_text().split("\n")[:-1]


def test_training_lowers_the_loss_and_changes_every_parameter(whole_run):
    rows = log_rows(whole_run.folder)
    assert rows[-1]["loss"] < rows[0]["loss"]
    torch.manual_seed(3)
    for name, start in TinyModel().named_parameters():
        assert not torch.equal(start, weights(whole_run)[name]), name


def test_each_step_logs_terms_learning_rate_norm_and_speed(whole_run):
    row = log_rows(whole_run.folder)[4]
    assert list(row) == [
        "step",
        "loss",
        "loss_mask",
        "auxiliary_loss_mask",
        "grad_norm",
        "lr",
        "lr_backbone",
        "seconds",
        "seconds_waiting",
        "images_per_second",
        "memory_gib",
    ]
    assert row["loss"] == pytest.approx(row["loss_mask"] + row["auxiliary_loss_mask"])
    assert row["lr"] == pytest.approx(0.01 * (5 / 9) ** 0.9)  # four of nine updates are done
    assert row["grad_norm"] > 0


def test_learning_rates_of_all_groups_follow_the_schedule(tmp_path, no_pictures):
    seen = []
    trainer = make_trainer(tmp_path, total_steps=2)
    trainer.callbacks = (
        lambda row: seen.extend(group["lr"] for group in trainer.optimizer.param_groups),
    )
    trainer.fit()
    step_2 = (8 / 9) ** 0.9
    assert seen == pytest.approx([0.01, 0.01, 0.001, 0.01 * step_2, 0.01 * step_2, 0.001 * step_2])


def test_accumulating_equals_the_larger_batch_for_losses_that_are_means(tmp_path, no_pictures):
    def merged(first):
        for number in range(first, 9):
            a, b = make_batch(2 * number), make_batch(2 * number + 1)
            yield Batch(
                images=torch.cat([a.images, b.images]),
                padding_mask=torch.cat([a.padding_mask, b.padding_mask]),
                task_tokens=torch.cat([a.task_tokens, b.task_tokens]),
                text_tokens=None,
                targets=a.targets + b.targets,
                tasks=a.tasks + b.tasks,
                image_ids=a.image_ids + b.image_ids,
            )

    def plain_losses(model):
        model.norm = nn.Identity()  # batch statistics and dropout see the batch, not the image
        model.dropout = nn.Identity()
        return tiny_losses(model)

    runs = {}
    for name, options in {
        "accumulated": {"accumulate": 2},
        "merged": {"loader_from": merged},
    }.items():
        # Plain gradient descent: AdamW would hide a wrong scale.
        torch.manual_seed(3)
        model = TinyModel()
        losses = plain_losses(model)
        runs[name] = make_trainer(
            tmp_path / name,
            model=model,
            losses=lambda _, losses=losses: losses,
            optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
            **options,
        )
        runs[name].fit()
    for name, tensor in weights(runs["merged"]).items():
        torch.testing.assert_close(tensor, weights(runs["accumulated"])[name], msg=name)
    first, second = (log_rows(tmp_path / name)[-1] for name in runs)
    assert first["loss"] == pytest.approx(second["loss"], rel=1e-5)
    assert first["grad_norm"] == pytest.approx(second["grad_norm"], rel=1e-4)


def scalar_trainer(folder, gradient, **options):
    """Plain descent on loss = gradient * weight, from weight 0."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)

    def compute_losses(batch):
        return {"loss": gradient * model.weight.sum()}

    return make_trainer(
        folder,
        model=model,
        losses=lambda _: compute_losses,
        optimizer=torch.optim.SGD(model.parameters(), lr=1.0),
        schedule=Schedule(name="step_decay", total_steps=9),
        total_steps=1,
        **options,
    )


@pytest.mark.parametrize(("clip_norm", "weight"), [(None, -5.0), (0.5, -0.5), (9.0, -5.0)])
def test_clipping_bounds_the_step_and_logs_the_norm_before(
    tmp_path, no_pictures, clip_norm, weight
):
    trainer = scalar_trainer(tmp_path, 5.0, clip_norm=clip_norm)
    trainer.fit()
    assert trainer.model.weight.item() == pytest.approx(weight, rel=1e-5)
    assert log_rows(tmp_path)[0]["grad_norm"] == pytest.approx(5.0)


def test_autocast_computes_in_bfloat16_only_if_asked(tmp_path, no_pictures):
    dtypes = []

    def spying_losses(model):
        def compute_losses(batch):
            logits = model(batch.images)
            dtypes.append(logits.dtype)
            return {"loss": logits.float().square().mean()}

        return compute_losses

    for autocast in ("bf16", None):
        make_trainer(
            tmp_path / str(autocast), losses=spying_losses, autocast=autocast, total_steps=1
        ).fit()
    assert dtypes == [torch.bfloat16, torch.float32]


def test_callbacks_get_the_row_and_can_disturb_nothing(whole_run, tmp_path):
    rows = []

    def evaluate(row):
        rows.append(row)
        torch.rand(5)
        trainer.model.eval()

    trainer = make_trainer(tmp_path / "called", callbacks=[evaluate])
    trainer.fit()
    assert_same_weights(trainer, whole_run)
    assert rows == log_rows(tmp_path / "called")


def test_checkpoints_lie_at_start_interval_and_end_and_the_last_ones_stay(whole_run, tmp_path):
    names = [path.name for path in list_checkpoints(whole_run.folder)]
    assert names == ["checkpoint_00000008.pt", "checkpoint_00000009.pt"]
    make_trainer(tmp_path / "all", keep_checkpoints=9).fit()
    steps = [load_checkpoint(path)["step"] for path in list_checkpoints(tmp_path / "all")]
    assert steps == [0, 4, 8, 9]


def test_checkpoints_of_chosen_steps_stay_for_good(tmp_path, no_pictures):
    make_trainer(tmp_path, checkpoint_every=1, keep_checkpoints=1, keep_every=4).fit()
    steps = [load_checkpoint(path)["step"] for path in list_checkpoints(tmp_path)]
    assert steps == [4, 8, 9]


def test_a_running_mean_of_the_weights_survives_a_kill_and_is_what_callbacks_see(
    tmp_path, no_pictures
):
    seen = []
    whole = make_trainer(tmp_path / "whole", ema_decay=0.5)
    whole.callbacks = (lambda row: seen.append(whole.model.head.weight.detach().clone()),)
    whole.fit()
    assert torch.equal(whole.average.means[-2], seen[-1])
    assert not torch.equal(whole.model.head.weight, seen[-1])
    with pytest.raises(KilledError):
        make_trainer(tmp_path / "killed", ema_decay=0.5, callbacks=[kill_at(6)]).fit()
    resumed = make_trainer(tmp_path / "killed", ema_decay=0.5)
    resumed.fit(resume=True)
    for mine, theirs in zip(resumed.average.means, whole.average.means, strict=True):
        assert torch.equal(mine, theirs)


def test_with_float16_an_update_that_overflows_is_left_out_and_the_run_goes_on(
    tmp_path, no_pictures
):
    trainer = make_trainer(
        tmp_path, autocast="fp16", losses=poisoned(3, with_huge_gradient), total_steps=5
    )
    trainer.fit()
    rows = log_rows(tmp_path)
    assert len(rows) == 5
    assert "grad_norm" not in rows[2] and "grad_norm" in rows[4]
    assert all(torch.isfinite(parameter).all() for parameter in trainer.model.parameters())


def with_huge_gradient(terms):
    """A slope that float32 holds, but not times the loss scale of float16."""
    mask = terms["loss_mask"]
    return terms | {"loss_steep": 1e37 * (mask - mask.detach())}


def test_processes_share_the_steps_and_one_writes(tmp_path, no_pictures, in_processes):
    def share():
        trainer = make_trainer(
            tmp_path / "run",
            total_steps=3,
            loader_from=lambda first: (make_batch(2 * n + rank()) for n in range(first, 9)),
        )
        trainer.fit()
        return log_rows(tmp_path / "run"), trainer.logbook.path.stat().st_size

    first, second = in_processes(share, 2)
    assert first == second
    rows, _ = first
    assert [row["step"] for row in rows] == [1, 2, 3]
    alone = tiny_losses(make_trainer(tmp_path / "alone").model.train())
    expected = []
    for number in (0, 1):
        seed_step(0, 0, number)
        expected.append(alone(make_batch(number))["loss_mask"].item())
    assert rows[0]["loss_mask"] == pytest.approx(sum(expected) / 2)


@pytest.mark.usefixtures("interruptible")
def test_a_signal_to_one_process_stops_all_of_them_at_the_same_step(
    tmp_path, no_pictures, in_processes
):
    def share():
        def interrupted(terms):
            if rank() == 1:
                signal.raise_signal(signal.SIGTERM)
            return terms

        trainer = make_trainer(tmp_path / "run", losses=poisoned(6, interrupted))
        try:
            trainer.fit()
        except KeyboardInterrupt as stop:
            return str(stop), stop.number
        return "was not stopped"

    assert in_processes(share, 2) == [("stopped after step 6; resume to go on.", 15)] * 2
    assert latest_checkpoint(tmp_path / "run").name == "checkpoint_00000006.pt"


def test_a_bad_number_in_one_process_stops_all_of_them_and_names_its_images(
    tmp_path, no_pictures, in_processes
):
    def share():
        trainer = make_trainer(
            tmp_path / "run",
            losses=poisoned(2, with_nan) if rank() else tiny_losses,
            loader_from=lambda first: (make_batch(2 * n + rank()) for n in range(first, 9)),
        )
        try:
            trainer.fit()
        except NonFiniteLossError as error:
            return error.report.image_ids, dict(error.report.terms)
        return "was not stopped"

    found = (("image-3-0", "image-3-1"), {"loss_mask_0": "nan"})
    assert in_processes(share, 2) == [found, found]


def test_the_checkpoint_holds_the_recipe(whole_run):
    state = load_checkpoint(latest_checkpoint(whole_run.folder))
    assert state["recipe"] == {"name": "tiny", "data": {"seed": 3}}
    assert state["trainer"]["schedule"]["total_steps"] == 9


def test_a_finished_run_resumes_to_itself(whole_run):
    before = {name: tensor.clone() for name, tensor in weights(whole_run).items()}
    again = make_trainer(whole_run.folder)
    again.fit(resume=True)
    for name, tensor in before.items():
        assert torch.equal(tensor, weights(again)[name])
    assert len(log_rows(whole_run.folder)) == 9


def test_the_curves_are_drawn_at_the_end(tmp_path):
    make_trainer(tmp_path, total_steps=3).fit()
    picture = (tmp_path / "curves.png").read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) > 5000


def test_the_curves_are_drawn_now_and_then(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(trainer_module, "SECONDS_BETWEEN_PICTURES", -1.0)
    trainer = make_trainer(tmp_path)
    monkeypatch.setattr(trainer.logbook, "draw", lambda: drawn.append(len(trainer.logbook.rows())))
    trainer.fit()
    assert drawn == [0, 4, 8, 9, 9]


def test_curves_that_cannot_be_drawn_hide_nothing(tmp_path, monkeypatch, caplog):
    def full(rows, path):
        raise OSError("No space left on device")

    monkeypatch.setattr("minioneformer.training.logbook.draw_curves", full)
    with pytest.raises(KilledError):
        make_trainer(tmp_path, callbacks=[kill_at(2)]).fit()
    assert "no curves of" in caplog.text and "No space left on device" in caplog.text


@pytest.mark.parametrize(("progress", "shown"), [(True, True), (False, False), (None, False)])
def test_the_progress_bar_shows_terms_and_time_left(tmp_path, capsys, no_pictures, progress, shown):
    make_trainer(tmp_path, total_steps=2, progress=progress).fit()
    text = capsys.readouterr().err
    assert ("2/2" in text and "mask=" in text and "loss=" in text) is shown
    assert "auxiliary" not in text


# Non-finite numbers


def poisoned(step, poison):
    """Losses of the tiny model, with something done to those of one batch."""

    def losses(model):
        compute, calls = tiny_losses(model), []

        def compute_losses(batch):
            calls.append(batch)
            terms = compute(batch)
            return poison(terms) if len(calls) == step else terms

        return compute_losses

    return losses


def with_nan(terms):
    return terms | {"loss_mask_0": terms["loss_mask_0"] * float("nan")}


def with_infinite_gradient(terms):
    # The square root of 0 is finite, its slope is not.
    return terms | {"loss_root": (terms["loss_mask"] * 0).sqrt()}


def with_bad_cost(terms):
    raise ValueError("costs must be finite, got 3 of 12 entries that are not")


@pytest.mark.parametrize(
    ("poison", "terms"),
    [
        (with_nan, {"loss_mask_0": "nan"}),
        (with_infinite_gradient, {"grad_norm": "nan"}),
        (with_bad_cost, {"loss": "costs must be finite, got 3 of 12 entries that are not"}),
    ],
)
def test_a_number_that_is_not_finite_stops_with_a_report(tmp_path, no_pictures, poison, terms):
    trainer = make_trainer(tmp_path, losses=poisoned(6, poison), checkpoint_every=100)
    with pytest.raises(NonFiniteLossError, match=r"not finite at step 6: .*images \['image-5-0'"):
        trainer.fit()
    report = json.loads((tmp_path / "failure.json").read_text())
    assert report["terms"] == terms
    assert report["step"] == 6 and report["image_ids"] == ["image-5-0", "image-5-1"]
    assert report["lr"] == pytest.approx(0.01 * (4 / 9) ** 0.9)
    assert report["previous_grad_norm"] == log_rows(tmp_path)[-1]["grad_norm"]
    assert len(log_rows(tmp_path)) == 5
    reference = make_trainer(tmp_path / "reference", total_steps=5)
    reference.fit()
    for name, parameter in trainer.model.named_parameters():
        assert torch.equal(parameter, weights(reference)[name])


def test_with_accumulation_only_the_guilty_batch_is_named(tmp_path, no_pictures):
    trainer = make_trainer(tmp_path, losses=poisoned(5, with_nan), accumulate=3)
    with pytest.raises(NonFiniteLossError, match="step 2.*step before 0") as caught:
        trainer.fit()
    assert caught.value.report.image_ids == ("image-4-0", "image-4-1")


def test_the_first_step_has_no_gradient_norm_before_it(tmp_path, no_pictures):
    with pytest.raises(NonFiniteLossError, match="norm of the step before unknown"):
        make_trainer(tmp_path, losses=poisoned(1, with_nan)).fit()


def test_another_error_in_the_losses_stays_itself(tmp_path, no_pictures):
    def broken(terms):
        raise ValueError("shapes differ")

    with pytest.raises(ValueError, match="shapes differ"):
        make_trainer(tmp_path, losses=poisoned(2, broken)).fit()
    assert not (tmp_path / "failure.json").exists()


# Ctrl-C


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_writes_a_checkpoint_and_stops(whole_run, tmp_path, number):
    def interrupted(terms):
        signal.raise_signal(number)
        return terms

    trainer = make_trainer(tmp_path / "stopped", losses=poisoned(6, interrupted))
    with pytest.raises(KeyboardInterrupt, match="stopped after step 6; resume to go on") as caught:
        trainer.fit()
    assert caught.value.number == number
    assert latest_checkpoint(tmp_path / "stopped").name == "checkpoint_00000006.pt"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    resumed = make_trainer(tmp_path / "stopped")
    resumed.fit(resume=True)
    assert_same_weights(resumed, whole_run)


@pytest.mark.usefixtures("interruptible")
def test_a_second_ctrl_c_stops_at_once(tmp_path, no_pictures, monkeypatch):
    monkeypatch.setattr("minioneformer.training.interrupt.ECHO_SECONDS", 0)

    def interrupted_twice(terms):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        return terms

    with pytest.raises(KeyboardInterrupt):
        make_trainer(tmp_path, losses=poisoned(6, interrupted_twice)).fit()
    assert latest_checkpoint(tmp_path).name == "checkpoint_00000004.pt"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("interruptible")
def test_a_signal_does_not_wait_for_callbacks_and_the_resumed_run_makes_up_for_them(
    tmp_path, no_pictures
):
    def interrupted(terms):
        signal.raise_signal(signal.SIGTERM)
        return terms

    seen = []
    callbacks = [lambda row: seen.append(row["step"])]
    with pytest.raises(KeyboardInterrupt, match="stopped after step 6"):
        make_trainer(tmp_path, losses=poisoned(6, interrupted), callbacks=callbacks).fit()
    assert seen == [1, 2, 3, 4, 5]
    make_trainer(tmp_path, callbacks=callbacks).fit(resume=True)
    assert seen == [1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_callbacks_that_were_killed_after_the_last_step_are_called_again(tmp_path, no_pictures):
    with pytest.raises(KilledError):
        make_trainer(tmp_path, callbacks=[kill_at(9)]).fit()
    rows = []
    make_trainer(tmp_path, callbacks=[rows.append]).fit(resume=True)
    assert rows == log_rows(tmp_path)[-1:] and rows[0]["step"] == 9


def test_training_works_outside_the_main_thread(tmp_path, no_pictures):
    trainer = make_trainer(tmp_path, total_steps=2)
    thread = threading.Thread(target=trainer.fit)
    thread.start()
    thread.join()
    assert len(log_rows(tmp_path)) == 2


# What a user can get wrong


def test_a_new_run_into_a_folder_that_holds_one_is_refused(whole_run):
    with pytest.raises(ValueError, match="output folder already holds a run, got .*whole"):
        make_trainer(whole_run.folder).fit()
    assert len(log_rows(whole_run.folder)) == 9


def test_a_folder_with_only_a_log_holds_a_run_too(tmp_path):
    (tmp_path / "log.jsonl").write_text("")
    with pytest.raises(ValueError, match="output folder already holds a run"):
        make_trainer(tmp_path).fit()


def test_resuming_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="nothing to resume in .*absent"):
        make_trainer(tmp_path / "absent").fit(resume=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recipe": {"name": "tiny", "data": {"seed": 4}}}, "recipe.data.seed was 3, got 4"),
        ({"recipe": {"name": "tiny"}}, r"recipe.data was \{'seed': 3\}, got None"),
        ({"ema_decay": 0.9}, "trainer.ema_decay was None, got 0.9"),
        ({"clip_norm": 0.1}, "trainer.clip_norm was None, got 0.1"),
        ({"schedule": Schedule(total_steps=11)}, "trainer.schedule.total_steps was 9, got 11"),
    ],
)
def test_resuming_with_another_recipe_names_the_difference(whole_run, change, message):
    with pytest.raises(ValueError, match=f"another recipe: {message}"):
        make_trainer(whole_run.folder, **change).fit(resume=True)


def test_resuming_past_the_end_is_refused(whole_run):
    with pytest.raises(ValueError, match=r"holds 9 steps.*got total_steps=5"):
        make_trainer(whole_run.folder, total_steps=5).fit(resume=True)


def test_a_loader_that_ends_early_is_refused(tmp_path, no_pictures):
    with pytest.raises(
        ValueError, match=r"loader_from\(0\) ended too early, got no batch number 3"
    ):
        make_trainer(tmp_path, loader_from=lambda n: map(make_batch, range(n, 3))).fit()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"total_steps": 0}, "got total_steps=0"),
        ({"accumulate": 0}, "accumulate=0"),
        ({"checkpoint_every": 0}, "checkpoint_every=0"),
        ({"keep_checkpoints": 0}, "keep_checkpoints=0"),
        ({"keep_every": 0}, "keep_every=0"),
        ({"ema_decay": 1.0}, "ema_decay must be inside .*, got decay=1.0"),
        ({"clip_norm": 0.0}, "got clip_norm=0.0"),
        ({"autocast": "fp8"}, "autocast must be .*got 'fp8'"),
        ({"total_steps": 11}, "got step=10, total_steps=9"),
    ],
)
def test_numbers_out_of_range_are_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        make_trainer(tmp_path, **change)


def test_parameters_that_a_checkpoint_would_lose_are_refused(tmp_path):
    model, criterion = TinyModel(), nn.Linear(1, 1)
    optimizer = build_optimizer(nn.ModuleList([model, criterion]))
    with pytest.raises(ValueError, match="got strangers=2. Put model and criterion into one"):
        make_trainer(tmp_path, model=model, optimizer=optimizer)


@pytest.mark.gpu
def test_on_a_gpu_dropout_resumes_where_it_stopped(tmp_path, no_pictures):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")

    def on_gpu(folder, **options):
        torch.manual_seed(3)
        model = TinyModel().cuda()
        return make_trainer(
            folder,
            model=model,
            losses=lambda _: tiny_losses(model),
            optimizer=build_optimizer(model, base_lr=0.01),
            device="cuda",
            **options,
        )

    whole = on_gpu(tmp_path / "whole")
    whole.fit()
    with pytest.raises(KilledError):
        on_gpu(tmp_path / "killed", callbacks=[kill_at(6)]).fit()
    resumed = on_gpu(tmp_path / "killed")
    resumed.fit(resume=True)
    for name, tensor in weights(whole).items():
        torch.testing.assert_close(tensor, weights(resumed)[name], msg=name)


if __name__ == "__main__":
    make_trainer(sys.argv[1], callbacks=[lambda row: time.sleep(0.1)]).fit()
