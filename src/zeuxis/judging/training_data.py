"""The training data that a run records."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from zeuxis import loading, renamed
from zeuxis.data import DataSpec
from zeuxis.io import files
from zeuxis.loading import RunPath
from zeuxis.options import ResizeMode

_RESIZE_MODES: tuple[ResizeMode, ...] = get_args(ResizeMode)


def run_of(path: RunPath) -> Path | None:
    """The run folder of a model; None where it has none."""
    folder = loading.find_model(path).parent
    return folder if (folder / "config.yaml").is_file() else None


def selected(path: RunPath, data: DataSpec) -> DataSpec:
    """The data with the resize mode, the limit of images and the share held out of a model's run, if it was trained on it."""
    run = run_of(path)
    config = files.read_yaml(run / "config.yaml") if run else None
    config = renamed.config(config) if isinstance(config, dict) else {}
    if config.get("data") not in (str(data), str(data.absolute())):
        return data
    settings = config.get("settings")
    if not isinstance(settings, dict):
        return data
    mode, most = settings.get("resize_mode"), settings.get("max_images")
    chosen = next((each for each in _RESIZE_MODES if each == mode), None)
    limited = DataSpec.parse(data, resize_mode=chosen, max_images=most if isinstance(most, int) else None)
    return loading.without_held_out(limited, settings)
