"""Paths as people write them, with `~` for a home folder; and whether what is written would meet what is read."""

# The functions of os.path answer for any text, one that can be no path too.
# ruff: noqa: PTH111, PTH112, PTH113, PTH117
from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from zeuxis.errors import UsageError

_FLAG = re.compile(r"(--[a-zA-Z][\w-]*=)(~.*)", re.DOTALL)


def expanded(path: str) -> str:
    """The path with `~` at its start, as in `~/birds` and `~ann/birds`, replaced by that home folder.

    What exists under a name such as `~ann` is meant by it, and an unknown user's name stays. `UsageError` where `~` alone
    has no meaning.
    """
    if not path.startswith("~"):
        return path
    first = re.split(r"[/\\]" if os.name == "nt" else "/", path, maxsplit=1)[0]
    if first != "~" and os.path.lexists(first):
        return path
    found = os.path.expanduser(path)
    if first == "~" and not os.path.isabs(found):
        raise UsageError(f"{path} begins with ~, and this user has no home folder; give the whole path, or ./{path}")
    return found


def expanded_word(word: str) -> str:
    """A word of a command line, as a path or as a flag with one (`--out=~/x`, which shells leave as it is)."""
    match = _FLAG.fullmatch(word)
    return match[1] + expanded(match[2]) if match else expanded(word)


def check_apart(out: str | Path | None, read: Iterable[str]) -> None:
    """Raise `UsageError` where `out` (None: nothing is written) is one of the files that are read, or is in a folder of them."""
    for path in read if out is not None else ():
        ours, theirs = os.path.realpath(out or "."), os.path.realpath(path)
        if ours == theirs and os.path.isfile(path):
            raise UsageError(f"--out is {out}, which is read and would be lost; choose another name")
        if os.path.isdir(path) and Path(ours).is_relative_to(theirs):
            where = "the folder" if ours == theirs else f"in {path}, the folder"
            raise UsageError(
                f"{out} is {where} that is read: what is written there would become part of it; choose --out elsewhere"
            )


def check_root(out: str | Path, read: Iterable[str]) -> None:
    """Raise `UsageError` where no folder `out` can be made, or it meets what is read: before long work that goes into it."""
    there = next(path for path in [Path(out).absolute(), *Path(out).absolute().parents] if os.path.lexists(path))
    if not os.path.isdir(there):
        raise UsageError(f"--out is {out}, and {there} is a file; choose a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"--out is {out}, and this user may not write in {there}; choose another folder")
    check_apart(out, read)
