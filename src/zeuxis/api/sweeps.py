"""Runs over a grid of options: trained one after another, or planned."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from zeuxis import families
from zeuxis.data import DataSpec
from zeuxis.data.specs import Data
from zeuxis.model import Model
from zeuxis.runtime.callbacks import MessageCallback
from zeuxis.training import sweeps
from zeuxis.training.build import check_options
from zeuxis.training.settings import TrainSettings
from zeuxis.training.sweep_report import SweepReport, report_on
from zeuxis.training.sweeps import Grid
from zeuxis.training.transfer import find_start


def sweep(
    family: str | type[Model],
    data: Data,
    *,
    max_runs: int = sweeps.MOST_RUNS,
    note: MessageCallback | None = None,
    **options: Any,
) -> SweepReport:
    """Train a family once for each combination of values, as `zeuxis.sweep("dcgan", data, seed=range(5), lr=[1e-3, 5e-4])`.

    The options are those of `train`. One with a list, a tuple or a range takes each of its values in turn; seeds vary
    slowest. The runs and their index lie in one folder: the same call goes on with a sweep that was broken off. `note` hears
    which run begins. `UsageError` where the combinations are too many, or one has an option that cannot be; the other
    errors are those of `train`.
    """
    kind = families.find(family) if isinstance(family, str) else family
    several = {name: value for name, value in options.items() if name != "logger"}  # all of those are of each run
    listed = {name: list(value) for name, value in several.items() if isinstance(value, list | tuple | range)}
    once = {name: value for name, value in options.items() if name not in listed}
    found = sweeps.run_sweep(grid_of(kind, data, listed, once), max_runs=max_runs, note=note or (lambda _: None))
    return report_on(found)


def grid_of(family: type[Model], data: Data, axes: Mapping[str, list[Any]], once: Mapping[str, Any]) -> Grid:
    """The grid of some options with several values, and others with one; `UsageError` at a name that is no option."""
    general = [field.name for field in dataclasses.fields(TrainSettings)]
    check_options(family, {**axes, **once}, others=general)
    settings = TrainSettings(**{name: value for name, value in once.items() if name in general})
    own = {name: value for name, value in once.items() if name not in general}
    start = None if settings.init_from is None else find_start(settings.init_from, family)
    if start is not None:
        settings = dataclasses.replace(settings, init_from=str(start.folder))
    return Grid(family, DataSpec.parse(data), axes, settings, own, start)
