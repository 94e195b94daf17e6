"""What a value is: which kind of images in memory, or why it is none."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, TypeGuard

import numpy as np
from PIL import Image

from zeuxis.data.derived_sources import DERIVATIONS
from zeuxis.data.pairs import HALVES
from zeuxis.data.values.arrays import ArrayImages
from zeuxis.data.values.file_lists import FileList
from zeuxis.data.values.hugging_face import HuggingFaceImages, class_labels, refuse_other
from zeuxis.data.values.labels import labels_of
from zeuxis.data.values.memory import ImageValues, MemorySet
from zeuxis.data.values.pictures import PictureSequence
from zeuxis.data.values.pixels import array_of
from zeuxis.errors import UsageError
from zeuxis.escaping import quote


class Indexed(Protocol):
    """Anything whose items have numbers: a list, a tuple, an array, a tensor, a dataset."""

    def __getitem__(self, place: Any, /) -> Any:
        """The item of a number."""


EXPECTED = (
    "expected a path or the name of a data set; a list of files or of pictures; an array or tensor of images, or "
    "(images, labels); a torch Dataset; a datasets.Dataset"
)


def as_images(value: Any) -> MemorySet:
    """The images of a value, alone or with their labels; `UsageError` where it is none of the kinds that are known."""
    labels, names, column = None, None, ""
    if is_labelled(value):
        value, labels, names = (*value, None)[:3]
    elif isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], str) and not _is_path(value[0]):
        value, column = value
    found = _values(value, labels, names, column)
    if column and not isinstance(found, HuggingFaceImages | PictureSequence):
        raise UsageError(f"a column is named, {quote(column)}, and {found.name} has none; leave it out")
    if not len(found):
        raise UsageError(f"{found.name} is empty; give at least one image")
    return MemorySet(found.name, found)


def is_labelled(value: Any) -> bool:
    """Whether a value is (images, labels), or that and the names of the labels, rather than two sets of images."""
    if not isinstance(value, tuple) or len(value) not in (2, 3) or _is_path(value[0]) or isinstance(value[1], str):
        return False
    array = array_of(value[0])
    many = isinstance(value[0], list) or (array is not None and array.ndim in (3, 4) and len(array) > 0)
    return many and _may_be_labels(value[1])


def are_ends(value: Any) -> TypeGuard[tuple[Any, Any]]:
    """Whether a value is two ends: sources, or the word for how they are made of the images, and images."""
    if not isinstance(value, tuple) or len(value) != 2 or is_labelled(value):
        return False
    if isinstance(value[0], str):
        return value[0] in (*DERIVATIONS, *HALVES) and not _is_path(value[1])
    return not any(isinstance(end, Image.Image) or _is_path(end) for end in value)


def _may_be_labels(value: Any) -> bool:
    if value is None:
        return True
    array = array_of(value)
    if array is not None:
        return array.ndim in (1, 2)
    if not isinstance(value, Sequence) or isinstance(value, str):
        return False
    first = value[0] if len(value) else 0
    return first is None or isinstance(first, int | str | np.integer | list | tuple) or _is_number(first)


def _is_number(value: Any) -> bool:
    array = array_of(value)
    return isinstance(value, float) or (array is not None and array.ndim < 2)


def _values(value: Any, labels: Any, names: Any, column: str) -> ImageValues:
    """The kind of values that these are."""
    if (array := array_of(value)) is not None:
        return ArrayImages(array, labels_of(labels, len(array) if array.ndim else 0, names, "the array"))
    datasets = sys.modules.get("datasets")
    if datasets is not None and hasattr(datasets, "IterableDataset"):
        refuse_other(value, datasets)
        if isinstance(value, datasets.Dataset):
            if value.format["type"] != "custom":
                return HuggingFaceImages(value, datasets, column)
            names = class_labels(value, datasets)[1]  # its items are what a function of the user's makes of them
            return PictureSequence(value, names=names or None, column=column)
    if isinstance(value, list | tuple) and value and all(map(_is_path, value)):
        if labels is not None:
            raise UsageError("a list of files has its classes by their folders; leave the labels out, or give pictures")
        return FileList(value)
    _refuse(value)
    return PictureSequence(value, labels=labels, names=names, column=column)


def _refuse(value: Any) -> None:
    """`UsageError` for what has no items with numbers."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.utils.data.DataLoader):
        raise UsageError("a DataLoader shuffles and repeats by itself; give its dataset, as in loader.dataset")
    if torch is not None and isinstance(value, torch.utils.data.IterableDataset):
        raise UsageError("an IterableDataset has no order that can be gone back to; give a Dataset with __getitem__")
    if isinstance(value, Image.Image):
        raise UsageError("the data is one picture; give a list of pictures, or a folder")
    numbered = hasattr(type(value), "__len__") and hasattr(type(value), "__getitem__")
    if not numbered or isinstance(value, dict | str | bytes):
        raise UsageError(f"the data is {type(value).__name__}; {EXPECTED}")


def _is_path(value: Any) -> bool:
    return isinstance(value, str | Path | PathLike)
