"""Where the pixels of a target come from: the part of an image that is taken, which way up, and its resampling."""

from __future__ import annotations

import math

from PIL import Image

from zeuxis.io.pixel_modes import BAND, ToSrgb, plain

ROTATED = {  # EXIF orientation -> how the stored image becomes the one that was seen
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# The side of the stored image that is the left half of the one that was seen; its right half is opposite.
_LEFT = {2: "right", 3: "right", 5: "top", 6: "bottom", 7: "bottom", 8: "top"}
_OPPOSITE = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}
Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels


def orientation(image: Image.Image) -> int:
    """What EXIF says of how it was held, 1 to 8; 1 where that cannot be read: broken metadata does not concern the pixels."""
    try:
        found = image.getexif().get(0x0112, 1)
        return found if found in ROTATED else 1
    except Exception:  # as many kinds as there are ways to break it
        return 1


def upright(size: tuple[int, int], image: Image.Image) -> tuple[int, int]:
    """Width and height of an image as it is seen, by those that it had when it was opened; its pixels are loaded now."""
    return (
        size[::-1] if orientation(image) >= 5 else size
    )  # Pillow turns a TIFF, and says no more that it was on its side


def stored_half(resize_mode: str, turned: int) -> str:
    """The half of the stored image that is the left, or the right one, of the image that was seen."""
    if resize_mode not in ("left", "right"):
        return resize_mode
    left = _LEFT.get(turned, "left")
    return left if resize_mode == "left" else _OPPOSITE[left]


def placed(now: tuple[float, float], full: tuple[int, int], size: int, resize_mode: str) -> tuple[Box, tuple[int, int]]:
    """The part of the image that is taken, in pixels of what was decoded, and the width and height it gets."""
    width, height = float(full[0]), float(full[1])
    across, down = now[0] / width, now[1] / height
    if resize_mode == "pad":
        scale = size / max(width, height)
        return (0.0, 0.0, now[0], now[1]), (max(1, round(width * scale)), max(1, round(height * scale)))
    start = width / 2 if resize_mode == "right" else 0.0
    above = height / 2 if resize_mode == "bottom" else 0.0
    width = width / 2 if resize_mode in ("left", "right") else width
    height = height / 2 if resize_mode in ("top", "bottom") else height
    side = min(width, height)
    left, top = start + (width - side) / 2, above + (height - side) / 2
    return (left * across, top * down, (left + side) * across, (top + side) * down), (size, size)


def resized(image: Image.Image, box: Box, target: tuple[int, int], to_srgb: ToSrgb | None) -> Image.Image:
    """The box of the image at the target size, antialiased: averaged to no less than twice the target, then Lanczos."""
    by = [max(1, int((box[i + 2] - box[i]) / target[i] / 2)) for i in (0, 1)]
    outer = (math.floor(box[0]), math.floor(box[1]), math.ceil(box[2]), math.ceil(box[3]))
    rows = max(1, BAND // max(1, outer[2] - outer[0]) // by[1]) * by[1]
    bands = []
    for top in range(outer[1], outer[3], rows):
        band = plain(image.crop((outer[0], top, outer[2], min(top + rows, outer[3]))), to_srgb)
        bands.append(band.reduce((by[0], by[1])) if by != [1, 1] else band)
    whole = bands[0] if len(bands) == 1 else _stacked(bands)
    inner = [(box[i] - outer[i % 2]) / by[i % 2] for i in range(4)]
    inner = [max(0.0, inner[0]), max(0.0, inner[1]), min(whole.width, inner[2]), min(whole.height, inner[3])]
    return whole.resize(target, Image.Resampling.LANCZOS, box=(inner[0], inner[1], inner[2], inner[3]))


def _stacked(bands: list[Image.Image]) -> Image.Image:
    whole = Image.new(bands[0].mode, (bands[0].width, sum(band.height for band in bands)))
    top = 0
    for band in bands:
        whole.paste(band, (0, top))
        top += band.height
    return whole
