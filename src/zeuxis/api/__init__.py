"""What the command line, the page and a notebook call, by subject: pictures, models, scores, training."""

from __future__ import annotations

from zeuxis.api.drawing import HandPicked, arithmetic, interpolate, mix, sample, walk
from zeuxis.api.examples import example_sources, translated_examples
from zeuxis.api.models import ModelSummary, available_models, export, load
from zeuxis.api.publishing import publish
from zeuxis.api.scoring import compare, evaluate
from zeuxis.api.training import dry_run, inspect_data, resume, train
from zeuxis.capabilities import encode, enlarge, latent, matrix, translate, translator
from zeuxis.data.specs import Data
from zeuxis.explore import Equation
from zeuxis.explore.spaces import decode_latents

__all__ = [
    "Data",
    "Equation",
    "HandPicked",
    "ModelSummary",
    "arithmetic",
    "available_models",
    "compare",
    "decode_latents",
    "dry_run",
    "encode",
    "enlarge",
    "evaluate",
    "example_sources",
    "export",
    "inspect_data",
    "interpolate",
    "latent",
    "load",
    "matrix",
    "mix",
    "publish",
    "resume",
    "sample",
    "train",
    "translate",
    "translated_examples",
    "translator",
    "walk",
]
