"""The restricted Boltzmann machine: energies and conditionals of given weights (Smolensky 1986; Hinton 2002)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import softplus


class Noise(Protocol):
    """The noise source of a Markov chain: random numbers in the shape of `like`, on its device."""

    def uniform(self, like: Tensor) -> Tensor:
        """Uniform in [0, 1)."""
        ...

    def normal(self, like: Tensor) -> Tensor:
        """Standard normal."""
        ...


@dataclass(frozen=True)
class Machine:
    """Visible units v (n d) and binary hidden units h (n k) in {0, 1}, bound by weights W (d k) and biases b (d), c (k).

    Binary visible units:     E(v, h) = -b v - c h - v W h,                          v in {0, 1}
    Gaussian visible units:   E(v, h) = |v - b|^2 / 2 s - c h - v W h / s,           s their `variance` (Cho 2011, eq. 2)

    At an inverse temperature `beta` below 1 weights are scaled by it, and visible biases interpolate to `base`, those
    of independent pixels: p_beta has the energy of W' = beta W, c' = beta c, b' = beta b + (1 - beta) base
    (Salakhutdinov and Murray 2008, equations 15 to 17). At 0 all units are independent and log Z is known; at 1 it is the model.
    """

    weight: Tensor
    visible_bias: Tensor
    hidden_bias: Tensor
    base: Tensor
    variance: Tensor | None = None  # (), of Gaussian visible units; None: they are binary

    def hidden_input(self, visible: Tensor) -> Tensor:
        """The input of each hidden unit (n k) at beta 1; at another beta, beta times as much."""
        scaled = visible if self.variance is None else visible / self.variance
        return torch.addmm(self.hidden_bias, scaled, self.weight)

    def visible_input(self, hidden: Tensor, beta: float | Tensor = 1.0) -> Tensor:
        """The input of each visible unit (n d): the logit of a binary unit, the mean of a Gaussian one."""
        found = torch.addmm(self.visible_bias, hidden, self.weight.T)
        return found if _is_one(beta) else self.base + beta * (found - self.base)

    def free_energy(self, visible: Tensor, beta: float | Tensor = 1.0, *, inputs: Tensor | None = None) -> Tensor:
        """-log sum_h exp(-E_beta(v, h)) in nats (n); `inputs` are `hidden_input(visible)` where they are known already."""
        inputs = self.hidden_input(visible) if inputs is None else inputs
        bias = self.visible_bias if _is_one(beta) else self.base + beta * (self.visible_bias - self.base)
        hidden = softplus(inputs if _is_one(beta) else beta * inputs).sum(1)
        if self.variance is None:
            return -(visible @ bias if bias.ndim == 1 else (visible * bias).sum(1)) - hidden
        return (visible - bias).square().sum(1) / (2 * self.variance) - hidden

    def hidden_free_energy(self, hidden: Tensor) -> Tensor:
        """-log of the sum or integral over v of exp(-E(v, h)), in nats (n), at beta 1."""
        bonds = hidden @ self.weight.T  # n d
        if self.variance is None:
            visible = softplus(self.visible_bias + bonds).sum(1)
        else:
            shift = (self.visible_bias * bonds + bonds.square() / 2).sum(1) / self.variance
            visible = shift + len(self.visible_bias) / 2 * torch.log(2 * math.pi * self.variance)
        return -hidden @ self.hidden_bias - visible

    def base_log_partition(self) -> Tensor:
        """log Z at beta 0, in nats."""
        hidden = len(self.hidden_bias) * math.log(2)
        if self.variance is None:
            return softplus(self.base).sum() + hidden
        return len(self.base) / 2 * torch.log(2 * math.pi * self.variance) + hidden

    def mean_visible(self, inputs: Tensor) -> Tensor:
        """The expected visible units (n d) given their input."""
        return torch.sigmoid(inputs) if self.variance is None else inputs

    def draw_visible(self, inputs: Tensor, noise: Noise) -> Tensor:
        """Sampled visible units (n d) given their input."""
        if self.variance is not None:
            return inputs + self.variance.sqrt() * noise.normal(inputs)
        return draw(inputs, noise)

    def plain(self, kind: torch.dtype) -> Machine:
        """The same, detached, on the CPU in that dtype, for sampling and likelihoods."""
        tensors = {name: value.detach().cpu().to(kind) for name, value in vars(self).items() if value is not None}
        return replace(self, **tensors)


def draw(inputs: Tensor, noise: Noise) -> Tensor:
    """Sampled binary units (n k) with the probabilities sigmoid(inputs)."""
    return (noise.uniform(inputs) < torch.sigmoid(inputs)).to(inputs)


def _is_one(beta: float | Tensor) -> bool:
    return isinstance(beta, float) and beta == 1.0
