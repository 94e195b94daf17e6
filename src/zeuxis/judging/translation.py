"""Judging a model that translates: how near its images are to held-out truths, beside those who learned less or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

import zeuxis
from zeuxis.data import DataSpec
from zeuxis.data.batches import open_pairs_of
from zeuxis.data.listing import OnProgress
from zeuxis.data.pairs import Pairs
from zeuxis.errors import DataError
from zeuxis.io.images import from_uint8
from zeuxis.io.sheets import beside
from zeuxis.judging.attributes import CHANGED, KEPT, Expected, expected
from zeuxis.judging.report import Better, Evaluation, Progress, Row
from zeuxis.metrics import distances, paired, vgg
from zeuxis.metrics.distances import FEWEST
from zeuxis.metrics.features import Extractor, digest, pack_features
from zeuxis.metrics.resampling import mean
from zeuxis.metrics.vgg import VGG
from zeuxis.model import Translator

BATCH = 16  # images translated at once
SHOWN = 12  # examples in the picture
COLOURED = 1000  # training images of which the mean colour is taken
_SMALLEST = 11  # pixels: the window of SSIM
_HIGHER = ("PSNR (dB)", "SSIM", CHANGED, KEPT)  # is better

Make = Callable[[Tensor], Tensor]  # images n c h w to images of the truths' shape, in [-1, 1]
Look = Callable[[Tensor], dict[str, Tensor]]  # scores (n each) by name of images n c h w


@dataclass(frozen=True)
class Trial:
    """Pairs that a model is judged by, and those it was trained on; they are the same where nothing is held out."""

    training: Pairs
    judge: Pairs
    held_out: bool

    @property
    def name(self) -> str:
        """What the outputs are compared with, in words."""
        kind = "held-out" if self.held_out else "training"
        return f"{len(self.judge):,} {kind} {'pairs' if self.judge.paired else 'images'} of {self.judge.name}"


@dataclass(frozen=True)
class Eyes:
    """What looks at translations: for FID, for likeness, and for attributes where some are to change."""

    extractor: Extractor
    network: VGG
    attributes: Expected | None

    def reversed(self) -> Eyes:
        """For the other direction."""
        return Eyes(self.extractor, self.network, self.attributes.reversed() if self.attributes else None)


@dataclass
class Marks:
    """What one who translates gets: the scores of each image by name (n each), and features of all (n d)."""

    scores: dict[str, list[Tensor]] = field(default_factory=dict)
    features: list[Tensor] = field(default_factory=list)


def choose(model: Translator, data: DataSpec, *, count: int, progress: OnProgress | None = None) -> Trial:
    """At most `count` pairs to judge by, held out where `data` is a named set; `DataError` where there are too few."""
    own, unseen = data.held_out(count) or (data, None)
    training = open_pairs_of(own, model, paired=model.paired, progress=progress)
    if unseen is not None:
        judge = open_pairs_of(unseen, model, paired=True, progress=progress)
    else:
        some = replace(data, max_images=min(count, data.max_images or count))
        judge = open_pairs_of(some, model, paired=model.paired)
    if len(judge) < FEWEST:
        raise DataError(f"{data} gives {len(judge)} images to judge by; at least {FEWEST} are needed")
    return Trial(training, judge, unseen is not None)


def evaluate(
    model: Translator,
    trial: Trial,
    extractor: Extractor,
    network: VGG,
    *,
    baselines: Mapping[str, Translator] | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """The scores in each of the model's directions; beside the model stand `baselines` (other models, by name), who
    changes nothing (identity), and who paints all in the mean colour of the training images."""
    tell = progress or (lambda what, done, total: None)
    rows: list[Row] = []
    eyes = Eyes(extractor, network, expected(trial.training, trial.judge, device=str(model.device), tell=tell))
    with torch.no_grad():
        for direction in model.directions:
            others = {name: other for name, other in (baselines or {}).items() if direction in other.directions}
            rows += _direction(model, trial, eyes, direction, others, tell)
        examples = _examples(model, trial)
    about = _about(model, trial, extractor)
    return Evaluation(about, rows, _warnings(trial, about["dimensions"]), examples=examples)


def _about(model: Translator, trial: Trial, extractor: Extractor) -> dict[str, object]:
    """What was judged, by what, against what."""
    return {
        "model": model.family(),
        "weights": digest(model.state_dict()),
        "against": trial.name,
        "data": trial.training.name,
        "held_out": trial.held_out,
        "samples": len(trial.judge),
        "features": extractor.name,
        "images_seen": extractor.sees,
        "dimensions": extractor(torch.zeros(1, 3, model.size, model.size)).shape[1],
        "training_images": len(trial.training),
        "zeuxis": zeuxis.__version__,
    }


def _direction(
    model: Translator,
    trial: Trial,
    eyes: Eyes,
    direction: str,
    baselines: Mapping[str, Translator],
    tell: Progress,
) -> list[Row]:
    """The rows of one direction: each who translates, on the same images."""
    forward = direction == model.directions[0]
    eyes = eyes if forward else eyes.reversed()
    made_by: dict[str, Make] = {"model": by(model, direction)}
    made_by |= {name: by(other, direction) for name, other in baselines.items()}
    made_by |= {"identity": _unchanged(model, forward), "mean colour": _mean_colour(trial, forward)}
    marks = {name: Marks() for name in made_by}
    done, count = 0, min(map(len, trial.judge.places))
    for given, truth in batches(trial.judge, forward=forward):
        look = _known(truth, eyes, done) if trial.judge.paired else None
        for name, make in made_by.items():
            _mark(marks[name], make(given), eyes.extractor, look)
        done += len(truth)
        tell(f"translations {direction}", done, count)
    real = _real(trial, eyes.extractor, count, 1 if forward else 0)
    return _rows("" if forward else f"{direction}: ", marks, real, eyes.extractor.name)


def _real(trial: Trial, extractor: Extractor, count: int, side: int) -> list[Tensor]:
    """Features of the truths, and of as many training images where those are others."""
    found = []
    for pairs in (trial.judge, trial.training)[: 2 if trial.held_out else 1]:
        places = pairs.places[side]
        chosen = places[:count] if pairs is trial.judge else places[np.arange(count) * len(places) // count]
        found.append(pack_features(extractor, (pairs.source, pairs.image)[side], chosen))
    return found


def by(model: Translator, direction: str = "forward") -> Make:
    """What a model makes of one batch after another, each image with noise of its own."""
    seen = 0

    def make(given: Tensor) -> Tensor:
        nonlocal seen
        made = model.translate(given.to(model.device), direction, seen)
        seen += len(given)
        return made.float().cpu().clamp(-1, 1)

    return make


def _unchanged(model: Translator, forward: bool) -> Make:
    """What is given, in the size and channels of what should be made."""
    channels, size = (model.channels, model.size) if forward else (model.source_channels, model.source_size)

    def make(given: Tensor) -> Tensor:
        alike = given.mean(1, keepdim=True) if channels == 1 else given.expand(-1, channels, -1, -1)
        if size == given.shape[-1]:
            return alike
        return F.interpolate(alike, (size, size), mode="bicubic", align_corners=False).clamp(-1, 1)

    return make


def _mean_colour(trial: Trial, forward: bool) -> Make:
    pack, places = (trial.training.image, trial.training.places[1])
    if not forward:
        pack, places = (trial.training.source, trial.training.places[0])
    some = from_uint8(pack.rows(places[:: max(1, len(places) // COLOURED)]))
    colour = some.mean((0, 2, 3), keepdim=True)
    return lambda given: colour.expand(len(given), -1, *some.shape[-2:])


def batches(pairs: Pairs, *, forward: bool = True) -> Iterator[tuple[Tensor, Tensor]]:
    """What is translated and what should become of it (n c h w each), all of it in order."""
    count = min(map(len, pairs.places))
    for start in range(0, count, BATCH):
        both = zip((pairs.source, pairs.image), pairs.places)
        found = [from_uint8(pack.rows(places[start : min(start + BATCH, count)])) for pack, places in both]
        yield (found[0], found[1]) if forward else (found[1], found[0])


def _known(truth: Tensor, eyes: Eyes, start: int) -> Look:
    """What compares images (n c h w) with the truths of the pairs from `start` on, which the network sees only once."""
    device = next(eyes.network.parameters()).device
    apart = vgg.distance_to(eyes.network, truth.to(device))

    def look(made: Tensor) -> dict[str, Tensor]:
        found = {"L1 (of 255)": paired.l1(made, truth), "PSNR (dB)": paired.psnr(made, truth)}
        if truth.shape[-1] >= _SMALLEST:
            found["SSIM"] = paired.ssim(made, truth)
        found["VGG-feature distance"] = apart(_once(made).to(device)).cpu()
        return found | (eyes.attributes.scores(made, start) if eyes.attributes else {})

    return look


def _mark(marks: Marks, made: Tensor, extractor: Extractor, look: Look | None) -> None:
    """Add what was made (n c h w, in [-1, 1]), and how it compares where truths are known."""
    marks.features.append(_features(extractor, _once(made)).expand(len(made), -1))
    for name, values in (look(made) if look else {}).items():
        marks.scores.setdefault(name, []).append(values)


def _once(images: Tensor) -> Tensor:
    """One of them, where they are one image over and over, as the mean colour is: it need not be seen again."""
    return images[:1] if images.stride(0) == 0 else images


def _features(extractor: Extractor, images: Tensor) -> Tensor:
    return torch.cat([extractor(part) for part in torch.split(images, extractor.batch)])


def _rows(prefix: str, marks: Mapping[str, Marks], real: list[Tensor], name: str) -> list[Row]:
    found: list[Row] = []
    model, others = marks["model"], {other: each for other, each in marks.items() if other != "model"}
    for score in model.scores:
        better: Better = "higher" if score in _HIGHER else "lower"
        got = {other: float(torch.cat(each.scores[score]).mean()) for other, each in others.items()}
        found.append(Row(f"{prefix}{score}", mean(torch.cat(model.scores[score])), None, better, got))
    got = {other: distances.frechet(real[0], torch.cat(each.features)) for other, each in others.items()}
    fid, twin = distances.fid(real[0], torch.cat(model.features)), real[1:]
    return [*found, Row(f"{prefix}FID[{name}]", fid, distances.frechet(*real) if twin else None, "lower", got)]


def outputs(model: Translator, data: DataSpec, count: int) -> Tensor:
    """What the model makes of the first sources that it is judged by (count c h w), evenly spaced."""
    pairs = choose(model, data, count=max(count, FEWEST)).judge
    chosen = pairs.places[0][np.arange(count) * len(pairs.places[0]) // count]
    return by(model, model.directions[0])(from_uint8(pairs.source.rows(chosen)))


def _examples(model: Translator, trial: Trial) -> Tensor:
    """Rows (n k c h w) of what is given, what is made of it, and the truth; and what is made of that, where it can be."""
    pairs = trial.judge
    count = min(map(len, pairs.places))
    chosen = [i * count // SHOWN for i in range(min(SHOWN, count))]
    source, truth = (
        from_uint8(pack.rows(places[chosen])) for pack, places in zip((pairs.source, pairs.image), pairs.places)
    )
    backs = [by(model, direction)(truth) for direction in model.directions[1:]]
    columns = [source, by(model, model.directions[0])(source), truth, *backs]
    return beside(*columns)


def _warnings(trial: Trial, dimensions: object) -> list[str]:
    found = []
    if isinstance(dimensions, int) and len(trial.judge) < 2 * dimensions:
        found.append(
            f"{len(trial.judge):,} images are few for {dimensions:,} features: FID is too high by much; compare it only "
            "with that of as many images"
        )
    if not trial.held_out:
        found.append("nothing is held out, so no score tells a good model from one that learned its images by heart")
    if not trial.judge.paired:
        found.append("no pairs are known, so nothing says whether a translation is of the right thing: look at them")
    return found
