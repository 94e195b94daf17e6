"""Adaptive discriminator augmentation (Karras 2020, https://arxiv.org/abs/2006.06676): as much of it as overfitting asks for."""

from __future__ import annotations

import math
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EVERY = 4  # batches between two looks at whether the discriminator overfits (section 3.1)


class Adaptive(nn.Module):
    """Images (n c h w) augmented at random, real and made alike, each change with a probability that follows how many
    more real images than not the discriminator takes for real: the less it generalises, the nearer to all.

    State is in buffers: a run that is resumed goes on with it.
    """

    probability: Tensor  # of each change
    signs: Tensor  # 3: of scores of real images since the last look, their sum and number; and batches since

    def __init__(self, *, target: float, images: int) -> None:
        super().__init__()
        self.target, self.images = target, images
        self.register_buffer("probability", torch.zeros(()))
        self.register_buffer("signs", torch.zeros(3))

    def forward(self, image: Tensor) -> Tensor:
        if self.target == 0:
            return image
        with torch.autocast(image.device.type, enabled=False):
            moved = transformed(image.float(), geometry(len(image), image.shape[-1], self.probability))
            return recoloured(moved, colours(len(image), image.shape[1], self.probability))

    @torch.no_grad()
    def look(self, scores: Tensor) -> None:
        """Note the discriminator's scores of real images; every few batches move the probability by as much as their
        images allow: up where the mean sign of scores is above the target, else down. Without a target it stays 0."""
        if self.target == 0:
            return
        self.signs += torch.stack([scores.float().sign().sum(), scores.new_tensor(scores.numel()), scores.new_ones(())])
        total, count, batches = self.signs.unbind()
        due = batches >= EVERY
        step = torch.sign(total / count - self.target) * count / self.images
        self.probability.copy_((self.probability + due * step).clamp(0, 1))
        self.signs.mul_(~due)


class Draw:
    """Random changes for n images, each image's with its own chance; what chance spares is given 0, no change."""

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
    """Random maps of the plane (n 3 3): where a point goes, seen from the centre in half widths of the square image.

    In this order: mirrored, turned by quarters, shifted by whole pixels up to an eighth; enlarged, turned, stretched,
    turned, shifted by any amount. Each with probability p; the strengths are those of the paper's appendix B.
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
    """Random maps of colours (n c+1 c+1, the last coordinate being 1): brightness, contrast, light and dark exchanged,
    hue turned (of three channels), saturation. Each with probability p; strengths as above."""
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


def scaled(x: Tensor, y: Tensor) -> Tensor:
    """The maps (n 3 3) that scale the plane by so much (n each)."""
    return _affine(torch.diag_embed(torch.stack([x, y], 1)))


def turned(angle: Tensor) -> Tensor:
    """The maps (n 3 3) that turn the plane by these angles (n), in radians from x towards y."""
    cos, sin = angle.cos(), angle.sin()
    return _affine(torch.stack([cos, -sin, sin, cos], 1).view(-1, 2, 2))


def shifted(by: Tensor) -> Tensor:
    """The maps (n 3 3) that shift the plane (n 2: x, y), by widths of the image, which is 2 wide."""
    return _affine(torch.eye(2, device=by.device).expand(len(by), -1, -1), 2 * by)


def hue(angle: Tensor) -> Tensor:
    """The maps of three colours (n 3 3) that turn about the axis of greys by these angles (n), in radians (Rodrigues)."""
    along = angle.new_full((3, 3), 1 / 3)
    across = angle.new_tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / 3**0.5
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    return cos * torch.eye(3, device=angle.device) + sin * across + (1 - cos) * along


def transformed(image: Tensor, maps: Tensor) -> Tensor:
    """Images (n c h w, square) moved as the maps (n 3 3) say, mirrored at their border; between pixels bicubic."""
    back = torch.linalg.inv(maps)[:, :2]
    grid = F.affine_grid(back, list(image.shape), align_corners=False)
    return F.grid_sample(image, grid, mode="bicubic", padding_mode="reflection", align_corners=False)


def recoloured(image: Tensor, maps: Tensor) -> Tensor:
    """Images (n c h w) with their colours mapped (n c+1 c+1)."""
    turned_colours = torch.einsum("noc,nchw->nohw", maps[:, :-1, :-1], image)
    return turned_colours + maps[:, :-1, -1, None, None]


def _affine(matrix: Tensor, shift: Tensor | None = None) -> Tensor:
    """The maps (n d+1 d+1) of a matrix (n d d) and a shift (n d)."""
    n, d, _ = matrix.shape
    added = matrix.new_zeros(n, d) if shift is None else shift
    last = F.one_hot(torch.tensor(d), d + 1).to(matrix).expand(n, 1, -1)
    return torch.cat([torch.cat([matrix, added[..., None]], 2), last], 1)
