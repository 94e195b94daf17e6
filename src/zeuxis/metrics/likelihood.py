"""How likely images are under a model with a posterior: the evidence lower bound, and the importance-weighted bound."""

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


def dequantised(images: Tensor, *, random: torch.Generator) -> Tensor:
    """8-bit images (n c h w, in [-1, 1]) with each value anywhere in its bin, so that a density says how likely the bins
    are: log P(x) is at least the expected log p(x + u) + dimensions * log(BIN) (Theis 2016, section 3.1)."""
    noise = torch.rand(images.shape, generator=random).to(images)
    return images + (noise - 0.5) * BIN


def bits_per_dimension(nats: Tensor, dimensions: int) -> Tensor:
    """Nats per image, of values that are counted and not measured, as bits for each number of the image."""
    return -nats / (dimensions * math.log(2))
