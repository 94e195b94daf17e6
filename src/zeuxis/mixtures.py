"""Mixtures of latents: weighted sums that are latents themselves, by the way in which the weights are scaled."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

# Weights of norm 1 keep the variance of independent latents, and their mean where that is zero: a mixture of Gaussian
# latents is a draw of the prior. Weights of sum 1 keep any mean, and stay between the latents.
Mixture = Literal["norm", "sum"]


def mix_latents(latents: Tensor, weights: Tensor, mixture: Mixture) -> Tensor:
    """Weighted sums (n ...) of latents (n k ...); the weights (n k) are divided by their Euclidean norm, or their sum."""
    exact = weights.cpu().double()  # few numbers, and MPS has no float64
    whole = exact.norm(dim=1, keepdim=True) if mixture == "norm" else exact.sum(1, keepdim=True)
    return torch.einsum("nk,nk...->n...", (exact / whole).to(latents), latents)
