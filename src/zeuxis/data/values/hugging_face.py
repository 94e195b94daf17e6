"""A `datasets.Dataset` of Hugging Face: its column of pictures, read as it is stored, and its classes with their names."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from zeuxis.data.listing import Content, Numbered, Picture, Shape
from zeuxis.data.parquet_columns import chosen_column
from zeuxis.data.readers import pictured
from zeuxis.data.sample_labels import labelled, with_class_numbers
from zeuxis.data.table_rows import CLASS_COLUMNS
from zeuxis.errors import UsageError
from zeuxis.io import images


class HuggingFaceImages:
    """The pictures in a column of a dataset; `UsageError` where there is none, or it must be told which is meant."""

    def __init__(self, dataset: Any, module: Any, column: str = "") -> None:
        features = dataset.features
        likely = [name for name, feature in features.items() if isinstance(feature, module.Image)]
        self.name = dataset.info.dataset_name or "dataset"
        self.column = chosen_column(likely, likely, column, list(features), f"the dataset {self.name}")
        labels, self.classes = class_labels(dataset, module)
        self.labels = labels or [name for name, each in features.items() if _says_something(name, each, module)]
        self.unused = [name for name in features if name not in (self.column, *self.labels)]
        rows = dataset.with_format(None).select_columns([self.column, *self.labels])
        self.rows = rows.cast_column(self.column, module.Image(decode=False))
        self._said: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return len(self.rows)

    def digests(self) -> Iterator[str]:
        """Of each picture as it is stored; what is said of its class or attributes is noted too."""
        self._said = []
        for row in self.rows:
            self._said.append({name: row[name] for name in self.labels})
            yield hashlib.blake2b(_stored(row[self.column]), digest_size=16).hexdigest()

    def labels_digest(self) -> str:
        """Of the labels and their names."""
        return hashlib.blake2b(repr([self.classes, self._said]).encode(), digest_size=16).hexdigest()

    def content(self) -> Content:
        """The pictures, named by their rows."""
        items = Numbered([("", len(self))])
        content = Content(items, self)
        if self.unused:
            content.notes.append((f"column{'s' if len(self.unused) > 1 else ''} {', '.join(self.unused)}", "not used"))
        if self.classes:
            name = self.labels[0]
            numbers = {item: row[name] for item, row in zip(items, self._said)}
            return with_class_numbers(content, numbers, self.classes, f"the column {name}")
        rows = list(zip(items, self._said)) if self.labels else []
        return labelled(content, rows, "the columns of labels")

    def as_json(self) -> None:
        """Nothing that another process could use."""

    def picture(self, item: str, shape: Shape) -> Picture:
        """The picture in a row."""
        return self.fetch(item)(shape)

    def fetch(self, item: str) -> Callable[[Shape], Picture]:
        """The encoded picture in a row; what decodes it."""
        return partial(_decoded, _stored(self.rows[int(item)][self.column]))


def _decoded(data: bytes, shape: Shape) -> Picture:
    if not data:
        raise images.Unusable("no picture in this row")
    digest = hashlib.blake2b(data, digest_size=16).hexdigest()
    return pictured(io.BytesIO(data), shape)._replace(digest=digest)


def class_labels(dataset: Any, module: Any) -> tuple[list[str], list[str]]:
    """The column whose classes have names, and these; nothing where there is none."""
    named = {name: each.names for name, each in dataset.features.items() if isinstance(each, module.ClassLabel)}
    chosen = [name for name in CLASS_COLUMNS if name in named] or list(named)
    return chosen[:1], list(named[chosen[0]]) if chosen else []


def _stored(cell: Any) -> bytes:
    """The encoded picture of a cell: in the dataset itself, or in a file that it names; nothing where there is none."""
    if not isinstance(cell, dict):
        return b""
    if isinstance(cell.get("bytes"), bytes):
        return bytes(cell["bytes"])
    if not isinstance(cell.get("path"), str):
        return b""
    try:
        with images.open_regular(cell["path"]) as file:
            return file.read()
    except (images.Unusable, OSError):
        return b""


def _says_something(name: str, feature: Any, module: Any) -> bool:
    """Whether a column may have attributes, by its type, or classes, by its name."""
    if not isinstance(feature, module.Value):
        return False
    return feature.dtype == "bool" or (
        name.lower() in CLASS_COLUMNS and feature.dtype.startswith(("int", "uint", "string"))
    )


def refuse_other(given: Any, module: Any) -> None:
    """`UsageError` for what is of the same library, and no dataset whose items have numbers."""
    if isinstance(given, module.DatasetDict | module.IterableDatasetDict):
        splits = ", ".join(map(str, given))
        raise UsageError(f"the dataset has the splits {splits}; give one, as in data[{next(iter(given), 'train')!r}]")
    if isinstance(given, module.IterableDataset):
        raise UsageError(
            "a streamed dataset has no order that can be gone back to; load it without streaming=True, or save it as Parquet"
        )
