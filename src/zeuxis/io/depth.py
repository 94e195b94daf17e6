"""Intensities of any depth in 8 bits, on a scale that the kind of file fixes and no single picture moves.

16 bits are read from 0 to 65,535, 32 bits from 0 to 4,294,967,295, floating point from 0 to 1. A picture that contradicts its
scale is refused: rescaling it by its own values would change what its brightness means beside other pictures. Integers that
leave their upper bits unused contradict it too, unless other pictures of their set use all of these: then they are dark.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Collection, Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from zeuxis.io.pixel_modes import BAND, Unusable

Array = np.ndarray[Any, Any]

_UNUSED = {16: 14, 32: 31}  # bits of a depth -> bits that, where they are enough, say that the scale is another
_ROUNDED = 0.5 / 255  # as far out of [0, 1] a float still rounds to black or to white
_IN_USE = (-1, -1)  # a key of `Image.info` that no file can set: its own are text
_DARK = re.compile(r"at most [0-9]+ of its ([0-9]+) bits are used; ")
_RESCALE = "rescale all pictures by one factor"


class _Scale(NamedTuple):
    """The values of white, the bits that are kept for them (0: floating point), and whether white is the least value."""

    white: float
    bits: int
    inverted: bool = False
    unsigned: bool = True


def load_8bit(image: Image.Image, used: Collection[int] = ()) -> Image.Image:
    """The pixels of an opened image, in a mode of 8 bits; `Unusable` where they are on no scale that is known.

    `used`: depths, 16 or 32 bits, of which others of the same set use all bits, so that this one may be dark.
    """
    raw = _rawmode(image)
    scale = _scale(image, raw)
    file: Any = getattr(image, "fp", None)
    image.load()
    if scale is not None:
        return _scaled(image, scale, used)
    if ";16" in raw and image.mode in ("RGB", "RGBA"):
        _checked(image, file, raw, used)
        if raw == "RGB;16B" and "transparency" in image.info:
            return _keyed(image, _low_bytes(file, raw))
    levels = {"1": 1, "L;2": 3, "L;4": 15}.get(raw)
    if levels and "transparency" in image.info:  # Pillow scales the pixels and not the value that is transparent
        image = image.convert("L")
        image.info["transparency"] = int(image.info["transparency"]) * 255 // levels
    return image


def bits_in_use(image: Image.Image) -> int:
    """The depth of an image that `load_8bit` has read, if its integers use the upper bits of 16 or of 32; else 8."""
    return int(image.info.get(_IN_USE, 8))


def dark_bits(reason: str) -> int:
    """The depth of an image that was refused for this reason, if it may be dark and no more; else 0."""
    match = _DARK.match(reason)
    return int(match[1]) if match else 0


def _rawmode(image: Image.Image) -> str:
    """How the pixels are stored, in Pillow's words; "" for one that was made in memory."""
    tiles: list[Any] = getattr(image, "tile", None) or []
    arguments = tiles[0][3] if tiles else ""
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _scale(image: Image.Image, raw: str) -> _Scale | None:
    """What the kind of the file says of its values; None where Pillow gives 8 bits."""
    tags: Any = getattr(image, "tag_v2", {})
    signed = 2 in tags.get(339, (1,))
    if signed and set(tags.get(258, ())) & {8, 16}:
        bits = tags[258][0]
        raise Unusable(
            f"signed integers of {bits} bits have no known black and white; {_RESCALE} to {bits} unsigned bits"
        )
    inverted = tags.get(262) == 0
    if image.mode == "F":
        return _Scale(1.0, 0, inverted)
    if image.mode.startswith("I;16"):
        return _Scale(4095.0, 12, inverted) if raw == "I;12" else _Scale(65535.0, 16, inverted)
    if image.mode == "I":
        return _Scale(2.0**32 - 1, 32, inverted, unsigned=not signed)
    return None


def _bands(image: Image.Image, scale: _Scale) -> Iterator[tuple[int, Array]]:
    """Rows from the top, and their values: few at a time, as of a large image."""
    rows = max(1, BAND // image.width)
    for top in range(0, image.height, rows):
        band = np.asarray(image.crop((0, top, image.width, min(top + rows, image.height))))
        # Pillow has unsigned 32 bits as signed ones of the same bytes.
        yield top, band.view(np.uint32) if scale.bits == 32 and scale.unsigned else band


def _scaled(image: Image.Image, scale: _Scale, used: Collection[int]) -> Image.Image:
    ends = [(band.min(), band.max()) for _, band in _bands(image, scale)]  # of NumPy, whose ends of a NaN are NaN
    low, high = (float(end) for end in (np.min([e[0] for e in ends]), np.max([e[1] for e in ends])))
    if scale.bits:
        _check_use(image, (low, high), scale, used)
    elif not (-_ROUNDED <= low and high <= 1 + _ROUNDED):  # a NaN fails this too
        if not np.isfinite([low, high]).all():
            raise Unusable("a NaN or an infinity among its floating point values; replace these by numbers of 0 to 1")
        raise Unusable(f"floating point values outside of 0 to 1; {_RESCALE} to 0 to 1")
    key = image.info.get("transparency")
    result = np.empty((image.height, image.width), np.uint8)
    opacity = np.empty_like(result) if isinstance(key, int) else None
    for top, band in _bands(image, scale):
        grey = np.rint((band.astype(np.float32) * np.float32(255 / scale.white)).clip(0, 255))
        result[top : top + len(band)] = 255 - grey if scale.inverted else grey
        if opacity is not None:
            opacity[top : top + len(band)] = np.where(band == key, 0, 255)
    made = Image.fromarray(result)
    if opacity is not None:
        made.putalpha(Image.fromarray(opacity))
    return made


def _check_use(image: Image.Image, ends: tuple[float, float], scale: _Scale, used: Collection[int]) -> None:
    """Refuse integers that are negative, or so small that the bits above them are most likely never used; note which are."""
    low, high = ends
    if low < 0:
        raise Unusable(f"negative values; {_RESCALE} to 8 or 16 unsigned bits")
    if high >= 2 ** _UNUSED.get(scale.bits, scale.bits):
        image.info[_IN_USE] = scale.bits
    elif low < high and scale.bits in _UNUSED and scale.bits not in used:
        bits = int(high).bit_length()
        raise Unusable(f"at most {bits} of its {scale.bits} bits are used; {_RESCALE} to 8 or 16 full bits")


def _checked(image: Image.Image, file: BinaryIO, raw: str, used: Collection[int]) -> None:
    """The same of colours, of whose 16 bits Pillow gives the upper 8."""
    low, high = _ends(image)
    if high == 0:
        _check_use(image, _ends(_low_bytes(file, raw)), _Scale(65535.0, 16), used)
    elif low < high:
        _check_use(image, (low * 256, high * 256 + 255), _Scale(65535.0, 16), used)


def _ends(image: Image.Image) -> tuple[int, int]:
    """The least and the largest value of all colours."""
    ends: Any = image.getextrema()
    return min(end[0] for end in ends[:3]), max(end[1] for end in ends[:3])


def _low_bytes(file: BinaryIO, raw: str) -> Image.Image:
    """The lower 8 of 16 bits (RGB): those that Pillow takes for the upper ones where it is told the other order of bytes.

    Grey with opacity has no such order in Pillow, but fills four channels with its bytes.
    """
    stored = sys.byteorder[0].upper() if raw[-1] == "N" else raw[-1]
    file.seek(0)
    again: Any = Image.open(io.BytesIO(file.read()), formats=("PNG", "TIFF"))
    other = "RGBA" if raw == "LA;16B" else raw[:-1] + {"B": "L", "L": "B"}[stored]
    again.tile = [
        tile._replace(args=(other, *tile.args[1:]) if isinstance(tile.args, tuple) else other) for tile in again.tile
    ]
    again.load()
    return Image.merge("RGB", [again.getchannel("G")] * 3) if other == "RGBA" else again


def _keyed(image: Image.Image, low: Image.Image) -> Image.Image:
    """Colours of which the transparent one is clear: the one with these 16 bits, and none with only the same upper 8."""
    key = np.array(image.info["transparency"], np.uint16)
    alike = (np.asarray(image) == key >> 8).all(2) & (np.asarray(low) == (key & 255)).all(2)
    result = Image.fromarray(np.asarray(image))
    result.info = {name: value for name, value in image.info.items() if name != "transparency"}
    result.putalpha(Image.fromarray(np.where(alike, 0, 255).astype(np.uint8)))
    return result
