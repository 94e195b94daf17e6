"""File formats by their first bytes: the six that are read, and the names of others with what to do about them."""

from __future__ import annotations

import struct
from typing import BinaryIO

from PIL import Image, TiffImagePlugin

from zeuxis.io.pixel_modes import Unusable

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
HEAD = 4096  # bytes from which a format is known
PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SIGNATURES = (PNG, b"\xff\xd8\xff", b"GIF8", b"BM", *_TIFF)

_CONVERT = "convert it to JPEG or PNG"
_EXPORT = "export it as PNG"
_DEVELOP = "develop it to JPEG or TIFF"
_FRAMES = "extract its frames as PNG, as with ffmpeg"
_RESCALE = "export PNG or TIFF of 8 or 16 bits, all with the same scale"
# What it starts with (at 0 where no other place is said), what it is, what to do.
_OTHERS: tuple[tuple[int, bytes, str, str], ...] = (
    (4, b"JXL \r\n\x87\n", "JPEG XL", _CONVERT),
    (0, b"\xff\x0a", "JPEG XL", _CONVERT),
    (4, b"jP  \r\n\x87\n", "JPEG 2000", _CONVERT),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000", _CONVERT),
    (128, b"DICM", "DICOM", _RESCALE),
    (0, b"8BPS", "a Photoshop document", _EXPORT),
    (0, b"gimp xcf", "a GIMP document", _EXPORT),
    (0, b"%!PS", "PostScript", _EXPORT),
    (0, b"IIRO", "a camera's RAW file", _DEVELOP),
    (0, b"IIRS", "a camera's RAW file", _DEVELOP),
    (0, b"MMOR", "a camera's RAW file", _DEVELOP),
    (0, b"IIU\0", "a camera's RAW file", _DEVELOP),
    (0, b"\0MRM", "a camera's RAW file", _DEVELOP),
    (0, b"FOVb", "a camera's RAW file", _DEVELOP),
    (0, b"FUJIFILMCCD-RAW", "a camera's RAW file", _DEVELOP),
    (6, b"HEAPCCDR", "a camera's RAW file", _DEVELOP),
    (0, b"\x1a\x45\xdf\xa3", "a video (Matroska or WebM)", _FRAMES),
    (0, b"\0\0\x01\xba", "a video (MPEG)", _FRAMES),
    (0, b"\0\0\x01\xb3", "a video (MPEG)", _FRAMES),
    (0, b"FLV\x01", "a video (Flash)", _FRAMES),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a video (Windows Media)", _FRAMES),
    (8, b"AVI LIST", "a video (AVI)", _FRAMES),
    (0, b"\x76\x2f\x31\x01", "OpenEXR", _RESCALE),
    (0, b"#?RADIANCE", "Radiance HDR", _RESCALE),
    (0, b"SIMPLE  =", "FITS", _RESCALE),
    (0, b"\x89HDF", "HDF5", _RESCALE),
    (0, b"\x93NUMPY", "a NumPy array", _RESCALE),
    (344, b"n+1\0", "NIfTI", _RESCALE),
    (0, b"DDS ", "a DirectDraw texture", _CONVERT),
    (0, b"qoif", "QOI", _CONVERT),
)
_BRANDS = dict.fromkeys((b"avif", b"avis"), "AVIF") | dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1", b"miaf"), "HEIC"
)
_CONTAINERS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_TYPES = {1: "unsigned", 2: "signed", 3: "floating-point"}


def looks_like_image(head: bytes) -> bool:
    """Whether the first 16 bytes are those of one of the six formats."""
    return head.startswith(_SIGNATURES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def named(head: bytes) -> str:
    """What a file of another format is and what to do, by its first `HEAD` bytes; "" where that is not known."""
    kind, advice = _box(head) if head[4:8] in _CONTAINERS else ("", "")
    for place, magic, *found in _OTHERS:
        if head.startswith(magic, place):
            kind, advice = found
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<svg", b"<?xml", b"<!")) and b"<svg" in text:
        kind, advice = "SVG", "render it as PNG"
    return f"{kind}, which is not read here; {advice}" if kind else ""


def refusal(head: bytes) -> str:
    """Why a file that is none of the six formats is left out."""
    kinds = {b"PK\x03\x04": "a zip", b"%PDF": "a PDF", b"<": "HTML or XML", b"\x1f\x8b": "a gzip"}
    kinds |= {b"\0\0\1\0": "an icon"}
    kind = next((kind for magic, kind in kinds.items() if head.lstrip().startswith(magic)), "")
    return named(head) or f"not an image{f' of the six formats ({kind})' if kind else ''}"


def _box(head: bytes) -> tuple[str, str]:
    """What a file of the ISO base media format is, by its major brand, else by those that it is compatible with."""
    if head[4:8] != b"ftyp":
        return "a video (QuickTime)", _FRAMES
    length = min(int.from_bytes(head[:4], "big"), 256)
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, length, 4))]
    if brands[0] == b"crx ":
        return "a camera's RAW file", _DEVELOP
    if brands[0] in _BRANDS:
        found = {_BRANDS[brand] for brand in brands if brand in _BRANDS}
        exact = _BRANDS[brands[0]]
        return ("AVIF" if "AVIF" in found and brands[0] in (b"mif1", b"msf1", b"miaf") else exact), _CONVERT
    return "a video (MP4 or QuickTime)", _FRAMES


def reject_previews(image: Image.Image) -> None:
    """`Unusable` for a camera's RAW file in the form of a TIFF, of which only a small preview would be read."""
    tags = getattr(image, "tag_v2", {})
    if 50706 in tags or (330 in tags and int(tags.get(254, 0)) & 1):
        raise Unusable(f"a camera's RAW file, which is not read here; {_DEVELOP}")


def not_opened(file: BinaryIO, head: bytes) -> str:
    """Why Pillow does not open a file of one of the six formats, where its header says it; else ""."""
    try:
        if head.startswith(_TIFF):
            return _tiff(file)
        return _jpeg(head) if head.startswith(b"\xff\xd8\xff") else ""
    except Exception:  # a header that is broken breaks in many ways
        return ""


def _tiff(file: BinaryIO) -> str:
    file.seek(0)
    start = file.read(8)
    tags = TiffImagePlugin.ImageFileDirectory_v2(start + file.read(8) if start[2:4] in (b"+\0", b"\0+") else start)
    file.seek(tags.next)
    tags.load(file)
    method = int(tags.get(259, 1))
    if method not in TiffImagePlugin.COMPRESSION_INFO:
        return f"TIFF compression {method}, which is not read here; save it uncompressed or with LZW"
    samples, bits, kind = int(tags.get(277, 1)), set(tags.get(258, (1,))), set(tags.get(339, (1,)))
    if bits <= {1, 2, 4, 8} and kind == {1} and samples in (1, 3, 4):
        return ""
    words = "/".join(_TYPES.get(each, "unknown") for each in sorted(kind))
    depth = "/".join(f"{each}" for each in sorted(bits))
    form = f"{samples} channel{'' if samples == 1 else 's'} of {depth}-bit {words} values"
    return f"TIFF with {form}, which is not read here; save grey or RGB of 8 bits, or grey of 16 unsigned bits"


def _jpeg(head: bytes) -> str:
    at = 2
    while at + 5 <= len(head) and head[at] == 0xFF:
        marker, length = head[at + 1], struct.unpack_from(">H", head, at + 2)[0]
        if marker == 0xF7:
            return f"JPEG-LS, which is not read here; {_CONVERT}"
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            bits = head[at + 4]
            return "" if bits == 8 else f"JPEG of {bits} bits, which is not read here; save it in 8 bits"
        at += 2 + length
    return ""
