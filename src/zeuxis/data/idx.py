"""IDX files, as MNIST has them (http://yann.lecun.com/exdb/mnist/): unsigned bytes, their dimensions before them."""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from pathlib import Path

import numpy as np

from zeuxis.data.listing import Content, Labels, Listing, shown
from zeuxis.data.readers import Rows, folder_of
from zeuxis.errors import DataError
from zeuxis.io import images
from zeuxis.io.images import Array

MOST_UNPACKED = 4 << 30


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
    if len(data) < 4 or data[:3] != b"\0\0\x08" or not 1 <= data[3] <= 4:
        raise DataError(f"{name} is no IDX file of unsigned bytes with 1 to 4 dimensions; give one")
    start = 4 + 4 * data[3]
    if len(data) < start:
        raise DataError(f"{name} is cut short in its header; use another copy")
    shape = struct.unpack(f">{data[3]}I", data[4:start])
    if math.prod(shape) > most or len(data) < start + math.prod(shape):
        raise DataError(
            f"{name} says {' x '.join(map(str, shape))} and has {len(data) - start:,} bytes; use another copy"
        )
    return np.frombuffer(data, np.uint8, math.prod(shape), start).reshape(shape)


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
        return content_of(read_idx(path), None if beside is None else read_idx(beside), shown(path.name))

    return Listing(shown(path.name.split(".")[0]), f"idx {key}", gather)


def labels_beside(path: Path) -> Path | None:
    """`train-labels-idx1-ubyte.gz` for `train-images-idx3-ubyte`, packed or not."""
    stem = path.name.removesuffix(".gz")
    name = re.sub(r"idx\d", "idx1", stem.replace("images", "labels"))
    names = [name, name + ".gz"] if name != stem else []
    return next((path.with_name(each) for each in names if path.with_name(each).is_file()), None)


def content_of(pixels: Array, labels: Array | None, name: str, *, classes: list[str] | None = None) -> Content:
    """The images of an array (n h w, or n h w c with 1 or 3 channels) with their classes (n)."""
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    if pixels.ndim != 4 or pixels.shape[3] not in (1, 3) or 0 in pixels.shape:
        raise DataError(f"{name} has the shape {pixels.shape}; expected images n h w, or n h w c with 1 or 3 channels")
    if pixels.shape[1] * pixels.shape[2] > images.MOST_PIXELS:
        raise DataError(f"{name} has images over {images.MOST_PIXELS // 1_000_000} megapixels; make them smaller")
    if labels is not None and labels.shape != (len(pixels),):
        raise DataError(
            f"{name} has {len(pixels)} images and labels of the shape {labels.shape}; expected one for each"
        )
    if labels is not None and classes is None:
        classes = [str(i) for i in range(int(labels.max()) + 1)]

    def label(items: list[str]) -> Labels:
        if labels is None or classes is None:
            return Labels()
        return Labels(labels[[int(item) for item in items]].astype(np.int64), classes)

    return Content([str(i) for i in range(len(pixels))], Rows(pixels), label)
