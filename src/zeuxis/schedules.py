"""How learning rates change with the images seen: functions of the clock."""

from __future__ import annotations

from typing import Any

from zeuxis.options import option


def decay_option(start: int) -> Any:
    """The option that says from when on a rate falls, for `decayed`."""
    meaning = "images after which the learning rate decays with their inverse square root; 0: constant"
    return option(start, meaning, low=0, group="optimisation")


def decayed(start: int, images: int) -> float:
    """What a learning rate is multiplied by after so many images: 1 up to `start`, then the root of start / images
    (Karras 2024, equation 67), without an end that would have to be known; always 1 if `start` is 0.

    Grain that networks leave at one rate goes at a lower one.
    """
    return min(1.0, (start / max(images, 1)) ** 0.5) if start else 1.0


def risen(warmup: int, images: int) -> float:
    """What a learning rate is multiplied by after so many images: in proportion to them up to `warmup`, then 1."""
    return min(1.0, (images + 1) / warmup) if warmup else 1.0
