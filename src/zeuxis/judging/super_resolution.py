"""Evaluation of super-resolution: whole photographs, downsampled, upsampled by the model, compared (Ledig 2017)."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zeuxis.data import DataSpec, workers
from zeuxis.data.catalog import NamedSet
from zeuxis.data.derived_sources import SMALL, reduced
from zeuxis.data.holding_out import HoldOut
from zeuxis.data.listing import WHOLE, Content, FileReader, Picture, Shape
from zeuxis.data.specs import PairSpec, SingleSpec
from zeuxis.errors import DataError
from zeuxis.io.images import Array, from_uint8
from zeuxis.io.tiling import photograph
from zeuxis.judging import warnings
from zeuxis.judging.reference import share_facts, share_in_words
from zeuxis.judging.report import Evaluation, ScoreRow, about_model
from zeuxis.metrics import paired, vgg
from zeuxis.metrics.vgg import VGG
from zeuxis.model import SuperResolution
from zeuxis.runtime.callbacks import StageCallback, silent
from zeuxis.scores import Better, bootstrap_mean

PHOTOGRAPHS_SHOWN = 8  # in the picture
_DETAIL = 128  # pixels, height and width, of what is shown of each
_MOST = 1024  # pixels of a photograph's height and width that are judged: of larger ones the middle

Enlarger = Callable[[Image.Image], Image.Image]  # a small image to a large one


class PhotographTestSet(NamedTuple):
    """The test photographs, their description, and the training data."""

    training: str
    name: str
    held_out: bool
    photographs: list[Image.Image]
    hold_out: HoldOut | None = None  # where a share was held out


def is_whole(data: DataSpec) -> bool:
    """Whether sources are downsampled targets, so that whole photographs can be tested."""
    return isinstance(data, PairSpec) and data.source == SMALL


def choose_photographs(model: SuperResolution, data: DataSpec, *, count: int) -> PhotographTestSet:
    """At most `count` photographs (RGB, or L where the model is grey); held out where anything is.

    `DataError` where none is large enough.
    """
    own, unseen = data.held_out(count) or (data, None)
    images = (unseen or own).images
    least = paired.SSIM_WINDOW + 2 * model.scale + model.scale
    found = [
        _fitting(pixels, model.scale)
        for pixels in _originals(unseen or own, model, count)
        if min(pixels.shape[:2]) >= least
    ]
    if not found:
        raise DataError(f"{images} has no test photograph of {least} pixels or more")
    kind = "held-out" if unseen else "training"
    name = str(images).partition(":")[0] if isinstance(images, NamedSet) and unseen else images
    told = f"{len(found):,} {kind} photographs of {name}{share_in_words(data.hold_out)}"
    return PhotographTestSet(str(own), told, unseen is not None, found, data.hold_out)


def _originals(data: DataSpec, model: SuperResolution, count: int) -> Iterator[Array]:
    """Images (h w c, uint8): whole, where they are files, or a named set's whole photographs; else as they are learned."""
    found, part = data.images.whole(), data.hold_out
    if found is None:
        pack = SingleSpec(data.images, hold_out=part).open(model.size, model.channels)
        yield from pack.rows(np.arange(min(count, len(pack))))
        return
    content = found.listing().gather()
    whole = isinstance(content.reader, FileReader)
    shape = Shape(model.size, model.channels, WHOLE if whole else "crop")
    items = content.items if part else content.items[:count]  # the side of a photograph is known once it is read
    with contextlib.closing(workers.decoded(Content(items, content.reader), shape)) as results:
        pictures = (each for each in results if isinstance(each, Picture))
        yield from (each.pixels for each in itertools.islice(_of_part(pictures, part), count))


def _of_part(pictures: Iterable[Picture], part: HoldOut | None) -> Iterator[Picture]:
    return (each for each in pictures if part is None or part.has(each.digest))


def _fitting(pixels: Array, scale: int) -> Image.Image:
    """The middle of an image, its sides multiples of the scale and at most `_MOST`."""
    sides = [min(side, _MOST) // scale * scale for side in pixels.shape[:2]]
    top, left = ((have - side) // 2 for have, side in zip(pixels.shape, sides))
    cut = np.ascontiguousarray(pixels[top : top + sides[0], left : left + sides[1]])
    return Image.fromarray(cut[..., 0] if cut.shape[2] == 1 else cut)


def evaluate_super_resolution(
    model: SuperResolution,
    test: PhotographTestSet,
    network: VGG,
    *,
    baselines: Mapping[str, SuperResolution] | None = None,
    progress: StageCallback = silent,
) -> Evaluation:
    """PSNR and SSIM of luminance without a border of `scale` pixels, and VGG-feature distance, of 8-bit images.

    Each is shown beside the scores of the `baselines` (other models, by name), of bicubic and of nearest resampling.
    """
    enlargers = {"model": _enlarging(model), **{name: _enlarging(other) for name, other in (baselines or {}).items()}}
    enlargers |= {"bicubic": _resampling(model.scale, Image.Resampling.BICUBIC)}
    enlargers |= {"nearest": _resampling(model.scale, Image.Resampling.NEAREST)}
    scores: dict[str, dict[str, list[Tensor]]] = {name: {} for name in enlargers}
    examples: list[Tensor] = []
    for done, truth in enumerate(test.photographs, 1):
        small = reduced(truth, model.scale)
        made = {name: enlarge(small).convert(truth.mode) for name, enlarge in enlargers.items()}
        compare = comparison(truth, model.scale, network)
        for name, image in made.items():
            for score, value in compare(image).items():
                scores[name].setdefault(score, []).append(value)
        if len(examples) < PHOTOGRAPHS_SHOWN and min(truth.size) >= _DETAIL:
            examples.append(_detail(made, truth))
        progress("photographs", done, len(test.photographs))
    shown = torch.cat(examples) if examples else None
    warned = [] if test.held_out else [warnings.NOTHING_HELD_OUT]
    return Evaluation(about_model(model, _facts(test)), _rows(scores), warned, examples=shown)


def _facts(test: PhotographTestSet) -> dict[str, object]:
    return {
        "against": test.name,
        "data": test.training,
        "held_out": test.held_out,
        "samples": len(test.photographs),
        "features": "VGG16, blocks 1 to 4",
        "images_seen": "at their own size",
        "dimensions": sum(width[-1] for width in vgg.BLOCKS),
        **share_facts(test.hold_out),
    }


def comparison(truth: Image.Image, scale: int, network: VGG) -> Callable[[Image.Image], dict[str, Tensor]]:
    """A function that compares images with one of their height and width: scores (1 each) by name."""
    wanted, device = _tensor(truth), next(network.parameters()).device
    inside = (..., slice(scale, -scale), slice(scale, -scale))
    with torch.no_grad():
        apart = vgg.feature_distance_to(network, wanted.to(device))

    @torch.no_grad()
    def compare(image: Image.Image) -> dict[str, Tensor]:
        made = _tensor(image)
        bright = paired.luminance(made)[inside], paired.luminance(wanted)[inside]
        far = apart(made.to(device)).cpu()
        return {"PSNR of Y (dB)": paired.psnr(*bright), "SSIM of Y": paired.ssim(*bright), "VGG-feature distance": far}

    return compare


def _tensor(image: Image.Image) -> Tensor:
    pixels = np.asarray(image)
    return from_uint8(pixels.reshape(1, image.height, image.width, -1))


def _enlarging(model: SuperResolution) -> Enlarger:
    return lambda small: photograph(model, small)


def _resampling(scale: int, how: Image.Resampling) -> Enlarger:
    return lambda small: small.resize((small.width * scale, small.height * scale), how)


def _detail(made: Mapping[str, Image.Image], truth: Image.Image) -> Tensor:
    """Squares (1 k c s s) of bicubic, baselines, model and truth, from where bicubic and truth differ most."""
    others = [image for name, image in made.items() if name not in ("model", "bicubic", "nearest")]
    images = [made["bicubic"], *others, made["model"], truth]
    first, last = (np.asarray(image.convert("L"), np.float64) for image in (images[0], images[-1]))
    total = np.pad(np.square(first - last).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    side = _DETAIL
    sums = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    top, left = np.unravel_index(int(np.argmax(sums)), sums.shape)
    cuts = [
        _tensor(image.convert("RGB").crop((int(left), int(top), int(left) + side, int(top) + side))) for image in images
    ]
    return torch.stack(cuts, 1)


def _rows(scores: Mapping[str, Mapping[str, list[Tensor]]]) -> list[ScoreRow]:
    rows = []
    for score, values in scores["model"].items():
        better: Better = "lower" if score.startswith("VGG") else "higher"
        beside = {name: float(torch.cat(each[score]).mean()) for name, each in scores.items() if name != "model"}
        rows.append(ScoreRow(score, bootstrap_mean(torch.cat(values)), None, better, beside))
    return rows
