"""Images in one array of NumPy, PyTorch or their like, with the labels given beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from zeuxis.data.listing import Content, Labels, Numbered, Picture, Shape
from zeuxis.data.values.labels import chosen, digest_of
from zeuxis.data.values.pixels import Ends, as_image, black_of, channels_last, check_kind, to_8bit
from zeuxis.io import images
from zeuxis.io.images import Array

_AT_ONCE = 1 << 24  # values of an array that are looked at in one go


class ArrayImages:
    """Images (n h w c, uint8, bool or floating point) and their labels."""

    name = "array"

    def __init__(self, array: Array, labels: Labels) -> None:
        check_kind(array, "the array")
        self.array, self.labels = channels_last(array, "the array"), labels
        self.black = black_of(_ends(self.array), "the array") if array.dtype.kind == "f" else 0.0

    def __len__(self) -> int:
        return len(self.array)

    def digests(self) -> Iterator[str]:
        """Of each image in 8 bits: the same values of another type or layout give the same."""
        return (_digest(self._pixels(place)) for place in range(len(self)))

    def labels_digest(self) -> str:
        """Of the labels and their names."""
        return digest_of(self.labels)

    def content(self) -> Content:
        """The images, named by their places."""
        return Content(Numbered([("", len(self))]), self, partial(chosen, self.labels))

    def as_json(self) -> None:
        """Nothing that another process could use."""

    def picture(self, item: str, shape: Shape) -> Picture:
        """The image at a place."""
        return self.fetch(item)(shape)

    def fetch(self, item: str) -> Callable[[Shape], Picture]:
        """The image at a place, copied; what fits it into a shape."""
        pixels = self._pixels(int(item)).copy()
        return partial(_fitted, pixels)

    def _pixels(self, place: int) -> Array:
        return to_8bit(self.array[place], self.black)


def _fitted(pixels: Array, shape: Shape) -> Picture:
    image = as_image(pixels)
    return Picture(images.fitted(image, *shape), image.size, image.mode, _digest(pixels))


def _digest(pixels: Array) -> str:
    about: Any = repr(pixels.shape).encode()
    return hashlib.blake2b(about + pixels.tobytes(), digest_size=16).hexdigest()


def _ends(array: Array) -> Ends:
    ends, rows = Ends(), max(1, _AT_ONCE // max(1, int(np.prod(array.shape[1:]))))
    for start in range(0, len(array), rows):
        ends = ends.with_values(array[start : start + rows])
    return ends
