"""What the command line and a notebook call, by subject; `zeuxis` has the same names."""

from __future__ import annotations

import zeuxis.families as families
from zeuxis.api.drawing import decode, interpolate, mix, sample, walk
from zeuxis.api.editing import arithmetic, directions, edit, find_directions, invert
from zeuxis.api.first_run import demo
from zeuxis.api.forks import branch, verify
from zeuxis.api.models import available_models, export, export_page, load
from zeuxis.api.overview import curves, runs, story
from zeuxis.api.planning import plan
from zeuxis.api.publishing import publish
from zeuxis.api.reading import encode, read
from zeuxis.api.run import Run
from zeuxis.api.scoring import compare, evaluate
from zeuxis.api.streaming import sample_batches, write_samples
from zeuxis.api.sweeps import sweep
from zeuxis.api.training import dry_run, inspect_data, resume, train
from zeuxis.api.translating import enlarge, translate
from zeuxis.capabilities import matrix
from zeuxis.errors import DataError, DiskFullError, DivergedError, StopTraining, UsageError, ZeuxisError
from zeuxis.explore import Equation
from zeuxis.explore.editing import Editor, Inversion, editor
from zeuxis.io.pictures import Images
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
from zeuxis.runtime.signals import Stopped
from zeuxis.training.settings import TrainSettings
from zeuxis.training.state import Progress

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
