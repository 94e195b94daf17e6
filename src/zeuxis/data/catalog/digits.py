"""Handwritten digits: 1,797 grey images of 8x8 pixels, part of the package (Alpaydin and Kaynak 1998, UCI; CC BY 4.0)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zeuxis.data import idx
from zeuxis.data.catalog._dataset import Dataset
from zeuxis.data.listing import Content, Listing

_TEST = 5  # every fifth is held out
_FOLDER = Path(__file__).parent / "bundled"


def _listing(split: str, count: int | None) -> Listing:
    """The images of a split, or the first of them."""

    def gather() -> Content:
        pixels, labels = (idx.read_idx(_FOLDER / f"digits-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1"))
        chosen = np.flatnonzero((np.arange(len(pixels)) % _TEST == 0) == (split == "test"))[:count]
        bright = np.rint(pixels[chosen] * (255 / 16)).astype(np.uint8)  # they count to 16
        return idx.content_of(bright, labels[chosen], "digits", classes=[str(i) for i in range(10)])

    return Listing("digits" if split == "train" else f"digits-{split}", f"digits 1 {split} {count}", gather)


DIGITS = Dataset(8, 1, _listing)
