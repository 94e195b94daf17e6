"""Rows of tables of labels, each with the image that it is about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from zeuxis.data.item_names import ENDINGS, ItemNames, composed
from zeuxis.data.listing import evenly_spaced
from zeuxis.data.table_files import Cells, Line, TableRows, Unfit
from zeuxis.escaping import quote

CLASS_COLUMNS = ("label", "class", "category", "target", "class_name", "labels")
_TRIED = 500  # rows that a column of file names is looked for in


@dataclass
class ImageRows:
    """Rows of tables, each with the item that it is about; `column` is that of the file names."""

    header: list[str]
    column: int
    named: bool  # whether the header was in the file
    lines: list[tuple[str, Line]] = field(default_factory=list)
    ragged: list[tuple[ItemNames, Line]] = field(default_factory=list)  # of more cells than the header
    notes: list[str] = field(default_factory=list)


def merged_rows(one: ImageRows, two: ImageRows) -> ImageRows:
    """The rows of two tables, whose columns may stand in another order, or in one of them alone."""
    header = list(dict.fromkeys([*one.header, *two.header]))
    if one.header[one.column] != two.header[two.column] or ((one.ragged or two.ragged) and one.header != two.header):
        raise Unfit("the tables of this name have different columns")

    def widened(rows: ImageRows) -> list[tuple[str, Line]]:
        places = [rows.header.index(name) if name in rows.header else None for name in header]
        return [
            (item, Line(where, [None if place is None else cells[place] for place in places]))
            for item, (where, cells) in rows.lines
        ]

    lines, notes = widened(one) + widened(two), one.notes + two.notes
    return ImageRows(header, header.index(one.header[one.column]), one.named, lines, one.ragged + two.ragged, notes)


def rows_about(sheet: TableRows, names: ItemNames, prefix: str) -> ImageRows:
    """The rows of a table that name images; `Unfit` where no column does. `prefix` goes before the place of each."""
    column = _file_column(sheet.lines, names)
    if column is None:
        raise Unfit("no column names these images")
    lines, header = sheet.lines, sheet.header
    named = header is not None or not _is_about_an_image(lines[0], column, names)
    if header is None:
        header = [str(cell) for cell in lines[0].cells] if named else [""] * len(lines[0].cells)
        lines = lines[1:] if named else lines
    while not header[-1].strip() and all(map(is_empty, (c for _, cells in lines for c in cells[len(header) - 1 :]))):
        header = header[:-1]  # a comma at the end of each line
    rows = ImageRows(
        _told_apart(header), column, named, notes=[f"{prefix}{note}, and is left out" for note in sheet.skipped]
    )
    strangers = []
    for where, cells in lines:
        line = Line(prefix + where, _fitted(cells, len(header)))
        if len(line.cells) > len(header):
            rows.ragged.append((names, line))
        elif item := names.find(line.cells[column]):
            rows.lines.append((item, line))
        else:
            strangers.append(line)
    _add_other_endings(rows, strangers, names)
    return rows


def _told_apart(header: list[str]) -> list[str]:
    """Columns by name; by number where they have none, or that of another."""
    found: list[str] = []
    for place, cell in enumerate(header, 1):
        name = composed(cell.strip())
        found.append(f"{name} column {place}".strip() if not name or name in found else name)
    return found


def _add_other_endings(rows: ImageRows, strangers: list[Line], names: ItemNames) -> None:
    """Rows that name an image by another ending, as tables do whose JPEGs were made PNGs; unless another row names it."""
    taken, unknown = {item for item, _ in rows.lines}, []
    for line in strangers:
        item = names.find(line.cells[rows.column], any_ending=True)
        if item and item not in taken:
            rows.lines.append((item, line))
        else:
            unknown.append(line)
    if unknown:
        first = unknown[0]
        rows.notes.append(
            f"{len(unknown):,} of its rows name no image here, the first {quote(first.cells[rows.column])} ({first.where})"
        )


def _fitted(cells: Cells, width: int) -> Cells:
    """A row of the header's width, if only empty cells are too many, or too few are there."""
    while len(cells) > width and cells[-1] in ("", None):
        cells = cells[:-1]
    return cells + [None] * (width - len(cells))


def _is_about_an_image(line: Line, column: int, names: ItemNames) -> bool:
    """Whether the first row is no header; a header may say `image` where there is an `image.png`."""
    known = any(str(cell).strip().lower() in CLASS_COLUMNS for cell in line.cells)
    if known or column >= len(line.cells):
        return False
    cell = line.cells[column]
    return str(cell).strip().lower().endswith(ENDINGS) or names.find(cell) is not None


def _file_column(lines: list[Line], names: ItemNames) -> int | None:
    """The column that names the most images; of a table much longer than the folder all rows are looked at."""
    for sample in ([lines[place] for place in evenly_spaced(len(lines), _TRIED)], lines):
        found: dict[int, set[str]] = {}
        for line in sample:
            for place, cell in enumerate(line.cells[: None if sample is not lines else 3]):
                if item := names.find(cell, any_ending=True):
                    found.setdefault(place, set()).add(item)
        if found:
            return max(found, key=lambda place: (len(found[place]), -place))
    return None


def is_empty(cell: Any) -> bool:
    """Whether a cell says nothing."""
    return cell is None or str(cell).strip() == ""
