"""Runs over a grid of options: trained one after another, or planned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zeuxis import families
from zeuxis.api.models import Options
from zeuxis.data import DataSpec
from zeuxis.data.specs import Data
from zeuxis.model import Model
from zeuxis.runtime.callbacks import MessageCallback
from zeuxis.training import sweeps
from zeuxis.training.settings import TrainSettings
from zeuxis.training.sweep_report import SweepPlan, SweepReport, plan_sweep, report_on


def sweep(
    family: str | type[Model],
    data: Data,
    axes: Mapping[str, Sequence[Any]],
    *,
    settings: TrainSettings | None = None,
    options: Options = None,
    max_runs: int = sweeps.MOST_RUNS,
    note: MessageCallback | None = None,
) -> SweepReport:
    """Train the family on data once for each combination of values, one run after another; the table of the runs.

    `axes` has the values of each option or setting that is swept, such as `{"seed": range(5), "lr": [1e-3, 5e-4]}`. The
    runs and their index lie in one folder under `settings.out`: the same call goes on with a sweep that was broken off.
    """
    tell = note or (lambda _: None)
    return report_on(sweeps.run_sweep(_grid(family, data, axes, settings, options), max_runs=max_runs, note=tell))


def dry_run_sweep(
    family: str | type[Model],
    data: Data,
    axes: Mapping[str, Sequence[Any]],
    *,
    settings: TrainSettings | None = None,
    options: Options = None,
    max_runs: int = sweeps.MOST_RUNS,
) -> SweepPlan:
    """The runs of a sweep and what they will take, measured on a few steps of noise; nothing is written."""
    return plan_sweep(_grid(family, data, axes, settings, options), max_runs=max_runs)


def _grid(
    family: str | type[Model],
    data: Data,
    axes: Mapping[str, Sequence[Any]],
    settings: TrainSettings | None,
    options: Options,
) -> sweeps.Grid:
    kind = families.find(family) if isinstance(family, str) else family
    lists = {name: list(values) for name, values in axes.items()}
    return sweeps.Grid(kind, DataSpec.parse(data), lists, settings or TrainSettings(), options or {})
