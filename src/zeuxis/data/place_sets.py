"""Some of the images of a pack, by their places: a bit for each image of the pack, so that of millions little is kept."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from zeuxis.io.images import Array

_BLOCK = 512  # places that are counted together: 64 bytes
_AT_ONCE = 1 << 12  # places that are looked up at once
_PART = 1 << 20  # places that are listed at once; a multiple of 8


class PlaceSet:
    """Those places (ascending) among n that are `chosen` (n, bool)."""

    def __init__(self, chosen: Array) -> None:
        blocks = np.pad(chosen, (0, -len(chosen) % _BLOCK)).reshape(-1, _BLOCK)
        self._total = len(chosen)
        self._bits = np.packbits(blocks, axis=1)
        self._ends = np.cumsum([0, *blocks.sum(1)])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def at(self, numbers: Array) -> Array:
        """The places (k, int64) with these numbers (k) among the chosen; negative ones count from the end."""
        wanted = np.where(numbers < 0, numbers + len(self), numbers)
        if not ((wanted >= 0) & (wanted < len(self))).all():
            raise IndexError(f"there are {len(self):,} places")
        parts = [self._at(wanted[start : start + _AT_ONCE]) for start in range(0, len(wanted), _AT_ONCE)]
        return np.concatenate([np.empty(0, np.int64), *parts])

    def _at(self, wanted: Array) -> Array:
        blocks = np.searchsorted(self._ends, wanted, side="right") - 1
        counts = np.cumsum(np.unpackbits(self._bits[blocks], axis=1), axis=1, dtype=np.int16)
        found: Array = blocks * _BLOCK + (counts == (wanted - self._ends[blocks] + 1)[:, None]).argmax(1)
        return found

    def between(self, first: int, last: int) -> Array:
        """The chosen places (k, int64) from `first` up to, but without, `last`."""
        bits = np.unpackbits(self._bits.reshape(-1)[first // 8 : -(-last // 8)])
        found = np.flatnonzero(bits) + first // 8 * 8
        return found[(found >= first) & (found < last)]

    def every(self) -> Array:
        """All of them (k, int64)."""
        return self.between(0, self._total)

    def parts(self) -> Iterator[Array]:
        """All of them, some after others."""
        return (self.between(start, min(start + _PART, self._total)) for start in range(0, self._total, _PART))
