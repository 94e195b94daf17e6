"""The modes of images: any of a file's, 8 bits of grey or colour with or without opacity, and these apart and joined again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageFilter

BAND = 1 << 20  # pixels that are converted at a time, so that a large image needs little more than its own memory
_AROUND = 8  # pixels: what is transparent takes the colour of what is seen so near

ToSrgb = Callable[[Image.Image], Image.Image]  # of L, RGB, RGBA or CMYK, to L, RGB or RGBA


class Unusable(Exception):  # noqa: N818  (a finding, not a fault)
    """Why an image cannot be used, in words for the list of what was left out."""


def plain(image: Image.Image, to_srgb: ToSrgb | None = None) -> Image.Image:
    """8 bits of grey (L), colour (RGB) or colour times opacity (RGBa), from any mode of 8 bits, its colours brought to sRGB."""
    try:
        if image.mode == "La":
            image = image.convert("LA")
        if image.has_transparency_data:
            image = image.convert("RGBA")
        elif image.mode not in ("L", "RGB") and not (to_srgb and image.mode == "CMYK"):
            image = image.convert("L" if image.mode == "1" else "RGB")
        if to_srgb:
            image = to_srgb(image)
        return image.convert("RGBa") if image.mode == "RGBA" else image  # only colour times opacity is averaged rightly
    except ValueError:
        raise Unusable(f"colours in {image.mode}, which is not read here") from None


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
