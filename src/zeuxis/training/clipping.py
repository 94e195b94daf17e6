"""Gradient clipping relative to the size of a player's gradient that Adam remembers, so that no few steps undo a training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

CLIP = 5.0  # lazy regularisation every 16 steps makes a gradient at most 4 times the root mean square
WARM = 100  # steps before the mean square says anything


class Clipping:
    """Clips gradients to `CLIP` times their root mean square, by the second moments of each optimizer.

    The sum of Adam's `exp_avg_sq` over all weights is the moving average of the squared norm of the gradient. Adam alone
    forgets in 1,000 steps: a gradient that grows tenfold in a few moves the weights by many times the learning rate.
    What is kept here saves work and changes no result, as long as nobody else writes to the optimizers.
    """

    def __init__(self) -> None:
        self._seen: dict[Optimizer, tuple[float, float]] = {}  # steps and the sum of the second moments, as last taken

    @torch.no_grad()
    def clip(self, optimizer: Optimizer, parameters: Sequence[Tensor], norm: Tensor) -> None:
        """Scale the gradients of `parameters`, whose norm is `norm`, in place where they are beyond the limit.

        Optimizers without second moments, and the first 100 steps, stay as they are; so does a norm that is not finite,
        which ends the training elsewhere.
        """
        states = [optimizer.state.get(parameter, {}) for parameter in parameters]
        if not states or not all("exp_avg_sq" in state for state in states):
            return
        steps, beta = torch.stack([state["step"] for state in states]), optimizer.param_groups[0]["betas"][1]
        age = steps.max()  # parameters of a later phase are younger
        on_host = norm.device.type == "cpu"  # elsewhere each comparison would wait for the device
        if on_host and (age <= WARM or self._surely_within(optimizer, float(age), beta, float(norm))):
            return
        sums = torch.stack([state["exp_avg_sq"].sum() for state in states])
        limit = CLIP * (sums / (1 - beta**steps).to(sums.device)).sum().sqrt()
        factor = torch.where((age > WARM).to(norm.device) & norm.isfinite(), (limit / norm).clamp(max=1), 1.0)
        if on_host:
            self._seen[optimizer] = float(age), float(sums.sum())
        if not on_host or factor < 1:
            torch._foreach_mul_([p.grad for p in parameters if p.grad is not None], factor)

    def _surely_within(self, optimizer: Optimizer, age: float, beta: float, norm: float) -> bool:
        """Whether the norm is within the limit whatever the gradients since the last sum were: in k steps the sum falls to
        beta^k of itself at the least."""
        if optimizer not in self._seen:
            return False
        before, total = self._seen[optimizer]
        least = 0.99 * total * beta ** (age - before) / (1 - beta**age)  # 1 % for the rounding of sums
        return bool(norm**2 <= CLIP**2 * least)
