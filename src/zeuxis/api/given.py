"""What stands for pictures and for latents in Python: tensors, `Images`, arrays, images of Pillow, files, data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zeuxis import explore
from zeuxis.data.spelling import as_path
from zeuxis.errors import UsageError
from zeuxis.explore import Space, SpaceName, editing
from zeuxis.explore.spaces import space_of
from zeuxis.io import images
from zeuxis.io.images import Array
from zeuxis.io.pictures import Images
from zeuxis.model import Model
from zeuxis.runtime.callbacks import StageCallback, in_stage

GivenFile = str | Path
GivenImage = Images | Tensor | Array | Image.Image | GivenFile
GivenImages = GivenImage | Sequence[GivenImage]
GivenLatents = Tensor | Images | Image.Image | GivenFile  # a tensor holds latents; all else is a picture, or names some

NUMBER = 8  # images taken from data


def square_images(
    given: GivenImages, *, size: int, channels: int, number: int = NUMBER, work: StageCallback | None = None
) -> Tensor:
    """Images (n c h w, in [-1, 1]) of a size: files and images of Pillow are fitted, `number` taken of data.

    `UsageError` where a tensor or an array has another size or other channels.
    """
    if isinstance(given, (str, Path)):
        text = as_text(given)
        count = 1 if explore.is_picture(text) else number
        reading = in_stage(work, "reading images")
        return explore.examples(text, range(count), size=size, channels=channels, progress=reading)
    if isinstance(given, Image.Image):
        return images.from_uint8(images.fitted(given, size, channels)[None])
    if isinstance(given, (Images, Tensor, np.ndarray)):
        found = as_tensor(given)
        if tuple(found.shape[1:]) != (channels, size, size):
            wanted = f"expected n {channels} {size} {size}"
            raise UsageError(f"the images have shape {tuple(found.shape)}; {wanted}: resize them, or give files")
        return found
    return _joined([square_images(each, size=size, channels=channels, number=number, work=work) for each in given])


def whole_images(given: GivenImages, *, channels: int, shorter: int | None = None) -> Tensor:
    """Images (n c h w, in [-1, 1]) of any size; the shorter side of files and of images of Pillow is resized."""
    if isinstance(given, (str, Path)):
        return images.read_whole(as_text(given), channels=channels, shorter=shorter)
    if isinstance(given, Image.Image):
        return images.from_uint8(images.fitted_whole(given, channels, shorter=shorter)[None])
    if isinstance(given, (Images, Tensor, np.ndarray)):
        return as_tensor(given)
    return _joined([whole_images(each, channels=channels, shorter=shorter) for each in given])


def as_tensor(given: Images | Tensor | Array) -> Tensor:
    """Images as n c h w in [-1, 1]: of `Images`, of a tensor (c h w or n c h w), or of uint8 (h w c or n h w c)."""
    if isinstance(given, Images):
        return given.flat
    if isinstance(given, np.ndarray):
        if given.dtype != np.uint8:
            raise UsageError(f"the array has {given.dtype} values; expected uint8, h w c or n h w c, or a tensor")
        pixels = given[..., None] if given.ndim == 2 else given
        given = images.from_uint8(pixels[None] if pixels.ndim == 3 else pixels)
    found = given[None] if given.ndim == 3 else given
    if found.ndim != 4 or not len(found) or not found.is_floating_point():
        shape = tuple(given.shape)
        raise UsageError(f"the images are {given.dtype} of shape {shape}; expected floats in [-1, 1] of shape n c h w")
    return found


def latents_of(
    model: Model,
    given: GivenLatents | Sequence[GivenLatents],
    *,
    seeds: Sequence[int] | None = None,
    space: SpaceName = "z",
    order: int = 0,
    work: StageCallback | None = None,
) -> Tensor:
    """Latents (n ..., on the CPU) that were given, in a file or as a tensor, or those of pictures, encoded or inverted.

    Without seeds all of a file, or of one picture of data; with seeds one for each: `order` as in `explore.examples`.
    """
    if isinstance(given, Tensor):
        return checked_latents(space_of(model, space), given).cpu()
    if isinstance(given, (str, Path)):
        return editing.located(model, as_text(given), seeds, space=space, order=order, work=work)
    if isinstance(given, (Images, Image.Image)):
        found = square_images(given, size=model.size, channels=model.channels)
        return editing.latents_of_images(model, found, space, in_stage(work, "descending"))
    return torch.cat([latents_of(model, each, space=space, work=work).cpu() for each in given])


def checked_latents(space: Space, latents: Tensor) -> Tensor:
    """The latents (n ...); `UsageError` where their shape is not that of the space's, as of a tensor of images."""
    wanted = tuple(space.prior([0]).shape[1:])
    if tuple(latents.shape[1:]) != wanted or not len(latents):
        shape = f"expected n {' '.join(map(str, wanted))}; give a tensor of images as zeuxis.Images(tensor)"
        raise UsageError(f"the latents have shape {tuple(latents.shape)}; {shape}")
    return latents


def holds_latents(given: GivenLatents) -> bool:
    """Whether what is given is so many latents or pictures, and not data to take some from."""
    if not isinstance(given, (str, Path)):
        return True
    text = as_text(given)
    return text.endswith(".safetensors") or explore.is_picture(text)


def as_text(path: GivenFile) -> str:
    """A path or the name of data as text; a `Path` is never a name."""
    return as_path(str(path)) if isinstance(path, Path) else path


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """The images of all parts (n c h w)."""
    if not parts:
        raise UsageError("there are no images; give at least one")
    shapes = sorted({tuple(part.shape[1:]) for part in parts})
    if len(shapes) > 1:
        raise UsageError(
            f"the images have different shapes, {shapes[0]} and {shapes[1]}; give those of one shape at a time"
        )
    return torch.cat([part.cpu() for part in parts])
