"""What a denoiser is trained to predict: the parameterisation of its network, and the noise levels in training."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from zeuxis.nets.preconditioning import Scalings, edm, epsilon, flow, velocity

LOW, HIGH = 0.002, 80.0  # range of the noise levels in sampling (Karras 2022, table 1)


def log_normal(u: Tensor, low: float, high: float) -> Tensor:
    """Noise levels for u ~ U[0, 1]: log-normal (Karras 2022, table 1), and log-uniform from low to high for one in 32.

    The log-normal alone rarely covers the first levels of sampling: one in 4,000 is above 20.
    """
    anywhere = low * (high / low) ** (u * 32).clamp(max=1)
    usual = -1.2 + 1.2 * _normal_quantile(((u * 32 - 1) / 31).clamp(1e-4, 1 - 1e-4))
    return torch.where(u * 32 < 1, anywhere, usual.exp())


def _normal_quantile(p: Tensor) -> Tensor:
    # MPS has no kernel for `ndtri`; the other is the same up to rounding.
    return math.sqrt(2) * torch.erfinv(2 * p - 1) if p.device.type == "mps" else torch.special.ndtri(p)


def linear_levels(steps: int = 1000) -> Tensor:
    """The rising noise levels (steps) of Ho 2020: linear betas from 1e-4 to 0.02, as sigma of x / alpha."""
    kept = torch.linspace(1e-4, 0.02, steps, dtype=torch.float64).neg().log1p().cumsum(0).exp()
    return ((1 - kept) / kept).sqrt().float()


class Objective(NamedTuple):
    """The parameterisation of the network, and the noise level in training as a function of u ~ U[0, 1]."""

    scales: Callable[[Tensor, float], Scalings]
    level: Callable[[Tensor], Tensor]


def rung(levels: Tensor, u: Tensor) -> Tensor:
    """The discrete level (n) at each u (n)."""
    return levels[(u * len(levels)).long()]


OBJECTIVES: dict[str, Objective] = {
    "edm": Objective(edm, lambda u: log_normal(u, LOW, HIGH)),
    "ddpm": Objective(epsilon, lambda u: rung(linear_levels().to(u), u)),
    "v": Objective(velocity, lambda u: torch.tan(u * math.pi / 2)),  # the cosine schedule (Nichol 2021)
    "flow": Objective(flow, lambda u: u / (1 - u)),
}
