"""What only some models can be asked: how evenly images change, how well they are encoded, how likely they are."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from zeuxis.explore import slerp
from zeuxis.families.vae import VAE
from zeuxis.images import from_uint8
from zeuxis.judging.report import Row
from zeuxis.judging.sets import Sets
from zeuxis.metrics import latent, likelihood, paired
from zeuxis.metrics.features import Extractor
from zeuxis.metrics.resampling import mean
from zeuxis.model import Encoder, Latent

PATHS = 1000  # of which the length is taken
BOUNDED = 256  # images whose likelihood is bounded
DRAWS = 50  # latents for each of them
BATCH = 32  # images encoded at once
_SMALLEST = 11  # pixels: the window of SSIM

Progress = Callable[[str, int, int], None]


@torch.no_grad()
def rows(model: Latent, sets: Sets, extractor: Extractor, *, seed: int, tell: Progress) -> list[Row]:
    """The scores of the model's own abilities; of some models there are none."""
    found = [_path_length(model, extractor, min(PATHS, len(sets.reference)), seed, tell)]
    if isinstance(model, Encoder):
        found += _reconstruction(model, sets, tell)
    if isinstance(model, VAE):
        found += _bounds(model, sets, seed, tell)
    return found


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
    return Row(f"path length[{extractor.name}]", mean(torch.cat(parts)), None, "lower")


def _reconstruction(model: Encoder, sets: Sets, tell: Progress) -> list[Row]:
    """How far images the model has not learned from are from what it makes of their latents."""
    noise, likeness = [], []
    for start in range(0, len(sets.reference), BATCH):
        image = from_uint8(sets.judge.images[sets.reference[start : start + BATCH]])
        again = model.decode(model.encode(image.to(model.device))).float().cpu()
        noise.append(paired.psnr(again, image))
        if model.size >= _SMALLEST:
            likeness.append(paired.ssim(again, image))
        tell("reconstructions", start + len(image), len(sets.reference))
    found = [Row("reconstruction PSNR (dB)", mean(torch.cat(noise)), None, "higher")]
    return found + ([Row("reconstruction SSIM", mean(torch.cat(likeness)), None, "higher")] if likeness else [])


def _bounds(model: VAE, sets: Sets, seed: int, tell: Progress) -> list[Row]:
    """The bounds in nats per image, and in bits for each of its numbers; of 8-bit images, or of binary ones."""
    places = sets.reference[:: max(1, len(sets.reference) // BOUNDED)][:BOUNDED]
    random = torch.Generator().manual_seed(seed)
    parts = []
    for start in range(0, len(places), BATCH):
        image = from_uint8(sets.judge.images[places[start : start + BATCH]])
        parts.append(_log_weights(model, image, random))
        tell("bounds of the likelihood", start + len(image), len(places))
    found = likelihood.bounds(torch.cat(parts))
    numbers = model.channels * model.size**2
    named = {"ELBO": found.evidence, f"importance-weighted bound, {DRAWS} draws": found.weighted}
    result = [Row(f"{name} (nats/image)", mean(values), None, "higher") for name, values in named.items()]
    for name, values in named.items():
        bits = likelihood.bits_per_dimension(values, numbers)
        result.append(Row(f"{name} (bits/dim)", mean(bits), None, "lower"))
    return result


def _log_weights(model: VAE, image: Tensor, random: torch.Generator) -> Tensor:
    """log p(x, z) - log q(z|x) (n draws) of the images as files hold them: 256 values each, or for p per pixel 2."""
    if model.likelihood == "gaussian":
        shown = likelihood.dequantised(image, random=random).to(model.device)
        volume = image[0].numel() * torch.log(torch.tensor(likelihood.BIN, dtype=torch.float64)).item()
    else:
        shown = (torch.rand(image.shape, generator=random) < (image + 1) / 2).float().mul(2).sub(1).to(model.device)
        volume = 0.0
    where, spread = model.posterior(image.to(model.device))
    found = likelihood.log_weights(
        where, spread, lambda z: model.log_likelihood(shown, model.decoder(z)), draws=DRAWS, random=random
    )
    return found.cpu() + volume
