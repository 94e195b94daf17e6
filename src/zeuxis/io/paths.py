"""Paths as people write them, with `~` for a home folder; and the user's cache folder."""

# The functions of os.path answer for any text, one that can be no path too.
# ruff: noqa: PTH111, PTH117
from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

import platformdirs

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


def cache_dir() -> Path:
    """Where decoded data and downloads are kept: $ZEUXIS_CACHE, or `zeuxis` in the user's cache folder.

    That is $XDG_CACHE_HOME or ~/.cache on Linux, ~/Library/Caches on macOS, %LOCALAPPDATA% on Windows. `UsageError` for a
    user without a home folder.
    """
    if chosen := os.environ.get("ZEUXIS_CACHE"):
        return Path(expanded(chosen))
    with contextlib.suppress(RuntimeError, KeyError, OSError):
        found = platformdirs.user_cache_path("zeuxis", appauthor=False)
        if found.is_absolute():  # a ~ that has no meaning is left in it
            return found
    raise UsageError("this user has no home folder to keep decoded data in; set ZEUXIS_CACHE to a folder for it")


def cure(path: str | Path) -> str:
    """What to do where a path cannot be read or written."""
    with contextlib.suppress(UsageError, ValueError):
        if Path(os.path.abspath(path)).is_relative_to(cache_dir()):  # noqa: PTH100
            return "set ZEUXIS_CACHE to a folder that you may write to"
    return "check the path and its permissions"
