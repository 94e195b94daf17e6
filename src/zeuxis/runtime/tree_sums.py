"""Sums of tensors in the order of a binary tree, whatever shares they are added in."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def tree_sum(parts: Sequence[Tensor]) -> Tensor:
    """The sum of neighbours, then of neighbouring sums, and so on (in place): sums of shares thus add up to the same bits."""
    total = TreeSum()
    for part in parts:
        total.add([part])
    (found,) = total.sums()
    assert found is not None
    return found


class TreeSum:
    """Sums of tensors in a fixed order, that of a binary tree, of which no more than one part a level is kept."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, list[Tensor | None]]] = []

    def add(self, part: Sequence[Tensor | None]) -> None:
        """Add a part, which is then owned; None counts as zero."""
        level, sums = 0, list(part)
        while self._waiting and self._waiting[-1][0] == level:
            sums, level = _plus(self._waiting.pop()[1], sums), level + 1
        self._waiting.append((level, sums))

    def sums(self) -> list[Tensor | None]:
        """The sums of all parts."""
        found = self._waiting.pop()[1]
        while self._waiting:
            found = _plus(self._waiting.pop()[1], found)
        return found


def _plus(left: list[Tensor | None], right: list[Tensor | None]) -> list[Tensor | None]:
    both = [(a, b) for a, b in zip(left, right) if a is not None and b is not None]
    if both:
        torch._foreach_add_([a for a, _ in both], [b for _, b in both])
    return [b if a is None else a for a, b in zip(left, right)]
