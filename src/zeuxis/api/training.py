"""Data inspected; a run planned, started, resumed."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from zeuxis import families, loading
from zeuxis.api.models import Family
from zeuxis.api.run import Run
from zeuxis.data import DataSpec, report
from zeuxis.data.report import DataReport
from zeuxis.data.specs import Data
from zeuxis.loading import RunPath
from zeuxis.model import Model
from zeuxis.options import Device, ResizeMode
from zeuxis.runtime.callbacks import ProgressCallback
from zeuxis.training import runs
from zeuxis.training.build import check_options
from zeuxis.training.settings import TrainSettings
from zeuxis.training.stopping import Callback, checked_callbacks


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
    `progress` is told how many images are decoded, of how many. `UsageError` where there is nothing of that name or
    path; `DataError` where nothing in it can be used.
    """
    spec = DataSpec.parse(data, resize_mode=resize_mode, max_images=max_images)
    size, channels = size or spec.size or 64, channels or spec.channels or 3
    return report.inspect(spec.open(size, channels, progress=progress))


def train(family: str | type[Model], data: Data, *, callbacks: Sequence[Callback] = (), **options: Any) -> Run:
    """Train a model of a family on data, as `zeuxis.train("vae", data, steps=2000, latent_dim=8)`; the run, once it is done.

    `family` is a name, or a class of your own. The options are those of the family and the settings of every run, by
    name, as the flags of `zeuxis train` are. `callbacks` are functions of `Progress`, called after every step: one that
    returns True or raises `StopTraining` ends the run, which is saved and can be resumed. Of a callback that fails the
    error is raised once the run is saved.

    Raises `UsageError`, `DataError`, `DivergedError`, `DiskFullError`, or `Stopped` after a signal, such as a notebook's
    Interrupt; the newest checkpoint then remains.
    """
    kind = _found(family)
    settings, own = _sorted(kind, options)
    path = train_with(kind, data, settings, own, callbacks=checked_callbacks(callbacks))
    return Run(path, family=kind)


def train_with(
    family: type[Model],
    data: Data,
    settings: TrainSettings,
    options: Mapping[str, Any],
    *,
    callbacks: Sequence[Callback] = (),
    began: runs.Began | None = None,
) -> Path:
    """As `train`, with settings and options apart; the run's folder. `began` is as of `runs.start`."""
    return runs.start(settings, family, options, data=DataSpec.parse(data), began=began, callbacks=callbacks)


def dry_run(family: str | type[Model], data: Data | None = None, **options: Any) -> runs.Plan:
    """What `train` would take with these options: parameters, memory, seconds per step, measured on a few steps of noise.

    No data is read; `data` only matters where it names a set that has its own size and channels. `UsageError` where an
    option is unknown, or has a value that it cannot have.
    """
    kind = _found(family)
    settings, own = _sorted(kind, options)
    return runs.plan_run(settings, kind, own, shape={} if data is None else DataSpec.parse(data).own_shape)


def resume(
    run: RunPath,
    *,
    steps: int | None = None,
    minutes: float | None = None,
    cpu_minutes: float | None = None,
    callbacks: Sequence[Callback] = (),
    logger: Sequence[str] | None = None,
    family: Family = None,
    data: Data | None = None,
    device: Device | None = None,
) -> Run:
    """Go on with a run that was stopped, on a CPU bit for bit as if it had not been; a folder, or a number or name under
    runs/.

    `steps` is the new last step. `minutes` counts from now, `cpu_minutes` from the first limit of the run. `callbacks`
    are as of `train`. `logger` takes the place of the run's loggers; code outside Zeuxis must be named there, and in
    `family` where the family is of such code.
    `data` are the images in memory that the run began with, needed where their pack is no longer in the cache. `device` is
    where it goes on; on another than before, or on a GPU, its bits are others.
    `UsageError` where there is no such run, or it cannot go on exactly; the other errors are those of `train`.
    """
    found = Run(run, family=family)
    limits: dict[str, Any] = {"steps": steps, "minutes": minutes, "cpu_minutes": cpu_minutes}
    return found.resume(**limits, callbacks=callbacks, logger=logger, data=data, device=device)


def resume_with(
    run: RunPath,
    *,
    steps: int | None = None,
    minutes: float | None = None,
    cpu_minutes: float | None = None,
    family: Family = None,
    logger: Sequence[str] | None = None,
    device: Device | None = None,
    began: runs.Began | None = None,
) -> Path:
    """As `resume`; the run's folder. `began` is as of `runs.start`."""
    folder = loading.find_run(run)
    going_on = partial(runs.resume_run, folder, steps=steps, minutes=minutes, cpu_minutes=cpu_minutes, family=family)
    return going_on(logger=logger, device=device, began=began)


def _found(family: str | type[Model]) -> type[Model]:
    return families.find(family) if isinstance(family, str) else family


def _sorted(family: type[Model], options: Mapping[str, Any]) -> tuple[TrainSettings, dict[str, Any]]:
    """The settings of every run, and the family's own options; `UsageError` at a name that is neither."""
    general = [f.name for f in dataclasses.fields(TrainSettings)]
    check_options(family, options, others=general)
    settings = {name: value for name, value in options.items() if name in general}
    return TrainSettings(**settings), {name: value for name, value in options.items() if name not in general}


def _listing_settings(function: Callable[..., Any]) -> None:
    """Give a function the signature that lists the settings of every run: help and completion read it."""
    found = inspect.signature(function)
    *named, rest = found.parameters.values()
    settings = [
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=f.type)
        for f in dataclasses.fields(TrainSettings)
    ]
    function.__signature__ = found.replace(parameters=[*named, *settings, rest])  # type: ignore[attr-defined]


for _each in (train, dry_run):
    _listing_settings(_each)
