"""The data of a run: opened in the form that its model learns from, found again, in batches, and to judge it by."""

from __future__ import annotations

import contextlib

from torch import Tensor

from zeuxis.data import Pack
from zeuxis.data.batches import PackSource, PairSource, open_data, source_of
from zeuxis.data.pairs import Pairs
from zeuxis.data.places import given_again, missing
from zeuxis.data.specs import Data, DataSpec
from zeuxis.errors import DataError, UsageError
from zeuxis.escaping import quote
from zeuxis.judging.periodic import PeriodicEvaluation
from zeuxis.judging.reference import choose_reference
from zeuxis.judging.translation import choose_pairs
from zeuxis.metrics import extractors
from zeuxis.model import Model, Translator
from zeuxis.nets.adaptive import MANY_IMAGES, Augmentation, HeldOut
from zeuxis.runtime import launch
from zeuxis.runtime.progress import Display
from zeuxis.storage import RunFolder
from zeuxis.training.batch_sizes import check_labels, check_one_image
from zeuxis.training.config import Recipe
from zeuxis.training.micro_batches import check_rows

_HELD_OUT = 500  # images of a test split by which overfitting is seen


def open_for(data: DataSpec, model: Model, display: Display, *, shared: bool = False) -> Pack | Pairs:
    """The data in the form that the model learns from, its progress shown; `shared` where all processes open them now."""
    alone = launch.rank() == 0 and not shared  # the others wait meanwhile, and leave their cores
    with launch.alone() if alone else contextlib.nullcontext():
        return open_data(data, model, progress=lambda done, total: display.work("reading images", done, total))


def learned_classes(model: Model, data: Pack | Pairs) -> tuple[str, ...]:
    """The names of the labels that a model learns, in their order; none where it learns none."""
    if "label" not in model.needs or not isinstance(data, Pack):
        return ()
    return tuple(attribute.name for attribute in data.attributes) or tuple(data.classes)


def reopened(
    run: RunFolder,
    recipe: Recipe,
    model: Model,
    display: Display,
    *,
    given: Data | None = None,
    shared: bool = False,
) -> Pack | Pairs:
    """The data that the run began with; what to do where it has gone or changed. `shared` is as of `open_for`."""
    if given is not None:
        open_for(given_again(given, recipe.data), model, display)  # its packs are then in the cache
    if gone := missing(recipe.data):
        raise UsageError(
            f"{gone} is no longer there; if it was moved, write where it is after `data:` in {run.path / 'config.yaml'}"
        )
    pack = open_for(recipe.data, model, display, shared=shared)
    if pack.fingerprint != recipe.fingerprint:
        raise DataError(
            f"{recipe.data} has changed since the run began ({len(pack):,} images, {recipe.images:,} then), or the order "
            f"of its classes has{_moved(recipe.classes, learned_classes(model, pack))}: "
            "resuming would not be exact; restore the data, or start a new run with --init-from this one"
        )
    return pack


def _moved(before: list[str], now: tuple[str, ...]) -> str:
    """The first class that has another number than it had, in words."""
    for number, (name, other) in enumerate(zip(before, now)):
        if name != other:
            return f" (number {number} was {quote(name)}, and is {quote(other)})"
    return ""


def batches(recipe: Recipe, model: Model, pack: Pack | Pairs) -> PackSource | PairSource:
    """The batches of the run, if the data has what the losses need."""
    settings = recipe.settings
    source = source_of(pack, seed=settings.seed, device=settings.device, hflip=settings.hflip)
    if missing := model.needs - source.columns:
        start = recipe.started_from.get("model") if "label" in missing else None
        hint = f"; options that are not given are those of {start}: give --num-classes 0, say" if start else ""
        what = f"{recipe.family} learns from {', '.join(sorted(missing))}, which {recipe.data} does not have"
        raise DataError(f"{what}{hint}")
    check_labels(model, pack)
    check_one_image(model, source, settings)
    check_rows(model, settings.micro_batches)
    return source


def inform_augmentation(model: Model, recipe: Recipe) -> None:
    """Tell an automatic augmentation how many images the run learns from, and where those are that it holds out."""
    found = [each for each in model.modules() if isinstance(each, Augmentation) and each.automatic]
    held_out = _held_out(model, recipe) if found and recipe.images < MANY_IMAGES else None
    for each in found:
        each.begin(recipe.images, held_out)


def _held_out(model: Model, recipe: Recipe) -> HeldOut | None:
    """Images that the run never learns from, by their position in an order of its seed; None where it holds none out."""
    own, unseen = recipe.data.held_out(_HELD_OUT) or (None, None)
    if unseen is None or own != recipe.data:  # a run may learn from a test split
        return None
    source = PackSource(unseen.open(model.size, model.channels), seed=recipe.settings.seed, device=model.device)

    def images(start: int, count: int) -> Tensor:
        return source.batch(start, count).image

    return images


def periodic_evaluation(recipe: Recipe, model: Model, display: Display) -> PeriodicEvaluation | None:
    """The periodic evaluation, where enabled."""
    settings = recipe.settings
    if not settings.evaluate_every:
        return None
    extractor = extractors.find_extractor("lite0", device=settings.device)
    if isinstance(model, Translator):
        pairs = choose_pairs(model, recipe.data, count=settings.evaluate_samples)
        return PeriodicEvaluation.of_translations(pairs, extractor)
    chosen = choose_reference(recipe.data, count=settings.evaluate_samples, size=model.size, channels=model.channels)
    return PeriodicEvaluation.of_samples(chosen, extractor, progress=display.work)
