"""The cache folder: private to its user, bounded in size, and each file in it under a checksum."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import xxhash

from zeuxis.errors import UsageError
from zeuxis.escaping import printable, quote
from zeuxis.io import files

LOG = logging.getLogger("zeuxis")  # what is told of the cache; a display takes it over while a run has one
CACHE_SIZE = "20 GB"  # the bound, unless $ZEUXIS_CACHE_SIZE has another
_UNITS = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}
_UNITS["tib"] = 1 << 40
_SUM = ".sum"
_LOCK = ".lock"
PARTS = ".parts"  # ends the name of a folder with the finished shards of a pack that is being built
_PACK = r".+-\d+x\d-[0-9a-f]{16}"
# What may be evicted, by its folder: nothing else in these, as the user may have chosen a folder with files of their own.
_ENTRIES = {
    "packs": re.compile(rf"{_PACK}({re.escape(PARTS)})?"),
    "features": re.compile(r"[0-9a-f]{32}\.safetensors"),
    "readings": re.compile(r"[0-9a-f]{32}\.safetensors"),
    "exports": re.compile(r"[0-9a-f]{32}"),
    "attributes": re.compile(r"[0-9a-f]{32}"),
}
_BUILDING = re.compile(rf"({_PACK})\.tmp-[0-9a-f]{{12}}")
_STALE = 3600.0  # seconds after which what an interrupted write or removal left is removed by anyone


def checksum(data: bytes | bytearray | memoryview) -> str:
    """XXH3 of 128 bits, at the speed of memory: against damage, not against those who may write the cache anyway."""
    return xxhash.xxh3_128_hexdigest(data)


def checksum_of(file: BinaryIO) -> str:
    """The same of what is left of a file, which is read bit by bit."""
    found = xxhash.xxh3_128()
    for block in iter(lambda: file.read(1 << 20), b""):
        found.update(block)
    return found.hexdigest()


def folder(*names: str) -> Path:
    """A folder in the cache, made with its parents: readable by its user alone, unless the cache is shared."""
    path = files.cache_dir().joinpath(*names)
    if not path.is_dir():
        files.make_folder(path, mode=folder_mode())
    return path


def folder_mode() -> int:
    """0o700, less what the umask takes; in a cache whose folder is open to the writes of others, 0o777."""
    return 0o777 if _shared() else 0o700


def file_mode() -> int:
    """0o600, or 0o666 in a shared cache."""
    return 0o666 if _shared() else 0o600


def _shared() -> bool:
    try:
        mode = files.cache_dir().stat().st_mode
    except OSError:
        return False
    return bool(mode & (stat.S_IWGRP | stat.S_IWOTH))


def write_entry(path: Path, data: bytes) -> None:
    """Keep the data with its sum beside it."""
    files.write_file(path, data, mode=file_mode())
    files.write_file(path.with_name(path.name + _SUM), checksum(data).encode(), mode=file_mode())


def read_entry(path: Path, *, max_bytes: int = 1 << 36) -> bytes | None:
    """The data that `write` has kept; None where there is none, or it is damaged: it is then to be made again."""
    try:
        data = files.read_bytes(path, max_bytes=max_bytes)
        if files.read_bytes(path.with_name(path.name + _SUM), max_bytes=100) != checksum(data).encode():
            return None
    except UsageError:  # not there yet, or not readable
        return None
    touch(path)
    return data


def touch(path: Path) -> None:
    """Note that an entry is used now; what was not used for longest is evicted first."""
    with contextlib.suppress(OSError):  # a cache that may only be read
        os.utime(path)


def hold(file: BinaryIO, path: Path) -> None:
    """Hold off `make_room` from the entry that an open file belongs to, until it is closed and unmapped.

    `OSError` where the entry is being evicted. Windows needs no lock: it removes no file that is open.
    """
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # a volume without locks
        return
    if os.fstat(file.fileno()).st_ino != path.stat().st_ino:
        raise FileNotFoundError(f"{path} was replaced")


@contextlib.contextmanager
def building(parts: Path) -> Iterator[None]:
    """Make the folder of a pack's finished shards, and hold off `make_room` from it within the block."""
    mark = _mark_of(parts)
    mark.touch(file_mode())
    with mark.open("rb") as file:
        while True:
            try:
                hold(file, mark)
                break
            except BlockingIOError:  # it is being evicted, which takes no long time
                time.sleep(0.05)
        files.make_folder(parts, mode=folder_mode())
        touch(parts)
        yield


def _mark_of(parts: Path) -> Path:
    """The file that is held while a pack is built."""
    return parts.with_name(f".{parts.name.removesuffix(PARTS)}") / "building"


class Entry(NamedTuple):
    """Something in the cache that can be made again."""

    used: float  # when, in seconds since 1970
    size: int
    path: Path


def size_limit() -> float:
    """The bound of the cache in bytes; `UsageError` where $ZEUXIS_CACHE_SIZE has none."""
    text = os.environ.get("ZEUXIS_CACHE_SIZE") or CACHE_SIZE
    if text.strip().lower() == "unlimited":
        return float("inf")
    match = re.fullmatch(r"\s*([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*([kmgt]i?b)\s*", text, re.ASCII | re.IGNORECASE)
    if not match:
        raise UsageError(
            f"ZEUXIS_CACHE_SIZE is {quote(text)}; expected a number and KB, MB, GB or TB, such as {CACHE_SIZE}, or unlimited"
        )
    return float(match[1]) * _UNITS[match[2].lower()]


def make_room(need: int) -> None:
    """Evict what was not used for longest, until `need` more bytes stay below the bound; nothing that is in use."""
    limit, root = size_limit(), files.cache_dir()
    _sweep(root)
    entries = sorted(_entries(root))
    total, gone = sum(each.size for each in entries) + need, []
    for entry in entries:
        if total <= limit:
            break
        if _evicted(entry.path):
            total -= entry.size
            gone.append(entry)
    if gone:
        names = ", ".join(printable(each.path.name) for each in gone[:3]) + (", ..." if len(gone) > 3 else "")
        LOG.warning(
            "cache over %s: removed %s of %s MB, unused for longest (%s); ZEUXIS_CACHE_SIZE sets the bound",
            os.environ.get("ZEUXIS_CACHE_SIZE") or CACHE_SIZE,
            "1 entry" if len(gone) == 1 else f"{len(gone):,} entries",
            f"{sum(each.size for each in gone) / 1e6:,.1f}",
            names,
        )


def _entries(root: Path) -> Iterator[Entry]:
    for kind, pattern in _ENTRIES.items():
        for path in _listed(root / kind):
            if pattern.fullmatch(path.name):
                with contextlib.suppress(OSError):
                    parts = _listed(path) if path.is_dir() else [path]
                    size = sum(each.stat().st_size for each in parts if each.name != _LOCK)
                    if size:
                        yield Entry(path.stat().st_mtime, size, path)


def _listed(path: Path) -> list[Path]:
    try:
        return list(path.iterdir())
    except OSError:
        return []


def _evicted(entry: Path) -> bool:
    """Remove an entry, unless somebody uses it."""
    kind = entry.parent.name
    try:
        if entry.name.endswith(PARTS):
            with _exclusive(_mark_of(entry)) as alone:
                if alone:
                    files.discard(entry)
                return alone and not entry.exists()
        if kind in ("features", "readings", "exports"):  # whoever reads one has all of it in memory at once
            entry.unlink()
            entry.with_name(entry.name + _SUM).unlink(missing_ok=True)
            return True
        if kind == "packs" and not (entry / "images.bin").exists():
            files.discard(entry)
            return True
        with _exclusive(entry / (_LOCK if kind == "attributes" else "images.bin")) as alone:
            if alone and kind == "attributes":  # the folder stays, with the lock that others may be waiting for
                for each in [each for each in entry.iterdir() if each.name != _LOCK]:
                    each.unlink()
            elif alone:
                files.discard(entry)
            return alone and (kind == "attributes" or not entry.exists())
    except OSError:
        return False


@contextlib.contextmanager
def _exclusive(path: Path) -> Iterator[bool]:
    """Whether nobody else has a lock on the file, nor can take one meanwhile; not on a volume without locks."""
    from filelock import lock_descriptor

    with path.open("r+b") as file:  # for writing: some volumes want that for a lock that shuts others out
        try:
            alone = lock_descriptor(file.fileno(), blocking=False)
        except OSError:
            alone = False
        yield alone


def _sweep(root: Path) -> None:
    """Remove what interrupted builds, writes and removals left."""
    for path in _listed(root / "packs"):
        if match := _BUILDING.fullmatch(path.name):
            with contextlib.suppress(OSError), _exclusive(path.with_name(f".{match[1]}") / _LOCK) as alone:
                if alone:
                    shutil.rmtree(path, ignore_errors=True)
        elif path.name.endswith(PARTS) and not any(each.suffix == ".json" for each in _listed(path)):
            _evicted(path)
    for kind in _ENTRIES:
        for path in _listed(root / kind):
            with contextlib.suppress(OSError):
                if files.TEMPORARY.fullmatch(path.name) and time.time() - path.stat().st_mtime > _STALE:
                    files.discard(path) if path.is_dir() else path.unlink()
