"""Files of a run as they grow: whole lines in bounded parts, rows in bounded memory, contact sheets by step."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Generic, TypeVar

from zeuxis.io import files

_Row = TypeVar("_Row")

PART = 1 << 20  # bytes that are read at once
_PARTS = 8  # that one step reads of a line that is too long
LONGEST = 1 << 16  # bytes of a line; longer ones are passed over
MOST_ROWS = 2000  # that are kept of a file, evenly spaced
MOST_SHEETS = 2000  # of a kind
MOST_KINDS = 12
_MOST_FILE = 1 << 40
_COARSEST = 3 * 10**9  # nanoseconds between two times that a file system tells apart
_SHEET = re.compile(r"(\d{8,12})\.png")
_KIND = re.compile(r"\w[\w-]{0,39}", re.ASCII)
_OTHERS = frozenset(
    {"checkpoints", "loggers", "mlflow", "model", "tensorboard", "wandb"}
)  # folders of a run without sheets


class GrowingLines:
    """The whole lines of a file that another process appends to; a file that was replaced, or cut, begins anew."""

    def __init__(self, path: Path) -> None:
        self._path, self._identity = path, (0, 0)
        self._offset, self._passing = 0, False  # inside a line that is too long
        self.begun = 0  # how often it began

    def more(self) -> list[tuple[int, bytes]]:
        """The next lines with their offsets, from at most `PART` bytes; none at a torn line, or where the file ends.

        `UsageError` where the file is a link, or no regular file.
        """
        at = -1
        for _ in range(_PARTS):
            if not (data := self._read()) or self._offset == at:  # it stays at a torn line
                break
            at = self._offset
            if found := [*self._lines(data)]:
                return found
        return []

    def at(self, offset: int) -> bytes:
        """The line that begins at an offset."""
        with files.open_file(self._path, max_bytes=_MOST_FILE, follow=False) as (file, _):
            file.seek(offset)
            return file.readline(LONGEST)

    def _read(self) -> bytes:
        if not os.path.lexists(self._path):
            return b""
        with files.open_file(self._path, max_bytes=_MOST_FILE, follow=False) as (file, size):
            about = os.fstat(file.fileno())
            if (about.st_dev, about.st_ino) != self._identity or size < self._offset:
                self._identity = about.st_dev, about.st_ino
                self._offset, self._passing, self.begun = 0, False, self.begun + 1
            file.seek(self._offset)
            return file.read(PART)

    def _lines(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        start = self._offset
        whole, end, torn = data.rpartition(b"\n")
        if not end:
            # One line longer than all that is read at once: passed over up to its end.
            self._passing = self._passing or len(torn) > LONGEST
            self._offset += len(data) if self._passing else 0
            return
        self._offset += len(whole) + 1
        for line in whole.split(b"\n"):
            if not self._passing and 0 < len(line) < LONGEST:
                yield start, line
            self._passing = False
            start += len(line) + 1


class Thinned(Generic[_Row]):
    """Rows of which at most `most` are kept: where there are more, every second, then every fourth."""

    def __init__(self, most: int = MOST_ROWS) -> None:
        self.rows: list[_Row] = []
        self.epoch = 0  # changes where rows before the newest were taken out
        self._most, self._every, self._seen = most, 1, 0

    def add(self, row: _Row) -> None:
        """Take a row in, or pass it over."""
        if self._seen % self._every == 0:
            self.rows.append(row)
        self._seen += 1
        if len(self.rows) > self._most:
            self.rows, self._every, self.epoch = self.rows[::2], 2 * self._every, self.epoch + 1

    def clear(self) -> None:
        """Begin anew."""
        self.rows, self._every, self._seen, self.epoch = [], 1, 0, self.epoch + 1


class Sheets:
    """The contact sheets of a run by kind; a folder is listed again only after it has changed."""

    def __init__(self, run: Path) -> None:
        self._run, self._kinds_at = run, (-1, list[str]())
        self._listed: dict[str, tuple[int, list[int]]] = {}

    def steps(self) -> Mapping[str, list[int]]:
        """The steps that have a sheet, ascending, by kind; samples first."""
        kinds = sorted(self._kinds(), key=lambda kind: (kind != "samples", kind))[:MOST_KINDS]
        self._listed = {kind: self._folder(kind) for kind in kinds}
        return {kind: steps for kind, (_, steps) in self._listed.items() if steps}

    def path(self, kind: str, step: int) -> Path | None:
        """The file of a sheet; None where there is none."""
        if step not in self.steps().get(kind, []):
            return None
        return next((self._run / kind / f"{step:0{n}d}.png" for n in range(8, 13) if self._there(kind, step, n)), None)

    def _there(self, kind: str, step: int, digits: int) -> bool:
        return os.path.lexists(self._run / kind / f"{step:0{digits}d}.png")

    def _kinds(self) -> list[str]:
        with files.explained(self._run):
            changed = _settled(os.lstat(self._run))
            if changed is None or changed != self._kinds_at[0]:
                entries = [entry for entry in os.scandir(self._run) if entry.is_dir(follow_symlinks=False)]
                names = [entry.name for entry in entries if _KIND.fullmatch(entry.name) and entry.name not in _OTHERS]
                self._kinds_at = -1 if changed is None else changed, names
        return self._kinds_at[1]

    def _folder(self, kind: str) -> tuple[int, list[int]]:
        path, before = self._run / kind, self._listed.get(kind, (-1, []))
        with files.explained(path):
            about = os.lstat(path)
            changed = _settled(about)
            if not stat.S_ISDIR(about.st_mode) or changed == before[0]:
                return before
            matches = [match for entry in os.scandir(path) if (match := _SHEET.fullmatch(entry.name))]
        steps: Thinned[int] = Thinned(MOST_SHEETS)
        for step in sorted({int(match[1]) for match in matches}):
            steps.add(step)
        newest = max((int(match[1]) for match in matches), default=0)
        return -1 if changed is None else changed, steps.rows if newest in steps.rows or not matches else [
            *steps.rows,
            newest,
        ]


def _settled(folder: os.stat_result) -> int | None:
    """When a folder was changed; None where that was just now, as another change may have the same time."""
    return folder.st_mtime_ns if time.time_ns() - folder.st_mtime_ns > _COARSEST else None
