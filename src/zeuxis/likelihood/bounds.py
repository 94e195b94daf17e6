"""Lower bounds of log p(x): the evidence and importance-weighted bounds of a posterior, the variational one of a denoiser."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from zeuxis.likelihood import Likelihoods, LikelihoodScore
from zeuxis.runtime.accelerator import to_float64
from zeuxis.runtime.callbacks import StageCallback, silent
from zeuxis.scores import bootstrap_mean

BIN = 2 / 255  # between two of the 256 values of a pixel, images being in [-1, 1]
DRAWS = 50  # latents for each image
NOISE_LEVELS = 32  # of noise for each image
FINEST = 0.005  # level of noise at which the nearest of 256 values is taken: about half their distance
_BATCH = 32  # images bounded at once


class Bounds(NamedTuple):
    """Lower bounds of log p(x) in nats (n each); `weighted` is the tighter."""

    evidence: Tensor
    weighted: Tensor


def posterior_scores(
    log_weights: Callable[[Tensor], Tensor], images: Tensor, *, progress: StageCallback = silent
) -> Likelihoods:
    """The mean ELBO and importance-weighted bound of images (n c h w), in nats/image and in bits/dim.

    `log_weights` gives log p(x, z) - log q(z|x) (n draws) of a batch of images.
    """
    weights = _in_batches(log_weights, images, progress)
    found = importance_weighted(weights)
    named = {"ELBO": found.evidence, f"importance-weighted bound, {weights.shape[1]} draws": found.weighted}
    scores = {f"{name} (nats/image)": LikelihoodScore(bootstrap_mean(nats)) for name, nats in named.items()}
    return scores | {f"{name} (bits/dim)": _in_bits(nats, images[0].numel()) for name, nats in named.items()}


def denoiser_scores(
    denoise: Callable[[Tensor, Tensor], Tensor],
    images: Tensor,
    *,
    high: float,
    generator: torch.Generator,
    progress: StageCallback = silent,
) -> Likelihoods:
    """The mean variational bound of 8-bit images (n c h w, on the denoiser's device), in nats/image and in bits/dim."""

    def bound(batch: Tensor) -> Tensor:
        return variational(denoise, batch, low=FINEST, high=high, draws=NOISE_LEVELS, generator=generator).cpu()

    nats = _in_batches(bound, images, progress)
    return {
        "variational bound (nats/image)": LikelihoodScore(bootstrap_mean(nats)),
        "variational bound (bits/dim)": _in_bits(nats, images[0].numel()),
    }


@torch.no_grad()
def _in_batches(bound: Callable[[Tensor], Tensor], images: Tensor, progress: StageCallback) -> Tensor:
    parts: list[Tensor] = []
    for batch in torch.split(images, _BATCH):
        parts.append(bound(batch))
        progress("bounds of the likelihood", sum(map(len, parts)), len(images))
    return torch.cat(parts)


def _in_bits(nats: Tensor, dimensions: int) -> LikelihoodScore:
    return LikelihoodScore(bootstrap_mean(bits_per_dimension(nats, dimensions)), "lower")


def importance_weighted(log_weights: Tensor) -> Bounds:
    """From log p(x, z) - log q(z|x) at draws from q (n k): their mean, and the log of the mean weight (Burda 2016, eq. 8)."""
    log_weights = to_float64(log_weights)
    return Bounds(log_weights.mean(1), log_weights.logsumexp(1) - math.log(log_weights.shape[1]))


def log_weights(
    mean: Tensor,
    log_variance: Tensor,
    log_likelihood: Callable[[Tensor], Tensor],
    *,
    draws: int,
    generator: torch.Generator,
) -> Tensor:
    """log p(x|z) + log p(z) - log q(z|x) (n k) at `draws` latents of the Gaussian q (mean, log variance: n d each).

    `log_likelihood` gives log p(x|z) in nats (n) for latents (n d), one for each image; the prior is standard normal.
    """
    found = []
    for _ in range(draws):
        noise = torch.randn(mean.shape, generator=generator).to(mean)
        z = mean + noise * (log_variance / 2).exp()
        ratio = to_float64(noise.square() + log_variance - z.square()).sum(1) / 2  # the 2 pi of both cancel
        found.append(to_float64(log_likelihood(z)) + ratio)
    return torch.stack(found, 1)


def variational(
    denoise: Callable[[Tensor, Tensor], Tensor],
    image: Tensor,
    *,
    low: float,
    high: float,
    draws: int,
    generator: torch.Generator,
) -> Tensor:
    """A lower bound of log P in nats (n) of 8-bit images (n c h w, in [-1, 1]) under a diffusion with ever finer steps.

    From a Gaussian of deviation `high`, `denoise` (images with noise, levels n) guides ancestral steps to the level
    `low`; there each of 256 values is drawn by its density. The terms of that bound are the Gaussian's divergence, the
    integral of |image - denoised|^2 / sigma^2 over log sigma (estimated at `draws` levels), and the values' chances
    (Kingma 2021, the continuous-time bound). Every choice of `low` gives a bound.
    """
    flat = to_float64(image).flatten(1)
    prior = flat.square().sum(1) / (2 * high**2)  # of N(x, high^2) from N(0, high^2)
    reach = math.log(high / low)
    losses = []
    for draw in range(draws):
        place = (torch.rand(len(image), generator=generator) + draw) / draws
        sigma = (math.log(low) + place * reach).exp().to(image)
        noise = torch.randn(image.shape, generator=generator).to(image)
        missed = to_float64(image - denoise(image + sigma.view(-1, 1, 1, 1) * noise, sigma)).flatten(1)
        losses.append(reach * missed.square().sum(1) / to_float64(sigma) ** 2)
    found = flat + low * torch.randn(flat.shape, generator=generator).to(flat)
    return _of_256(found, flat, low) - torch.stack(losses).mean(0) - prior


def _of_256(found: Tensor, flat: Tensor, deviation: float) -> Tensor:
    """The log probability (n) of the pixels (n d) where each of the 256 values is as likely as its density at what was found."""
    values = torch.linspace(-1, 1, 256, dtype=flat.dtype, device=flat.device)
    parts = []
    for row, true in zip(found, flat):  # one at a time: 256 numbers for each pixel
        heights = -((row[:, None] - values) / deviation).square() / 2
        parts.append((-((row - true) / deviation).square() / 2 - heights.logsumexp(1)).sum())
    return torch.stack(parts)


def dequantised(images: Tensor, generator: torch.Generator) -> tuple[Tensor, float]:
    """8-bit images (n c h w, in [-1, 1]) with each value anywhere in its bin, and the log volume of an image's bins.

    So a density gives the probability of 8-bit values: log P(x) is at least the expected log p(x + u) plus that log volume
    (Theis 2016, section 3.1).
    """
    noise = torch.rand(images.shape, generator=generator).to(images)
    return images + (noise - 0.5) * BIN, images[0].numel() * math.log(BIN)


def binarised(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images (n c h w) of pixels drawn black or white (-1 or 1), white with the probability of their grey."""
    return (torch.rand(images.shape, generator=generator) < (images + 1) / 2).float().mul(2).sub(1)


def bits_per_dimension(nats: Tensor, dimensions: int) -> Tensor:
    """The log-likelihood of discrete values in nats/image (n) as bits for each number of the image (n)."""
    return -nats / (dimensions * math.log(2))
