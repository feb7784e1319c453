"""A run under torchrun whose workers are killed again and again, against one that is left alone.

Run: python benchmarks/kill_workers.py [kills] [processes]   (10 and 2 unless given)
A tiny model is trained on the generated data set, with a checkpoint every 5 steps and an evaluation
at the end. In the second run a worker taken at random gets SIGKILL at a random moment; `torchrun`
starts all workers again, and they go on from the last checkpoint. Prints the steps after which a
worker was killed, and whether the weights are the same bits and the figures the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STEPS, SEED = 150, 4
SETTINGS = (
    f"optimization.steps={STEPS}",
    "optimization.batch_size=12",
    "optimization.checkpoint_every=5",
    f"optimization.evaluate_every={STEPS}",
    "data.image_size=(32,48)",
    "data.val_images=12",
    "data.shortest_edges=()",
    "data.longest_edge=None",
    "data.test_shortest_edge=None",
    "data.test_longest_edge=None",
    "data.num_workers=1",
    "model.hidden_dim=32",
    "model.conv_dim=32",
    "model.mask_dim=16",
    "model.num_attention_heads=2",
    "model.encoder_layers=1",
    "model.decoder_layers=2",
    "model.train_num_points=64",
    "model.encoder_feedforward_dim=32",
    "model.dim_feedforward=32",
    "model.backbone_config.embed_dim=8",
    "model.backbone_config.depths=(1,1,1,1)",
    "model.backbone_config.num_heads=(1,1,2,2)",
)


def start(folder: Path, processes: int, restarts: int) -> subprocess.Popen:
    """Train under torchrun; what it says goes beside the folder."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={processes}", f"--max-restarts={restarts}"]
    command += ["-m", "minioneformer", "train", "toy", "--output", str(folder), "--set", *SETTINGS]
    with (folder.parent / f"{folder.name}.txt").open("wb") as output:
        return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)


def workers_of(parent: int) -> list[int]:
    """Processes that torchrun has started itself, in Linux's list of processes."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            if int(fields[1]) == parent:
                found.append(int(entry.name))
    return found


def steps_done(folder: Path) -> int:
    """Number of the last step that the log holds."""
    log = folder / "log.jsonl"
    lines = log.read_text().splitlines() if log.is_file() else []
    return json.loads(lines[-1])["step"] if lines and lines[-1].endswith("}") else 0


def kill_now_and_then(run: subprocess.Popen, folder: Path, kills: int) -> None:
    """After each kill the run is left alone until it has done a new step."""
    dice, reached = random.Random(SEED), 0
    for number in range(1, kills + 1):
        goal = min(reached + 1, STEPS - 1)
        while run.poll() is None and steps_done(folder) < goal:
            time.sleep(0.02)
        time.sleep(dice.uniform(0, 0.7))
        workers = workers_of(run.pid)
        if run.poll() is not None or not workers:
            print(f"the run ended before kill {number}")
            return
        victim = dice.choice(workers)
        reached = steps_done(folder)
        os.kill(victim, signal.SIGKILL)
        print(f"kill {number}: after step {reached}", flush=True)
        time.sleep(1)  # until torchrun has noticed


def result(folder: Path) -> tuple[str, dict]:
    """Checksum of the weights, and the figures of the evaluation."""
    weights = (folder / "model" / "model.safetensors").read_bytes()
    figures = json.loads((folder / "evaluations.jsonl").read_text().splitlines()[-1])
    return hashlib.sha256(weights).hexdigest(), figures


def main() -> None:
    """Train twice and compare."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    processes = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    with tempfile.TemporaryDirectory() as temporary:
        alone, killed = Path(temporary) / "alone", Path(temporary) / "killed"
        begun = time.monotonic()
        status = start(alone, processes, 0).wait()
        print(f"left alone: exit status {status}, {time.monotonic() - begun:.0f} s")
        begun = time.monotonic()
        run = start(killed, processes, kills)
        kill_now_and_then(run, killed, kills)
        status = run.wait()
        print(f"killed: exit status {status}, {time.monotonic() - begun:.0f} s")
        if status:
            sys.exit((killed.parent / "killed.txt").read_text()[-3000:])
        (bits, figures), (other_bits, other_figures) = result(alone), result(killed)
        print(f"weights: {'the same bits' if bits == other_bits else 'DIFFERENT'}")
        print(f"figures: {'the same' if figures == other_figures else 'DIFFERENT'}, PQ", end=" ")
        print(f"{figures['pq']:.4f} and {other_figures['pq']:.4f}")
        sys.exit(bits != other_bits or figures != other_figures)


if __name__ == "__main__":
    main()
