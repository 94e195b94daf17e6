"""What only some models can be asked: how evenly images change, how well they are encoded, how likely they are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zeuxis.explore import slerp
from zeuxis.families.diffusion import HIGH, Diffusion
from zeuxis.families.rbm import RBM
from zeuxis.families.vae import VAE
from zeuxis.io.images import from_uint8
from zeuxis.judging.report import Progress, Row
from zeuxis.judging.sets import Sets
from zeuxis.metrics import latent, likelihood, paired, partition
from zeuxis.metrics.features import Extractor
from zeuxis.metrics.resampling import Score, log_mean, mean
from zeuxis.model import Encoder, Latent
from zeuxis.samplers import Chance

PATHS = 1000  # of which the length is taken
BOUNDED = 256  # images whose likelihood is bounded
DRAWS = 50  # latents for each of them
LEVELS = 32  # of noise for each of them
FINEST = 0.005  # level of noise at which the nearest of 256 values is taken: about half their distance
RECONSTRUCTED = 1000  # images that are encoded and decoded again
CALLS = 10_000  # of the networks for either of these, where an image takes many
FEWEST = 100  # images that either is taken of, however many calls they take
BATCH = 32  # images encoded at once
CHAINS = 100  # of annealed importance sampling, and images that reverse ones start from
TEMPERATURES = 5000  # that each passes through
_SMALLEST = 11  # pixels: the window of SSIM


@torch.no_grad()
def rows(model: Latent, sets: Sets, extractor: Extractor, *, seed: int, tell: Progress) -> list[Row]:
    """The scores of the model's own abilities; of some models there are none."""
    found = [_path_length(model, extractor, min(_worth(PATHS, 2 * model.decode_nfe), len(sets.reference)), seed, tell)]
    if isinstance(model, Encoder):
        found += _reconstruction(model, sets, tell)
    if isinstance(model, VAE):
        found += _bounds(model, sets, seed, tell)
    if isinstance(model, Diffusion):
        found += _variational(model, sets, seed, tell)
    if isinstance(model, RBM):
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
    return Row(f"path length[{extractor.name}]", mean(torch.cat(parts)), None, "lower", of=count)


def _reconstruction(model: Encoder, sets: Sets, tell: Progress) -> list[Row]:
    """How far images the model has not learned from are from what it makes of their latents."""
    noise, likeness = [], []
    places = _some(sets, _worth(RECONSTRUCTED, model.encode_nfe + model.decode_nfe))
    for start in range(0, len(places), BATCH):
        image = from_uint8(sets.judge.rows(places[start : start + BATCH]))
        again = model.decode(model.encode(image.to(model.device))).float().cpu()
        noise.append(paired.psnr(again, image))
        if model.size >= _SMALLEST:
            likeness.append(paired.ssim(again, image))
        tell("reconstructions", start + len(image), len(places))
    named = {"reconstruction PSNR (dB)": noise, "reconstruction SSIM": likeness}
    return [
        Row(name, mean(torch.cat(values)), None, "higher", of=len(places)) for name, values in named.items() if values
    ]


def _some(sets: Sets, count: int) -> np.ndarray[Any, Any]:
    """Places of at most so many of the images the model has not learned from, spread evenly."""
    return sets.reference[:: max(1, len(sets.reference) // count)][:count]


def _variational(model: Diffusion, sets: Sets, seed: int, tell: Progress) -> list[Row]:
    """The variational bound of 8-bit images, in nats for each and in bits for each of its numbers."""
    places = _some(sets, BOUNDED)
    random = torch.Generator().manual_seed(seed)
    parts = []
    for start in range(0, len(places), BATCH):
        image = from_uint8(sets.judge.rows(places[start : start + BATCH])).to(model.device)
        bound = likelihood.variational(model.denoise, image, low=FINEST, high=HIGH, draws=LEVELS, random=random)
        parts.append(bound.cpu())
        tell("bounds of the likelihood", start + len(image), len(places))
    nats = torch.cat(parts)
    bits = likelihood.bits_per_dimension(nats, model.latent_dim)
    return [
        Row("variational bound (nats/image)", mean(nats), None, "higher", of=len(nats)),
        Row("variational bound (bits/dim)", mean(bits), None, "lower", of=len(nats)),
    ]


def _bounds(model: VAE, sets: Sets, seed: int, tell: Progress) -> list[Row]:
    """The bounds in nats per image, and in bits for each of its numbers; of 8-bit images, or of binary ones."""
    places = _some(sets, BOUNDED)
    random = torch.Generator().manual_seed(seed)
    parts = []
    for start in range(0, len(places), BATCH):
        image = from_uint8(sets.judge.rows(places[start : start + BATCH]))
        parts.append(_log_weights(model, image, random))
        tell("bounds of the likelihood", start + len(image), len(places))
    found = likelihood.bounds(torch.cat(parts))
    numbers = model.channels * model.size**2
    named = {"ELBO": found.evidence, f"importance-weighted bound, {DRAWS} draws": found.weighted}
    result = [
        Row(f"{name} (nats/image)", mean(values), None, "higher", of=len(places)) for name, values in named.items()
    ]
    for name, values in named.items():
        bits = likelihood.bits_per_dimension(values, numbers)
        result.append(Row(f"{name} (bits/dim)", mean(bits), None, "lower", of=len(places)))
    return result


def _log_weights(model: VAE, image: Tensor, random: torch.Generator) -> Tensor:
    """log p(x, z) - log q(z|x) (n draws) of the images as files hold them: 256 values each, or for p per pixel 2."""
    if model.likelihood == "gaussian":
        shown = likelihood.dequantised(image, random=random).to(model.device)
        volume = image[0].numel() * math.log(likelihood.BIN)
    else:
        shown = (torch.rand(image.shape, generator=random) < (image + 1) / 2).float().mul(2).sub(1).to(model.device)
        volume = 0.0
    where, spread = model.posterior(image.to(model.device))
    found = likelihood.log_weights(
        where, spread, lambda z: model.log_likelihood(shown, model.decoder(z)), draws=DRAWS, random=random
    )
    return found.cpu() + volume


def _likelihood(model: RBM, sets: Sets, seed: int, tell: Progress) -> list[Row]:
    """log Z, and with it the log-likelihood of images the model has not learned from, in nats per image."""
    random = torch.Generator().manual_seed(seed)
    noise, machine = Chance(random), model.machine().plain(torch.float32)
    visible, volume = _units(model, sets, random)
    heights = volume - machine.free_energy(visible).double()
    if model.latent_dim <= partition.MOST_HIDDEN:
        exact = Score(partition.exact_log_partition(machine))
        return [
            Row("log Z, counted (nats)", exact),
            Row("log-likelihood, counted (nats/image)", partition.difference(mean(heights), exact), None, "higher"),
        ]
    betas = partition.inverse_temperatures(TEMPERATURES)
    forward = partition.forward_weights(
        machine, betas, chains=CHAINS, noise=noise, progress=lambda *done: tell("log Z by annealing", *done)
    )
    some = torch.linspace(0, len(visible) - 1, min(CHAINS, len(visible))).long()
    back = partition.reverse_weights(
        machine, betas, visible[some], noise=noise, progress=lambda *done: tell("log Z, the other way", *done)
    )
    # Weights differ little between images, free energies much: so all images count for the one, some for the other.
    above, below = (partition.difference(mean(heights), z) for z in (log_mean(forward), mean(back)))
    return [
        Row("log Z by AIS (nats)", log_mean(forward)),
        Row("log-likelihood by AIS (nats/image)", above, None, "higher"),
        Row("log-likelihood by reverse AIS (nats/image)", below, None, "higher"),
    ]


def _units(model: RBM, sets: Sets, random: torch.Generator) -> tuple[Tensor, float]:
    """Visible units (n d) of the reference images, and the log of the volume that one of 256 values has among them."""
    image = from_uint8(sets.judge.rows(sets.reference))
    if model.units == "binary":
        return model.visible(image, Chance(random)), 0.0
    return model.visible(likelihood.dequantised(image, random=random)), image[0].numel() * math.log(likelihood.BIN)
