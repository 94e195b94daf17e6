"""Locks of folders, held by one process or thread at a time, and freed by the system when it ends."""

# The calls stand here under the operating system's names, as in `zeuxis.io.files`.
# ruff: noqa: PTH108
from __future__ import annotations

import contextlib
import errno
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

from zeuxis.errors import UsageError
from zeuxis.io.guard import explained, open_guarded

# A volume without locks; or one, such as NFS, that locks no file which is open for reading alone.
_NO_LOCKS = {getattr(errno, name, None) for name in ("ENOSYS", "ENOTSUP", "EOPNOTSUPP", "ENOLCK", "EBADF")}


@contextlib.contextmanager
def lock(folder: str | Path, *, wait: float | None = None) -> Iterator[None]:
    """Be the only one who works in the folder, among processes and threads; a killed process frees its lock.

    Waits `wait` seconds (None: for ever), then raises `UsageError` naming who has it. A volume without locks has none.
    """
    path, begin = Path(folder) / ".lock", time.monotonic()
    descriptor = _open_lock(path)
    try:
        while not _try_lock(path, descriptor):
            if wait is not None and time.monotonic() - begin >= wait:
                raise UsageError(_in_use(folder, descriptor))
            time.sleep(0.05)
        with contextlib.suppress(OSError):  # a full disk is reported where something of value is written
            if os.fstat(descriptor).st_nlink == 1:  # a hard link is a file of somebody's too
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"\nprocess {os.getpid()} on {platform.node()}\n".encode())
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def lock_if_free(folder: str | Path) -> Iterator[bool]:
    """Whether the folder's lock was free, and is held within the block."""
    descriptor = _open_lock(path := Path(folder) / ".lock")
    try:
        yield _try_lock(path, descriptor)
    finally:
        os.close(descriptor)


def _open_lock(path: Path) -> int:
    with explained(path, 0):
        try:
            return open_guarded(path, os.O_RDWR | os.O_CREAT)
        except UsageError:  # a link or a FIFO: the name is ours, what it leads to is not
            os.unlink(path)
            return open_guarded(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)


@contextlib.contextmanager
def unlocked(folder: str | Path, *, wait: float) -> Iterator[None]:
    """Keep others from locking the folder, and write nothing: for one who only looks. `UsageError` where it is in use."""
    path, end = Path(folder) / ".lock", time.monotonic() + wait
    with explained(path):
        try:
            descriptor = open_guarded(path, os.O_RDONLY)
        except FileNotFoundError:
            descriptor = -1
    try:
        while descriptor >= 0 and not _try_lock(path, descriptor):
            if time.monotonic() >= end:
                raise UsageError(_in_use(folder, descriptor))
            time.sleep(0.05)
        yield
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _in_use(folder: str | Path, descriptor: int) -> str:
    return f"{folder} is in use by {_owner(descriptor) or 'another process'}; wait until it ends, or end it"


def _try_lock(path: Path, descriptor: int) -> bool:
    from filelock import lock_descriptor  # only here: most commands lock nothing, and it takes 40 ms

    with explained(path):
        try:
            return lock_descriptor(descriptor, blocking=False)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            return True


def _owner(descriptor: int) -> str:
    """Who has the lock. Windows lets nobody else read its first byte, so the name begins at the second."""
    with contextlib.suppress(OSError):
        os.lseek(descriptor, 1, os.SEEK_SET)
        return os.read(descriptor, 200).decode(errors="replace").strip()
    return ""
