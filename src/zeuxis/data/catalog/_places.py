"""Places on the Earth, parted by longitude into those that are learned from and those held out; pictures cut around them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from zeuxis.data.catalog import _earth
from zeuxis.data.listing import Content, Listing, Picture, Shape, evenly_spaced
from zeuxis.io import images
from zeuxis.io.images import Array

# All in pixels of the photograph, of which a degree has 15: other pictures of the Earth are cut in degrees.
_SMALLEST, _LARGEST = 64, 128  # what is cut around a place: as wide as the images are to be, within these
_STRIDE = 16  # between two places
_LAND = 0.3  # the least share of the smallest cut that is land
_NORTH, _SOUTH = 75, -60  # degrees: beyond, all is white, and drawn out sideways
# Bands of longitude, every third of them held out; nothing that is cut crosses a border. Of the others the first of each
# three come before the second of each, and as many: so the first half of the places shows other bands than the second.
_BAND = 24  # degrees


def places(land: Array, split: str) -> Array:
    """The middles (n 2: from the top and from the left) of what is cut, given where land is (h w, bool)."""
    margin, width = _LARGEST // 2, _BAND * _earth.DEGREE
    down = np.arange((90 - _NORTH) * _earth.DEGREE + margin, (90 - _SOUTH) * _earth.DEGREE - margin + 1, _STRIDE)
    within = np.arange(margin, width - margin + 1, _STRIDE)
    groups = []
    for third in (2,) if split == "test" else (0, 1):
        across = np.concatenate([band * width + within for band in range(third, _earth.WIDTH // width, 3)])
        left, top = (each.ravel() for each in np.meshgrid(across, down, indexing="ij"))
        groups.append(np.stack([top, left], 1)[_share(land, top, left) >= _LAND])
    count = min(map(len, groups))
    return np.concatenate([group[np.arange(count) * len(group) // count] for group in groups])


def _share(land: Array, top: Array, left: Array) -> Array:
    """The share of land (n) in the smallest cuts around the middles."""
    total = np.pad(land.cumsum(0, dtype=np.int32).cumsum(1, dtype=np.int32), ((1, 0), (1, 0)))
    half = _SMALLEST // 2
    a, b, c, d = top - half, top + half, left - half, left + half
    inside: Array = total[b, d] - total[a, d] - total[b, c] + total[a, c]
    return inside / _SMALLEST**2


class EarthCuts:
    """Cuts out of a picture of the whole Earth (h w c, uint8), made when it is needed; items are middles, as `300,1984`."""

    def __init__(self, make: Callable[[], Array]) -> None:
        self._make = make
        self._earth: Array | None = None

    def as_json(self) -> None:
        """Nothing that another process could use."""

    def picture(self, item: str, shape: Shape) -> Picture:
        """What is around a place."""
        if self._earth is None:
            self._earth = self._make()
        scale = self._earth.shape[1] / _earth.WIDTH
        side = round(min(max(shape.size, _SMALLEST), _LARGEST) * scale)
        top, left = (round(int(word) * scale) - side // 2 for word in item.split(","))
        cut = np.ascontiguousarray(self._earth[top : top + side, left : left + side])
        digest = hashlib.blake2b(cut.tobytes(), digest_size=16).hexdigest()
        return Picture(images.fitted(Image.fromarray(cut), *shape), (side, side), "RGB", digest)


def cuts_around(name: str, recipe: int, split: str, count: int | None, make: Callable[[], Array]) -> Listing:
    """A picture of the Earth cut around the places of a split, or around so many of them, spread evenly."""

    def gather() -> Content:
        found = places(_earth.land(), split)
        chosen = found[evenly_spaced(len(found), count)]
        return Content([f"{top},{left}" for top, left in chosen], EarthCuts(make))

    return Listing(name if split == "train" else f"{name}-{split}", f"{name} {recipe} {split} {count}", gather)
