"""Colours brought to sRGB, by embedded ICC profiles (ICC.1:2022) and by what PNG chunks or EXIF say of the colours."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from zeuxis.io.formats import PNG
from zeuxis.io.pixel_modes import ToSrgb, Unusable

CONVERTED = "converted to sRGB by its embedded colour profile"
BROKEN = "its colour profile is damaged or unsuited, so that its colours are taken for sRGB"
_MOST_BYTES = 4 << 20  # of a profile: those of presses have 2 MB
_ALIKE = 3  # levels of 255 that a profile of sRGB may differ from sRGB by
_LEAST_CONTRAST = 64  # levels between black and white, below which a profile is taken for broken
_MODES = {b"GRAY": "L", b"RGB ": "RGB", b"CMYK": "CMYK"}
_CLASSES = (b"scnr", b"mntr", b"prtr", b"spac")
Primaries = tuple[float, ...]  # x and y of white, red, green, blue
SRGB: Primaries = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
_ADOBE: Primaries = (0.3127, 0.329, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
# ITU-T H.273: what a PNG's chunk cICP says by numbers.
_CICP_PRIMARIES: dict[int, Primaries] = {
    1: SRGB,
    9: (0.3127, 0.329, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046),
    12: (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
}
_CICP_CURVES = {1: _SRGB_CURVE, 4: (2.2,), 5: (2.8,), 6: _SRGB_CURVE, 8: (1.0,), 13: _SRGB_CURVE}
_CICP_HDR = {16: "PQ", 18: "HLG"}


class Conversion(NamedTuple):
    """How an image's colours become sRGB (None: they are taken as they are), and what is to be said of it."""

    to_srgb: ToSrgb | None = None
    note: str = ""


def conversion(image: Image.Image) -> Conversion:
    """That of an opened image, before its pixels are read: the same for all images of one profile, and found once."""
    try:
        profile = _profile(image)
    except Unusable:
        raise
    except Exception:  # metadata breaks in as many ways as there are bytes
        return Conversion(note=BROKEN)
    if profile is None or image.mode == "LAB":  # which Pillow itself converts
        return Conversion()
    if len(profile) > _MOST_BYTES:
        return Conversion(note=BROKEN)
    grey = image.mode in ("1", "L", "LA", "La", "F") or image.mode.startswith("I")
    return _found(profile, "grey" if grey else "CMYK" if image.mode == "CMYK" else "RGB")


def keep_cicp(image: Image.Image, head: bytes) -> None:
    """Note what a PNG's chunk cICP says, which Pillow passes over; the first bytes of the file have it."""
    place = head.find(b"cICP")
    if image.format == "PNG" and head[place - 4 : place] == b"\0\0\0\4" and len(head) >= place + 8:
        image.info["cicp"] = tuple(head[place + 4 : place + 8])


def without_profile(file: BinaryIO, head: bytes) -> BinaryIO | None:
    """A PNG without its profile, which is too large for Pillow; None for a file that has none."""
    if not head.startswith(PNG):
        return None
    file.seek(0)
    data, at = file.read(), len(PNG)
    while len(data) >= at + 8 and data[at + 4 : at + 8] not in (b"IDAT", b"IEND"):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"iCCP":
            return io.BytesIO(data[:at] + data[end:])
        at = end
    return None


def _profile(image: Image.Image) -> bytes | None:
    """The ICC profile of an image, or one that says the same as its chunks or its EXIF; None where all is sRGB."""
    about = image.info
    if "cicp" in about:
        return _by_cicp(*about["cicp"][:2])
    if "icc_profile" in about:
        profile = about["icc_profile"]
        return profile if isinstance(profile, bytes) else b""
    if image.format == "PNG" and "srgb" not in about and not about.keys().isdisjoint(("gamma", "chromaticity")):
        return _by_chunks(about.get("gamma"), about.get("chromaticity", SRGB))
    if b"R03\0" in about.get("exif", b""):  # Adobe RGB of cameras that embed no profile (DCF 2.0, optional)
        interoperability = image.getexif().get_ifd(0xA005)
        return matrix_profile(_ADOBE, (2.2,)) if interoperability.get(1) == "R03" else None
    return None


def _by_chunks(gamma: Any, primaries: Primaries) -> bytes | None:
    """As the PNG's chunks gAMA and cHRM say; a gamma within 5 % of 1 / 2.2 is that of sRGB, as libpng takes it."""
    known = all(abs(one - other) < 0.005 for one, other in zip(primaries, SRGB, strict=True))
    usual = gamma is None or abs(gamma * 2.2 - 1) < 0.05
    if gamma is not None and not 0.1 <= gamma <= 10:
        return b""
    if known and usual:
        return None
    return matrix_profile(primaries, _SRGB_CURVE if usual else (1 / gamma,))


def _by_cicp(primaries: int, transfer: int) -> bytes | None:
    if transfer in _CICP_HDR:
        raise Unusable(f"a picture of high dynamic range ({_CICP_HDR[transfer]}); export it with standard range")
    if primaries not in _CICP_PRIMARIES or transfer not in _CICP_CURVES:
        return b""
    return matrix_profile(_CICP_PRIMARIES[primaries], _CICP_CURVES[transfer])


@lru_cache(maxsize=16)
def _found(profile: bytes, kind: str) -> Conversion:
    """The conversion of images of a kind by a profile."""
    try:
        to_srgb = _transform(profile, kind)
    except Exception:  # of LittleCMS, or none of it in this Pillow
        return Conversion(note=BROKEN)
    return Conversion(to_srgb, CONVERTED) if to_srgb else Conversion()


def _transform(profile: bytes, kind: str) -> ToSrgb | None:
    """How a profile brings colours to sRGB; None where they are sRGB. `ValueError` where it is unsuited."""
    from PIL import ImageCms

    mode = _MODES[profile[16:20]]
    if profile[36:40] != b"acsp" or profile[12:16] not in _CLASSES or (mode == "CMYK") != (kind == "CMYK"):
        raise ValueError("a profile of another kind")
    by_levels = kind == "grey" or mode == "L"
    apply: Callable[[Image.Image], Image.Image] = ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        # Of greys 256 are asked for, once; the tables by which many colours are asked for faster are coarse in the dark.
        ImageCms.Flags.BLACKPOINTCOMPENSATION | (ImageCms.Flags.NOOPTIMIZE if by_levels else 0),
    ).apply
    if by_levels:
        return _by_levels(apply, mode)
    if mode == "CMYK":
        _contrast(apply(Image.new("CMYK", (1, 1))), apply(Image.new("CMYK", (1, 1), (255, 255, 255, 255))))
        return lambda image: apply(image)
    _contrast(apply(Image.new("RGB", (1, 1), "white")), apply(Image.new("RGB", (1, 1))))
    levels = np.linspace(0, 255, 9).round().astype(np.uint8)
    probe = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(9, 81, 3)
    if np.abs(np.asarray(apply(Image.fromarray(probe))).astype(int) - probe).max() <= _ALIKE:
        return None
    return lambda image: _coloured(image, apply)


def _contrast(white: Image.Image, black: Image.Image) -> None:
    levels = [int(np.asarray(each.convert("L"))[0, 0]) for each in (white, black)]
    if levels[0] - levels[1] < _LEAST_CONTRAST:
        raise ValueError("a profile in which white is hardly brighter than black")


def _by_levels(apply: ToSrgb, mode: str) -> ToSrgb | None:
    """The curve that a profile gives to greys, for each channel."""
    ramp = np.arange(256, dtype=np.uint8)[None]
    curve = np.asarray(apply(Image.fromarray(ramp).convert(mode)).convert("L"))[0].tolist()
    if curve[255] - curve[0] < _LEAST_CONTRAST:
        raise ValueError("a profile in which white is hardly brighter than black")
    if max(abs(value - place) for place, value in enumerate(curve)) <= _ALIKE:
        return None
    opacity = list(range(256))
    tables = {"L": curve, "RGB": curve * 3, "RGBA": curve * 3 + opacity}
    return lambda image: image.point(tables[image.mode])


def _coloured(image: Image.Image, apply: ToSrgb) -> Image.Image:
    made = apply(image if image.mode == "RGB" else image.convert("RGB"))
    if image.mode == "RGBA":
        made.putalpha(image.getchannel("A"))
    return made


@lru_cache(maxsize=16)
def matrix_profile(primaries: Primaries, curve: tuple[float, ...]) -> bytes:
    """An ICC profile (version 4) of these primaries and this parametric curve, the same bytes each time."""
    tags = {b"desc": _text("zeuxis"), b"cprt": _text("CC0"), b"wtpt": _xyz((0.9642, 1.0, 0.8249))}
    for name, column in zip((b"r", b"g", b"b"), _colorants(primaries).T):
        tags |= {name + b"XYZ": _xyz(column), name + b"TRC": _curve(curve)}
    table, data, start = b"", b"", 132 + 12 * len(tags)
    for name, value in tags.items():
        table += name + struct.pack(">II", start + len(data), len(value))
        data += value + b"\0" * (-len(value) % 4)
    head = struct.pack(
        ">I4sI4s4s4s6H4s", start + len(data), b"", 0x04300000, b"mntr", b"RGB ", b"XYZ ", 2020, 1, 1, 0, 0, 0, b"acsp"
    )
    head += b"\0" * 24 + struct.pack(">I", 1) + _xyz((0.9642, 1.0, 0.8249))[8:]
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + data


def srgb_profile() -> bytes:
    """sRGB, for what is written in a format that knows no shorter word for it."""
    return matrix_profile(SRGB, _SRGB_CURVE)


def _colorants(primaries: Primaries) -> np.ndarray[Any, Any]:
    """Columns: XYZ of red, green, blue, adapted to D50 by Bradford's matrix."""
    white, *colours = [
        np.array([x / y, 1.0, (1 - x - y) / y]) for x, y in zip(primaries[::2], primaries[1::2], strict=True)
    ]
    columns = np.stack(colours, 1)
    columns = columns * np.linalg.solve(columns, white)
    cones = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    scale = (cones @ (0.9642, 1.0, 0.8249)) / (cones @ white)
    adapted: np.ndarray[Any, Any] = np.linalg.solve(cones, scale[:, None] * (cones @ columns))
    return adapted


def _number(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _xyz(values: Any) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(map(_number, values))


def _curve(values: tuple[float, ...]) -> bytes:
    return b"para\0\0\0\0" + struct.pack(">HH", 0 if len(values) == 1 else 3, 0) + b"".join(map(_number, values))


def _text(words: str) -> bytes:
    data = words.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(data), 28) + data
