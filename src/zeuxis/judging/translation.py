"""Evaluation of a translator: distances of translations from held-out targets, beside those of baselines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zeuxis.data import DataSpec
from zeuxis.data.batches import open_held_out_pairs, open_pairs_of
from zeuxis.data.holding_out import HoldOut
from zeuxis.data.pairs import Pairs
from zeuxis.errors import DataError
from zeuxis.io.images import from_uint8
from zeuxis.io.sheets import beside
from zeuxis.judging import warnings
from zeuxis.judging.attributes import CHANGED, KEPT, AttributeTest, attribute_test
from zeuxis.judging.measurements import APART, L1, PSNR, SSIM, Measurements
from zeuxis.judging.reference import MORE_HELD_OUT, share_facts, share_in_words
from zeuxis.judging.report import Evaluation, ScoreRow, about_model
from zeuxis.metrics import distances, paired, vgg
from zeuxis.metrics.distances import LEAST_FOR_FID
from zeuxis.metrics.features import Extractor, extract_features, pack_features
from zeuxis.metrics.vgg import VGG
from zeuxis.model import Translator
from zeuxis.runtime.callbacks import ProgressCallback, StageCallback, silent
from zeuxis.runtime.ranks import ALONE, Ranks
from zeuxis.scores import Better, bootstrap_mean

EXAMPLES_SHOWN = 12  # in the picture
COLOURED = 1000  # training images of which the mean colour is taken
_BATCH = 16  # images translated at once
_HIGHER = (PSNR, SSIM, CHANGED, KEPT)  # is better

Translate = Callable[[Tensor], Tensor]  # sources n c h w to images of the targets' shape, in [-1, 1]
Compare = Callable[[Tensor], dict[str, Tensor]]  # translations n c h w to scores (n each) by name


@dataclass(frozen=True)
class PairedTestSet:
    """The pairs that a model is judged by, and those it was trained on: the same where nothing is held out."""

    training: Pairs
    test: Pairs
    held_out: bool
    hold_out: HoldOut | None = None  # where a share was held out

    @property
    def name(self) -> str:
        """The targets in words."""
        kind = "held-out" if self.held_out else "training"
        what = f"{len(self.test):,} {kind} {'pairs' if self.test.paired else 'images'} of {self.test.name}"
        return f"{what}{share_in_words(self.hold_out)}"


@dataclass(frozen=True)
class Networks:
    """The networks of the evaluation: for FID, for perceptual distance, and for attributes where known."""

    extractor: Extractor
    vgg: VGG
    attributes: AttributeTest | None

    def reversed(self) -> Networks:
        """The same for the other direction."""
        return Networks(self.extractor, self.vgg, self.attributes.reversed() if self.attributes else None)


def choose_pairs(
    model: Translator, data: DataSpec, *, count: int, progress: ProgressCallback | None = None
) -> PairedTestSet:
    """At most `count` test pairs, held out where anything is; `DataError` where there are too few."""
    found = _test_set(model, data, count, progress)
    if (there := min(map(len, found.test.places))) < LEAST_FOR_FID:
        more = f"; {MORE_HELD_OUT}" if data.hold_out else ""
        raise DataError(f"{data} gives {there} images to judge by; at least {LEAST_FOR_FID} are needed{more}")
    return found


def _test_set(model: Translator, data: DataSpec, count: int, progress: ProgressCallback | None = None) -> PairedTestSet:
    own, unseen = data.held_out(count) or (data, None)
    training = open_pairs_of(own, model, paired=model.paired, progress=progress)
    if unseen is not None:
        test = open_held_out_pairs(unseen, model, count, progress=progress)
    else:
        some = replace(data, max_images=min(count, data.max_images or count))
        test = open_pairs_of(some, model, paired=model.paired)
    return PairedTestSet(training, test, unseen is not None, data.hold_out)


def evaluate_translations(
    model: Translator,
    pairs: PairedTestSet,
    extractor: Extractor,
    network: VGG,
    *,
    baselines: Mapping[str, Translator] | None = None,
    progress: StageCallback = silent,
    ranks: Ranks = ALONE,
) -> Evaluation:
    """The scores in each of the model's directions.

    Each is shown beside the scores of the `baselines` (other models, by name), of the unchanged source (identity), and of the
    mean colour of the training images. The images are shared out over the processes `ranks`.
    """
    attributes = attribute_test(pairs.training, pairs.test, device=str(model.device), progress=progress)
    networks, rows = Networks(extractor, network, attributes), list[ScoreRow]()
    with torch.no_grad():
        for direction in model.directions:
            others = {name: other for name, other in (baselines or {}).items() if direction in other.directions}
            rows += _direction_rows(model, pairs, networks, direction, others, progress, ranks)
        examples = _examples(model, pairs)
    dimensions = extractor(torch.zeros(1, 3, model.size, model.size)).shape[1]
    facts = {
        "against": pairs.name,
        "data": pairs.training.name,
        "held_out": pairs.held_out,
        "samples": len(pairs.test),
        "features": extractor.name,
        "images_seen": extractor.sees,
        "dimensions": dimensions,
        "training_images": len(pairs.training),
        **share_facts(pairs.hold_out),
    }
    return Evaluation(about_model(model, facts), rows, _warnings(pairs, dimensions), examples=examples)


def _direction_rows(
    model: Translator,
    pairs: PairedTestSet,
    networks: Networks,
    direction: str,
    baselines: Mapping[str, Translator],
    progress: StageCallback,
    ranks: Ranks,
) -> list[ScoreRow]:
    """The scores of one direction: the model and each baseline, on the same images."""
    forward = direction == model.directions[0]
    networks = networks if forward else networks.reversed()
    mine, count = share_of(pairs.test, ranks), min(map(len, pairs.test.places))
    translations: dict[str, Translate] = {"model": translating(model, direction, mine.start)}
    translations |= {name: translating(other, direction, mine.start) for name, other in baselines.items()}
    translations |= {"identity": _identity(model, forward), "mean colour": _mean_colour(pairs, forward)}
    measured = {name: Measurements() for name in translations}
    done = mine.start
    for source, target in pair_batches(pairs.test, mine, forward=forward):
        compare = _comparison(target, networks, done) if pairs.test.paired else None
        for name, translate in translations.items():
            _measure(measured[name], translate(source), networks.extractor, compare)
        done += len(target)
        progress(f"translations {direction}", min(count, (done - mine.start) * ranks.size), count)
    measured = {name: each.gathered(ranks) for name, each in measured.items()}
    with ranks.one_then_the_others():
        real = _real_features(pairs, networks.extractor, count, 1 if forward else 0)
    return _rows("" if forward else f"{direction}: ", measured, real, networks.extractor.name)


def _real_features(pairs: PairedTestSet, extractor: Extractor, count: int, side: int) -> list[Tensor]:
    """Features of the targets, and of as many training images where the targets are held out."""
    found = []
    for each in (pairs.test, pairs.training)[: 2 if pairs.held_out else 1]:
        places = each.places[side]
        chosen = places[:count] if each is pairs.test else places[np.arange(count) * len(places) // count]
        found.append(pack_features(extractor, (each.source, each.image)[side], chosen))
    return found


def translating(model: Translator, direction: str = "forward", seen: int = 0) -> Translate:
    """The model as a function of successive batches of sources, from a place on, with independent noise per image."""

    def translate(source: Tensor) -> Tensor:
        nonlocal seen
        made = model.translate(source.to(model.device), direction, seen)
        seen += len(source)
        return made.float().cpu().clamp(-1, 1)

    return translate


def _identity(model: Translator, forward: bool) -> Translate:
    """The sources themselves, in the size and channels of the targets."""
    channels, size = (model.channels, model.size) if forward else (model.source_channels, model.source_size)

    def translate(source: Tensor) -> Tensor:
        alike = source.mean(1, keepdim=True) if channels == 1 else source.expand(-1, channels, -1, -1)
        if size == source.shape[-1]:
            return alike
        return F.interpolate(alike, (size, size), mode="bicubic", align_corners=False).clamp(-1, 1)

    return translate


def _mean_colour(pairs: PairedTestSet, forward: bool) -> Translate:
    side, training = 1 if forward else 0, pairs.training
    pack, places = (training.source, training.image)[side], training.places[side]
    some = from_uint8(pack.rows(places[:: max(1, len(places) // COLOURED)]))
    colour = some.mean((0, 2, 3), keepdim=True)
    return lambda source: colour.expand(len(source), -1, *some.shape[-2:])


def share_of(pairs: Pairs, ranks: Ranks) -> range:
    """The pairs that this process translates, in whole batches."""
    count = min(map(len, pairs.places))
    batches = ranks.share(-(-count // _BATCH))
    return range(batches.start * _BATCH, min(batches.stop * _BATCH, count))


def pair_batches(pairs: Pairs, some: range, *, forward: bool = True) -> Iterator[tuple[Tensor, Tensor]]:
    """Sources and targets (n c h w each) of some of the pairs, in their order."""
    for start in some[::_BATCH]:
        both = zip((pairs.source, pairs.image), pairs.places)
        found = [from_uint8(pack.rows(places[start : min(start + _BATCH, some.stop)])) for pack, places in both]
        yield (found[0], found[1]) if forward else (found[1], found[0])


def _comparison(target: Tensor, networks: Networks, start: int) -> Compare:
    """Compares translations with the targets of the pairs from `start` on, whose features are computed once."""
    device = next(networks.vgg.parameters()).device
    apart = vgg.feature_distance_to(networks.vgg, target.to(device))

    def compare(made: Tensor) -> dict[str, Tensor]:
        found = {L1: paired.l1(made, target), PSNR: paired.psnr(made, target)}
        if target.shape[-1] >= paired.SSIM_WINDOW:
            found[SSIM] = paired.ssim(made, target)
        found[APART] = apart(_once(made).to(device)).cpu()
        return found | (networks.attributes.scores(made, start) if networks.attributes else {})

    return compare


def _measure(measured: Measurements, made: Tensor, extractor: Extractor, compare: Compare | None) -> None:
    """Add translations (n c h w, in [-1, 1]), compared with their targets where these are known."""
    features = extract_features(extractor, _once(made)).expand(len(made), -1)
    measured.add(features, compare(made) if compare else {})


def _once(images: Tensor) -> Tensor:
    """One of the images, where they are one image expanded, such as the mean colour."""
    return images[:1] if images.stride(0) == 0 else images


def _rows(prefix: str, measured: Mapping[str, Measurements], real: list[Tensor], name: str) -> list[ScoreRow]:
    rows: list[ScoreRow] = []
    model, others = measured["model"], {other: each for other, each in measured.items() if other != "model"}
    for score, values in model.scores.items():
        better: Better = "higher" if score in _HIGHER else "lower"
        got = {other: float(torch.cat(each.scores[score]).mean()) for other, each in others.items()}
        rows.append(ScoreRow(f"{prefix}{score}", bootstrap_mean(torch.cat(values)), None, better, got))
    got = {other: distances.frechet(real[0], torch.cat(each.features)) for other, each in others.items()}
    fid, baseline = distances.fid(real[0], torch.cat(model.features)), real[1:]
    real_fid = distances.frechet(*real) if baseline else None
    return [*rows, ScoreRow(f"{prefix}FID[{name}]", fid, real_fid, "lower", got)]


def first_translations(model: Translator, data: DataSpec, count: int) -> Tensor:
    """Translations (count c h w) of evenly spaced test sources."""
    return translating(model, model.directions[0])(source_examples(model, data, count))


def source_examples(model: Translator, data: DataSpec, count: int) -> Tensor:
    """Evenly spaced test sources (count c h w)."""
    return _spaced(_test_set(model, data, max(count, LEAST_FOR_FID)).test, count)


def sources_of(model: Translator, data: DataSpec, count: int) -> Tensor:
    """Evenly spaced sources (count c h w) of the training data."""
    return _spaced(open_pairs_of(data.with_source(model.degradation), model, paired=model.paired), count)


def _spaced(pairs: Pairs, count: int) -> Tensor:
    chosen = pairs.places[0][np.arange(count) * len(pairs.places[0]) // count]
    return from_uint8(pairs.source.rows(chosen))


def _examples(model: Translator, pairs: PairedTestSet) -> Tensor:
    """Rows (n k c h w): source, translation and target, then the target's translation in each other direction."""
    test = pairs.test
    count = min(map(len, test.places))
    chosen = [i * count // EXAMPLES_SHOWN for i in range(min(EXAMPLES_SHOWN, count))]
    packs = zip((test.source, test.image), test.places)
    source, target = (from_uint8(pack.rows(places[chosen])) for pack, places in packs)
    backs = [translating(model, direction)(target) for direction in model.directions[1:]]
    return beside(source, translating(model, model.directions[0])(source), target, *backs)


def _warnings(pairs: PairedTestSet, dimensions: int) -> list[str]:
    found = warnings.few_for_fid(len(pairs.test), dimensions)
    if not pairs.held_out:
        found.append(warnings.NOTHING_HELD_OUT)
    if not pairs.test.paired:
        found.append("the sources have no paired targets: FID measures the realism of translations, not their content")
    return found
