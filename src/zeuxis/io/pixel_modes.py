"""The modes of images: any of a file's, 8 bits of grey or colour with or without opacity, and these apart and joined again."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageFilter

BAND = 1 << 20  # pixels that are converted at a time, so that a large image needs little more than its own memory
_AROUND = 8  # pixels: what is transparent takes the colour of what is seen so near


class Unusable(Exception):  # noqa: N818  (a finding, not a fault)
    """Why an image cannot be used, in words for the list of what was left out."""


def plain(image: Image.Image) -> Image.Image:
    """8 bits of grey (L), colour (RGB) or colour times opacity (RGBa), from any mode of 8 bits."""
    try:
        if image.has_transparency_data:
            return image.convert("RGBA").convert("RGBa")  # averaging is right only for colour times opacity
        return image if image.mode in ("L", "RGB") else image.convert("L" if image.mode == "1" else "RGB")
    except ValueError:
        raise Unusable(f"colours in {image.mode}, which is not read here") from None


def to_8bit(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits, or in floating point (0 to 1, or 0 to 255), in 8 bits; other modes as they are."""
    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    low, high = (float(np.ravel(value)[0]) for value in image.getextrema())
    if image.mode == "F" and not 0 <= low <= high <= 255:  # a NaN fails this too
        raise Unusable("floating point values outside of 0 to 255")
    if image.mode == "F":
        most = 1.0 if high <= 1 else 255.0
    else:
        most = 65535.0 if image.mode.startswith("I;16") or high <= 65535 else 2.0**32 - 1
    rows = max(1, BAND // image.width)
    result = np.empty((image.height, image.width), np.uint8)
    for top in range(0, image.height, rows):
        band = np.asarray(image.crop((0, top, image.width, min(top + rows, image.height)))).astype(np.float32)
        result[top : top + rows] = np.rint((band * (255 / most)).clip(0, 255))
    return Image.fromarray(result)


def on_white(image: Image.Image) -> Image.Image:
    """The image on white, where it has an opacity."""
    if image.mode != "RGBa":
        return image
    pixels = np.asarray(image.convert("RGBa")).astype(np.int16)
    return Image.fromarray((pixels[..., :3] + 255 - pixels[..., 3:]).clip(0, 255).astype(np.uint8))


class Layers(NamedTuple):
    """An image (L where it is all grey, else RGB) and its opacity (L), None where it is opaque throughout."""

    colour: Image.Image
    opacity: Image.Image | None


def split_alpha(image: Image.Image) -> Layers:
    """The layers of an image in L, RGB or RGBa; what is transparent takes a colour of what is seen around it.

    Whatever is then done to the colours meets no border that nobody could see.
    """
    if image.mode != "RGBa":
        return Layers(_grey_if_it_is(image), None)
    straight = image.convert("RGBA")
    opacity = straight.getchannel("A")
    if opacity.getextrema()[0] == 255:
        return Layers(_grey_if_it_is(straight.convert("RGB")), None)
    around = image.filter(ImageFilter.BoxBlur(_AROUND)).convert("RGBA").convert("RGB")
    seen = opacity.point([0] + [255] * 255)
    return Layers(_grey_if_it_is(Image.composite(straight.convert("RGB"), around, seen)), opacity)


def _grey_if_it_is(image: Image.Image) -> Image.Image:
    if image.mode == "L":
        return image
    pixels: Any = np.asarray(image)
    alike = bool((pixels[..., :1] == pixels[..., 1:]).all())
    return image.getchannel("R") if alike else image


def merge_alpha(layers: Layers) -> Image.Image:
    """The layers as one image: L, LA, RGB or RGBA."""
    if layers.opacity is None:
        return layers.colour
    result = layers.colour.copy()
    result.putalpha(layers.opacity)
    return result
