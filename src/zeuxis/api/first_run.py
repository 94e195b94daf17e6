"""The demonstration: a DCGAN of cartoon faces, and the three figures of a latent space."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from zeuxis import families
from zeuxis.api.drawing import arithmetic, interpolate, sample
from zeuxis.api.models import load
from zeuxis.data import DataSpec
from zeuxis.errors import UsageError
from zeuxis.explore import interpolation_figure
from zeuxis.io import files, images
from zeuxis.model import Model
from zeuxis.runtime.callbacks import MessageCallback
from zeuxis.runtime.progress import open_display
from zeuxis.training import runs
from zeuxis.training.settings import TrainSettings

FAMILY, DATA, SIZE, NAME = "dcgan", "avatars:10000", 64, "faces"
TERMS = "smiling woman - neutral woman + neutral man"
_ENOUGH = 0.98  # of the minutes: a step more would be over them
_LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)  (began|resumed|done at)?")


def demo(out: str | Path = "demo", *, minutes: float = 8.0, note: MessageCallback | None = None) -> list[Path]:
    """Train a DCGAN on drawn faces for so many minutes, and write three figures into the folder; their paths.

    A run that was stopped before its minutes were over goes on, and one that has had them is drawn only. `note` is told
    of each figure once it is written.
    """
    settings = TrainSettings(minutes=minutes, out=str(Path(out) / "runs"), name=NAME)
    run, written = _trained(settings), []
    model, folder = load(run), Path(settings.out).parent
    for name, draw in _FIGURES.items():
        images.write_png(draw(model), folder / name)
        written.append(folder / name)
        if note:
            note(f"wrote {folder / name}")
    return written


def _trained(settings: TrainSettings) -> Path:
    """The newest run, trained for all of its minutes; a new one where there is none."""
    found = sorted(Path(settings.out).glob(f"*-{NAME}"))
    if not found:
        return runs.start(settings, families.find(FAMILY), {"size": SIZE}, data=DataSpec.parse(DATA))
    wanted, (seconds, done) = 60 * (settings.minutes or 0), _spent(found[-1] / "log.txt")
    if done and seconds >= _ENOUGH * wanted:
        return found[-1]
    return runs.resume_run(found[-1], minutes=max(0.0, wanted - seconds) / 60)


def _spent(log: Path) -> tuple[float, bool]:
    """Seconds between each beginning in a log and the last line before the next; whether the last one is of its end."""
    total, begin, now, what = 0.0, 0.0, 0.0, None
    for line in files.read_bytes(log, max_bytes=1 << 26).decode(errors="replace").splitlines() if log.exists() else ():
        if match := _LINE.match(line):
            before, now, what = now, time.mktime(time.strptime(match[1], "%Y-%m-%d %H:%M:%S")), match[2]
            if what in ("began", "resumed"):
                total, begin = total + before - begin, now
    return total + now - begin, what == "done at"


def _samples(model: Model) -> Image.Image:
    pictures = sample(model, 64)
    return images.sheet(pictures, scale=-(-48 // pictures.shape[-1]))


def _interpolation(model: Model) -> Image.Image:
    return interpolation_figure(interpolate(model, rows=5, columns=10))


def _arithmetic(model: Model) -> Image.Image:
    with open_display() as shown:

        def reading(done: int, total: int) -> None:
            shown.work("reading images", done, total)

        try:
            return arithmetic(model, TERMS, data=DATA, report=shown.note, progress=reading).figure()
        except UsageError as error:
            raise UsageError(f"its samples are no faces yet ({error}); go on with more --minutes") from None


_FIGURES: dict[str, Callable[[Model], Image.Image]] = {
    "samples.png": _samples,
    "interpolation.png": _interpolation,
    "arithmetic.png": _arithmetic,
}
