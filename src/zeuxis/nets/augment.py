"""Differentiable augmentation of a discriminator's input against overfitting (DiffAugment, Zhao 2020); jitter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from zeuxis.options import option

JitterMode = Literal["reflect", "resize"]
Augment = Literal["none", "auto", "ada", "translation", "translation+cutout", "color+translation+cutout"]


def augment(image: Tensor, policy: Augment) -> Tensor:
    """Images (n c h w), augmented at random by the policy; differentiable."""
    for name in policy.split("+"):
        image = _WAYS[name](image)
    return image


def _each(image: Tensor) -> Tensor:
    return torch.rand(image.shape[0], 1, 1, 1, device=image.device, dtype=image.dtype)


def color(image: Tensor) -> Tensor:
    """Brightness by up to 0.5, saturation by 0 to 2, contrast by 0.5 to 1.5."""
    image = image + _each(image) - 0.5
    grey = image.mean(1, keepdim=True)
    image = (image - grey) * (_each(image) * 2) + grey
    mean = image.mean((1, 2, 3), keepdim=True)
    return (image - mean) * (_each(image) + 0.5) + mean


def translation(image: Tensor, ratio: float = 0.125, *, p: Tensor | None = None, mirror: bool = False) -> Tensor:
    """Random translation by up to an eighth of the size: of all images, or of each with probability p (a scalar).

    Beyond the border is zero, a grey, or with `mirror` the reflected image: on a white ground grey would be a line.
    """
    n, _, h, w = image.shape
    reach_y, reach_x = int(h * ratio + 0.5), int(w * ratio + 0.5)
    dy = torch.randint(-reach_y, reach_y + 1, (n, 1, 1), device=image.device)
    dx = torch.randint(-reach_x, reach_x + 1, (n, 1, 1), device=image.device)
    if p is not None:
        moved = torch.rand(n, 1, 1, device=image.device) < p
        dy, dx = dy * moved, dx * moved
    rows = torch.arange(h, device=image.device).view(1, h, 1) + dy
    columns = torch.arange(w, device=image.device).view(1, 1, w) + dx
    if mirror:
        rows, columns = _reflected(rows, h), _reflected(columns, w)
    else:
        rows, columns, image = (rows + 1).clamp(0, h + 1), (columns + 1).clamp(0, w + 1), F.pad(image, (1, 1, 1, 1))
    which = torch.arange(n, device=image.device).view(n, 1, 1)
    return image.permute(0, 2, 3, 1)[which, rows, columns].permute(0, 3, 1, 2)


def _reflected(places: Tensor, size: int) -> Tensor:
    """Places within 0 to size - 1, those beyond reflected at the outermost pixels."""
    return size - 1 - (size - 1 - places.abs()).abs()


def cutout(image: Tensor, ratio: float = 0.5) -> Tensor:
    """Cutout: one square of half the size set to zero."""
    n, _, h, w = image.shape
    top = torch.randint(0, h + 1, (n, 1, 1, 1), device=image.device)
    left = torch.randint(0, w + 1, (n, 1, 1, 1), device=image.device)
    rows = torch.arange(h, device=image.device).view(1, 1, h, 1)
    columns = torch.arange(w, device=image.device).view(1, 1, 1, w)
    half_h, half_w = int(h * ratio / 2), int(w * ratio / 2)
    hole = ((rows - top).abs() <= half_h) & ((columns - left).abs() <= half_w)
    return image.masked_fill(hole, 0.0)


def jitter_scale_option() -> Any:
    """The option for the factor of `jitter`: 286 of 256 pixels in the paper."""
    meaning = "random jitter: images are enlarged by this factor and cropped back; 1: off"
    return option(1.117, meaning, low=1, high=2, group="data")


def jitter_mode_option() -> Any:
    """The option for the mode of `jitter`."""
    return option("reflect", "how jitter enlarges: reflection padding, or resizing as in the paper", group="data")


def jitter(images: Sequence[Tensor], by: float, enlarge: JitterMode = "reflect") -> list[Tensor]:
    """Paired images (each n c h w), enlarged by a factor and cropped back at one random position (Isola 2017).

    `reflect` enlarges by reflection padding; `resize`, as in the paper, by interpolation, which blurs.
    """
    n, _, h, w = images[0].shape
    tall, wide = math.ceil(h * by), math.ceil(w * by)
    if (tall, wide) == (h, w):
        return list(images)
    grown = [_enlarged(image, tall, wide, enlarge) for image in images]
    if images[0].device.type != "cpu":
        return _windows(grown, h, w)
    # On a CPU slices are faster than an index.
    tops, lefts = torch.randint(tall - h + 1, (n,)).tolist(), torch.randint(wide - w + 1, (n,)).tolist()
    crops = [
        [image[i : i + 1, :, top : top + h, left : left + w] for i, (top, left) in enumerate(zip(tops, lefts))]
        for image in grown
    ]
    return [torch.cat(each) for each in crops]


def _windows(images: Sequence[Tensor], height: int, width: int) -> list[Tensor]:
    """Paired images (each n c height width), cropped at random positions that are drawn on their device."""
    n, _, tall, wide = images[0].shape
    device = images[0].device
    rows = torch.randint(tall - height + 1, (n, 1, 1), device=device) + torch.arange(height, device=device)[:, None]
    columns = torch.randint(wide - width + 1, (n, 1, 1), device=device) + torch.arange(width, device=device)
    which = torch.arange(n, device=device).view(n, 1, 1)
    return [image.permute(0, 2, 3, 1)[which, rows, columns].permute(0, 3, 1, 2) for image in images]


def random_symmetry(images: Sequence[Tensor], *, p: Tensor | None = None) -> list[Tensor]:
    """Paired images (each n c h h) under one random symmetry of the square, flips and rotations by 90 degrees: all of them,
    or each pair with probability p (a scalar)."""
    if p is not None and p.device.type == "cpu" and not p:  # known there without waiting for a device
        return list(images)
    ways = torch.rand(3, images[0].shape[0], 1, 1, 1, device=images[0].device) < 0.5
    if p is not None:
        ways = ways & (torch.rand(ways.shape[1:], device=ways.device) < p)
    turn: list[Tensor] = []
    for image in images:
        image = torch.where(ways[0], image.flip(-1), image)
        image = torch.where(ways[1], image.flip(-2), image)
        turn.append(torch.where(ways[2], image.transpose(-1, -2), image))
    return turn


def _enlarged(image: Tensor, tall: int, wide: int, how: JitterMode) -> Tensor:
    if how == "resize":
        return F.interpolate(image, (tall, wide), mode="bilinear", align_corners=False)
    above, beside = tall - image.shape[-2], wide - image.shape[-1]
    return F.pad(image, (beside // 2, beside - beside // 2, above // 2, above - above // 2), mode="reflect")


_WAYS = {"none": lambda image: image, "color": color, "translation": translation, "cutout": cutout}
