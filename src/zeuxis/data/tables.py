"""Labels and attributes of images by a table beside them: which columns are meant, and what of them cannot be read."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from zeuxis.data.class_folders import classes_of, common
from zeuxis.data.columns import AttributeColumn, attribute, classify
from zeuxis.data.item_names import ItemNames
from zeuxis.data.listing import Attribute, Labels, LeftOut
from zeuxis.data.table_files import Cells, Line, TableRows, Unfit, read_table
from zeuxis.data.table_rows import CLASS_COLUMNS, ImageRows, is_empty, merged_rows, rows_about
from zeuxis.errors import UsageError
from zeuxis.io import images

ReadTable = Callable[[str], bytes]  # the content of a file beside the images
Parts = list[tuple[str, ItemNames]]  # tables that are read as one, and the images below each

_LIKELY = ("label", "attr", "class", "dataset", "metadata")


@dataclass
class Table:
    """What a file says of images: a class, or a tuple of attributes, by the image's name."""

    name: str
    rows: dict[str, Any] = field(default_factory=dict)
    attributes: list[Attribute] = field(default_factory=list)  # empty where the rows are classes
    reasons: dict[str, str] = field(default_factory=dict)  # of images with a row that says nothing
    notes: list[str] = field(default_factory=list)  # what of the table is not used, and why

    def labels(self, items: Sequence[str]) -> Labels:
        """Classes (n, int64) or attributes (n k, uint8) of the items."""
        values = [self.rows[item] for item in items]
        if self.attributes:
            return Labels(np.array(values, np.uint8).reshape(len(items), -1), [], self.attributes)
        return classes_of([str(value) for value in values])

    def put(self, item: str, value: Any, where: str) -> None:
        """Keep what a row says, unless another row says otherwise."""
        if item in self.rows and self.rows[item] != value:
            self.reasons[item] = f"has two rows in {self.name} that differ (one is {where})"
            del self.rows[item]
        elif item not in self.reasons:
            self.rows[item] = value


def table_beside(items: list[str], candidates: list[str], load: ReadTable) -> tuple[Table | None, LeftOut]:
    """The first candidate that is a table of these images, and why the others are not.

    Tables of one name, one in each folder that has images, are one table.
    """
    if not items:
        return None, [(name, "a table, and no image for it") for name in candidates]
    left_out: LeftOut = []
    best = None
    for parts in _together(items, candidates, left_out):
        names = [name for name, _ in parts]
        if best:
            left_out += [(name, "a table that is not used") for name in names]
            continue
        try:
            best = _table(parts, load)
        except (Unfit, UsageError, images.Unusable, OSError) as error:
            left_out += [(name, f"no table of labels: {error}") for name in names]
    return best, left_out


def _together(items: list[str], candidates: list[str], left_out: LeftOut) -> Iterator[Parts]:
    """Candidates that may say something of all images, the likeliest first: those above all, then those of one name."""
    above = [item.split("/")[:-1] for item in items]
    shared = above[0][: common(above)]
    groups: dict[str, list[str]] = {}
    for name in sorted(candidates, key=lambda name: (not any(word in name.lower() for word in _LIKELY), name)):
        folder = name.split("/")[:-1]
        if shared[: len(folder)] == folder:
            yield [(name, ItemNames(items, {"/".join(shared), "/".join(folder)}))]
        else:
            groups.setdefault(posixpath.basename(name), []).append(name)
    for names in groups.values():
        below = {name: [item for item in items if item.startswith(posixpath.dirname(name) + "/")] for name in names}
        if all(below.values()) and sum(map(len, below.values())) == len(items):
            yield [(name, ItemNames(found, [posixpath.dirname(name)])) for name, found in below.items()]
        else:
            left_out += [(name, "a table that is not above all images") for name in names]


def _table(parts: Parts, load: ReadTable) -> Table:
    """The table that one file is, or several with the same columns."""
    name = parts[0][0] if len(parts) == 1 else posixpath.basename(parts[0][0])
    rows: ImageRows | None = None
    for path, names in parts:
        prefix = "" if len(parts) == 1 else f"{posixpath.dirname(path)}: "
        found = rows_about(read_table(path, load(path)), names, prefix)
        rows = merged_rows(rows, found) if rows else found
    assert rows is not None
    table = Table(name, notes=rows.notes)
    return _of_classes(table, rows) or _of_attributes(table, rows)


def table_of_samples(name: str, sheet: TableRows, items: Sequence[str]) -> Table:
    """The table that samples bring along, whose first column names the items; `Unfit` where it labels none of them."""
    rows = rows_about(sheet, ItemNames(items, ()), "")
    table = Table(name, notes=rows.notes)
    return _of_classes(table, rows) or _of_attributes(table, rows)


def _of_classes(table: Table, rows: ImageRows) -> Table | None:
    """Classes, by a column that is called so, or by the only other column where it is no attribute."""
    header, column = rows.header, rows.column
    lower = [each.lower() for each in header]
    chosen = next((lower.index(each) for each in CLASS_COLUMNS if each in lower and lower.index(each) != column), None)
    if chosen is None and len(header) == 2:
        other = _column(rows, 1 - column)
        chosen = None if rows.named and not other.odd else 1 - column
    if chosen is None or all(is_empty(line.cells[chosen]) for _, line in rows.lines):
        return None
    known = {str(line.cells[chosen]) for _, line in rows.lines}
    lines = rows.lines + _realigned(
        table, rows, lambda cells: str(cells[chosen]) if str(cells[chosen]) in known else None
    )
    for item, line in lines:
        if is_empty(line.cells[chosen]):
            table.reasons.setdefault(item, f"has no {header[chosen]} in {table.name} ({line.where})")
        else:
            table.put(item, str(line.cells[chosen]), line.where)
    unused = [each.name for each in _others(rows, {column, chosen}) if not each.odd and each.known]
    if unused:
        table.notes.append(f"{', '.join(unused)} not used: {header[chosen]} gives the classes")
    return table


def _of_attributes(table: Table, rows: ImageRows) -> Table:
    found = _others(rows, {rows.column})
    chosen = [each for each in found if not each.refused]
    refused = [each.refused for each in found if each.refused]
    if not chosen:
        raise Unfit("; ".join(["neither a column `label` nor columns of 0 and 1", *refused[:1]]))
    table.notes += refused
    table.attributes = [attribute(each.name) for each in chosen]
    places = [rows.header.index(each.name) for each in chosen]

    def values(cells: Cells) -> tuple[bool | None, ...] | None:
        read = [classify("", [cells[place]], [""]) for place in places]
        return None if any(each.odd for each in read) else tuple(each.values[0] for each in read)

    more = _realigned(table, rows, values)
    said = [*zip(*(each.values for each in chosen)), *(values(line.cells) for _, line in more)]
    for (item, line), each in zip(rows.lines + more, said):
        if each is None or None in each:
            without = chosen[(each or (None,)).index(None)].name
            table.reasons.setdefault(item, f"has no value for {without} in {table.name} ({line.where})")
        else:
            table.put(item, tuple(map(bool, each)), line.where)
    return table


def _others(rows: ImageRows, skipped: set[int]) -> list[AttributeColumn]:
    return [_column(rows, place) for place in range(len(rows.header)) if place not in skipped]


def _column(rows: ImageRows, place: int) -> AttributeColumn:
    wheres = [line.where for _, line in rows.lines]
    return classify(rows.header[place], [line.cells[place] for _, line in rows.lines], wheres)


def _realigned(table: Table, rows: ImageRows, said: Callable[[Cells], Any]) -> list[tuple[str, Line]]:
    """Rows with a comma too many, where it says the same in whatever cell the comma is; the others are noted."""
    found = []
    for names, (where, cells) in rows.ragged:
        extra = len(cells) - len(rows.header)
        merged = [
            [*cells[:at], ",".join(map(str, cells[at : at + extra + 1])), *cells[at + extra + 1 :]]
            for at in range(len(rows.header))
        ]
        read = {(item, said(each)): each for each in merged if (item := names.find(each[rows.column])) and said(each)}
        if len(read) == 1:
            (((item, _), each),) = read.items()
            found.append((item, Line(where, each)))
            continue
        reason = f"{len(cells)} cells, and the header has {len(rows.header)}"
        table.notes.append(f"{where} is left out: {reason}")
        for item in {item for item, _ in read} or {names.find(cells[rows.column]) or ""}:
            table.reasons[item] = f"has a row in {table.name} with {reason} ({where})"
    return found
