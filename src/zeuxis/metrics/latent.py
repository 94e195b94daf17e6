"""Perceptual path length: the smoothness of images along latent paths."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from zeuxis.runtime.accelerator import to_float64

PATH_STEP = 1e-3  # share of the path; a smaller step would drown in the rounding of float32


def squared_speeds(
    decode: Callable[[Tensor], Tensor], features: Callable[[Tensor], Tensor], start: Tensor, end: Tensor, *, step: float
) -> Tensor:
    """Squared speed (n) of the features of decoded images, between latents (n ...) that are `step` apart on their paths.

    Its mean over random paths and positions is the perceptual path length (Karras 2019, https://arxiv.org/abs/1812.04948,
    equation 2), there with a network of its own as the distance: it compares models under one feature network only.
    """
    change = to_float64(features(decode(end)) - features(decode(start))) / step
    return change.square().sum(1)
