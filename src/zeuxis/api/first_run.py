"""The demonstration: a DCGAN of cartoon faces, and the three figures of a latent space."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from zeuxis import families
from zeuxis.api.drawing import interpolate, sample
from zeuxis.api.editing import arithmetic
from zeuxis.api.models import load
from zeuxis.data import DataSpec
from zeuxis.errors import UsageError
from zeuxis.io.pictures import Figure
from zeuxis.model import Model
from zeuxis.runtime.callbacks import MessageCallback
from zeuxis.runtime.progress import open_display
from zeuxis.storage import RunFolder
from zeuxis.training import runs
from zeuxis.training.log_file import LONGEST_LOG, log_lines, seconds_trained
from zeuxis.training.settings import TrainSettings
from zeuxis.training.standing import ended_as

FAMILY, DATA, SIZE, NAME = "dcgan", "avatars:10000", 64, "faces"
TERMS = "smiling woman - neutral woman + neutral man"
_ENOUGH = 0.98  # of the minutes: a step more would be over them


def demo(out: str | Path = "demo", *, minutes: float = 8.0, note: MessageCallback | None = None) -> list[Path]:
    """Train a DCGAN on drawn faces for so many minutes, and write three figures into the folder; their paths.

    A run that was stopped before its minutes were over goes on, and one that has had them is drawn only. `note` is told
    of each figure once it is written. `UsageError` where `out` is no folder, or the minutes are too few for arithmetic.
    """
    settings = TrainSettings(minutes=minutes, out=str(Path(out) / "runs"), name=NAME)
    run, written = _trained(settings), []
    model, folder = load(run), Path(settings.out).parent
    for name, draw in _FIGURES.items():
        draw(model).save(folder / name)
        written.append(folder / name)
        if note:
            note(f"wrote {folder / name}")
    return written


def _trained(settings: TrainSettings) -> Path:
    """The newest run, trained for all of its minutes; a new one where there is none."""
    found = sorted(Path(settings.out).glob(f"*-{NAME}"))
    if not found:
        return runs.start(settings, families.find(FAMILY), {"size": SIZE}, data=DataSpec.parse(DATA))
    wanted = 60 * (settings.minutes or 0)
    spent = seconds_trained(list(log_lines(found[-1] / "log.txt", tail=LONGEST_LOG)))
    if ended_as(RunFolder(found[-1])) == "done" and spent >= _ENOUGH * wanted:
        return found[-1]
    return runs.resume_run(found[-1], minutes=max(0.0, wanted - spent) / 60)


def _arithmetic(model: Model) -> Figure:
    with open_display() as shown:

        def reading(done: int, total: int) -> None:
            shown.work("reading images", done, total)

        try:
            return arithmetic(model, TERMS, data=DATA, report=shown.note, progress=reading)
        except UsageError as error:
            raise UsageError(f"its samples are no faces yet ({error}); go on with more --minutes") from None


_FIGURES: dict[str, Callable[[Model], Figure]] = {
    "samples.png": lambda model: sample(model, 64),
    "interpolation.png": lambda model: interpolate(model, rows=5, columns=10),
    "arithmetic.png": _arithmetic,
}
