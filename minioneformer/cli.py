"""The command line.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

The only place that parses arguments and prints, with `commands/`. A mistake of the user gives one
line on the standard error and exit status 2; set MINIONEFORMER_TRACEBACK=1 to see where it came
from.

Not here: the commands (`commands/`), what they do (`training/run.py`, `evaluation/`, `inference/`).
"""

from __future__ import annotations

import difflib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import tyro

from minioneformer.commands.ablate import ablate
from minioneformer.commands.check_data import check_data
from minioneformer.commands.checkpoints import convert, export, models
from minioneformer.commands.evaluation import evaluate
from minioneformer.commands.miniature import miniature
from minioneformer.commands.prediction import predict
from minioneformer.commands.prepare import prepare
from minioneformer.commands.recipes import recipes
from minioneformer.commands.report import report
from minioneformer.commands.score import score
from minioneformer.commands.training import demo, train
from minioneformer.processes import is_lost_process, joined_processes
from minioneformer.training.failure import NonFiniteLossError
from minioneformer.training.interrupt import StoppedRunError

BY_SIGNAL = 128  # added to a signal's number, as a shell has it for programs that it ends
PIPE_CLOSED = BY_SIGNAL + 13
WORKER_FAILED = "in DataLoader worker process"
COMMANDS: dict[str, Callable[..., Any]] = {
    "demo": demo,
    "train": train,
    "recipes": recipes,
    "ablate": ablate,
    "report": report,
    "evaluate": evaluate,
    "predict": predict,
    "score": score,
    "prepare": prepare,
    "miniature": miniature,
    "check-data": check_data,
    "models": models,
    "convert": convert,
    "export": export,
}
# several processes of torchrun share the work of these
SHARED = ("demo", "train", "evaluate")
LOST = "another process of this command has ended or does not answer: its own words say why."
# words that others have for what is here
INSTEAD = {
    "finetune": "train RECIPE --init WEIGHTS",
    "test": "evaluate WEIGHTS",
    "infer": "predict WEIGHTS IMAGES",
}


def _check_command(words: Sequence[str]) -> None:
    """Say what was meant; the parser would only list all there is."""
    if not words or words[0].startswith("-") or words[0] in COMMANDS:
        return
    plain = words[0].lower().replace("-", "").replace("_", "")
    near = difflib.get_close_matches(words[0].lower(), COMMANDS, n=1)
    meant = INSTEAD.get(plain) or (near[0] if near else "")
    hint = f" Did you mean `minioneformer {meant}`?" if meant else ""
    raise ValueError(f"there is no command {words[0]!r}.{hint} There are: {', '.join(COMMANDS)}.")


def _one_line(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if WORKER_FAILED in text:
        # torch puts the traceback of a loader's process into the message; its last line counts
        text = text.rstrip().rpartition("\n")[2].partition(": ")[2]
    return " ".join(text.split())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: Words after the program's name; None takes those of the process.

    Returns:
        Exit status: 0, or 2 for a mistake, 130 for Ctrl-C, 143 for SIGTERM in a run, 141 if nobody
        reads the output any more.
    """
    with ExitStack() as group:
        # subtle: whoever leaves the group ends the others, and then torchrun ends it too, so what
        # went wrong is said before
        return _status(list(sys.argv[1:] if arguments is None else arguments), group)


def _call(words: Sequence[str], group: ExitStack) -> None:
    _check_command(words)
    if words and words[0] in SHARED:
        group.enter_context(joined_processes())
    tyro.extras.subcommand_cli_from_dict(
        COMMANDS,
        prog="minioneformer",
        description="OneFormer by hand: one model for three segmentation tasks.",
        args=list(words),
    )
    sys.stdout.flush()  # a reader that is gone is noticed here, not when the interpreter ends


def _status(words: Sequence[str], group: ExitStack) -> int:
    try:
        _call(words, group)
    except SystemExit as stop:  # tyro has printed help, or what is wrong with the words
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KeyboardInterrupt as stop:
        print(f"minioneformer: stopped. {stop}".rstrip(), file=sys.stderr)
        return BY_SIGNAL + (stop.number if isinstance(stop, StoppedRunError) else signal.SIGINT)
    except BrokenPipeError:  # whoever reads our output, such as `head`, has seen enough
        # subtle: the interpreter would try once more when it ends, and complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except (ValueError, OSError, ImportError, NonFiniteLossError) as error:
        if os.environ.get("MINIONEFORMER_TRACEBACK"):
            raise
        print(f"minioneformer: error: {_one_line(error)}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        if os.environ.get("MINIONEFORMER_TRACEBACK") or not is_lost_process(error):
            raise
        print(f"minioneformer: error: {LOST}", file=sys.stderr)
        return 2
    return 0
