"""What the command line, the page and a notebook call, by subject: pictures, models, scores, training."""

from __future__ import annotations

from zeuxis.api.drawing import HandPicked, arithmetic, interpolate, mix, sample, walk
from zeuxis.api.first_run import demo
from zeuxis.api.models import export, load
from zeuxis.api.scoring import compare, evaluate
from zeuxis.api.streaming import sample_batches, write_samples
from zeuxis.api.training import dry_run, inspect_data, resume, train
from zeuxis.capabilities import encode, enlarge, latent, matrix, translate, translator
from zeuxis.data.specs import Data
from zeuxis.explore import Equation
from zeuxis.explore.spaces import decode_latents

__all__ = [
    "Data",
    "Equation",
    "HandPicked",
    "arithmetic",
    "compare",
    "decode_latents",
    "demo",
    "dry_run",
    "encode",
    "enlarge",
    "evaluate",
    "export",
    "inspect_data",
    "interpolate",
    "latent",
    "load",
    "matrix",
    "mix",
    "resume",
    "sample",
    "sample_batches",
    "train",
    "translate",
    "translator",
    "walk",
    "write_samples",
]
