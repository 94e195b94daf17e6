"""Which trial a model that makes images of images is put to: whole photographs made smaller, or pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from zeuxis.capabilities import super_resolution, translator
from zeuxis.data import DataSpec
from zeuxis.errors import UsageError
from zeuxis.judging import translation, upsizing
from zeuxis.judging.report import Evaluation, Progress
from zeuxis.metrics import extractors
from zeuxis.metrics.features import Extractor
from zeuxis.model import Model, SuperResolution, Translator


def evaluate(
    model: Translator,
    data: DataSpec,
    extractor: Callable[[], Extractor],
    *,
    images: int,
    baselines: Mapping[str, Model],
    progress: Progress | None,
) -> Evaluation:
    """The scores that `zeuxis evaluate` gives; the extractor is only found where pairs are the trial."""
    data = data.with_source(model.degradation)
    if isinstance(model, SuperResolution) and upsizing.is_whole(data):
        larger = {name: super_resolution(other) for name, other in baselines.items()}
        for name, other in larger.items():
            if other.scale != model.scale:
                raise UsageError(f"{name} enlarges by {other.scale}, the model by {model.scale}; name one of the same")
        test, network = upsizing.choose(model, data, count=images), extractors.vgg16(device=model.device)
        return upsizing.evaluate(model, test, network, baselines=larger, progress=progress)
    looking, reading = extractor(), partial(progress, "reading images") if progress else None
    trial = translation.choose(model, data, count=images, progress=reading)
    network = extractors.vgg16(device=model.device)
    others = {name: translator(other) for name, other in baselines.items()}
    return translation.evaluate(model, trial, looking, network, baselines=others, progress=progress)
