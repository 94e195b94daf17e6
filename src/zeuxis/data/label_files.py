"""The labels of a pack on disk: a memory-mapped file that is verified when it is opened."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import BinaryIO

import numpy as np

from zeuxis.data.checked import refuse
from zeuxis.data.place_sets import PlaceSet
from zeuxis.io import cache
from zeuxis.io.images import Array


class StoredLabels:
    """Classes (n, int64) or attributes (n k, uint8), memory-mapped; `DataError` where the file was cut since."""

    def __init__(self, array: Array, file: BinaryIO) -> None:
        self._array, self._file = array, file
        self._size = os.fstat(file.fileno()).st_size
        weakref.finalize(self, file.close)

    @classmethod
    def open(cls, path: Path, wanted: str) -> StoredLabels:
        """The labels in a file; `OSError` or `ValueError` where it is not the one of this sum."""
        file = path.open("rb", buffering=0)
        try:
            if cache.checksum_of(file) != wanted:
                raise ValueError(f"{path.name} is not the file that was written")
            return cls(np.load(path, mmap_mode="r", allow_pickle=False), file)
        except BaseException:
            file.close()
            raise

    @property
    def ndim(self) -> int:
        """1 of classes, 2 of attributes."""
        return self._array.ndim

    @property
    def nbytes(self) -> int:
        """Of all of them; nothing is read for it."""
        return self._array.nbytes

    def __deepcopy__(self, memo: object) -> StoredLabels:
        """Itself: what is on disk is never written again."""
        return self

    def rows(self, places: Array) -> Array:
        """The labels of the images at these places, copied."""
        return np.asarray(self.whole()[places])

    def whole(self) -> Array:
        """All of them, as the memory-mapped array itself."""
        if (size := os.fstat(self._file.fileno()).st_size) != self._size:  # else the process would end by a signal
            found = f"it has {size:,} bytes, expected {self._size:,}"
            refuse(Path(os.fsdecode(self._file.name)), found, note="pack.json")  # labels are of no shard
        return self._array


class ChosenLabels:
    """Those of some images, by their places, as a view; errors as of `StoredLabels`."""

    def __init__(self, labels: StoredLabels, places: PlaceSet) -> None:
        self._labels, self._places = labels, places
        self.ndim = labels.ndim

    @property
    def nbytes(self) -> int:
        """Of these labels; nothing is read for it."""
        return self._labels.nbytes // len(self._labels.whole()) * len(self._places)

    def __deepcopy__(self, memo: object) -> ChosenLabels:
        """Itself, as the file is never written again."""
        return self

    def rows(self, places: Array) -> Array:
        """The labels at these places among those that are chosen, copied."""
        return self._labels.rows(self._places.at(places))

    def whole(self) -> Array:
        """All of them, copied."""
        return self._labels.rows(self._places.every())
