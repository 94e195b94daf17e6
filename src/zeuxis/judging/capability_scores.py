"""What only some models can be asked: how evenly images change, how well they are encoded, how likely they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from zeuxis.explore import slerp
from zeuxis.io.images import from_uint8
from zeuxis.judging.reference import Sets
from zeuxis.judging.report import Progress, Row
from zeuxis.metrics import latent, paired
from zeuxis.metrics.features import Extractor
from zeuxis.model import Encoder, HasLikelihood, Latent
from zeuxis.scores import bootstrap_mean

PATHS = 1000  # of which the length is taken
RECONSTRUCTED = 1000  # images that are encoded and decoded again
CALLS = 10_000  # of the networks for either of these, where an image takes many
FEWEST = 100  # images that either is taken of, however many calls they take
BATCH = 32  # images encoded at once
_SMALLEST = 11  # pixels: the window of SSIM


@torch.no_grad()
def rows(model: Latent, sets: Sets, extractor: Extractor, *, seed: int, tell: Progress) -> list[Row]:
    """The scores of the model's own abilities; of some models there are none."""
    found = [
        _path_length(model, extractor, min(_worth(PATHS, 2 * model.decode_calls), len(sets.reference)), seed, tell)
    ]
    if isinstance(model, Encoder):
        found += _reconstruction(model, sets, tell)
    if isinstance(model, HasLikelihood):
        found += _likelihood(model, sets, seed, tell)
    return found


def _worth(most: int, calls: int) -> int:
    """How many images to take at most, each of which takes so many calls of the networks."""
    return max(FEWEST, min(most, CALLS // calls))


def _path_length(model: Latent, extractor: Extractor, count: int, seed: int, tell: Progress) -> Row:
    """At a random place of the way between two random latents, for `count` ways."""
    random = torch.Generator().manual_seed(seed)
    parts = []
    for start in range(0, count, extractor.batch):
        number = min(extractor.batch, count - start)
        first = seed + 2 * start
        one, other = model.prior(range(first, first + 2 * number)).chunk(2)
        place = torch.rand(number, generator=random).to(one.device) * (1 - latent.EPSILON)
        ends = [slerp(one, other, place + step) for step in (0.0, latent.EPSILON)]
        parts.append(latent.path_lengths(model.decode, extractor.smooth, ends[0], ends[1], step=latent.EPSILON))
        tell("path lengths", start + number, count)
    return Row(f"path length[{extractor.name}]", bootstrap_mean(torch.cat(parts)), None, "lower", of=count)


def _reconstruction(model: Encoder, sets: Sets, tell: Progress) -> list[Row]:
    """How far images the model has not learned from are from what it makes of their latents."""
    noise, likeness = [], []
    places = _some(sets, _worth(RECONSTRUCTED, model.encode_calls + model.decode_calls))
    for start in range(0, len(places), BATCH):
        image = from_uint8(sets.judge.images[places[start : start + BATCH]])
        again = model.decode(model.encode(image.to(model.device))).float().cpu()
        noise.append(paired.psnr(again, image))
        if model.size >= _SMALLEST:
            likeness.append(paired.ssim(again, image))
        tell("reconstructions", start + len(image), len(places))
    named = {"reconstruction PSNR (dB)": noise, "reconstruction SSIM": likeness}
    return [
        Row(name, bootstrap_mean(torch.cat(values)), None, "higher", of=len(places))
        for name, values in named.items()
        if values
    ]


def _some(sets: Sets, count: int) -> np.ndarray[Any, Any]:
    """Places of at most so many of the images the model has not learned from, spread evenly."""
    return sets.reference[:: max(1, len(sets.reference) // count)][:count]


def _likelihood(model: HasLikelihood, sets: Sets, seed: int, tell: Progress) -> list[Row]:
    """The model's own estimates or bounds of the likelihood of images it has not learned from."""
    most = model.likelihood_images
    places = sets.reference if most is None else _some(sets, most)
    images = from_uint8(sets.judge.images[places])
    found = model.likelihood_scores(images, torch.Generator().manual_seed(seed), progress=tell)
    of = None if most is None else len(places)
    return [Row(name, score, None, better, of=of) for name, (score, better) in found.items()]
