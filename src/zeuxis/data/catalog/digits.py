"""Handwritten digits: 1,797 grey images of 8x8 pixels, from inside scikit-learn (Alpaydin 1998, UCI; BSD-3)."""

from __future__ import annotations

import numpy as np

from zeuxis.data import idx
from zeuxis.data.catalog._dataset import Dataset
from zeuxis.data.listing import Content, Listing
from zeuxis.errors import DataError

_TEST = 5  # every fifth is held out


def _listing(split: str, count: int | None) -> Listing:
    """The images of a split, or the first of them."""

    def gather() -> Content:
        try:
            from sklearn.datasets import load_digits
        except ImportError:
            raise DataError("digits are inside scikit-learn: pip install 'zeuxis[data]'") from None
        digits = load_digits()
        chosen = np.flatnonzero((np.arange(len(digits.images)) % _TEST == 0) == (split == "test"))[:count]
        pixels = np.rint(digits.images[chosen] * (255 / 16)).astype(np.uint8)  # they count to 16
        return idx.content_of(pixels, digits.target[chosen], "digits", classes=[str(i) for i in range(10)])

    return Listing("digits" if split == "train" else f"digits-{split}", f"digits 1 {split} {count}", gather)


DIGITS = Dataset(8, 1, _listing)
