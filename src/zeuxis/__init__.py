"""Zeuxis trains, explores and judges generative image models; the public names, each imported when it is first used."""

from __future__ import annotations

import importlib
import os
import sys

from zeuxis.version import __version__ as __version__

# Threads of torch that wait for each other spin. Beside other work a core that spins is one that does not compute, and a
# run comes almost to a halt (bench/busy.py). libgomp reads this when torch is loaded; who has set either has chosen.
if "torch" not in sys.modules and not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
    os.environ["GOMP_SPINCOUNT"] = "1000"

TYPE_CHECKING = False  # as in `typing`, which `python -m zeuxis` would import from the current folder
if TYPE_CHECKING:
    from typing import Any

    import zeuxis.families as families
    from zeuxis.api import (
        Batch,
        Clock,
        DataError,
        DiskFullError,
        DivergedError,
        Editor,
        Encoder,
        Equation,
        HasLikelihood,
        Images,
        Inversion,
        Latent,
        Model,
        Progress,
        Run,
        Stopped,
        StopTraining,
        StyleBased,
        SuperResolution,
        TrainSettings,
        Translator,
        UsageError,
        ZeuxisError,
        arithmetic,
        available_models,
        branch,
        compare,
        curves,
        decode,
        demo,
        directions,
        dry_run,
        edit,
        editor,
        encode,
        enlarge,
        evaluate,
        export,
        export_page,
        find_directions,
        inspect_data,
        interpolate,
        invert,
        load,
        matrix,
        mix,
        option,
        plan,
        publish,
        read,
        resume,
        runs,
        sample,
        sample_batches,
        story,
        sweep,
        train,
        translate,
        verify,
        walk,
        write_samples,
    )

__all__ = [
    "Batch",
    "Clock",
    "DataError",
    "DiskFullError",
    "DivergedError",
    "Editor",
    "Encoder",
    "Equation",
    "HasLikelihood",
    "Images",
    "Inversion",
    "Latent",
    "Model",
    "Progress",
    "Run",
    "StopTraining",
    "Stopped",
    "StyleBased",
    "SuperResolution",
    "TrainSettings",
    "Translator",
    "UsageError",
    "ZeuxisError",
    "arithmetic",
    "available_models",
    "branch",
    "compare",
    "curves",
    "decode",
    "demo",
    "directions",
    "dry_run",
    "edit",
    "editor",
    "encode",
    "enlarge",
    "evaluate",
    "export",
    "export_page",
    "families",
    "find_directions",
    "inspect_data",
    "interpolate",
    "invert",
    "load",
    "matrix",
    "mix",
    "option",
    "plan",
    "publish",
    "read",
    "resume",
    "runs",
    "sample",
    "sample_batches",
    "story",
    "sweep",
    "train",
    "translate",
    "verify",
    "walk",
    "write_samples",
]

# Names that need less than the whole interface; all others are of `zeuxis.api`.
_ERRORS = ("DataError", "DiskFullError", "DivergedError", "StopTraining", "UsageError", "ZeuxisError")
_KINDS = (
    "Batch",
    "Clock",
    "Encoder",
    "HasLikelihood",
    "Latent",
    "Model",
    "StyleBased",
    "SuperResolution",
    "Translator",
)
_HOMES = dict.fromkeys(_ERRORS, "zeuxis.errors") | dict.fromkeys((*_KINDS, "option"), "zeuxis.model")


def __getattr__(name: str) -> Any:
    if name == "families":  # a module: its import sets it here
        return importlib.import_module("zeuxis.families")
    if name in __all__:
        return getattr(importlib.import_module(_HOMES.get(name, "zeuxis.api")), name)
    raise AttributeError(f"module 'zeuxis' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
