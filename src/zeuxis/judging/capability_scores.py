"""Scores by capability: path length, reconstruction, likelihood."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from zeuxis.explore import slerp
from zeuxis.io.images import from_uint8
from zeuxis.judging.reference import ReferenceImages
from zeuxis.judging.report import ScoreRow
from zeuxis.metrics import latent, paired
from zeuxis.metrics.features import Extractor
from zeuxis.model import Encoder, HasLikelihood, Latent
from zeuxis.runtime.callbacks import StageCallback
from zeuxis.scores import bootstrap_mean

PATHS = 1000  # of which the length is taken
RECONSTRUCTIONS = 1000  # images that are encoded and decoded
NETWORK_CALLS = 10_000  # for either of these, where an image takes many
LEAST_IMAGES = 100  # that either is taken of, however many calls they take
_BATCH = 32  # images encoded at once


def capability_rows(
    model: Latent,
    images: ReferenceImages,
    extractor: Extractor,
    *,
    seed: int,
    path_length: bool = True,
    progress: StageCallback,
) -> Iterator[list[ScoreRow]]:
    """The perceptual path length of a latent model, if asked for, then the scores of its other capabilities, one by one."""
    if path_length:
        paths = min(_affordable(PATHS, 2 * model.decode_nfe), len(images.reference))
        yield [_path_length(model, extractor, paths, seed, progress)]
    if isinstance(model, Encoder):
        yield _reconstruction(model, images, progress)
    if isinstance(model, HasLikelihood):
        yield _likelihood(model, images, seed, progress)


def _affordable(most: int, calls: int) -> int:
    """The number of images to score, at most `most`, given the network evaluations of each."""
    return max(LEAST_IMAGES, min(most, NETWORK_CALLS // calls))


@torch.no_grad()
def _path_length(model: Latent, extractor: Extractor, count: int, seed: int, progress: StageCallback) -> ScoreRow:
    """At a random place on the path between two random latents, for `count` paths."""
    random = torch.Generator().manual_seed(seed)
    parts = []
    for start in range(0, count, extractor.batch):
        number = min(extractor.batch, count - start)
        first = seed + 2 * start
        one, other = model.prior(range(first, first + 2 * number)).chunk(2)
        place = torch.rand(number, generator=random).to(one.device) * (1 - latent.PATH_STEP)
        ends = [slerp(one, other, place + step) for step in (0.0, latent.PATH_STEP)]
        parts.append(latent.squared_speeds(model.decode, extractor.smooth, ends[0], ends[1], step=latent.PATH_STEP))
        progress("path lengths", start + number, count)
    return ScoreRow(f"path length[{extractor.name}]", bootstrap_mean(torch.cat(parts)), None, "lower", of=count)


@torch.no_grad()
def _reconstruction(model: Encoder, images: ReferenceImages, progress: StageCallback) -> list[ScoreRow]:
    """Reconstruction PSNR and SSIM of reference images."""
    psnr, ssim = [], []
    places = _spread(images, _affordable(RECONSTRUCTIONS, model.encode_nfe + model.decode_nfe))
    for start in range(0, len(places), _BATCH):
        image = from_uint8(images.reference_pack.rows(places[start : start + _BATCH]))
        again = model.decode(model.encode(image.to(model.device))).float().cpu()
        psnr.append(paired.psnr(again, image))
        if model.size >= paired.SSIM_WINDOW:
            ssim.append(paired.ssim(again, image))
        progress("reconstructions", start + len(image), len(places))
    return [
        ScoreRow(name, bootstrap_mean(torch.cat(values)), None, "higher", of=len(places))
        for name, values in {"reconstruction PSNR (dB)": psnr, "reconstruction SSIM": ssim}.items()
        if values
    ]


def _spread(images: ReferenceImages, count: int) -> np.ndarray[Any, Any]:
    """Places of at most so many reference images, spread evenly."""
    return images.reference[:: max(1, len(images.reference) // count)][:count]


@torch.no_grad()
def _likelihood(model: HasLikelihood, images: ReferenceImages, seed: int, progress: StageCallback) -> list[ScoreRow]:
    """The model's likelihood estimates or bounds on reference images."""
    most = model.likelihood_images
    places = images.reference if most is None else _spread(images, most)
    scored = from_uint8(images.reference_pack.rows(places))
    found = model.likelihood_scores(scored, torch.Generator().manual_seed(seed), progress=progress)
    of = None if most is None else len(places)
    return [ScoreRow(name, score, None, better, of=of) for name, (score, better) in found.items()]
