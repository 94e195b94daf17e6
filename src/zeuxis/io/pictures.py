"""Pictures that a notebook shows: `Images`, a tensor of them, and `Figure`, any result with a picture."""

from __future__ import annotations

import base64
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from zeuxis.errors import UsageError
from zeuxis.io import animation, files, images, series
from zeuxis.io.paths import expanded

if TYPE_CHECKING:
    from torch import Tensor

Drawing = Callable[["Tensor"], Image.Image]

_LEAST_TILE = 48  # pixels: smaller images are enlarged on a contact sheet
_LEAST_SHOWN, _MOST_SHOWN = 96, 2048  # pixels of a side in a notebook
_MOVING_SHOWN, _MOVING_SAVED = 128, 256  # pixels of a side: smaller frames are enlarged


def contact_sheet(tensor: Tensor, *, columns: int | None = None) -> Image.Image:
    """The contact sheet of images (n c h w, or rows columns c h w, in [-1, 1]), enlarged to 48 pixels or more."""
    if tensor.ndim == 5:
        columns, tensor = tensor.shape[1], tensor.flatten(0, 1)
    return images.sheet(tensor, columns=columns, scale=sheet_scale(tensor.shape[-1]))


def sheet_scale(width: int) -> int:
    """How many times as large images of this width are drawn on a contact sheet."""
    return -(-_LEAST_TILE // width)


def single(tensor: Tensor) -> Image.Image:
    """The first of the images (n c h w, in [-1, 1]), pixel by pixel."""
    return images.sheet(tensor[:1], gap=0)


class Figure(ABC):
    """A result with a picture: a notebook shows it, and `save` writes what the command of its name writes."""

    @abstractmethod
    def pil(self) -> Image.Image:
        """The picture, as an image of Pillow."""

    def save(self, path: str | Path) -> None:
        """Write the picture as PNG, in a folder that is made if need be.

        `UsageError` where the name does not end in .png.
        """
        images.write_png(self.pil(), place_for(path, (".png",)))

    def _repr_png_(self) -> bytes | None:
        """The picture for a notebook, with sides of 96 to 2,048 pixels."""
        return images.png(_shown(self.pil()))


@dataclass(frozen=True, eq=False, repr=False)
class Images(Figure):
    """Images as a tensor (n c h w, or rows columns c h w of a grid, in [-1, 1], on the CPU) that a notebook shows.

    Indices and slices are those of the tensor's first axis, or first two of a grid, and give `Images` again: one image
    stays a batch of one. A part of a labelled figure is a plain sheet. `len` counts the first axis, and iteration
    goes along it.
    """

    held: Tensor | Image.Image  # the tensor, or one image in 8 bits, which large ones are kept in
    drawing: Drawing = contact_sheet  # draws the tensor as one picture
    fps: int = 0  # frames per second of a walk; 0: not an animation
    names: Sequence[str] = ()  # file names without ending, one per image, for `save` into a folder

    @cached_property
    def tensor(self) -> Tensor:
        """The images as float32: n c h w, or rows columns c h w of a grid, in [-1, 1], on the CPU."""
        if isinstance(self.held, Image.Image):
            pixels = np.asarray(self.held)
            return images.from_uint8(pixels.reshape(1, *pixels.shape[:2], -1))
        return self.held

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the tensor: n c h w, or rows columns c h w."""
        if isinstance(self.held, Image.Image):
            return 1, len(self.held.getbands()), self.held.height, self.held.width
        return tuple(self.held.shape)

    def pil(self) -> Image.Image:
        """The sheet or figure that `save` writes; of one image that was picked out, its own pixels."""
        return self.held if isinstance(self.held, Image.Image) else self.drawing(self.held)

    def numpy(self) -> images.Array:
        """The pixels: uint8, n h w c, or rows columns h w c of a grid."""
        pixels = images.to_uint8(self.flat)
        return pixels.reshape(*self.shape[:-3], *pixels.shape[1:])

    @property
    def flat(self) -> Tensor:
        """The images as n c h w, a grid row by row."""
        return self.tensor.flatten(0, -4)

    def in_columns(self, columns: int) -> Images:
        """The same images on a plain sheet with so many columns."""
        if columns < 1:
            raise UsageError(f"columns is {columns}; expected at least 1")
        return replace(self, held=self.flat, drawing=partial(contact_sheet, columns=columns), fps=0)

    def save(self, path: str | Path) -> None:
        """Write the sheet or figure (.png), a walk also as an animation (.webp, .gif, .mp4), or a folder of images.

        A folder is a name without an ending: each image becomes a PNG file of its own pixels. Folders are made if need
        be. `UsageError` for any other ending, and where an .mp4 needs the extra `video`.
        """
        place = place_for(path, (".png", "", *(animation.MOVING if self.fps else ())))
        if place.suffix.lower() in animation.MOVING:
            animation.write(self.tensor, place, fps=self.fps, scale=max(1, _MOVING_SAVED // self.shape[-1]))
        elif place.suffix:
            images.write_png(self.pil(), place)
        else:
            self._save_each(place)

    def _save_each(self, folder: Path) -> None:
        """Write each image into the folder."""
        names = self.names or [f"image-{i:05}" for i in range(len(self.flat))]
        each = dict(zip(names, self.flat))  # equal names are of equal images
        pixels = ((f"{name}.png", images.to_uint8(image[None])[0]) for name, image in each.items())
        series.write_series(folder, pixels)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Images]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> Images:
        found = self.tensor[key]
        if found.ndim < 3 or found.shape[-3:] != self.tensor.shape[-3:]:
            raise IndexError(f"{key!r} reaches into an image of {self!r}; use .tensor or .numpy() for its pixels")
        numbers = _numbered(self.tensor)[key].flatten().tolist()
        names = [self.names[i] for i in numbers] if self.names else ()
        if found.ndim == 3:
            return Images(found[None], single, names=names)
        moving = self.fps if self.tensor.ndim == found.ndim else 0
        row = partial(contact_sheet, columns=len(found)) if self.tensor.ndim > found.ndim else contact_sheet
        return Images(found, self.drawing if moving else row, moving, names)

    def __repr__(self) -> str:
        return f"Images of shape {self.shape}"

    def _repr_png_(self) -> bytes | None:
        return super()._repr_png_() if 0 not in self.shape else None

    def _repr_html_(self) -> str | None:
        """A walk as an animation, which notebooks prefer to its strip."""
        if not self.fps or not len(self):
            return None
        scale = max(1, _MOVING_SHOWN // self.shape[-1])
        moving = animation.animated(self.tensor, ".webp", fps=self.fps, scale=scale)
        return f'<img alt="{self!r}" src="data:image/webp;base64,{base64.b64encode(moving).decode()}">'


def place_for(path: str | Path, kinds: Sequence[str]) -> Path:
    """The path, `~` expanded, in a folder that is made if need be; `UsageError` where its ending is none of these."""
    place = Path(expanded(str(path)))
    if place.suffix.lower() not in kinds:
        named = [kind or "no ending (a folder)" for kind in kinds]
        raise UsageError(f"{path} cannot be written; expected a name that ends in {', '.join(named)}")
    files.make_folder(place.parent)
    return place


def _numbered(tensor: Tensor) -> Tensor:
    """The number of each image, row by row, in the shape of the tensor's first axes."""
    import torch

    lead = tensor.shape[:-3]
    return torch.arange(lead.numel()).reshape(lead)


def _shown(image: Image.Image) -> Image.Image:
    """The image, enlarged by a whole number where it is tiny, and reduced where it is huge."""
    longest = max(image.size)
    if longest > _MOST_SHOWN:
        image = image.copy()
        image.thumbnail((_MOST_SHOWN, _MOST_SHOWN))
        return image
    scale = -(-_LEAST_SHOWN // longest)
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST) if scale > 1 else image
