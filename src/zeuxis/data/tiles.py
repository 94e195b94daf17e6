"""Squares out of photographs at their own resolution, from where these are sharp."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from PIL import Image

from zeuxis.data import workers
from zeuxis.data.listing import (
    TILES,
    WHOLE,
    Content,
    FileReader,
    Labels,
    Listing,
    Picture,
    Shape,
    evenly_spaced,
)
from zeuxis.data.lots import WITHIN
from zeuxis.data.messages import Result
from zeuxis.data.scales import Scales
from zeuxis.errors import UsageError
from zeuxis.io import images
from zeuxis.io.images import Array
from zeuxis.runtime.callbacks import ProgressCallback

RECIPE = 2  # of what is recorded of tiles: raise it and their packs are built again
MOST = 20_000  # tiles of a listing, unless --max-images says another number
_CELL = 96  # pixels: tiles stand in the middles of cells of this side
# What a cell must lose, in levels of 255 (root mean square), when it is halved and brought back: of a blurred place, and
# most of many photographs is one, nothing can be learned that bicubic enlargement does not know.
_SHARP = 3.0


class Tiles:
    """Cuts what another reader decodes; items are the middle's place from the top and from the left, `@`, and its item."""

    def __init__(self, reader: FileReader) -> None:
        self.reader = reader
        self._last: tuple[str, int, Picture | None] = "", 0, None  # the tiles of a photograph follow each other

    def as_json(self) -> dict[str, Any] | None:
        """This reader, as JSON."""
        of = self.reader.as_json()
        return None if of is None else {"kind": "tiles", "of": of}

    def among(self, used: Collection[int]) -> Tiles:
        """The same, of photographs that use all bits of these depths."""
        return Tiles(self.reader.among(used))

    def is_quick(self, item: str) -> bool:
        """As of the other reader."""
        return self.reader.is_quick(item.partition("@")[2])

    def picture(self, item: str, shape: Shape) -> Picture:
        """What is around a place; where that would reach out of the photograph, it is moved inside."""
        place, _, name = item.partition("@")
        if self._last[:2] != (name, shape.channels):
            self._last = name, shape.channels, self.reader.picture(name, shape._replace(resize_mode=WHOLE))
        whole = self._last[2]
        assert whole is not None
        photograph, side = whole.pixels, shape.size
        if side > min(photograph.shape[:2]):
            raise images.Unusable(f"the photograph is smaller than {side} pixels")
        middle = (int(word) for word in place.split(","))
        top, left = (min(max(at - side // 2, 0), most - side) for at, most in zip(middle, photograph.shape))
        cut = np.ascontiguousarray(photograph[top : top + side, left : left + side])
        digest = f"{whole.digest}{WITHIN}{hashlib.blake2b(cut.tobytes(), digest_size=16).hexdigest()}"
        return whole._replace(pixels=cut, size=(side, side), mode="L" if shape.channels == 1 else "RGB", digest=digest)


def cut(listing: Listing, most: int | None = None, progress: ProgressCallback | None = None) -> Content:
    """The tiles of a folder's or a zip's photographs, at most so many, spread evenly, with what is known of those.

    Photographs that are nowhere sharp are left out; `progress` counts those looked through. `UsageError` where there are
    no files of photographs.
    """
    content = listing.gather()
    if not isinstance(content.reader, FileReader):
        raise UsageError(
            f"--resize-mode {TILES} takes files of photographs, and {listing.name} has its images in another form"
        )
    scales, reader, notes = Scales(), content.reader, content.notes
    found = _searched(content.items, reader, scales, progress)
    if scales.known:
        reader, notes = reader.among(scales.known), notes + scales.notes()
        found = _searched(content.items, reader, Scales(), progress)
    left_out = [(item, each) for item, each in zip(content.items, found) if isinstance(each, str)]
    tiles = [
        f"{place}@{item}"
        for item, each in zip(content.items, found)
        if isinstance(each, Picture)
        for place in each.note.split(";")
    ]

    def label(items: Sequence[str]) -> Labels:
        return content.label([item.partition("@")[2] for item in items])

    chosen = [tiles[place] for place in evenly_spaced(len(tiles), most or MOST)]
    return Content(chosen, Tiles(reader), label, content.left_out + left_out, notes)


def _searched(
    items: Sequence[str], reader: FileReader, scales: Scales, progress: ProgressCallback | None
) -> list[Result]:
    """What `Sharpness` finds of each photograph."""
    found = []
    whole = Shape(_CELL, 1, WHOLE)
    with contextlib.closing(workers.decoded(Content(items, Sharpness(reader)), whole)) as results:
        for item, result in zip(items, results):
            found.append(result)
            scales.see(item, result)
            if progress:
                progress(len(found), len(items))
    return found


class Sharpness:
    """Finds where the photographs of another reader are sharp: a picture's `note` has the middles of the cells."""

    def __init__(self, reader: FileReader) -> None:
        self.reader = reader

    def as_json(self) -> dict[str, Any] | None:
        """This reader, as JSON."""
        return {"kind": "sharpness", "of": self.reader.as_json()}

    def among(self, used: Collection[int]) -> Sharpness:
        """The same, of photographs that use all bits of these depths."""
        return Sharpness(self.reader.among(used))

    def is_quick(self, item: str) -> bool:
        """As of the other reader."""
        return self.reader.is_quick(item)

    def picture(self, item: str, shape: Shape) -> Picture:
        """One black pixel, and the places; `images.Unusable` where there is none."""
        whole = self.reader.picture(item, shape)
        if not (places := _sharp_cells(whole.pixels)):
            raise images.Unusable("nowhere sharp at its own resolution")
        return whole._replace(pixels=np.zeros((1, 1, 1), np.uint8), note=";".join(places))


def _sharp_cells(photograph: Array) -> list[str]:
    """The middles of the sharp cells of a photograph (h w 1, uint8); of itself, if it has no whole cell."""
    height, width = photograph.shape[:2]
    across, down = width // _CELL, height // _CELL
    if not across or not down:
        return [f"{height // 2},{width // 2}"]  # too small to choose from
    grey = Image.fromarray(photograph[: down * _CELL, : across * _CELL, 0]).convert("F")
    half = grey.resize((grey.width // 2, grey.height // 2), Image.Resampling.BICUBIC)
    lost = np.asarray(grey) - np.asarray(half.resize(grey.size, Image.Resampling.BICUBIC))
    cells = np.square(lost).reshape(down, _CELL, across, _CELL).mean((1, 3))
    return [f"{top},{left}" for top, left in np.argwhere(cells > _SHARP**2) * _CELL + _CELL // 2]
