"""Opening what somebody else may have made: regular files alone, of a bounded size, and no link out of a folder."""

# The calls stand here under the operating system's names, as in `zeuxis.io.files`.
# ruff: noqa: PTH116
from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from zeuxis.errors import DiskFullError, UsageError
from zeuxis.escaping import quote
from zeuxis.io.home import cure

_REFUSED = {getattr(errno, name, None) for name in ("ENOSPC", "EDQUOT", "EIO", "EROFS", "EFBIG", "ESTALE")}
_BINARY, _NO_FOLLOW = getattr(os, "O_BINARY", 0), getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)  # a FIFO would wait for its other end


@contextlib.contextmanager
def explained(path: str | Path, need: int | None = None) -> Iterator[None]:
    """Turn what the system refuses into `UsageError`; or into `DiskFullError` where `need` bytes were to be written."""
    try:
        yield
    except OSError as error:
        if need is not None and error.errno in _REFUSED:
            raise DiskFullError(_disk_message(error, Path(path), need)) from error
        raise UsageError(f"{path}: {error.strerror or error}; {cure(path)}") from error
    except ValueError as error:  # a NUL or a lone surrogate
        raise UsageError(f"{quote(str(path))} cannot be a path: {error}; choose another") from error


def _disk_message(error: OSError, path: Path, need: int) -> str:
    volume = Path(os.path.realpath(path))
    while not os.path.ismount(volume) and volume != volume.parent:
        volume = volume.parent
    free = "?"
    with contextlib.suppress(OSError):
        free = f"{shutil.disk_usage(volume).free / 1e6:,.1f}"
    return (
        f"{path} could not be written: {error.strerror or error}; it needs {need / 1e6:,.1f} MB and the volume "
        f"{volume} has {free} MB free; make room there (or mend it) and go on, or choose a folder on another volume"
    )


def open_guarded(path: str | Path, flags: int, *, follow: bool = False) -> int:
    """A descriptor of a regular file, as of `os.open`; `UsageError` for a FIFO, a device, or a link not to be followed."""
    kind = _kind(path, follow=follow)
    if kind is not None and not stat.S_ISREG(kind):  # before opening, as that alone can do something to a device
        raise UsageError(_refusal(path, kind))
    descriptor = os.open(path, flags | _BINARY | _NO_WAIT | (0 if follow else _NO_FOLLOW), 0o666)
    try:
        opened = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(opened):
            raise UsageError(_refusal(path, opened))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _kind(path: str | Path, *, follow: bool) -> int | None:
    try:
        return os.stat(path, follow_symlinks=follow).st_mode
    except FileNotFoundError:
        return None


def _refusal(path: str | Path, mode: int) -> str:
    if stat.S_ISLNK(mode):
        return f"{path} is a symbolic link, which is not followed here; put a copy of the file or folder in its place"
    return f"{path} is not a regular file; give the path of one"


@contextlib.contextmanager
def open_file(path: str | Path, *, max_bytes: int, follow: bool = True) -> Iterator[tuple[BinaryIO, int]]:
    """A regular file of at most `max_bytes`, open for reading, and its size; `UsageError` for a FIFO and the like.

    `follow=False` for what lies in a folder that somebody else may have made: a link there could lead anywhere.
    """
    with explained(path), os.fdopen(open_guarded(path, os.O_RDONLY, follow=follow), "rb") as file:
        if (size := os.fstat(file.fileno()).st_size) > max_bytes:
            raise UsageError(f"{path} has {size:,} bytes; at most {max_bytes:,} are read here: use another copy")
        yield file, size


def check_folder(folder: str | Path, *, written: Collection[str] = ()) -> None:
    """Raise `UsageError` at a link, FIFO, socket or device in a folder, at any depth: nothing in it may lead out of it.

    Files at its top that are `written` in place must have no other name, as a hard link is a file of somebody's too.
    """
    with explained(folder):
        waiting = [Path(folder)]
        while waiting:
            for entry in os.scandir(waiting.pop()):
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry))
                elif not entry.is_file(follow_symlinks=False):
                    raise UsageError(_refusal(entry.path, entry.stat(follow_symlinks=False).st_mode))
        for name in written:
            path = Path(folder) / name
            if _kind(path, follow=False) is not None and os.lstat(path).st_nlink > 1:
                raise UsageError(f"{path} has another name elsewhere (a hard link); put a copy of it in its place")
