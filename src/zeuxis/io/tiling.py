"""Images made larger by a model that can: of any size, tile by tile where they are large, with their opacity."""

from __future__ import annotations

import math
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
    large = (layers.colour.width * model.scale, layers.colour.height * model.scale)
    colour = Image.new(layers.colour.mode, large)
    for (left, top), part in enlarged_tiles(model, layers.colour, side=side):
        colour.paste(part, (left, top))
    opacity = layers.opacity and layers.opacity.resize(large, Image.Resampling.BICUBIC)
    return merge_alpha(Layers(colour, opacity))


def enlarged_tiles(
    model: Enlarges, image: Image.Image, *, side: int = TILE
) -> Iterator[tuple[tuple[int, int], Image.Image]]:
    """What a model makes of an image (L or RGB), tile by tile from the middle on: left and top in the whole, and the tile.

    Only a tile at a time is in floating point.
    """
    pixels = np.asarray(image.convert("L" if model.source_channels == 1 else "RGB"))
    height, width = pixels.shape[:2]
    hues: list[Image.Image] = []
    if image.mode == "RGB" and model.channels == 1:
        large = (width * model.scale, height * model.scale)
        hues = [hue.resize(large, Image.Resampling.BICUBIC) for hue in image.convert("YCbCr").split()[1:]]
    middle = height * model.scale / 2, width * model.scale / 2

    def distance(tile: Tile) -> float:
        return math.dist([(part.start + part.stop) / 2 for part in tile.place], middle)

    for tile in sorted(tiles(height, width, model, side), key=distance):
        rows, columns = tile.place
        part = _enlarged_tile(model, pixels, tile)
        if hues:
            cut = (columns.start, rows.start, columns.stop, rows.stop)
            part = Image.merge("YCbCr", (part, *(hue.crop(cut) for hue in hues))).convert("RGB")
        yield (columns.start, rows.start), part.convert(image.mode)


@torch.no_grad()
def _enlarged_tile(model: Enlarges, pixels: Array, tile: Tile) -> Image.Image:
    """What is made (L or RGB) of a tile of an image (h w, or h w c, uint8)."""
    given = pixels[tile.given]
    made = model.translate(from_uint8(given.reshape(1, *given.shape[:2], -1)).to(model.device))
    kept = np.ascontiguousarray(to_uint8(made)[0][tile.kept])
    return Image.fromarray(kept[..., 0] if model.channels == 1 else kept)
