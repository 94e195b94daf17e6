"""The user's cache folder, and what to do where it cannot be used."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import platformdirs

from zeuxis.errors import UsageError
from zeuxis.io.paths import expanded


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
