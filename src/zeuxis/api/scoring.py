"""Scores of a model, and runs side by side."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

from zeuxis import loading
from zeuxis.api.models import load
from zeuxis.capabilities import latent
from zeuxis.data import DataSpec
from zeuxis.data.specs import Data
from zeuxis.errors import UsageError
from zeuxis.judging.comparison import Comparison, compared_run
from zeuxis.judging.image_to_image import evaluate_translator
from zeuxis.judging.reference import choose_reference
from zeuxis.judging.report import Evaluation
from zeuxis.judging.samples import ScoredCallback, evaluate_samples
from zeuxis.judging.training_data import selected
from zeuxis.loading import RunPath, training_data
from zeuxis.metrics import extractors
from zeuxis.model import Model, Translator
from zeuxis.options import ResizeMode
from zeuxis.runtime.callbacks import StageCallback, in_stage, silent
from zeuxis.runtime.ranks import processes
from zeuxis.training import sweeps


def evaluate(
    model: Model,
    data: Data | None = None,
    *,
    images: int = 10_000,
    features: str = "lite0",
    weights: str | Path | None = None,
    resize_mode: ResizeMode | None = None,
    max_images: int | None = None,
    hold_out: float | None = None,
    seed: int = 0,
    baselines: Mapping[str, Model] | None = None,
    path_length: bool = True,
    scored: ScoredCallback | None = None,
    progress: StageCallback = silent,
) -> Evaluation:
    """Scores of a model by at most `images` samples, each with an interval and the score of real images.

    A translator is judged by its translations, beside those of the unchanged source, of the mean colour, and of `baselines`;
    super-resolution by whole photographs.

    `data` is what it was trained on (not needed for a model of a run), with `resize_mode`, `max_images` and `hold_out` as
    then; the samples are compared with what was held out, or with the test images of a named set. `features` is `lite0`,
    `inception` (its file in `weights`) or `module:function`. `progress` is called with the stage, the work done, and its
    total. Of samples, the slow path length may be left out, and `scored` is told the evaluation as far as it has come.
    `UsageError` where the data is not known or not there; `DataError` where there are too few images.
    """
    able = model if isinstance(model, Translator) else latent(model)
    finding = functools.partial(extractors.find_extractor, features, weights=weights, device=able.device)
    spec = DataSpec.parse(_judged_by(model, data), resize_mode=resize_mode, max_images=max_images, hold_out=hold_out)
    if isinstance(able, Translator):
        translated = functools.partial(evaluate_translator, able, spec, finding, images=images)
        with processes() as ranks:
            return translated(baselines=baselines or {}, progress=progress, ranks=ranks)
    extractor = finding()
    reading = in_stage(progress, "reading images")
    chosen = choose_reference(spec, count=images, size=model.size, channels=model.channels, progress=reading)
    judged = functools.partial(evaluate_samples, able, chosen, extractor, seed=seed, path_length=path_length)
    with processes() as ranks:
        return judged(progress=progress, scored=scored, ranks=ranks)


def _judged_by(model: Model, data: Data | None) -> DataSpec:
    """The data, by default that of the model's run, with the resize mode and the limit of images of its training."""
    if data is None:
        data = training_data(model.origin, "name the DATA after it") if model.origin else None
        if data is None:
            name = model.origin or model.family()
            raise UsageError(f"{name} does not say what it was trained on; name the DATA after it")
    spec = DataSpec.parse(data)
    return selected(model.origin, spec) if model.origin else spec


def compare(runs: Sequence[RunPath], *, columns: int = 10, seed: int = 0, device: str = "auto") -> Comparison:
    """Runs side by side: the scores that `evaluate` wrote into each, and samples of the seeds `seed ... seed + columns - 1`,
    or translations of the same sources.

    Runs that differ by their seed alone are also a group, with means over seeds; branches are shown from their fork on.
    The folder of a sweep stands for all of its runs. `UsageError` where a run has no model.
    """
    folders = [folder for run in runs for folder in sweeps.runs_of(run) or [loading.find_run(run)]]
    seeds = range(seed, seed + columns)
    return Comparison([compared_run(folder, load(folder, device=device), seeds) for folder in folders])
