"""Tables of labels as files hold them: CSV with any usual separator, CelebA's lists, JSON, and JSON Lines."""

from __future__ import annotations

import csv
import io
import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from zeuxis.errors import UsageError
from zeuxis.io import parsing

Cells = list[Any]
_LISTS = re.compile(r"attr|label|annotation|metadata")  # names of tables that end with .txt, as captions do too
_KINDS = (".csv", ".tsv", ".json", ".jsonl", ".ndjson")
_NO_LABELS = "neither file names with classes nor with attributes"


class Unfit(Exception):  # noqa: N818  (a finding)
    """Why a file is no table of labels."""


class Line(NamedTuple):
    """A row of a table, and the words for where it stands, such as `line 3`."""

    where: str
    cells: Cells


@dataclass
class TableRows:
    """The rows of a table; without a header, the first row may be one."""

    header: list[str] | None
    lines: list[Line]
    skipped: list[str] = field(default_factory=list)  # rows that cannot be read, and why


def may_be_table(name: str, stems: frozenset[str]) -> bool:
    """Whether a file may be a table by its name; `stems` are the names, less their endings, of the files of other kinds."""
    lower = name.lower()
    if lower.endswith(".txt"):
        return bool(_LISTS.search(posixpath.basename(lower))) and posixpath.splitext(name)[0] not in stems
    return lower.endswith(_KINDS)


def read_table(name: str, data: bytes) -> TableRows:
    """The rows of a file; `Unfit` where it has none."""
    ending = posixpath.splitext(name.lower())[1]
    try:
        if ending == ".json":
            sheet = _from_json(parsing.parse_json(data, "it"))
        else:
            sheet = _from_json_lines(_decoded(data)) if ending in (".jsonl", ".ndjson") else _from_text(_decoded(data))
    except (UnicodeError, csv.Error) as error:
        raise Unfit(str(error)) from None
    if not sheet.lines:
        raise Unfit("it is empty" + (f": {sheet.skipped[0]}" if sheet.skipped else ""))
    return sheet


def _decoded(data: bytes) -> str:
    return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")


def _from_text(text: str) -> TableRows:
    first, _, rest = text.lstrip().partition("\n")
    skipped = 0
    if first.strip().isdecimal():  # CelebA's lists begin with how many rows there are
        skipped, text = text[: len(text) - len(rest)].count("\n"), rest
        first = rest.partition("\n")[0]
    mark = max(",;\t", key=first.count)
    rows = _by_mark(text, mark) if mark in first else _by_spaces(text)
    lines = [Line(f"line {number + skipped}", cells) for number, cells in rows if any(cells)]
    widths = {len(line.cells) for line in lines[1:]}
    if lines and mark not in first and widths == {len(lines[0].cells) + 1}:  # CelebA's header has no word for the file
        return TableRows(["file", *lines[0].cells], lines[1:])
    if not lines or max(len(line.cells) for line in lines[:2]) < 2:
        raise Unfit("fewer than two columns")
    return TableRows(None, lines)


def _by_mark(text: str, mark: str) -> Iterable[tuple[int, Cells]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
    for row in reader:
        yield reader.line_num, [cell.strip() for cell in row]


def _by_spaces(text: str) -> Iterable[tuple[int, Cells]]:
    for number, line in enumerate(text.splitlines(), 1):
        yield number, [cell for cell in line.split() if cell]


def _from_json(content: Any) -> TableRows:
    """Rows of `{file: class}`, `{file: {attribute: bool}}`, `{"labels": either, or [[file, class], ...]}`, or objects."""
    if isinstance(content, dict) and (set(content) == {"labels"} or isinstance(content.get("labels"), list)):
        content = content["labels"]
    if isinstance(content, dict):
        content = [[file, value] for file, value in content.items()]
    if not isinstance(content, list) or not content:
        raise Unfit(_NO_LABELS)
    rows = [(f"entry {place}", row) for place, row in enumerate(content, 1)]
    good = [(where, _as_object(row)) for where, row in rows if _is_row(row)]
    if not good:
        raise Unfit(_NO_LABELS)
    return of_objects(good, [f"{where} is no file with a label" for where, row in rows if not _is_row(row)])


def _is_row(row: Any) -> bool:
    return isinstance(row, dict) or (isinstance(row, list) and len(row) == 2 and isinstance(row[0], str | int))


def _as_object(row: Any) -> dict[str, Any]:
    """`[file, label]` as an object; the label may be a class, a list of values, an object of them, or null."""
    if isinstance(row, dict):
        return row
    file, value = row
    if isinstance(value, dict):
        return {"file": file, **value}
    if isinstance(value, list):
        return {"file": file, **{f"column {place}": each for place, each in enumerate(value, 2)}}
    return {"file": file, "label": value}


def _from_json_lines(text: str) -> TableRows:
    found, skipped = [], []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = parsing.parse_json(line.encode(), f"line {number}")
        except UsageError as error:
            skipped.append(str(error))
            continue
        if isinstance(row, dict):
            found.append((f"line {number}", row))
        else:
            skipped.append(f"line {number} is no object")
    return of_objects(found, skipped)


def of_objects(rows: list[tuple[str, dict[str, Any]]], skipped: list[str]) -> TableRows:
    if len({"label", *(key for _, row in rows for key in row)}) < 2:
        raise Unfit(_NO_LABELS)
    if any(row.keys() != {"file", "label"} for _, row in rows):
        # `{"a.png": {"smiling": true}, "b.png": null}`: nothing is known of the second
        rows = [(where, {"file": row["file"]} if _is_null(row) else row) for where, row in rows]
    header = list(dict.fromkeys(key for _, row in rows for key in row))
    return TableRows(header, [Line(where, [row.get(key) for key in header]) for where, row in rows], skipped)


def _is_null(row: dict[str, Any]) -> bool:
    return row.keys() == {"file", "label"} and row["label"] is None
