"""Random affine maps and colour transforms of images (ADA, Karras 2020, appendix B); the same, labelled (Karras 2022)."""

from __future__ import annotations

import math
from functools import reduce
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from zeuxis.options import option

MOVES = 6  # numbers of a label of `moved_at_random`
MOVED = 0.12  # probability of each transform there (Karras 2022, table 7)

LabelledAugment = Literal["none", "affine"]


def labelled_augment_option() -> Any:
    """The option for the labelled augmentation of `moved_at_random`."""
    meaning = "augmentation of the images: affine maps, told to the network as labels that samples lack (Karras 2022)"
    return option("none", meaning, group="losses", of_weights=True)


class Draw:
    """Random parameters for n images, each with probability p; 0, no change, otherwise."""

    def __init__(self, n: int, p: Tensor) -> None:
        self.n, self.p = n, p

    def _some(self, values: Tensor, p: Tensor | None = None) -> Tensor:
        hit = torch.rand(self.n, device=self.p.device) < (self.p if p is None else p)
        return values * hit.view(-1, *(1 for _ in values.shape[1:]))

    def normal(self, spread: float, *shape: int) -> Tensor:
        """From N(0, spread^2): n ..."""
        return self._some(torch.randn(self.n, *shape, device=self.p.device) * spread)

    def uniform(self, reach: float, *shape: int, p: Tensor | None = None) -> Tensor:
        """Between -reach and reach: n ..."""
        return self._some((torch.rand(self.n, *shape, device=self.p.device) * 2 - 1) * reach, p)

    def whole(self, below: int) -> Tensor:
        """Whole numbers 0 ... below - 1: n."""
        return self._some(torch.randint(below, (self.n,), device=self.p.device))


def geometry(n: int, size: int, p: Tensor) -> Tensor:
    """Random affine transforms (n 3 3) about the centre, in half widths of the square image.

    In this order: flip, rotation by 90 degrees, integer translation up to an eighth; isotropic scaling, rotation,
    anisotropic scaling, rotation, fractional translation. Each with probability p; strengths as in appendix B of the paper.
    """
    draw, either = Draw(n, p), 1 - (1 - p).sqrt()  # of two turns, so that one or both happen with probability p
    stretch = draw.normal(0.2)
    maps = [
        scaled(1.0 - 2 * draw.whole(2), torch.ones(n, device=p.device)),
        turned(draw.whole(4) * (math.pi / 2)),
        shifted((draw.uniform(0.125, 2) * size).round() / size),
        scaled(*2 * [draw.normal(0.2).exp2()]),
        turned(draw.uniform(math.pi, p=either)),
        scaled(stretch.exp2(), (-stretch).exp2()),
        turned(draw.uniform(math.pi, p=either)),
        shifted(draw.normal(0.125, 2)),
    ]
    return reduce(lambda done, each: each @ done, maps)


def colours(n: int, channels: int, p: Tensor) -> Tensor:
    """Random colour transforms (n c+1 c+1, homogeneous): brightness, contrast, luma flip,
    hue rotation (of three channels), saturation. Each with probability p; strengths as above."""
    draw = Draw(n, p)
    grey = torch.full((channels,), channels**-0.5, device=p.device)  # the axis of greys
    along, whole = torch.outer(grey, grey), torch.eye(channels, device=p.device)
    maps = [
        _affine(whole.expand(n, -1, -1), draw.normal(0.2)[:, None].expand(n, channels)),
        _affine(whole * draw.normal(0.5).exp2()[:, None, None]),
        _affine(whole - 2 * along * draw.whole(2)[:, None, None]),
        *([_affine(hue(draw.uniform(math.pi)))] if channels == 3 else []),
        _affine(along + (whole - along) * draw.normal(1.0).exp2()[:, None, None]),
    ]
    return reduce(lambda done, each: each @ done, maps)


def moved_at_random(image: Tensor, p: float = MOVED) -> tuple[Tensor, Tensor]:
    """Images (n c h w) under the transforms of `geometry`, and labels (n 6): the affine map of each less the identity.

    Non-leaking augmentation (Karras 2022, appendix F.2): a network with these labels draws unmoved images at label 0.
    """
    with torch.autocast(image.device.type, enabled=False):
        maps = geometry(len(image), image.shape[-1], torch.full((), p, device=image.device))
        moved = transformed(image.float(), maps)
    return moved, (maps - torch.eye(3, device=image.device))[:, :2].flatten(1)


def scaled(x: Tensor, y: Tensor) -> Tensor:
    """Scaling matrices (n 3 3) by these factors (n each)."""
    return _affine(torch.diag_embed(torch.stack([x, y], 1)))


def turned(angle: Tensor) -> Tensor:
    """Rotation matrices (n 3 3) by these angles (n), in radians from x towards y."""
    cos, sin = angle.cos(), angle.sin()
    return _affine(torch.stack([cos, -sin, sin, cos], 1).view(-1, 2, 2))


def shifted(by: Tensor) -> Tensor:
    """Translation matrices (n 3 3) by shifts (n 2: x, y) in widths of the image, which is 2 wide."""
    return _affine(torch.eye(2, device=by.device).expand(len(by), -1, -1), 2 * by)


def hue(angle: Tensor) -> Tensor:
    """Hue rotations (n 3 3) about the grey axis by these angles (n), in radians (Rodrigues)."""
    along = angle.new_full((3, 3), 1 / 3)
    # Constants are drawn up where the angles are: a copy from the host would wait for the device.
    whole = torch.eye(3, device=angle.device)
    across = (whole.roll(1, 0) - whole.roll(1, 1)) / 3**0.5
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    return cos * whole + sin * across + (1 - cos) * along


def transformed(image: Tensor, maps: Tensor) -> Tensor:
    """Images (n c h w, square) under affine transforms (n 3 3): reflection padding, bicubic interpolation."""
    back = torch.linalg.inv_ex(maps).inverse[:, :2]  # `inv` waits for the device to see whether one is singular
    grid = F.affine_grid(back, list(image.shape), align_corners=False)
    return F.grid_sample(image, grid, mode="bicubic", padding_mode="reflection", align_corners=False)


def recoloured(image: Tensor, maps: Tensor) -> Tensor:
    """Images (n c h w) under colour transforms (n c+1 c+1)."""
    turned_colours = torch.einsum("noc,nchw->nohw", maps[:, :-1, :-1], image)
    return turned_colours + maps[:, :-1, -1, None, None]


def _affine(matrix: Tensor, shift: Tensor | None = None) -> Tensor:
    """Homogeneous matrices (n d+1 d+1) from a matrix (n d d) and a translation (n d)."""
    n, d, _ = matrix.shape
    added = matrix.new_zeros(n, d) if shift is None else shift
    last = torch.eye(d + 1, dtype=matrix.dtype, device=matrix.device)[-1:].expand(n, 1, -1)
    return torch.cat([torch.cat([matrix, added[..., None]], 2), last], 1)
