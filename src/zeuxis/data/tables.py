"""Labels and attributes of images: from a CSV or JSON file beside them, or from the folders they lie in."""

from __future__ import annotations

import csv
import io
import posixpath
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zeuxis.data.listing import Attribute, Labels
from zeuxis.errors import UsageError
from zeuxis.io import images, parsing

ReadTable = Callable[[str], bytes]  # the content of a file beside the images
Cells = list[Any]

_CLASS_COLUMNS = ("label", "class", "category", "target", "class_name", "labels")
_TRUTH = {"1": True, "true": True, "yes": True, "0": False, "-1": False, "false": False, "no": False}
_LIKELY = ("label", "attr", "class", "dataset", "metadata")
_OPPOSITES = {"smiling": "neutral", "male": "female", "female": "male", "woman": "man", "man": "woman", "young": "old"}
_OPPOSITES |= {name: f"no {name}" for name in ("glasses", "eyeglasses", "beard", "hat", "makeup", "bangs")}


class _Unfit(Exception):  # noqa: N818  (a finding)
    """Why a file is no table of labels."""


@dataclass(frozen=True)
class Table:
    """What a file says of images: a class, or a tuple of attributes, by the image's name."""

    name: str
    rows: dict[str, Any]
    attributes: list[Attribute]  # empty where the rows are classes

    def labels(self, items: list[str]) -> Labels:
        """Classes (n, int64) or attributes (n k, uint8) of the items."""
        values = [self.rows[item] for item in items]
        if self.attributes:
            return Labels(np.array(values, np.uint8).reshape(len(items), -1), [], self.attributes)
        return _classes(values)


def _classes(values: Sequence[Any]) -> Labels:
    names = sorted({str(value) for value in values}, key=lambda name: (not name.isdecimal(), name.zfill(12), name))
    index = {name: i for i, name in enumerate(names)}
    return Labels(np.array([index[str(value)] for value in values], np.int64), names)


def by_folder(items: list[str]) -> Labels:
    """The folder of each image as its class, where every image lies in one and there are at least two."""
    above = [item.split("/")[:-1] for item in items]
    depth = _common(above)
    if not above or any(len(folders) <= depth for folders in above):
        return Labels()
    values = [folders[depth] for folders in above]
    return _classes(values) if len(set(values)) > 1 else Labels()


def _common(paths: Iterable[Sequence[str]]) -> int:
    """How many folders all paths share from the first on."""
    columns = zip(*paths)
    return next((i for i, names in enumerate(columns) if len(set(names)) > 1), min(map(len, paths), default=0))


def table_beside(
    items: list[str], candidates: list[str], load: ReadTable
) -> tuple[Table | None, list[tuple[str, str]]]:
    """The first candidate that is a table of these images, and why the others are not."""
    if not items:
        return None, [(name, "a table, and no image for it") for name in candidates]
    above = [item.split("/")[:-1] for item in items]
    shared = above[0][: _common(above)]
    left_out, best = [], None
    names = _Names(items, "/".join(shared))
    for name in sorted(candidates, key=lambda name: (not any(word in name.lower() for word in _LIKELY), name)):
        if best or shared[: name.count("/")] != name.split("/")[:-1]:
            left_out.append((name, "a table that is not used" if best else "a table that is not above all images"))
            continue
        try:
            best = _table(name, load(name), names)
        except (_Unfit, UsageError, images.Unusable, OSError) as error:
            left_out.append((name, f"no table of labels: {error}"))
    return best, left_out


class _Names:
    """Finds the image that a cell means: by its path, its name, or either without the ending."""

    def __init__(self, items: list[str], prefix: str) -> None:
        self.prefix = prefix
        self.items = set(items)
        bare = [posixpath.basename(item) for item in items]
        once = {name for name, count in Counter(bare).items() if count == 1}
        self.short = {name: item for name, item in zip(bare, items) if name in once}
        stems = Counter(posixpath.splitext(name)[0] for name in bare)
        self.stems = {
            posixpath.splitext(name)[0]: item
            for name, item in zip(bare, items)
            if stems[posixpath.splitext(name)[0]] == 1
        }
        self.long_stems = {posixpath.splitext(item)[0]: item for item in items}

    def find(self, cell: Any) -> str | None:
        """The item of a cell; None where there is none."""
        text = posixpath.normpath(str(cell).strip().replace("\\", "/")) if str(cell).strip() else ""
        for path in (text, posixpath.join(self.prefix, text)):
            if path in self.items:
                return path
        base = posixpath.basename(text)
        if "/" in text:
            return self.long_stems.get(text)
        return self.short.get(base) or self.long_stems.get(text) or self.stems.get(text)


def _table(name: str, data: bytes, names: _Names) -> Table:
    header, rows = _from_json(name, data) if name.lower().endswith(".json") else _from_csv(data)
    if not rows:
        raise _Unfit("it is empty")
    column = _file_column(rows, names)
    if column is None:
        raise _Unfit("no column names these images")
    if header is None:
        header = [""] * len(rows[0])
    rows = [row for row in rows if len(row) == len(header)]
    return _of_classes(name, header, rows, column, names) or _of_attributes(name, header, rows, column, names)


def _from_csv(data: bytes) -> tuple[Cells | None, list[Cells]]:
    try:
        text = data.decode("utf-8-sig")
        first = text.partition("\n")[0]
        mark = max(",;\t", key=first.count)
        rows: list[Cells] = [
            [cell.strip() for cell in row] for row in csv.reader(io.StringIO(text), delimiter=mark) if row
        ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise _Unfit(str(error)) from None
    if not rows or len(rows[0]) < 2:
        raise _Unfit("fewer than two columns")
    return rows[0], rows[1:]


def _from_json(name: str, data: bytes) -> tuple[Cells | None, list[Cells]]:
    """Rows of `{file: class}`, `{file: {attribute: bool}}`, `{"labels": either, or [[file, class], ...]}`, or objects."""
    content = parsing.parse_json(data, "it")
    if isinstance(content, dict) and set(content) == {"labels"}:
        content = content["labels"]
    if isinstance(content, dict):
        content = [[file, value] for file, value in content.items()]
        if all(isinstance(value, dict) for _, value in content):
            content = [{"file": file, **value} for file, value in content]
    if not isinstance(content, list) or not content:
        raise _Unfit("neither file names with classes nor with attributes")
    if all(isinstance(row, dict) for row in content):
        header = list(dict.fromkeys(key for row in content for key in row))
        return header, [[row.get(key, "") for key in header] for row in content]
    if all(isinstance(row, list) and len(row) == 2 and isinstance(row[1], str | int) for row in content):
        return ["file", "label"], content
    raise _Unfit("neither file names with classes nor with attributes")


def _file_column(rows: list[Cells], names: _Names) -> int | None:
    counts = Counter(i for row in rows[:200] for i, cell in enumerate(row) if names.find(cell))
    return max(counts, key=lambda i: (counts[i], -i)) if counts else None


def _of_classes(name: str, header: Cells, rows: list[Cells], column: int, names: _Names) -> Table | None:
    """Classes, by a column that is called so, or by the only other column where it is no attribute."""
    lower = [str(each).strip().lower() for each in header]
    chosen = next((lower.index(each) for each in _CLASS_COLUMNS if each in lower and lower.index(each) != column), None)
    if chosen is None and len(header) == 2 and not all(_is_truth(row[1 - column]) for row in rows):
        chosen = 1 - column
    if chosen is None:
        return None
    found = {item: row[chosen] for row in rows if (item := names.find(row[column])) and str(row[chosen]) != ""}
    if len(header) == 2 and (item := names.find(header[column])):  # a table without a header
        found[item] = header[chosen]
    return Table(name, found, [])


def _of_attributes(name: str, header: Cells, rows: list[Cells], column: int, names: _Names) -> Table:
    chosen = [i for i in range(len(header)) if i != column and all(_is_truth(row[i]) for row in rows)]
    if not chosen:
        raise _Unfit("neither a column `label` nor columns of 0 and 1")
    attributes = [_attribute(str(header[i])) for i in chosen]
    found = {
        item: tuple(_TRUTH[str(row[i]).strip().lower()] for i in chosen)
        for row in rows
        if (item := names.find(row[column]))
    }
    return Table(name, found, attributes)


def _is_truth(cell: Any) -> bool:
    return str(cell).strip().lower() in _TRUTH


def _attribute(column: str) -> Attribute:
    """`Wearing_Hat` becomes the words that a person would type."""
    name = " ".join(column.replace("_", " ").lower().split())
    return Attribute(name, name.removeprefix("no ") if name.startswith("no ") else _OPPOSITES.get(name, ""))
