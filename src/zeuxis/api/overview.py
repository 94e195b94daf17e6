"""Runs at a glance: a line for each, their curves, and the story of one."""

from __future__ import annotations

import os
from pathlib import Path

from PIL import Image

from zeuxis import loading
from zeuxis.charts.curves import SMOOTHING, curves_figure
from zeuxis.charts.histories import Against
from zeuxis.errors import UsageError
from zeuxis.storage import RunFolder
from zeuxis.training.curves import history_of
from zeuxis.training.summary import RunSummary, summaries


def runs(folder: str | Path = "runs") -> list[RunSummary]:
    """The runs in a folder, by number, each at a glance: state, steps, minutes, newest losses, FID, newest sheet.

    A folder that is no whole run is among them as broken, with what is wrong. The default folder may be missing.
    """
    if str(folder) == "runs" and not os.path.lexists(folder):
        return []
    return summaries(folder)


def curves(
    *chosen: int | str | os.PathLike[str],
    against: Against = "steps",
    smoothing: float = SMOOTHING,
    every: bool = False,
) -> Image.Image:
    """The curves of one run or several (folders, or numbers or names under runs/), a panel for each metric.

    `against` is the axis across: steps, or images seen. `smoothing` is the standard deviation of the kernel as a share of
    it; 0: none. Losses, the discriminator's answers, diversity and FID are shown; with `every`, all metrics.
    `UsageError` where no run has a row of metrics yet.
    """
    if not chosen:
        raise UsageError("there are no runs to draw; give one or more, such as 1 2 3")
    found = dict.fromkeys(found_run(run) for run in chosen)
    return curves_figure(
        [history_of(RunFolder(path)) for path in found], against=against, smoothing=smoothing, every=every
    )


def found_run(run: int | str | os.PathLike[str]) -> Path:
    """The folder of a run, given as a path, a number or a name."""
    return loading.find_run(str(run) if isinstance(run, int) else os.fspath(run))
