"""How likely images are: the evidence and importance-weighted bounds of a posterior, the variational one of a denoiser."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

BIN = 2 / 255  # between two of the 256 values of a pixel, images being in [-1, 1]


class Bounds(NamedTuple):
    """Lower bounds of log p(x) in nats (n each); `weighted` is the tighter."""

    evidence: Tensor
    weighted: Tensor


def bounds(log_weights: Tensor) -> Bounds:
    """From log p(x, z) - log q(z|x) at draws from q (n k): their mean, and the log of the mean weight (Burda 2016, eq. 8)."""
    log_weights = log_weights.double()
    return Bounds(log_weights.mean(1), log_weights.logsumexp(1) - math.log(log_weights.shape[1]))


def log_weights(
    mean: Tensor,
    log_variance: Tensor,
    log_likelihood: Callable[[Tensor], Tensor],
    *,
    draws: int,
    random: torch.Generator,
) -> Tensor:
    """log p(x|z) + log p(z) - log q(z|x) (n k) at `draws` latents of the Gaussian q (mean, log variance: n d each).

    `log_likelihood` gives log p(x|z) in nats (n) for latents (n d), one for each image; the prior is standard normal.
    """
    found = []
    for _ in range(draws):
        noise = torch.randn(mean.shape, generator=random).to(mean)
        z = mean + noise * (log_variance / 2).exp()
        ratio = (noise.square() + log_variance - z.square()).double().sum(1) / 2  # the 2 pi of both cancel
        found.append(log_likelihood(z).double() + ratio)
    return torch.stack(found, 1)


def variational(
    denoise: Callable[[Tensor, Tensor], Tensor],
    image: Tensor,
    *,
    low: float,
    high: float,
    draws: int,
    random: torch.Generator,
) -> Tensor:
    """A lower bound of log P in nats (n) of 8-bit images (n c h w, in [-1, 1]) under a diffusion with ever finer steps.

    From a Gaussian of deviation `high`, `denoise` (images with noise, levels n) guides ancestral steps to the level
    `low`; there each of 256 values is drawn by its density. The terms of that bound are the Gaussian's divergence, the
    integral of |image - denoised|^2 / sigma^2 over log sigma (estimated at `draws` levels), and the values' chances
    (Kingma 2021, the continuous-time bound). Every choice of `low` gives a bound.
    """
    flat = image.double().flatten(1)
    prior = flat.square().sum(1) / (2 * high**2)  # of N(x, high^2) from N(0, high^2)
    reach = math.log(high / low)
    losses = []
    for draw in range(draws):
        place = (torch.rand(len(image), generator=random) + draw) / draws
        sigma = (math.log(low) + place * reach).exp().to(image)
        noise = torch.randn(image.shape, generator=random).to(image)
        missed = (image - denoise(image + sigma.view(-1, 1, 1, 1) * noise, sigma)).double().flatten(1)
        losses.append(reach * missed.square().sum(1) / sigma.double() ** 2)
    found = flat + low * torch.randn(flat.shape, generator=random).to(flat)
    return _of_256(found, flat, low) - torch.stack(losses).mean(0) - prior


def _of_256(found: Tensor, flat: Tensor, deviation: float) -> Tensor:
    """The log probability (n) of the pixels (n d) where each of the 256 values is as likely as its density at what was found."""
    values = torch.linspace(-1, 1, 256, dtype=flat.dtype, device=flat.device)
    parts = []
    for row, true in zip(found, flat):  # one at a time: 256 numbers for each pixel
        heights = -((row[:, None] - values) / deviation).square() / 2
        parts.append((-((row - true) / deviation).square() / 2 - heights.logsumexp(1)).sum())
    return torch.stack(parts)


def dequantised(images: Tensor, *, random: torch.Generator) -> Tensor:
    """8-bit images (n c h w, in [-1, 1]) with each value anywhere in its bin, so that a density says how likely the bins
    are: log P(x) is at least the expected log p(x + u) + dimensions * log(BIN) (Theis 2016, section 3.1)."""
    noise = torch.rand(images.shape, generator=random).to(images)
    return images + (noise - 0.5) * BIN


def bits_per_dimension(nats: Tensor, dimensions: int) -> Tensor:
    """Nats per image, of values that are counted and not measured, as bits for each number of the image."""
    return -nats / (dimensions * math.log(2))
