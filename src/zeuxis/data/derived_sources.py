"""Sources made from the images themselves: their edges, their grey, a blur, regions of plain colour, all of them smaller."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageFilter

from zeuxis.data.listing import Content, Listing, Picture, Shape
from zeuxis.data.pack import Pack
from zeuxis.data.readers import Rows
from zeuxis.io.images import Array

# The colours of `labels`, so few and so plain that a person can paint with them.
PALETTE = (
    (0, 0, 0),
    (128, 128, 128),
    (255, 255, 255),
    (220, 40, 40),
    (255, 150, 40),
    (255, 225, 60),
    (90, 180, 60),
    (30, 80, 40),
    (110, 200, 255),
    (40, 90, 200),
    (15, 25, 80),
    (150, 80, 180),
    (120, 75, 45),
    (60, 40, 30),
    (225, 185, 145),
)
_RECIPE = 1  # raise it whenever what is made changes
_WEAK, _STRONG = 0.05, 0.12  # of the range of a channel: an edge begins at the second, and goes on down to the first


def edges(image: Image.Image) -> Image.Image:
    """Dark lines, one pixel wide, where the colour changes (Canny 1986)."""
    smooth = np.asarray(image.filter(ImageFilter.GaussianBlur(1.0)), np.float32) / 255
    down, across = np.gradient(smooth, axis=(0, 1))
    each = np.hypot(down, across) * 2  # the range over two pixels
    strongest = each.argmax(2)[..., None]
    down, across, size = (np.take_along_axis(values, strongest, 2)[..., 0] for values in (down, across, each))
    ridge = _ridge(size, down, across)
    return Image.fromarray(np.where(_joined(ridge > _STRONG, ridge > _WEAK), 0, 255).astype(np.uint8))


def _ridge(size: Array, down: Array, across: Array) -> Array:
    """The gradient's size (h w) where it is the largest along its direction, and 0 elsewhere."""
    padded = np.pad(size, 1)
    turn = np.rint(np.arctan2(down, across) / (np.pi / 4)).astype(int) % 4
    steps = np.array([(0, 1), (1, 1), (1, 0), (1, -1)])[turn]  # h w 2: the neighbour of the eight that lies nearest
    rows, columns = np.indices(size.shape) + 1
    ahead = padded[rows + steps[..., 0], columns + steps[..., 1]]
    behind = padded[rows - steps[..., 0], columns - steps[..., 1]]
    return np.where((size > ahead) & (size >= behind), size, 0)


def _joined(seeds: Array, allowed: Array) -> Array:
    """What is allowed (h w, bool) and connected to a seed, corners included."""
    while True:
        wide = np.pad(seeds, 1)
        height, width = seeds.shape
        grown = np.zeros_like(seeds)
        for top in range(3):
            for left in range(3):
                grown |= wide[top : top + height, left : left + width]
        grown &= allowed
        if (grown == seeds).all():
            return seeds
        seeds = grown


def grey(image: Image.Image) -> Image.Image:
    """Without its colours."""
    return image.convert("L")


def blur(image: Image.Image) -> Image.Image:
    """Without its details: what is finer than a sixteenth of the width is gone."""
    return image.filter(ImageFilter.GaussianBlur(image.width / 32))


def labels(image: Image.Image) -> Image.Image:
    """Regions of the palette's colours."""
    return painted(image, PALETTE)


def painted(image: Image.Image, palette: tuple[tuple[int, int, int], ...]) -> Image.Image:
    """Each pixel as the nearest colour of a palette, small spots gone."""
    smooth = np.asarray(image.filter(ImageFilter.GaussianBlur(image.width / 64)), np.int32)
    colours = np.array(palette, np.int32)
    nearest = ((smooth[:, :, None] - colours) ** 2).sum(-1).argmin(-1)
    flat = Image.fromarray(nearest.astype(np.uint8)).filter(ImageFilter.ModeFilter(5))
    return Image.fromarray(colours[np.asarray(flat)].astype(np.uint8))


def reduced(image: Image.Image, scale: int) -> Image.Image:
    """The image, `scale` times as small, by the bicubic kernel (a = -0.5) stretched to what a pixel is to hold.

    So are the sources of the papers on super-resolution made (Ledig 2017, section 3.1). What the scale leaves over of the
    width and the height is left away on the right and below: each pixel stands for whole ones.
    """
    width, height = image.width // scale, image.height // scale
    return image.resize((width, height), Image.Resampling.BICUBIC, box=(0, 0, width * scale, height * scale))


SMALL = "small"
_ALIKE: dict[str, Callable[[Image.Image], Image.Image]] = {"edges": edges, "grey": grey, "blur": blur, "labels": labels}
DERIVATIONS = (*_ALIKE, SMALL)


class DerivedSource:
    """What is made in one of the `DERIVATIONS` of the images of a pack; items are their names."""

    def __init__(self, way: str, rows: Rows, places: Mapping[str, int]) -> None:
        self.way, self.rows, self.places = way, rows, places

    def as_json(self) -> None:
        """Nothing that another process could use."""

    def picture(self, item: str, shape: Shape) -> Picture:
        """What is made of an image, at the size that it is learned at."""
        whole = shape._replace(size=self.rows.array.shape[1]) if self.way == SMALL else shape
        found = self.rows.picture(str(self.places[item]), whole._replace(channels=3))
        given = Image.fromarray(np.ascontiguousarray(found.pixels))
        image = reduced(given, given.width // shape.size) if self.way == SMALL else _ALIKE[self.way](given)
        pixels = np.asarray(image.convert("L" if shape.channels == 1 else "RGB"))
        return found._replace(pixels=pixels.reshape(shape.size, shape.size, shape.channels))


def derived_listing(way: str, pack: Pack) -> Listing:
    """What is made of the images of a pack in one of the `DERIVATIONS`."""

    def gather() -> Content:
        places = {name: place for place, name in enumerate(pack.records().names)}
        return Content(list(places), DerivedSource(way, Rows(pack.stored), places))

    return Listing(f"{way}-{pack.name}", f"{way} {_RECIPE} {pack.fingerprint}", gather)
