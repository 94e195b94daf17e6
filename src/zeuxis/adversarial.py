"""What adversaries play for: pairs of losses on scores, verdicts, and penalties that keep a discriminator smooth."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Pair(NamedTuple):
    """The two sides of a game, each a mean over scores (any shape): what the discriminator pays on real and on
    fake images, what the generator pays to fool it, and the verdict (n, in [0, 1]) that a score stands for."""

    real: Callable[[Tensor], Tensor]
    fake: Callable[[Tensor], Tensor]
    fool: Callable[[Tensor], Tensor]
    verdict: Callable[[Tensor], Tensor]


# Goodfellow 2014: D maximises log D(x) + log(1 - D(G(z))); the generator minimises -log D(G(z)), or, saturating,
# log(1 - D(G(z))). Scores are logits, so -log D(x) = softplus(-score).
_non_saturating = Pair(
    real=lambda score: F.softplus(-score).mean(),
    fake=lambda score: F.softplus(score).mean(),
    fool=lambda score: F.softplus(-score).mean(),
    verdict=torch.sigmoid,
)
_saturating = _non_saturating._replace(fool=lambda score: -F.softplus(score).mean())

# Mao 2017, with a = 0, b = c = 1.
_least_squares = Pair(
    real=lambda score: (score - 1).square().mean(),
    fake=lambda score: score.square().mean(),
    fool=lambda score: (score - 1).square().mean(),
    verdict=lambda score: score.clamp(0, 1),
)

# Lim 2017; the margins at -1 and 1 are the certain verdicts.
_hinge = Pair(
    real=lambda score: F.relu(1 - score).mean(),
    fake=lambda score: F.relu(1 + score).mean(),
    fool=lambda score: -score.mean(),
    verdict=lambda score: (score.clamp(-1, 1) + 1) / 2,
)

PAIRS = {"non-saturating": _non_saturating, "saturating": _saturating, "least-squares": _least_squares, "hinge": _hinge}


def r1(discriminator: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """Half the mean squared norm of the score's gradient at real images (n c h w): Mescheder 2018, equation 9."""
    real = real.detach().requires_grad_(True)
    with torch.autocast(real.device.type, enabled=False):  # squares of small gradients underflow in half precision
        score = discriminator(real.float()).sum()
        (gradient,) = torch.autograd.grad(score, real, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean() / 2
