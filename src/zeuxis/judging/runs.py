"""What the run that a model lies in says of it: its folder, and which images it was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from zeuxis import loading, renamed
from zeuxis.io import files
from zeuxis.options import ResizeMode

_FITS: tuple[ResizeMode, ...] = get_args(ResizeMode)


def run_of(path: str | Path) -> Path | None:
    """The run's folder that a model lies in, if it lies in one."""
    folder = loading.find_model(path).parent
    return folder if (folder / "config.yaml").is_file() else None


def selection_of(path: str | Path, data: str) -> tuple[ResizeMode, int | None]:
    """How a model's run fitted its images into a square, and how many it took, if `data` is what it was trained on."""
    run = run_of(path)
    config = files.read_yaml(run / "config.yaml") if run else None
    config = renamed.config(config) if isinstance(config, dict) else {}
    if config.get("data") != data:
        return "crop", None
    settings = config.get("settings")
    if not isinstance(settings, dict):
        return "crop", None
    max_images, fits = (
        settings.get("max_images"),
        [resize_mode for resize_mode in _FITS if resize_mode == settings.get("resize_mode")],
    )
    return fits[0] if fits else "crop", max_images if isinstance(max_images, int) else None
