"""Learning-rate schedules as functions of the images seen."""

from __future__ import annotations

from typing import Any

from zeuxis.options import option


def decay_option(start: int) -> Any:
    """The option for the start of the decay in `decayed`."""
    meaning = "images after which the learning rate decays with their inverse square root; 0: constant"
    return option(start, meaning, low=0, group="optimisation")


def decayed(start: int, images: int) -> float:
    """The learning-rate multiplier after so many images: 1 up to `start`, then sqrt(start / images); 1 if `start` is 0.

    The inverse square root decay (Karras 2024, equation 67) needs no final step. A lower rate removes residual grain.
    """
    return min(1.0, (start / max(images, 1)) ** 0.5) if start else 1.0


def risen(warmup: int, images: int) -> float:
    """The learning-rate multiplier after so many images: linear up to `warmup`, then 1."""
    return min(1.0, (images + 1) / warmup) if warmup else 1.0
