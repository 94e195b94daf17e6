"""PNG and TIFF files written by hand, of the depths and with the chunks and tags that Pillow does not write."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

Array = np.ndarray[Any, Any]
Chunk = tuple[bytes, bytes]


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(values: Array, bits: int, *chunks: Chunk) -> bytes:
    """Values h w, or h w c of 2 to 4 channels; of 1 to 4 bits, values of one row fill whole bytes."""
    height, width = values.shape[:2]
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[1 if values.ndim == 2 else values.shape[2]]
    if bits < 8:
        shifts = np.arange(8 - bits, -1, -bits)
        packed = (values.reshape(height, -1, 8 // bits) << shifts).sum(-1)
    else:
        packed = values.reshape(height, -1)
    kind = ">u2" if bits == 16 else "u1"
    rows = b"".join(b"\0" + row.astype(kind).tobytes() for row in packed)
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return with_chunks((b"IHDR", head), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b""))


def with_chunks(*chunks: Chunk) -> bytes:
    parts = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(values: Array, *, photometric: int = 1, tags: dict[int, int] | None = None, bits: int = 0) -> bytes:
    """Values h w, or h w c, as their type and their order of bytes say; 12 `bits` are packed by two into three bytes."""
    order = ">" if values.dtype.byteorder == ">" else "<"
    samples = 1 if values.ndim == 2 else values.shape[2]
    data = _packed12(values) if bits == 12 else values.tobytes()
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    given = {256: values.shape[1], 257: values.shape[0], 259: 1, 262: photometric, 277: samples, 278: values.shape[0]}
    lists = {258: [bits or values.dtype.itemsize * 8] * samples, 339: [kind] * samples}
    count = len(given | (tags or {})) + len(lists) + 2
    start = 8 + 2 + 12 * count + 4
    extra = b""
    entries = {tag: struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in (given | (tags or {})).items()}
    for tag, words in lists.items():
        packed = struct.pack(f"{order}{samples}H", *words)
        place = packed.ljust(4, b"\0") if len(packed) <= 4 else struct.pack(order + "I", start + len(extra))
        extra += packed if len(packed) > 4 else b""
        entries[tag] = struct.pack(order + "HHI", tag, 3, samples) + place
    entries[273] = struct.pack(order + "HHII", 273, 4, 1, start + len(extra))
    entries[279] = struct.pack(order + "HHII", 279, 4, 1, len(data))
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, count)
    return head + b"".join(entries[tag] for tag in sorted(entries)) + struct.pack(order + "I", 0) + extra + data


def _packed12(values: Array) -> bytes:
    pairs = values.reshape(-1, 2).astype(int)
    parts = [pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255]
    return np.stack(parts, 1).astype(np.uint8).tobytes()
