"""A training run as Python and a notebook hold it: its model, its metrics as columns, its newest samples, its going on."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from zeuxis import loading
from zeuxis.api.drawing import sample
from zeuxis.api.models import Family, load
from zeuxis.io import files, images
from zeuxis.io.pictures import Images
from zeuxis.model import Model
from zeuxis.storage import RunFolder
from zeuxis.training import config, runs
from zeuxis.training.stopping import Callback, checked_callbacks

GivenRun = str | os.PathLike[str] | int


class Run(os.PathLike[str]):
    """A training run. `zeuxis.Run(3)` opens that number under runs/; a name there, or the run's folder, does as well.

    It stands for its folder wherever a path is expected. A notebook shows its newest contact sheet. A run of a family
    outside Zeuxis is only opened when `family` names its class. `UsageError` where there is no such run.
    """

    path: Path  # the run's folder

    def __init__(self, run: GivenRun, *, family: Family = None) -> None:
        self.path = loading.find_run(str(run)).absolute()
        self._family = family
        self._loaded: tuple[object, Model] | None = None  # what the model's file was, and the model

    @property
    def config(self) -> dict[str, Any]:
        """What the run was asked to do, as config.yaml has it: family, data, options, settings."""
        return self._folder.config

    @property
    def step(self) -> int:
        """The step of the newest row of metrics; 0 before the first."""
        rows = self._folder.metrics()
        return int(rows[-1]["step"]) if rows else 0

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
    ) -> Run:
        """Go on with the run, bit for bit as if it had never stopped; itself, once that is done.

        `steps` is the new last step. `minutes` counts from now, `cpu_minutes` from the first limit of the run.
        `logger` takes the place of the run's loggers; those of code outside Zeuxis must be named.
        """
        runs.resume_run(
            self.path,
            steps=steps,
            minutes=minutes,
            cpu_minutes=cpu_minutes,
            family=self._family,
            logger=logger,
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
        return f"Run {self}: {found.family} on {found.data}, step {self.step:,}{steps}"

    def _repr_png_(self) -> bytes | None:
        """The newest contact sheet, for a notebook."""
        return None if (picture := self.sheet) is None else images.png(picture)
