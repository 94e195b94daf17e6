"""Files that survive a crash: atomic writes, folders under a manifest, bounded reads, locks."""

# The calls whose order decides what a crash leaves stand here under the operating system's names.
# ruff: noqa: PTH102, PTH105, PTH108
from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeuxis.errors import DiskFullError, UsageError
from zeuxis.escaping import quote
from zeuxis.io.guard import explained as explained
from zeuxis.io.guard import open_file as open_file
from zeuxis.io.home import cache_dir as cache_dir
from zeuxis.io.locks import lock as lock
from zeuxis.io.locks import lock_if_free as lock_if_free
from zeuxis.io.locks import unlocked as unlocked
from zeuxis.io.parsing import parse_json, parse_tensors, parse_yaml

if TYPE_CHECKING:
    from torch import Tensor

    from zeuxis.io.parsing import Choose

MANIFEST = "manifest.json"
TEMPORARY = re.compile(r"\.tmp-\d+-[0-9a-f]{12}")


def persist(action: Callable[[], None], path: str | Path, need: int, patience: float) -> None:
    """Run the action again while the volume refuses it, for `patience` seconds."""
    deadline = time.monotonic() + patience
    while True:
        try:
            with explained(path, need):
                return action()
        except DiskFullError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(min(0.25, patience))


def make_folder(path: str | Path, *, mode: int = 0o777) -> None:
    """Make the folder and its parents, durably, in a mode less the umask; one that exists is left as it is."""
    path = Path(path)
    with explained(path, 0):
        for folder in [*reversed(path.parents), path]:
            if not folder.is_dir():
                with contextlib.suppress(FileExistsError):  # another process may be quicker
                    os.mkdir(folder, mode)
                    sync_folder(folder.parent)
        if not path.is_dir():
            raise UsageError(f"{path} is a file; expected a folder: choose another name")


def write_file(
    path: str | Path, data: bytes, *, patience: float = 0.0, mode: int = 0o666, durable: bool = True
) -> None:
    """Write the file so that a crash leaves the old one or the new one; wait `patience` seconds for a full disk.

    One of very many need not be `durable`: it appears whole, and the volume keeps it once `sync_volume` was called.
    """
    persist(lambda: _write_file(Path(path), data, mode, durable), path, len(data), patience)


def _write_file(path: Path, data: bytes, mode: int, durable: bool = True) -> None:
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is not a regular file; choose another name")
    draft = temporary(path)
    try:
        _write_new(draft, data, mode, durable or not _SYNC)
        os.replace(draft, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise
    if durable:
        sync_folder(path.parent)


def write_folder(path: str | Path, contents: Mapping[str, bytes], *, patience: float = 0.0) -> None:
    """Write a folder of files with a manifest so that a crash leaves all of it or nothing.

    One that `write_folder` made before is replaced: it stands as `<name>.old` until the new one does.
    """
    path = Path(path)
    entries = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in contents.items()
    }
    manifest = json.dumps({"files": entries}, indent=2).encode()
    need = sum(map(len, contents.values())) + len(manifest)
    persist(lambda: _write_folder(path, {**contents, MANIFEST: manifest}), path, need, patience)


def _write_folder(path: Path, contents: Mapping[str, bytes]) -> None:
    if path.exists() and not (path / MANIFEST).exists():
        raise UsageError(f"{path} exists and is not a folder that Zeuxis wrote; choose another name")
    draft, previous = temporary(path), path.with_name(path.name + ".old")
    try:
        os.mkdir(draft)
        for name, data in contents.items():
            _write_new(draft / name, data)
        sync_folder(draft)
        if path.exists():
            discard(previous)
            os.replace(path, previous)
        os.replace(draft, path)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    sync_folder(path.parent)
    discard(previous)


def read_folder(path: str | Path) -> dict[str, bytes]:
    """The files of a folder by name; `UsageError` where one is missing or is not what the manifest says."""
    path, contents = Path(path), {}
    for name, size, digest in _entries(path):
        contents[name] = read_bytes(path / name, max_bytes=size, follow=False)
        if hashlib.sha256(contents[name]).hexdigest() != digest:
            raise UsageError(f"{path / name} is damaged: it is not the file that was written; use another copy")
    return contents


def listed_sizes(path: str | Path) -> dict[str, int]:
    """Names and sizes in bytes of the files of a folder, as its manifest says; nothing else is read."""
    return {name: size for name, size, _ in _entries(Path(path))}


def _entries(path: Path) -> Iterator[tuple[str, int, str]]:
    """Name, size in bytes and SHA-256 of each file in the manifest; `UsageError` where it is malformed."""
    manifest = read_json(path / MANIFEST, follow=False)
    entries = manifest.get("files") if isinstance(manifest, dict) else None
    for name, entry in entries.items() if isinstance(entries, dict) else [("", None)]:
        size, digest = (entry.get("bytes"), entry.get("sha256")) if isinstance(entry, dict) else (None, None)
        plain = re.fullmatch(r"\w[\w.-]{0,99}", name, re.ASCII)  # no path out of the folder
        if not plain or type(size) is not int or size < 0 or not isinstance(digest, str):
            raise UsageError(f"{path / MANIFEST} has the entry {quote(name)}: {quote(entry)}; use another copy")
        yield name, size, digest


def discard(path: str | Path) -> None:
    """Remove a folder so that it is never seen half removed; what cannot be removed is left."""
    with contextlib.suppress(OSError):
        os.replace(path, draft := temporary(Path(path)))
        shutil.rmtree(draft, ignore_errors=True)


def remove_leftovers(folder: str | Path) -> None:
    """Remove what interrupted writes left in the folder; only for one who knows that nobody is writing there."""
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(folder)):
            if TEMPORARY.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            elif TEMPORARY.fullmatch(entry.name):
                os.unlink(entry.path)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable (Windows has no such call)."""
    if os.name != "nt":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync_volume(folder: Path) -> None:
    """Make durable what was written into the folder, by one call for all of it (Windows has none, and needs none)."""
    if _SYNC:
        with explained(folder, 0):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                _SYNC(descriptor)
            finally:
                os.close(descriptor)


def _sync_call() -> Callable[[int], None] | None:
    """What writes out the volume of an open file: `syncfs` of Linux, else `sync` of all volumes; None on Windows."""
    library = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None
    if library is None or not hasattr(library, "syncfs"):
        everything: Callable[[], None] | None = getattr(os, "sync", None)
        return (lambda _: everything()) if everything else None

    def _sync(descriptor: int) -> None:
        if library.syncfs(descriptor):
            raise OSError(number := ctypes.get_errno(), os.strerror(number))

    return _sync


_SYNC = _sync_call()


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of the data: one `os.write` may stop early."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _write_new(path: Path, data: bytes, mode: int = 0o666, durable: bool = True) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, mode)
    try:
        write_all(descriptor, data)
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporary(path: Path) -> Path:
    """A new name beside `path`, which `remove_leftovers` knows for a leftover."""
    return path.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(6)}")


def read_bytes(path: str | Path, *, max_bytes: int, follow: bool = True) -> bytes:
    """The contents of a regular file of at most `max_bytes`."""
    with open_file(path, max_bytes=max_bytes, follow=follow) as (file, size):
        return file.read(size)


def read_json(path: str | Path, *, max_bytes: int = 1 << 20, follow: bool = True) -> Any:
    """The strict JSON in a file, bounded in size and depth; `UsageError` where it is malformed."""
    return parse_json(read_bytes(path, max_bytes=max_bytes, follow=follow), path)


def read_yaml(path: str | Path, *, max_bytes: int = 1 << 16, follow: bool = True) -> Any:
    """The plain values in a YAML file, bounded in size; `UsageError` where it is malformed."""
    return parse_yaml(read_bytes(path, max_bytes=max_bytes, follow=follow), path)


def read_tensors(
    path: str | Path,
    *,
    max_bytes: int = 1 << 36,
    max_tensors: int = 20_000,
    follow: bool = True,
    choose: Choose | None = None,
) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU; its header is checked before anything is allocated.

    `choose` is told their types and shapes before any data is read: it gives the names to read, or raises `UsageError`.
    """
    with open_file(path, max_bytes=max_bytes, follow=follow) as (file, size):
        return parse_tensors(file, size, path, max_tensors=max_tensors, choose=choose)
