"""Evaluation of a translator: on whole photographs for super-resolution, on image pairs otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from zeuxis.capabilities import super_resolution, translator
from zeuxis.data import DataSpec
from zeuxis.errors import UsageError
from zeuxis.judging.report import Evaluation
from zeuxis.judging.super_resolution import choose_photographs, evaluate_super_resolution, is_whole
from zeuxis.judging.translation import choose_pairs, evaluate_translations
from zeuxis.metrics import extractors
from zeuxis.metrics.features import Extractor
from zeuxis.model import Model, SuperResolution, Translator
from zeuxis.runtime.callbacks import StageCallback, in_stage, silent
from zeuxis.runtime.ranks import ALONE, Ranks


def evaluate_translator(
    model: Translator,
    data: DataSpec,
    extractor: Callable[[], Extractor],
    *,
    images: int,
    baselines: Mapping[str, Model],
    progress: StageCallback = silent,
    ranks: Ranks = ALONE,
) -> Evaluation:
    """The scores of the model and of named baselines; the feature extractor is loaded for image pairs only.

    Image pairs are shared out over the processes `ranks`; whole photographs are upscaled by each of them.
    `UsageError` where a baseline cannot be compared with the model.
    """
    data = data.with_source(model.degradation)
    if isinstance(model, SuperResolution) and is_whole(data):
        larger = {name: super_resolution(other) for name, other in baselines.items()}
        for name, other in larger.items():
            if other.scale != model.scale:
                raise UsageError(
                    f"{name} upscales by {other.scale}, the model by {model.scale}; choose one of the same"
                )
        photographs = choose_photographs(model, data, count=images)
        network = extractors.vgg16(device=model.device)
        return evaluate_super_resolution(model, photographs, network, baselines=larger, progress=progress)
    features, reading = extractor(), in_stage(progress, "reading images")
    pairs = choose_pairs(model, data, count=images, progress=reading)
    network = extractors.vgg16(device=model.device)
    others = {name: translator(other) for name, other in baselines.items()}
    return evaluate_translations(model, pairs, features, network, baselines=others, progress=progress, ranks=ranks)
