"""How a run stands: training, stopped, done or failed, by its lock, its log and its checkpoints."""

from __future__ import annotations

import contextlib
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from zeuxis.errors import UsageError, ZeuxisError
from zeuxis.io import files
from zeuxis.runtime.signals import Interrupt, Stopped
from zeuxis.storage import RunFolder
from zeuxis.training.config import Recipe
from zeuxis.training.log_file import FAILED, log_lines

RunState = Literal["training", "stopped", "done", "failed"]
# Logs of version 0.2 and before have no word for it.
_FAILURES = re.compile(
    rf"{FAILED}|.*(?:resuming it would diverge again|nothing was saved$|out of memory at step|could not be written:)"
)
_LONGEST = 1000  # characters of an error in the log
_DONE = re.compile(r"done at step ")


def state_of(run: RunFolder, recipe: Recipe | None = None) -> RunState:
    """How a run stands. A run that its minutes ended is done, as one that took all its steps is.

    A run that was killed is stopped, as one that a signal ended is: both can be resumed. Nothing is written to find out.
    """
    return "training" if is_training(run.path) else ended_as(run, recipe)


def ended_as(run: RunFolder, recipe: Recipe | None = None) -> RunState:
    """How a run stands that nobody trains now."""
    lines = list(log_lines(run.path / "log.txt"))
    for line in reversed(lines):
        if _DONE.match(line.text):
            return "done"
        if _FAILURES.match(line.text):
            return "failed"
        if line.begins or line.step is not None:
            return "stopped"
    reached = [int(path.name.split("-")[1].split(".")[0]) for path in run.checkpoints()]
    # A log that was lost, or moved away.
    return "done" if recipe and max(reached, default=-1) >= recipe.settings.last_step else "stopped"


@contextlib.contextmanager
def failures_logged(run: RunFolder) -> Iterator[None]:
    """Log an error that ends a run, so that it counts as failed; a signal does not."""
    try:
        yield
    except Stopped:
        raise
    except Exception as error:
        with contextlib.suppress(ZeuxisError, Interrupt):  # the disk may be what is full
            run.log(f"{FAILED}{type(error).__name__}: {error}"[:_LONGEST])
        raise


def is_training(path: Path) -> bool:
    """Whether another process, or another thread, trains the run in a folder."""
    try:
        if not stat.S_ISREG((path / ".lock").lstat().st_mode):
            return False
        with files.unlocked(path, wait=0.0):
            return False
    except OSError:
        return False  # nobody ever did
    except UsageError:
        return True
