"""The images of a pack on disk: memory-mapped files under a checksum for each block, verified when it is first read."""

from __future__ import annotations

import contextlib
import math
import os
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, NoReturn

import numpy as np

from zeuxis.data.place_sets import PlaceSet
from zeuxis.errors import DataError
from zeuxis.io import cache, files
from zeuxis.io.images import Array

_BLOCK = 1 << 20  # bytes, or one image if that is larger: a block holds whole images


class SummedWriter:
    """Writes images of `image_bytes` each to a file; `sums` are those of its blocks."""

    def __init__(self, file: BinaryIO, image_bytes: int) -> None:
        self._file, self._length = file, _images_per_block(image_bytes)
        self._done: list[str] = []
        self._block, self._count = bytearray(), 0

    def write(self, image: memoryview) -> None:
        """Append one image."""
        self._file.write(image)
        self._block += image
        self._count += 1
        if self._count == self._length:
            self._close_block()

    def sums(self) -> list[str]:
        """A sum for each block, the last one included, which may be shorter."""
        if self._count:
            self._close_block()
        return self._done

    def _close_block(self) -> None:
        self._done.append(cache.checksum(self._block))
        self._block, self._count = bytearray(), 0


class CheckedImages:
    """Images (n h w c, uint8), memory-mapped; `DataError` where those that are read are not those that were written."""

    def __init__(self, array: Array, sums: Sequence[str] = (), file: BinaryIO | None = None) -> None:
        self._array, self._sums, self._file = array, sums, file
        self._length = _images_per_block(math.prod(array.shape[1:]))
        self._good = np.zeros(len(sums), bool)  # blocks that have been verified, each once in the life of this object
        self._all_good = not len(sums)
        if file is not None:
            weakref.finalize(self, file.close)

    @classmethod
    def open(cls, path: Path, shape: tuple[int, int, int, int], sums: Sequence[str]) -> CheckedImages:
        """The images in a file; `OSError` or `ValueError` where it has another size. While they live, none evicts them."""
        file = path.open("rb", buffering=0)
        try:
            cache.hold(file, path)
            array = np.memmap(file, np.uint8, mode="r") if shape[0] else np.empty(0, np.uint8)
            found = cls(array.reshape(shape), sums, file)
            if len(sums) != math.ceil(shape[0] / found._length):
                raise ValueError(f"{len(sums)} sums are not those of {shape[0]} images")
            return found
        except BaseException:
            file.close()
            raise

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array; nothing is read for it."""
        shape: tuple[int, ...] = self._array.shape
        return shape

    @property
    def nbytes(self) -> int:
        """Of the array; nothing is read for it."""
        return self._array.nbytes

    def __deepcopy__(self, memo: object) -> CheckedImages:
        """Itself: what is on disk is never written again."""
        return self

    def rows(self, places: Array) -> Array:
        """The images at these places, copied; only their blocks are verified."""
        try:
            self._check_size()
            if not self._all_good:
                self._check_all(np.unique(np.asarray(places) % len(self._array) // self._length))
        except ValueError as error:
            refuse(self._path, str(error))
        found: Array = self._array[places]
        return found

    def __getitem__(self, place: int) -> Array:
        """One image (h w c), copied."""
        found: Array = self.rows(np.array([place]))[0]
        return found

    def whole(self) -> Array:
        """All of them, verified, as the memory-mapped array itself."""
        try:
            self.verify()
        except ValueError as error:
            refuse(self._path, str(error))
        return self._array

    def verify(self) -> None:
        """`ValueError`, which says what was found, where any block is damaged."""
        self._check_size()
        if not self._all_good:
            self._check_all(np.arange(len(self._sums)))

    def _check_all(self, blocks: Array) -> None:
        for block in blocks[~self._good[blocks]].tolist():
            self._check(block)
        self._all_good = bool(self._good.all())

    @property
    def _path(self) -> Path:
        return Path(os.fsdecode(self._file.name)) if self._file is not None else Path()

    def _check_size(self) -> None:
        """A file that is cut while it is mapped would end the process by a signal when it is read."""
        if self._file is not None:
            size = os.fstat(self._file.fileno()).st_size
            if size != self._array.nbytes:
                raise ValueError(f"it has {size:,} bytes, expected {self._array.nbytes:,}")

    def _check(self, block: int) -> None:
        start = block * self._length
        end = min(start + self._length, len(self._array))
        try:
            data = self._bytes(start, end)
        except OSError as error:
            raise ValueError(f"it cannot be read ({error.strerror or error})") from None
        if cache.checksum(data) != self._sums[block]:
            raise ValueError(f"images {start:,} to {end - 1:,} are not those that were written")
        self._good[block] = True

    def _bytes(self, start: int, end: int) -> bytes | memoryview:
        """Read by a call where there is one: of a disk that fails it returns an error, where a mapping ends the process."""
        size = math.prod(self._array.shape[1:])
        if self._file is None or not hasattr(os, "pread"):
            return np.ascontiguousarray(self._array[start:end]).data.cast("B")
        return os.pread(self._file.fileno(), (end - start) * size, start * size)


class JoinedImages:
    """The images of several files, one file after another, each mapped when it is first read; errors as of `CheckedImages`.

    `open_file` maps a file by its number; `counts` has how many images (h w c, of this `form`) each holds.
    """

    def __init__(
        self, counts: Sequence[int], form: tuple[int, int, int], open_file: Callable[[int], CheckedImages]
    ) -> None:
        self._ends = np.cumsum([0, *counts])
        self._form, self._open = form, open_file
        self._files = {0: open_file(0)}  # the first one is held, so that the pack is not evicted meanwhile

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all images; nothing is read for it."""
        return (int(self._ends[-1]), *self._form)

    @property
    def nbytes(self) -> int:
        """Of all images; nothing is read for it."""
        return math.prod(self.shape)

    def __deepcopy__(self, memo: object) -> JoinedImages:
        """Itself: what is on disk is never written again."""
        return self

    def rows(self, places: Array) -> Array:
        """The images at these places, copied; only their blocks are verified."""
        at = np.asarray(places) % self._ends[-1]
        numbers = np.searchsorted(self._ends, at, side="right") - 1
        found = np.empty((len(at), *self._form), np.uint8)
        for number in np.unique(numbers).tolist():
            here = np.flatnonzero(numbers == number)
            found[here] = self._file(number).rows(at[here] - self._ends[number])
        return found

    def __getitem__(self, place: int) -> Array:
        """One image (h w c), copied."""
        found: Array = self.rows(np.array([place]))[0]
        return found

    def whole(self) -> Array:
        """All of them, verified and copied."""
        return np.concatenate([self._file(number).whole() for number in range(len(self._ends) - 1)])

    def verify(self) -> None:
        """`ValueError`, which says what was found, where any block is damaged."""
        for number in range(len(self._ends) - 1):
            self._file(number).verify()

    def _file(self, number: int) -> CheckedImages:
        if number not in self._files:
            self._files[number] = self._open(number)
        return self._files[number]


class ChosenImages:
    """Some of the images in files, by their places in them, as a view; errors as of `CheckedImages`."""

    def __init__(self, images: CheckedImages | JoinedImages, places: PlaceSet) -> None:
        self._images, self._places = images, places

    @property
    def shape(self) -> tuple[int, ...]:
        """Of these images; nothing is read for it."""
        return (len(self._places), *self._images.shape[1:])

    @property
    def nbytes(self) -> int:
        """Of these images; nothing is read for it."""
        return math.prod(self.shape)

    def __deepcopy__(self, memo: object) -> ChosenImages:
        """Itself, as the file is never written again."""
        return self

    def rows(self, places: Array) -> Array:
        """The images at these places among those that are chosen, copied."""
        return self._images.rows(self._places.at(places))

    def __getitem__(self, place: int) -> Array:
        """One image (h w c), copied."""
        found: Array = self.rows(np.array([place]))[0]
        return found

    def whole(self) -> Array:
        """All of them, copied."""
        return self._images.rows(self._places.every())


def refuse(path: Path, found: str, *, note: str | None = None) -> NoReturn:
    """Discard the pack that a damaged file is in, of several shards that one alone, and raise `DataError`.

    The next start builds again what was discarded: what the `note` is of, by default the shard that the file belongs to.
    """
    _, mark, number = path.stem.partition("-")
    set_aside(path.parent, note or f"shard{mark}{number}.json")
    what = f"delete the folder {path.parent}" if path.parent.exists() else "it was removed from the cache"
    raise DataError(f"{path} is damaged: {found}; {what}, and start again: the images are then decoded anew")


def set_aside(folder: Path, note: str = "pack.json") -> None:
    """Keep the shards of a pack as those of one that is being built, but the one of this note; of one shard nothing is left."""
    if (folder / "images-1.bin").exists():
        with contextlib.suppress(OSError):
            for name in (note, "pack.json"):
                (folder / name).unlink(missing_ok=True)
            folder.replace(folder.with_name(folder.name.removesuffix(cache.PARTS) + cache.PARTS))
    if folder.exists() and not folder.name.endswith(cache.PARTS):
        files.discard(folder)


def _images_per_block(image_bytes: int) -> int:
    return max(1, _BLOCK // image_bytes)
