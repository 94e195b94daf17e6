"""IDX files, as MNIST has them (http://yann.lecun.com/exdb/mnist/): unsigned bytes, their dimensions before them."""

from __future__ import annotations

import gzip
import math
import re
import struct
import weakref
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zeuxis.data.listing import Content, Labels, Listing, Numbered, shown
from zeuxis.data.readers import Rows, folder_of
from zeuxis.errors import DataError
from zeuxis.io import images
from zeuxis.io.images import Array

MOST_UNPACKED = 4 << 30
_AT_ONCE = 64 << 20  # bytes of a file of images that are read at once
_HEAD = 20  # bytes before the values, at most


def looks_like_idx(path: Path) -> bool:
    """Whether a file, or what is in it by gzip, begins as IDX does."""
    try:
        return _head(path)[:3] == b"\0\0\x08"
    except (OSError, EOFError, zlib.error):
        return False


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        head = file.read(4)
    if head[:2] == b"\x1f\x8b":
        with gzip.open(path) as packed:
            return packed.read(4)
    return head


def read_idx(path: Path, *, most: int = MOST_UNPACKED) -> Array:
    """The array in an IDX file (uint8), packed by gzip or not; `DataError` where it is none."""
    try:
        return parse_idx(path.read_bytes(), shown(path.name), most=most)
    except OSError as error:
        raise DataError(f"{shown(str(path))} cannot be read: {error.strerror or error}") from None


def parse_idx(data: bytes, name: str, *, most: int = MOST_UNPACKED) -> Array:
    """The array in the bytes of an IDX file (uint8), packed by gzip or not; no more than `most` bytes are unpacked."""
    try:
        data = unpacked(data, most + 20)
    except (OSError, EOFError, zlib.error):
        raise DataError(f"{name} is a damaged gzip; use another copy") from None
    shape, start = _layout(data[:_HEAD], len(data), name, most)
    return np.frombuffer(data, np.uint8, math.prod(shape), start).reshape(shape)


def _layout(head: bytes, size: int, name: str, most: float) -> tuple[tuple[int, ...], int]:
    """The shape of the array in a file of so many bytes, and where it begins; `DataError` where its head cannot be true."""
    if len(head) < 4 or head[:3] != b"\0\0\x08" or not 1 <= head[3] <= 4:
        raise DataError(f"{name} is no IDX file of unsigned bytes with 1 to 4 dimensions; give one")
    start = 4 + 4 * head[3]
    if size < start:
        raise DataError(f"{name} is cut short in its header; use another copy")
    shape = struct.unpack(f">{head[3]}I", head[4:start])
    if math.prod(shape) > most or size < start + math.prod(shape):
        raise DataError(f"{name} says {' x '.join(map(str, shape))} and has {size:,} bytes; use another copy")
    return shape, start


class _FileRows:
    """Images in a file (n h w c, uint8), each read when it is asked for; `images.Unusable` where the file is cut meanwhile."""

    def __init__(self, path: Path, shape: tuple[int, ...], start: int) -> None:
        self.shape = shape if len(shape) == 4 else (*shape, 1)
        self._start, self._bytes = start, math.prod(self.shape[1:])
        self._file = path.open("rb", buffering=1 << 18)
        weakref.finalize(self, self._file.close)

    def __getitem__(self, place: int) -> Array:
        self._file.seek(self._start + place * self._bytes)
        data = self._file.read(self._bytes)
        if len(data) < self._bytes:
            raise images.Unusable("the file is cut short")
        return np.frombuffer(data, np.uint8).reshape(self.shape[1:])


def _rows(path: Path) -> Array | _FileRows:
    """The images of an IDX file; those of a large one stay on the disk."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(_HEAD)
        if size <= _AT_ONCE or not head.startswith(b"\0\0\x08"):
            return read_idx(path)
        shape, start = _layout(head, size, shown(path.name), math.inf)
        return _FileRows(path, shape, start) if len(shape) in (3, 4) else read_idx(path)
    except OSError as error:
        raise DataError(f"{shown(str(path))} cannot be read: {error.strerror or error}") from None


def unpacked(data: bytes, most: int) -> bytes:
    """The data, or the first `most` bytes of what is in it by gzip."""
    if data[:2] != b"\x1f\x8b":
        return data
    import io

    with gzip.open(io.BytesIO(data)) as file:
        return file.read(most)


def idx_listing(path: Path) -> Listing:
    """The images of an IDX file (n h w, or n h w c), with the labels of the file beside it whose name says so."""
    beside = labels_beside(path)
    key = [f"{folder_of(each)} {each.stat().st_size} {each.stat().st_mtime_ns}" for each in (path, beside) if each]

    def gather() -> Content:
        return content_of(_rows(path), None if beside is None else read_idx(beside), shown(path.name))

    return Listing(shown(path.name.split(".")[0]), f"idx {key}", gather)


def labels_beside(path: Path) -> Path | None:
    """`train-labels-idx1-ubyte.gz` for `train-images-idx3-ubyte`, packed or not."""
    stem = path.name.removesuffix(".gz")
    name = re.sub(r"idx\d", "idx1", stem.replace("images", "labels"))
    names = [name, name + ".gz"] if name != stem else []
    return next((path.with_name(each) for each in names if path.with_name(each).is_file()), None)


def content_of(
    pixels: Array | _FileRows, labels: Array | None, name: str, *, classes: list[str] | None = None
) -> Content:
    """The images of an array (n h w, or n h w c with 1 or 3 channels) with their classes (n)."""
    if isinstance(pixels, np.ndarray) and pixels.ndim == 3:
        pixels = pixels[..., None]
    count = pixels.shape[0]
    if len(pixels.shape) != 4 or pixels.shape[3] not in (1, 3) or 0 in pixels.shape:
        raise DataError(f"{name} has the shape {pixels.shape}; expected images n h w, or n h w c with 1 or 3 channels")
    if pixels.shape[1] * pixels.shape[2] > images.MOST_PIXELS:
        raise DataError(f"{name} has images over {images.MOST_PIXELS // 1_000_000} megapixels; make them smaller")
    if labels is not None and labels.shape != (count,):
        raise DataError(f"{name} has {count} images and labels of the shape {labels.shape}; expected one for each")
    if labels is not None and classes is None:
        classes = [str(i) for i in range(int(labels.max()) + 1)]

    def label(items: Sequence[str]) -> Labels:
        if labels is None or classes is None:
            return Labels()
        return Labels(labels[np.fromiter(map(int, items), np.int64, len(items))].astype(np.int64), classes)

    return Content(Numbered([("", count)]), Rows(pixels), label)
