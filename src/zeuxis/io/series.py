"""Very many pictures into one folder: each whole or not there, encoded beside the drawing, and one sync at the end."""

from __future__ import annotations

import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from zeuxis.io import files
from zeuxis.io.images import Array

_UP = 2  # the filter of a row: each byte less the one above it
_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}  # the colour type of PNG, by channels
_AHEAD = 256  # pictures that wait to be written: what memory they take does not grow with their number


def write_series(
    folder: str | Path, pictures: Iterable[tuple[str, Array]], *, wrote: Callable[[str], None] | None = None
) -> None:
    """Write pictures (h w c, in uint8) under their names as PNG into the folder, which is made; `wrote` is told each name.

    They are taken from the iterable as they can be written. Where it raises, or the disk is full, those written remain.
    """
    folder = Path(folder)
    files.make_folder(folder)
    waiting: deque[tuple[str, Future[None]]] = deque()

    def settle(left: int) -> None:
        while len(waiting) > left:
            name, written = waiting[0]
            written.result()
            waiting.popleft()
            if wrote:
                wrote(name)

    try:
        with ThreadPoolExecutor(1) as pool:  # compressing needs no lock of Python, and less time than drawing
            try:
                for name, pixels in pictures:
                    waiting.append((name, pool.submit(_write, folder / name, pixels)))
                    settle(_AHEAD)
                settle(0)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    finally:
        files.sync_volume(folder)


def _write(path: Path, pixels: Array) -> None:
    files.write_file(path, quick_png(pixels), durable=False)


def quick_png(pixels: Array) -> bytes:
    """Pixels (h w c, uint8, c of 1 to 4) as PNG with sRGB colours, in a quarter of the time and a sixth more bytes.

    Rows are differences from the row above, compressed at the lowest level. Channels are grey or RGB, and alpha.
    """
    height, width, channels = pixels.shape
    rows = np.empty((height, 1 + width * channels), np.uint8)
    flat = pixels.reshape(height, -1)
    rows[:, 0] = _UP
    rows[0, 1:], rows[1:, 1:] = flat[0], flat[1:] - flat[:-1]
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOURS[channels], 0, 0, 0)
    parts = (b"IHDR", header), (b"sRGB", b"\0"), (b"IDAT", zlib.compress(rows.tobytes(), 1)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of PNG: its length, its kind, its data, and their sum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
