"""What the run that a model lies in says of it: its folder, and which images it was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from zeuxis import loading
from zeuxis.io import files
from zeuxis.options import Fit

_FITS: tuple[Fit, ...] = get_args(Fit)


def run_of(path: str | Path) -> Path | None:
    """The run's folder that a model lies in, if it lies in one."""
    folder = loading.find_model(path).parent
    return folder if (folder / "config.yaml").is_file() else None


def selection_of(path: str | Path, data: str) -> tuple[Fit, int | None]:
    """How a model's run fitted its images into a square, and how many it took, if `data` is what it was trained on."""
    run = run_of(path)
    config = files.read_yaml(run / "config.yaml") if run else None
    if not isinstance(config, dict) or config.get("data") != data:
        return "crop", None
    settings = config.get("settings")
    if not isinstance(settings, dict):
        return "crop", None
    limit, fits = settings.get("limit"), [fit for fit in _FITS if fit == settings.get("fit")]
    return fits[0] if fits else "crop", limit if isinstance(limit, int) else None
