"""Members of tar files, read in place: nothing is unpacked to the disk, and no header decides how much memory is taken.

The formats are those of POSIX.1-1988 (ustar), of POSIX.1-2001 (pax) and of GNU tar.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from zeuxis.errors import DataError
from zeuxis.io import formats, images

_BLOCK = 512
_MOST_NAMES = 1 << 20  # bytes of a header that extends the next one; a path has at most a few thousand
_MOST_MEMBERS = 5_000_000
_FILES = (b"0", b"\0", b"7")
_EXTENDING = (b"x", b"L")  # headers that say something of the next member
_SKIPPED = (b"5", b"K", b"g")  # folders, targets of links, and what holds for all members
_REFUSED = {b"1": "a hard link", b"2": "a link", b"3": "a device", b"4": "a device", b"6": "a pipe"}
_SPARSE = "a sparse file"


class TarMember(NamedTuple):
    """A member of a tar: its path within it, where its content is, and why it is left out ("" where it is not)."""

    name: str
    offset: int
    size: int
    refused: str = ""


def is_tar(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins with the header of a tar, whose sum is right."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return _is_header(file.read(_BLOCK))
    except OSError:
        return False


def members_of(file: BinaryIO) -> Iterator[TarMember]:
    """The members of an open tar in their order; the last is refused where the tar is damaged or cut short.

    `DataError` where there are more than anyone has.
    """
    end, at, extended = file.seek(0, os.SEEK_END), 0, _Extended()
    for _ in range(_MOST_MEMBERS):
        file.seek(at)
        block = file.read(_BLOCK)
        if not block.strip(b"\0"):
            return
        if not _is_header(block):
            yield TarMember(f"byte {at:,}", at, 0, "the tar is damaged here, and what follows is not read")
            return
        kind, start, size = block[156:157], at + _BLOCK, extended.size_of(block)
        name = extended.path or _name(block)
        if kind == b"S" or size < 0 or start + size > end:
            yield TarMember(name, start, 0, f"{_SPARSE if kind == b'S' else 'cut short'}; what follows it is not read")
            return
        at = start + -(-size // _BLOCK) * _BLOCK
        if kind in _EXTENDING:
            extended = extended.with_header(kind, _content(file, start, size))
            continue
        if kind not in _SKIPPED:
            reason = _REFUSED.get(kind, "" if kind in _FILES else "of an unknown kind")
            yield TarMember(name, start, size, extended.refused or reason)
        extended = extended if kind in (b"K", b"g") else _Extended()
    raise DataError(f"a tar has over {_MOST_MEMBERS:,} members; make several of it")


def read_member(file: BinaryIO, member: TarMember, *, image: bool = True) -> BinaryIO:
    """A member in memory, of one that is no `image` its head where one is wanted; `images.Unusable` where it is too large."""
    if member.size > images.MOST_BYTES:
        raise images.Unusable(f"over {images.MOST_BYTES >> 20} MB")
    file.seek(member.offset)
    head = file.read(min(member.size, formats.HEAD))
    if image and not images.looks_like_image(head):
        return io.BytesIO(head)
    return io.BytesIO(head + file.read(member.size - len(head)))


class _Extended(NamedTuple):
    """What the headers before a member say of it, in the stead of its own."""

    path: str = ""
    size: int | None = None
    refused: str = ""

    def size_of(self, block: bytes) -> int:
        """The bytes that follow a header: links, devices and folders have none, whatever it says."""
        kind = block[156:157]
        if kind in _REFUSED or kind == b"5":
            return 0
        return _number(block[124:136]) if self.size is None or kind in _EXTENDING else self.size

    def with_header(self, kind: bytes, content: bytes | None) -> _Extended:
        """With what one more of them says."""
        if content is None:
            return self._replace(refused=f"its name has over {_MOST_NAMES >> 20} MB")
        if kind == b"L":
            return self._replace(path=_path(content.partition(b"\0")[0]))
        said = dict(_records(content))
        path, size = said.get(b"path"), said.get(b"size", b"")
        found = self._replace(path=self.path if path is None else _path(path))
        found = found._replace(size=int(size)) if size.isdigit() and len(size) < 20 else found
        return found._replace(refused=_SPARSE) if any(key.startswith(b"GNU.sparse") for key in said) else found


def _records(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a pax header, each record behind its own length: `20 path=some/name\\n`."""
    while content:
        digits = content[:20].partition(b" ")[0]
        length = int(digits) if digits.isdigit() else 0
        if not len(digits) < length <= len(content):
            return
        key, _, value = content[len(digits) + 1 : length - 1].partition(b"=")
        yield key, value
        content = content[length:]


def _content(file: BinaryIO, start: int, size: int) -> bytes | None:
    if size > _MOST_NAMES:
        return None
    file.seek(start)
    return file.read(size)


def _is_header(block: bytes) -> bool:
    """Whether the sum of a block is the one that it names: its bytes, those of the sum itself taken as spaces."""
    if len(block) < _BLOCK:
        return False
    wanted, unsigned = _number(block[148:156]), sum(block) - sum(block[148:156]) + 8 * 32
    signed = unsigned - 256 * sum(byte > 127 for byte in block[:148] + block[156:])  # as some old tars count
    return wanted in (unsigned, signed)


def _number(field: bytes) -> int:
    """Octal digits, or base 256 where the first bit says so; -1 for anything else."""
    if field[:1] in (b"\x80", b"\xff"):
        return int.from_bytes(field[1:], "big") if field[:1] == b"\x80" else -1
    digits = field.strip(b" \0") or b"0"
    return int(digits, 8) if all(48 <= digit < 56 for digit in digits) else -1


def _name(block: bytes) -> str:
    """The path that a header has, with the folders that ustar keeps apart."""
    name, prefix = (field.partition(b"\0")[0] for field in (block[:100], block[345:500]))
    return _path(prefix + b"/" + name if prefix and block[257:263] == b"ustar\0" else name)


def _path(name: bytes) -> str:
    """As a folder would have it: `tar` itself writes `./` before each."""
    return "/".join(part for part in os.fsdecode(name).split("/") if part not in ("", "."))
