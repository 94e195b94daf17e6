"""How many pages or frames a file of images has, by its headers alone: of a stack or an animation the first is used."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from itertools import islice
from typing import Any, BinaryIO

_MOST_STEPS = 300_000  # blocks that are looked at: of a file with more, the pages found so far are told
_REDUCED, _MASK = 1, 4  # what a page of a TIFF says that it is, where it is no page of its own
_SUBFILE = 254  # the tag in which it says so, among the first of a page


def count_frames(source: bytes | BinaryIO) -> int:
    """Pages of a TIFF, frames of a GIF, PNG or WebP; 1 of anything else, and of a file that is damaged."""
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    file.seek(0)
    head = file.read(12)
    walk = _webp if head[:4] == b"RIFF" and head[8:] == b"WEBP" else _WALKS.get(head[:4])
    count = 0
    try:
        file.seek(0)
        for is_frame in islice(walk(file), _MOST_STEPS) if walk else ():
            count += is_frame
    except (struct.error, IndexError, OSError, ValueError, OverflowError):
        pass  # cut short: whether what is there can be used is for the decoder to say
    return max(1, count)


def _read(file: BinaryIO, form: str) -> Any:
    """The numbers at the place of a file; `struct.error` at its end."""
    return struct.unpack(form, file.read(struct.calcsize(form)))


def _gif(file: BinaryIO) -> Iterator[bool]:
    file.seek(10)
    flags, _, _ = _read(file, "3B")
    file.seek(_palette(flags), 1)
    while (kind := file.read(1)) in (b",", b"!"):
        if kind == b",":
            yield True
            _, flags = _read(file, "8sB")
            file.seek(_palette(flags), 1)
        file.seek(1, 1)
        while size := file.read(1)[0]:
            file.seek(size, 1)
            yield False


def _palette(flags: int) -> int:
    return 6 << (flags & 7) if flags & 0x80 else 0


def _tiff(file: BinaryIO) -> Iterator[bool]:
    order = "<" if file.read(2) == b"II" else ">"
    (version,) = _read(file, order + "H")
    big = version == 43
    number, entry, value = ("Q", "HHQL4x", "Q") if big else ("H", "HHLL", "L")
    file.seek(8 if big else 4)
    (offset,) = _read(file, order + value)
    seen = {0}
    while offset not in seen:
        file.seek(offset)
        (count,) = _read(file, order + number)
        found = dict(_read(file, order + entry)[::3] for _ in range(min(count, 4)))
        yield len(seen) == 1 or not found.get(_SUBFILE, 0) & (_REDUCED | _MASK)
        seen.add(offset)
        file.seek(offset + struct.calcsize(order + number) + count * struct.calcsize(order + entry))
        (offset,) = _read(file, order + value)


def _png(file: BinaryIO) -> Iterator[bool]:
    file.seek(8)
    while True:
        length, kind = _read(file, ">L4s")
        if kind == b"acTL":
            yield from [True] * min(_read(file, ">L")[0], _MOST_STEPS)
        if kind in (b"acTL", b"IDAT", b"IEND"):
            return
        yield False
        file.seek(length + 4, 1)


def _webp(file: BinaryIO) -> Iterator[bool]:
    file.seek(12)
    while True:
        kind, length = _read(file, "<4sL")
        yield kind == b"ANMF"
        file.seek(length + length % 2, 1)


_WALKS = {b"GIF8": _gif, b"\x89PNG": _png, **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _tiff)}
