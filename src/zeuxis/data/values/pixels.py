"""Arrays as pictures: which axis is which, and which values are black and white. What could be two things is refused."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from zeuxis.errors import UsageError
from zeuxis.io.images import MOST_PIXELS, Array, to_uint8
from zeuxis.io.pictures import Images

_CHANNELS = (1, 3, 4)
_ROUNDED = 0.5 / 255  # as far out of [0, 1] a float still rounds to black or to white
_DARK = -0.5  # images in [-1, 1] have values below this; those that do not may be [0, 1] with an overshoot


class Ends(NamedTuple):
    """The least and the largest value of floating point pictures."""

    low: float = np.inf
    high: float = -np.inf

    def with_values(self, array: Array) -> Ends:
        """Of these values too; a NaN stays a NaN."""
        if not array.size:
            return self
        return Ends(float(np.minimum(self.low, array.min())), float(np.maximum(self.high, array.max())))


def array_of(value: Any) -> Array | None:
    """A NumPy array, or one of PyTorch or of a library whose arrays are like these, or of samples; None for anything else."""
    if isinstance(value, Images):
        return to_uint8(value.flat)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        return np.asarray(value.float() if value.dtype == torch.bfloat16 else value)
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "__array__") and hasattr(value, "shape") and hasattr(value, "dtype"):
        return np.asarray(value)
    return None


def channels_last(array: Array, what: str, *, many: bool = True) -> Array:
    """A view n h w c of pictures n h w, n h w c or n c h w; not `many`, h w c of one. `UsageError` where it is unclear."""
    shape = array.shape[1:] if many else array.shape
    n = "n " if many else ""
    told = f"{what} has the shape {' x '.join(map(str, array.shape))}"
    wanted = f"expected {n}h w, {n}h w c or {n}c h w with c 1, 3 or 4"
    if len(shape) not in (2, 3) or 0 in array.shape:
        raise UsageError(f"{told}; {wanted}")
    if len(shape) == 2:
        if many and shape[1] in _CHANNELS:
            raise UsageError(f"{told}, which is one picture h w c, or many h w; give n h w c")
        found = array[..., None]
    else:
        first, last = shape[0] in _CHANNELS, shape[2] in _CHANNELS
        if first == last:
            raise UsageError(f"{told}, where {'two axes' if first else 'no axis'} may be channels; {wanted}")
        found = np.moveaxis(array, -3, -1) if first else array
    if found.shape[-3] * found.shape[-2] > MOST_PIXELS:
        raise UsageError(f"{told}: over {MOST_PIXELS // 1_000_000} megapixels each; make them smaller")
    return found


def check_kind(array: Array, what: str) -> None:
    """`UsageError` unless the type of the values has a known black and white."""
    if array.dtype == np.uint8 or array.dtype == bool or array.dtype.kind == "f":
        return
    advice = "give uint8, or floating point values of 0 to 1 or of -1 to 1"
    if array.dtype.kind in "iu":
        advice = "where its values are 0 to 255, give .astype('uint8'); else divide by the white value"
    raise UsageError(f"{what} has values of the type {array.dtype}, with no known black and white; {advice}")


def black_of(ends: Ends, what: str) -> float:
    """The value of black in floating point pictures, 0 or -1, white being 1; `UsageError` where that cannot be told."""
    low, high = ends
    told = f"{what} has floating point values of {low:.4g} to {high:.4g}"
    if not np.isfinite([low, high]).all():
        raise UsageError(f"{what} has a NaN or an infinity among its values; replace these by numbers of 0 to 1")
    if low >= -_ROUNDED and high <= 1 + _ROUNDED:
        return 0.0
    if -1 - 2 * _ROUNDED <= low <= _DARK and high <= 1 + 2 * _ROUNDED:
        return -1.0
    if _DARK < low < 0 and high <= 1 + 2 * _ROUNDED:
        raise UsageError(f"{told}, which may be 0 to 1 or -1 to 1; clip them at 0, or give uint8")
    raise UsageError(f"{told}; expected 0 to 1, or -1 to 1, or uint8 of 0 to 255")


def to_8bit(picture: Array, black: float) -> Array:
    """A picture (h w c) in uint8; of floating point values `black` is black, and 1 is white."""
    if picture.dtype == np.uint8:
        return np.ascontiguousarray(picture)
    values = picture.astype(np.float32)
    grey = (values + 1) * np.float32(127.5) if black < 0 else values * np.float32(255)
    rounded: Array = np.rint(grey).clip(0, 255).astype(np.uint8)
    return rounded


def as_image(pixels: Array) -> Image.Image:
    """An image of pixels (h w c, uint8) with c 1 (grey), 3 (colour) or 4 (colour and opacity)."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
