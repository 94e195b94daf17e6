"""Labels that are given beside images in memory: classes by number or by name, or attributes of 0 and 1."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from zeuxis.data.class_folders import classes_of
from zeuxis.data.columns import attribute
from zeuxis.data.listing import Attribute, Labels
from zeuxis.data.values.pixels import array_of
from zeuxis.errors import UsageError
from zeuxis.escaping import quote
from zeuxis.io.images import Array

_MOST_CLASSES = 1 << 16


def labels_of(given: Any, count: int, names: Sequence[str] | None, what: str) -> Labels:
    """Labels of so many images: integers or texts (n), or 0 and 1 (n k); `UsageError` where they are anything else."""
    if not (given := _plain(given)):
        return Labels()
    if len(given) != count:
        raise UsageError(f"{what} has {count:,} images and {len(given):,} labels; give one for each image")
    if all(isinstance(each, str) for each in given):
        return classes_of(given)
    try:
        values = np.asarray(given)
    except ValueError:
        values = np.zeros((), object)
    if values.dtype.kind == "f" and np.isfinite(values).all() and (values == np.rint(values)).all():
        values = values.astype(np.int64)
    if values.dtype.kind not in "biu" or values.ndim not in (1, 2):
        odd = next((each for each in given if each is None or not isinstance(each, int | str)), given[0])
        raise UsageError(
            f"{what} has a label {quote(odd)}; expected an integer or a text, or a list of 0 and 1, for each"
        )
    return _classes(values, names, what) if values.ndim == 1 else _attributes(values, names, what)


def digest_of(labels: Labels) -> str:
    """A digest of labels and their names; "" where there are none."""
    if labels.values is None:
        return ""
    told = json.dumps([labels.values.shape, labels.classes, [list(each) for each in labels.attributes]]).encode()
    return hashlib.blake2b(told + labels.values.tobytes(), digest_size=16).hexdigest()


def chosen(labels: Labels, items: Sequence[str]) -> Labels:
    """The labels of these items, whose names are their places."""
    if labels.values is None:
        return labels
    return labels._replace(values=labels.values[np.fromiter(map(int, items), np.int64, len(items))])


def _plain(given: Any) -> list[Any]:
    """Labels as plain values; none where none of them says anything."""
    if given is None:
        return []
    array = array_of(given)
    values = array.tolist() if array is not None else [_plain_value(each) for each in given]
    return [] if all(value is None for value in values) else values


def _plain_value(value: Any) -> Any:
    array = array_of(value)
    if array is not None:
        return array.tolist()
    return list(value) if isinstance(value, tuple) else value


def _classes(values: Array, names: Sequence[str] | None, what: str) -> Labels:
    numbers = values.astype(np.int64)
    low, high = int(numbers.min()), int(numbers.max())
    if low < 0 or high >= (len(names) if names else _MOST_CLASSES):
        known = f"{len(names)} classes are named" if names else f"0 to {_MOST_CLASSES - 1:,} are expected"
        raise UsageError(f"{what} has labels of {low} to {high}, and {known}; number the classes from 0")
    return Labels(numbers, [str(name) for name in names] if names else [str(number) for number in range(high + 1)])


def _attributes(values: Array, names: Sequence[str] | None, what: str) -> Labels:
    count = values.shape[1]
    if not count or not np.isin(values, (0, 1)).all():
        raise UsageError(
            f"{what} has labels of {values.min(initial=0)} to {values.max(initial=0)} in rows; expected 0 and 1"
        )
    if names is not None and len(names) != count:
        raise UsageError(f"{what} has {count} attributes and {len(names)} names; give a name for each")
    found: list[Attribute] = [attribute(name) for name in (names or [f"attribute {n}" for n in range(1, count + 1)])]
    return Labels(values.astype(np.uint8), [], found)
