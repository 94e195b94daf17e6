"""What the game of losses is played with: a batch, a clock, and turns."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """A training batch; `Model.needs` names the columns that the losses read."""

    image: Tensor  # n c h w, in [-1, 1]: what it should make
    source: Tensor | None = None  # n c h w: what it is given (translation, super-resolution)
    label: Tensor | None = None  # n, a class; or n k, attributes in {0, 1}


@dataclass(frozen=True)
class Clock:
    """Training progress: steps done, and images seen.

    A step has `micro_batches`, each with a game of its own.
    """

    step: int = 0
    images: int = 0
    micro_batches: int = field(default=1, compare=False)

    def after(self, images: int) -> Clock:
        """One step of so many images later."""
        return replace(self, step=self.step + 1, images=self.images + images)


# A player and its loss as named terms. The player None only reports: scalars, or values for each image (n ...).
Turn = tuple[str | None, dict[str, Tensor]]
