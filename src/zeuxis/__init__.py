"""Zeuxis trains, explores and judges generative image models; the public names, each imported when it is first used."""

from __future__ import annotations

import importlib

from zeuxis.version import __version__ as __version__

TYPE_CHECKING = False  # as in `typing`, which `python -m zeuxis` would import from the current folder
if TYPE_CHECKING:
    from typing import Any

    from zeuxis.api import (
        arithmetic,
        branch,
        compare,
        curves,
        enlarge,
        evaluate,
        export,
        inspect_data,
        interpolate,
        load,
        mix,
        plan,
        resume,
        runs,
        sample,
        sweep,
        train,
        translate,
        verify,
    )
    from zeuxis.errors import DataError, DiskFullError, DivergedError, UsageError, ZeuxisError
    from zeuxis.explore.editing import directions, editor, invert
    from zeuxis.model import (
        Batch,
        Clock,
        Encoder,
        HasLikelihood,
        Latent,
        Model,
        StyleBased,
        SuperResolution,
        Translator,
        option,
    )
    from zeuxis.training.settings import TrainSettings


__all__ = [
    "Batch",
    "Clock",
    "DataError",
    "DiskFullError",
    "DivergedError",
    "Encoder",
    "HasLikelihood",
    "Latent",
    "Model",
    "StyleBased",
    "SuperResolution",
    "TrainSettings",
    "Translator",
    "UsageError",
    "ZeuxisError",
    "arithmetic",
    "branch",
    "compare",
    "curves",
    "directions",
    "editor",
    "enlarge",
    "evaluate",
    "export",
    "inspect_data",
    "interpolate",
    "invert",
    "load",
    "mix",
    "option",
    "plan",
    "resume",
    "runs",
    "sample",
    "sweep",
    "train",
    "translate",
    "verify",
]

_HOMES = {
    "zeuxis.api": (
        "arithmetic",
        "branch",
        "compare",
        "curves",
        "enlarge",
        "evaluate",
        "export",
        "inspect_data",
        "interpolate",
        "load",
        "mix",
        "plan",
        "resume",
        "runs",
        "sample",
        "sweep",
        "train",
        "translate",
        "verify",
    ),
    "zeuxis.explore.editing": ("directions", "editor", "invert"),
    "zeuxis.errors": ("DataError", "DiskFullError", "DivergedError", "UsageError", "ZeuxisError"),
    "zeuxis.model": (
        "Batch",
        "Clock",
        "Encoder",
        "HasLikelihood",
        "Latent",
        "Model",
        "StyleBased",
        "Translator",
        "SuperResolution",
        "option",
    ),
    "zeuxis.training.settings": ("TrainSettings",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module 'zeuxis' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
