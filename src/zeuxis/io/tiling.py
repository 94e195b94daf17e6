"""Images made larger by a model that can: of any size, tile by tile where they are large, with their opacity."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zeuxis.io.images import Array, from_uint8, to_uint8
from zeuxis.io.pixel_modes import Layers, merge_alpha, split_alpha

TILE = 192  # pixels, height and width, of a source that is enlarged at once


class Enlarges(Protocol):
    """What enlarges here: a `zeuxis.SuperResolution` is one."""

    @property
    def scale(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def source_channels(self) -> int: ...
    @property
    def receptive_radius(self) -> int: ...
    @property
    def device(self) -> torch.device: ...
    def translate(self, source: Tensor) -> Tensor: ...


class Tile(NamedTuple):
    """The part of a source that is given, the part of what is made of that which is kept, and where it goes: rows, columns."""

    given: tuple[slice, slice]
    kept: tuple[slice, slice]
    place: tuple[slice, slice]


def tiles(height: int, width: int, model: Enlarges, side: int = TILE) -> Iterator[Tile]:
    """What a source is enlarged in: tiles that see as much around them as the model's `receptive_radius`.

    So what is made is what it would be at once, but for the rounding of sums.
    """
    for top in range(0, height, side):
        for left in range(0, width, side):
            both = [_cut(top, height, model, side), _cut(left, width, model, side)]
            given, kept, place = zip(*both)
            yield Tile(given, kept, place)


def _cut(start: int, most: int, model: Enlarges, side: int) -> tuple[slice, slice, slice]:
    """The same along one axis."""
    end, first, scale = min(start + side, most), max(0, start - model.receptive_radius), model.scale
    kept = slice((start - first) * scale, (end - first) * scale)
    return slice(first, end + model.receptive_radius), kept, slice(start * scale, end * scale)


@torch.no_grad()
def enlarged(model: Enlarges, source: Tensor, *, side: int = TILE) -> Tensor:
    """The images (n c h*scale w*scale, in [-1, 1], on the CPU) that a model makes of sources (n c h w)."""
    count, _, height, width = source.shape
    whole = torch.empty(count, model.channels, height * model.scale, width * model.scale)
    several = max(1, side**2 // (height * width))
    for start in range(0, count, several):
        given, target = source[start : start + several], whole[start : start + several]
        for tile in tiles(height, width, model, side):
            made = model.translate(given[..., tile.given[0], tile.given[1]].to(model.device))
            target[..., tile.place[0], tile.place[1]] = made[..., tile.kept[0], tile.kept[1]].float().cpu()
    return whole


def photograph(model: Enlarges, image: Image.Image, *, side: int = TILE) -> Image.Image:
    """An image (of a mode that `images.whole` gives) made larger: L, LA, RGB or RGBA.

    Grey stays grey. Opacity is enlarged bicubically, and so are the hues of colours by a model of grey images.
    """
    layers = split_alpha(image)
    colour = _made(model, layers.colour, side)
    opacity = layers.opacity and layers.opacity.resize(colour.size, Image.Resampling.BICUBIC)
    return merge_alpha(Layers(colour, opacity))


def _made(model: Enlarges, image: Image.Image, side: int) -> Image.Image:
    made = _pixels_made(model, np.asarray(image.convert("L" if model.source_channels == 1 else "RGB")), side)
    large = Image.fromarray(made[..., 0] if made.shape[2] == 1 else made)
    if image.mode == "L" or large.mode == "RGB":
        return large.convert(image.mode)
    hues = image.convert("YCbCr").resize(large.size, Image.Resampling.BICUBIC).split()[1:]
    return Image.merge("YCbCr", (large, *hues)).convert("RGB")


@torch.no_grad()
def _pixels_made(model: Enlarges, pixels: Array, side: int) -> Array:
    """What is made (h w c, uint8) of an image (h w, or h w c): only a tile at a time is in floating point."""
    height, width = pixels.shape[:2]
    whole = np.empty((height * model.scale, width * model.scale, model.channels), np.uint8)
    for tile in tiles(height, width, model, side):
        given = pixels[tile.given]
        made = model.translate(from_uint8(given.reshape(1, *given.shape[:2], -1)).to(model.device))
        whole[tile.place] = to_uint8(made)[0][tile.kept]
    return whole
