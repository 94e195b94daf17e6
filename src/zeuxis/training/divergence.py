"""Detection of the first value of a training run that is not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from zeuxis.errors import DivergedError


class FiniteCheck:
    """Finds the first value that is not finite: at every step on a CPU, else every 16 steps to avoid synchronisation."""

    def __init__(self, *, eager: bool) -> None:
        self._patience = 1 if eager else 16
        self._seen: list[tuple[int, dict[str, Tensor]]] = []

    def see(self, step: int, report: dict[str, Tensor]) -> None:
        """Record the report of a step; `DivergedError` where one of the checked reports is not finite."""
        self._seen.append((step, report))
        if len(self._seen) >= self._patience:
            self.flush()

    def flush(self) -> None:
        """Raise `DivergedError` at the first term that is not finite."""
        seen, self._seen = self._seen, []
        if not seen or bool(torch.isfinite(torch.stack([v for _, report in seen for v in report.values()]).sum())):
            return
        for step, report in seen:
            for name, value in report.items():
                if not math.isfinite(value.item()):
                    raise _diverged(step, name, value.item())


def check_finite(tensors: Mapping[str, Mapping[str, Tensor]], step: int) -> None:
    """Raise `DivergedError` naming the first tensor that is not finite: reported terms first, then weights."""
    for group in sorted(tensors, key=lambda name: name != "sums"):
        floats = {name: value for name, value in tensors[group].items() if value.is_floating_point()}
        if not floats or bool(torch.stack([value.isfinite().all() for value in floats.values()]).all()):
            continue
        name = next(name for name, value in floats.items() if not bool(value.isfinite().all()))
        raise DivergedError(f"{group}: {name} is not finite at step {step}; try a lower --lr, or another --seed")


def _diverged(step: int, name: str, value: float) -> DivergedError:
    player, _, term = name.rpartition("/")
    what = f"the gradient of {player}" if term == "grad_norm" else f"the term '{term}' of {player}"
    return DivergedError(f"{what} is {value} at step {step}; try a lower --lr, or another --seed")
