"""Preconditioning of a denoiser: scaling of network input and target by noise level (Karras 2022, section 5)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Scalings(NamedTuple):
    """The denoiser is c_skip * x + c_out * network(c_in * x): Karras 2022, equation 7."""

    c_skip: Tensor
    c_out: Tensor
    c_in: Tensor


def edm(sigma: Tensor, data: float) -> Scalings:
    """Input, output and target of variance 1 at every level (Karras 2022, table 1)."""
    total = (sigma**2 + data**2).sqrt()
    return Scalings(data**2 / total**2, sigma * data / total, 1 / total)


def epsilon(sigma: Tensor, data: float) -> Scalings:
    """The network predicts the noise (Ho 2020, equation 14); its input is x / alpha times alpha, alpha^2 = 1 / (1 + sigma^2)."""
    return Scalings(torch.ones_like(sigma), -sigma, 1 / (1 + sigma**2).sqrt())


def velocity(sigma: Tensor, data: float) -> Scalings:
    """The network predicts v = alpha noise - sqrt(1 - alpha^2) image (Salimans and Ho 2022, section 4)."""
    alpha = 1 / (1 + sigma**2).sqrt()
    return Scalings(alpha**2, -sigma * alpha, alpha)


def flow(sigma: Tensor, data: float) -> Scalings:
    """The network predicts the velocity noise - image of (1 - t) image + t noise; sigma = t / (1 - t) (Lipman 2023)."""
    clean = 1 / (1 + sigma)  # 1 - t
    return Scalings(clean, -sigma * clean, clean)
