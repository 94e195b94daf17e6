"""A training run as Python and a notebook hold it: its model, its metrics as columns, its newest samples, its going on."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from zeuxis import loading
from zeuxis.api.drawing import sample
from zeuxis.api.models import Family, load
from zeuxis.api.overview import curves
from zeuxis.charts.curves import SMOOTHING
from zeuxis.charts.histories import Against
from zeuxis.charts.lettering import BACKGROUND
from zeuxis.data.specs import Data
from zeuxis.errors import UsageError
from zeuxis.io import files, images
from zeuxis.io.pictures import Images
from zeuxis.loading import RunPath
from zeuxis.model import Model
from zeuxis.options import Device
from zeuxis.storage import RunFolder
from zeuxis.storage.checkpoints import step_of
from zeuxis.training import config, runs
from zeuxis.training.standing import RunState, state_of
from zeuxis.training.stopping import Callback, checked_callbacks

_NARROWEST, _WIDEST = 512, 1024  # pixels of a contact sheet in a notebook


class Run(os.PathLike[str]):
    """A training run. `zeuxis.Run(3)` opens that number under runs/; a name there, or the run's folder, does as well.

    It stands for its folder wherever a path is expected. A notebook shows its newest contact sheet and its
    curves. A run of a family outside Zeuxis is only opened when `family` names its class. `UsageError` where there is
    no such run.
    """

    path: Path  # the run's folder

    def __init__(self, run: RunPath, *, family: Family = None) -> None:
        self.path = loading.find_run(run).absolute()
        self._family = family
        self._loaded: tuple[object, Model] | None = None  # what the model's file was, and the model

    @property
    def config(self) -> dict[str, Any]:
        """What the run was asked to do, as config.yaml has it: family, data, options, settings."""
        return self._folder.config

    @property
    def step(self) -> int:
        """The step that the run has reached, by its rows and its checkpoints; 0 before the first."""
        rows = [int(row["step"]) for row in self._folder.metrics()[-1:]]
        saved = [step_of(path) for path in self._folder.checkpoints()[-1:]]
        return max([*rows, *saved], default=0)

    @property
    def metrics(self) -> dict[str, list[float]]:
        """The rows of metrics.jsonl as columns of one length, by name: `pandas.DataFrame(run.metrics)` takes them.

        `step` and `images` come first. A row without a value, or with one that was not finite, has nan.
        """
        rows = self._folder.metrics()
        names = dict.fromkeys(name for row in rows for name in row)
        return {name: [math.nan if (value := row.get(name)) is None else value for row in rows] for name in names}

    @property
    def model(self) -> Model:
        """The newest saved model, ready to be sampled; loaded once, and again after the run has gone on.

        `UsageError` before the first checkpoint.
        """
        with files.explained(self.path):
            weights = (loading.find_model(self.path) / "model.safetensors").stat()
        now = weights.st_mtime_ns, weights.st_size, weights.st_ino
        if self._loaded is None or self._loaded[0] != now:
            self._loaded = now, load(self.path, family=self._family)
        return self._loaded[1]

    @property
    def sheet(self) -> Image.Image | None:
        """The newest contact sheet of samples; None before the first."""
        if not (found := self._folder.sheets()):
            return None
        content = files.read_bytes(found[-1], max_bytes=images.MOST_BYTES, follow=False)
        with images.opened(content) as picture:
            return picture.convert("RGB")

    @property
    def state(self) -> RunState:
        """How the run stands: training, stopped, done or failed."""
        return state_of(self._folder, config.read_recipe(self.config))

    def curves(self, *, against: Against = "steps", smoothing: float = SMOOTHING, every: bool = False) -> Image.Image:
        """The curves of its metrics, as `zeuxis.curves` draws them; `UsageError` before the first row."""
        return curves(self.path, against=against, smoothing=smoothing, every=every)

    def samples(self, n: int = 64, *, seed: int = 0) -> Images:
        """Images of the model (n c h w, in [-1, 1]) for the seeds `seed ... seed + n - 1`."""
        return sample(self.model, n, seed=seed)

    def resume(
        self,
        *,
        steps: int | None = None,
        minutes: float | None = None,
        cpu_minutes: float | None = None,
        callbacks: Sequence[Callback] = (),
        logger: Sequence[str] | None = None,
        data: Data | None = None,
        device: Device | None = None,
    ) -> Run:
        """Go on with the run, on a CPU bit for bit as if it had never stopped; itself, once that is done.

        `steps` is the new last step. `minutes` counts from now, `cpu_minutes` from the first limit of the run. `data` are
        the images in memory that it began with, needed where their pack is no longer in the cache.
        `logger` takes the place of the run's loggers; those of code outside Zeuxis must be named. `device` takes the place
        of the run's.
        """
        runs.resume_run(
            self.path,
            steps=steps,
            minutes=minutes,
            cpu_minutes=cpu_minutes,
            family=self._family,
            logger=logger,
            data=data,
            device=device,
            callbacks=checked_callbacks(callbacks),
        )
        return self

    @property
    def _folder(self) -> RunFolder:
        return RunFolder(self.path)

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        here = Path.cwd()
        return str(self.path.relative_to(here) if self.path.is_relative_to(here) else self.path)

    def __repr__(self) -> str:
        found = config.read_recipe(self.config)
        steps = "" if found.settings.endless else f" of {found.settings.last_step:,}"
        return f"Run {self}: {found.family} on {found.data}, step {self.step:,}{steps}, {self.state}"

    def _repr_png_(self) -> bytes | None:
        """The newest contact sheet above the curves, for a notebook; None before there is either."""
        shown = [] if (sheet := self.sheet) is None else [_legible(sheet)]
        with contextlib.suppress(UsageError):  # no row yet
            shown.append(self.curves())
        if not shown:
            return None
        width, height = max(each.width for each in shown), sum(each.height for each in shown)
        canvas, y = Image.new("RGB", (width, height), BACKGROUND), 0
        for each in shown:
            canvas.paste(each, (0, y))
            y += each.height
        return images.png(canvas)


def _legible(sheet: Image.Image) -> Image.Image:
    """The sheet, between 512 and 1,024 pixels wide: enlarged by a whole number, or reduced."""
    if sheet.width > _WIDEST:
        return sheet.resize((_WIDEST, round(sheet.height * _WIDEST / sheet.width)))
    scale = -(-_NARROWEST // sheet.width)
    return sheet.resize((sheet.width * scale, sheet.height * scale), Image.Resampling.NEAREST)
