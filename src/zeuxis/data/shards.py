"""Files of many pictures each, tars or Parquet, as a text names them: one, a folder of them, a pattern of their names."""

from __future__ import annotations

import glob
import itertools
import math
import os
import re
from pathlib import Path
from typing import NamedTuple

from zeuxis.data import tars
from zeuxis.data.class_folders import SPLITS
from zeuxis.data.item_names import ENDINGS
from zeuxis.data.listing import natural, shown
from zeuxis.errors import DataError, UsageError

PART_MARK = "#"  # before the column of a Parquet file, or the ending of a tar's members: photos.parquet#thumbnail
_KINDS = (".tar", ".parquet")
_BRACES = re.compile(r"\{([0-9]+)\.\.([0-9]+)\}|\{([^{}]*,[^{}]*)\}")
_MOST = 100_000  # files of one pattern


class Shards(NamedTuple):
    """Files of one kind (`tar` or `parquet`) in order, and the column or ending that is meant ("" where none is named)."""

    kind: str
    paths: list[str]
    part: str = ""

    @property
    def name(self) -> str:
        """What they are called: as the file, less its ending; as what the files of several have in common, or their folder."""
        stem = os.path.splitext(os.path.basename(self.paths[0]))[0]  # noqa: PTH119, PTH122
        if len(self.paths) > 1:
            common = os.path.commonprefix([os.path.basename(path) for path in self.paths])  # noqa: PTH119, RUF071
            folder = os.path.basename(os.path.dirname(os.path.abspath(self.paths[0])))  # noqa: PTH100, PTH119, PTH120
            stem = re.sub(r"[-_.0-9]+$", "", common) or folder or stem
        return f"{stem}-{self.part}" if self.part else stem

    @property
    def labels(self) -> list[str]:
        """A word for each, without a slash, that no other has; none for a single one, whose items need no such word."""
        names = [os.path.basename(path) for path in self.paths]  # noqa: PTH119
        if len(names) == 1:
            return [""]
        return names if len(set(names)) == len(names) else [f"{place}-{name}" for place, name in enumerate(names)]


def splits_in(found: Shards) -> list[str]:
    """The splits that the files are of, by the first word of their names or by their folders; none unless all are of one."""
    words = [_split_of(path) for path in found.paths]
    return sorted(set(words)) if all(words) and len(set(words)) > 1 else []


def _split_of(path: str) -> str:
    words = [re.split(r"[-_.]", part)[0].lower() for part in reversed(Path(path).absolute().parts[-2:])]
    return next((word for word in words if word in SPLITS), "")


def parted(text: str) -> tuple[str, str]:
    """The path of a text and what follows its `#`, unless all of it is a path that exists."""
    path, mark, part = text.rpartition(PART_MARK)
    return (text, "") if not mark or os.path.lexists(text) else (path, part)


def of_folder(folder: str, names: list[str], part: str = "") -> Shards | None:
    """The shards among the files of a folder, where no picture lies beside them; `DataError` where they are of two kinds."""
    found = [name for name in names if name.lower().endswith(_KINDS)]
    if not found or any(name.lower().endswith(ENDINGS) for name in names):
        return None
    return of_files([os.path.join(folder, name) for name in found], part)  # noqa: PTH118


def of_files(paths: list[str], part: str = "") -> Shards | None:
    """These files as shards, told by their content; None where none is one. `DataError` where they are of two kinds."""
    kinds = [_kind(path) for path in paths]
    if not any(kinds):
        return None
    if len(set(kinds)) > 1:
        odd = next(place for place, kind in enumerate(kinds) if kind != kinds[0])
        one, other = (kinds[place] or "neither tar nor Parquet" for place in (0, odd))
        pattern = os.path.join(os.path.dirname(paths[0]), f"*{_KINDS[0]}")  # noqa: PTH118, PTH120
        raise DataError(
            f"{shown(paths[0])} is {one}, and {shown(paths[odd])} is {other}; give those of one kind, as '{shown(pattern)}'"
        )
    return Shards(kinds[0], paths, part)


def _kind(path: str) -> str:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            if file.read(4) == b"PAR1":
                return "parquet"
    except OSError:
        return ""
    return "tar" if tars.is_tar(path) else ""


def matching(pattern: str) -> list[str]:
    """The files of a pattern with braces, `*`, `?` or brackets, in order; none where it has neither.

    `UsageError` for a file of its braces that is not there, or too many of them.
    """
    spelled = _spelled(pattern)
    if any(glob.has_magic(each) for each in spelled):
        found = {path for each in spelled for path in itertools.islice(glob.iglob(each), _MOST)}  # noqa: PTH207
        return sorted(filter(os.path.isfile, found), key=lambda name: (natural(name), name))
    if len(spelled) < 2:
        return []
    if gone := next((path for path in spelled if not os.path.isfile(path)), None):  # noqa: PTH113
        raise UsageError(
            f"{shown(gone)}: no such file, of the {len(spelled):,} of {shown(pattern)}; correct the pattern"
        )
    return spelled


def _spelled(pattern: str) -> list[str]:
    """The texts that a pattern with braces stands for: `a-{08..10}.tar`, `{train,test}.tar`."""
    choices, texts, at = [], [], 0
    for match in _BRACES.finditer(pattern):
        texts.append(pattern[at : match.start()])
        choices.append(_choices(match))
        at = match.end()
    if math.prod(map(len, choices)) > _MOST:
        raise UsageError(f"{shown(pattern)} stands for over {_MOST:,} files; correct the pattern")
    rows = itertools.product(*choices)
    return ["".join(text + word for text, word in zip(texts, row)) + pattern[at:] for row in rows]


def _choices(match: re.Match[str]) -> list[str]:
    first, last, words = match.groups()
    if words is not None:
        return list(words.split(","))
    if not 0 <= int(last) - int(first) < _MOST or len(last) > 12:
        raise UsageError(f"{match[0]} counts no files; write the first and the last, as in {{000..005}}")
    return [f"{number:0{len(first)}}" for number in range(int(first), int(last) + 1)]
