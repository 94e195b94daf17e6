"""Data inspected; a run planned, started, resumed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from zeuxis import families, loading
from zeuxis.api.models import Family, Options
from zeuxis.data import DataSpec
from zeuxis.data.report import DataReport, inspect
from zeuxis.data.specs import Data
from zeuxis.model import Model
from zeuxis.options import ResizeMode
from zeuxis.runtime.callbacks import ProgressCallback
from zeuxis.training import runs
from zeuxis.training.settings import TrainSettings


def inspect_data(
    data: Data,
    *,
    size: int | None = None,
    channels: int | None = None,
    resize_mode: ResizeMode | None = None,
    max_images: int | None = None,
    progress: ProgressCallback | None = None,
) -> DataReport:
    """What a source of images holds: counts, sizes, classes, duplicates, and every file left out with its reason.

    `size` and `channels` of the pack are 64 and 3, or a named set's own, and `resize_mode` is crop, unless given.
    """
    spec = DataSpec.parse(data, resize_mode=resize_mode, max_images=max_images)
    size, channels = size or spec.size or 64, channels or spec.channels or 3
    return inspect(spec.open(size, channels, progress=progress))


def train(
    family: str | type[Model],
    data: Data,
    *,
    settings: TrainSettings | None = None,
    options: Options = None,
    began: runs.Began | None = None,
) -> Path:
    """Train a model of a family on data; the run's folder. `options` are the family's by name, `began` as of `runs.start`."""
    kind = families.find(family) if isinstance(family, str) else family
    chosen = settings or TrainSettings()
    if chosen.init_from is not None:
        chosen = dataclasses.replace(chosen, init_from=str(loading.find_model(chosen.init_from)))
    return runs.start(chosen, kind, options or {}, data=DataSpec.parse(data), began=began)


def dry_run(
    family: str | type[Model],
    data: Data | None = None,
    *,
    settings: TrainSettings | None = None,
    options: Options = None,
) -> runs.Plan:
    """What training would take: options, parameters, memory, seconds per step, measured on a few steps of noise.

    No data is read; `data` only matters where it names a set that has its own size and channels."""
    kind = families.find(family) if isinstance(family, str) else family
    shape = {} if data is None else DataSpec.parse(data).own_shape
    return runs.plan_run(settings or TrainSettings(), kind, options or {}, shape=shape)


def resume(
    run: str | Path,
    *,
    steps: int | None = None,
    minutes: float | None = None,
    cpu_minutes: float | None = None,
    family: Family = None,
    logger: Sequence[str] | None = None,
) -> Path:
    """Go on with a run that was stopped (a folder, or a number or name under runs/), exactly; the run's folder.

    A run of a family outside Zeuxis is only resumed when `family` names its class. `logger` takes the place of the run's
    loggers; those of code outside Zeuxis must be named.
    """
    found = loading.find_run(run)
    return runs.resume_run(found, steps=steps, minutes=minutes, cpu_minutes=cpu_minutes, family=family, logger=logger)
