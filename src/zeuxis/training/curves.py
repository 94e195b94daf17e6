"""The curves of a run, from its rows of metrics; its folder keeps them as `curves.png`."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from zeuxis.charts.curves import curves_figure
from zeuxis.charts.histories import History
from zeuxis.errors import UsageError, ZeuxisError
from zeuxis.escaping import printable
from zeuxis.io import images
from zeuxis.storage import RunFolder
from zeuxis.training import config
from zeuxis.training.config import Recipe

CURVES_FILE = "curves.png"


def history_of(run: RunFolder, recipe: Recipe | None = None) -> History:
    """The rows of metrics of a run, under the name of its folder; its recipe is read if it is not known."""
    about = ""
    with contextlib.suppress(UsageError):
        about = _about(recipe or config.read_recipe(run.config))
    return History(printable(run.path.resolve().name), printable(about), _rows(run))


def keep_curves(run: RunFolder, recipe: Recipe) -> None:
    """Draw the curves of a run into its folder, where there are any yet; an error is logged, and ends no run."""
    try:
        if (history := history_of(run, recipe)).rows:
            images.write_png(curves_figure([history]), run.path / CURVES_FILE)
    except Exception as error:  # whatever it is: a picture of a run is not worth the run
        with contextlib.suppress(ZeuxisError):
            run.log(f"{CURVES_FILE} could not be drawn: {error}")


def _rows(run: RunFolder) -> Sequence[Mapping[str, Any]]:
    """The rows that say their step and how many images were seen."""
    return [row for row in run.metrics() if _is_count(row.get("step")) and _is_count(row.get("images"))]


def _is_count(value: object) -> bool:
    return isinstance(value, int) and 0 <= value < 1 << 53


def _about(recipe: Recipe) -> str:
    """Family, data and size of a run."""
    size = recipe.options.get("size")
    return f"{recipe.family} on {recipe.data}" + (f", {size} x {size}" if isinstance(size, int) else "")
