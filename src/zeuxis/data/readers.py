"""Readers of items: files of a folder, members of a zip, rows of an array."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
import zlib
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from PIL import Image

from zeuxis.data.listing import WHOLE, Picture, Shape
from zeuxis.io import colour, depth, formats, geometry, images
from zeuxis.io.frames import count_frames
from zeuxis.io.images import Array

_BLOCK = 1 << 20
# A file of so many bytes and pixels is decoded within a second even by the slowest way there is: a progressive JPEG of
# thousands of scans, each of which goes over all of its pixels.
_QUICK_BYTES, _QUICK_PIXELS = 1 << 16, 1 << 20
_UTF_8 = 0x800  # the flag of a zip's member whose name says that it is UTF-8


def pictured(file: BinaryIO, shape: Shape, used: Collection[int] = ()) -> Picture:
    """The image in a file, and a digest of all of the file; `used` as for `zeuxis.io.depth.load_8bit`."""
    block = file.read(_BLOCK)
    digest = hashlib.blake2b(digest_size=16)
    content: bytes | BinaryIO = block if len(block) < _BLOCK else file  # most files are read once, in one go
    if images.looks_like_image(block):
        digest.update(block)
        while len(block) == _BLOCK:
            block = file.read(_BLOCK)
            digest.update(block)
    frames = count_frames(content)
    file.seek(0)
    with images.opened(content) as image:
        size, mode, note = image.size, image.mode, colour.conversion(image).note
        if shape.resize_mode == WHOLE:
            pixels = images.fitted_whole(image, shape.channels, used)
            upright = pixels.shape[1], pixels.shape[0]
        else:
            pixels, upright = images.fitted(image, *shape, used), geometry.upright(size, image)
        return Picture(pixels, upright, mode, digest.hexdigest(), note, frames, depth.bits_in_use(image))


def is_quick_image(file: BinaryIO) -> bool:
    """Whether the image in a file has few bytes and, by its header, few pixels; what is no image is refused by its head."""
    block = file.read(_QUICK_BYTES + 1)
    if len(block) > _QUICK_BYTES:
        return not images.looks_like_image(block)
    with images.opened(block) as image:
        return image.width * image.height <= _QUICK_PIXELS


class Files:
    """Decodes the files of a folder; items are their paths within it, parted by `/`."""

    def __init__(self, path: str, used: Collection[int] = ()) -> None:
        self.path, self.used = path, used

    def as_json(self) -> dict[str, Any]:
        """This reader, as JSON."""
        return {"kind": "files", "path": self.path, "used": [*self.used]}

    def among(self, used: Collection[int]) -> Files:
        """The same, of a folder whose files use all bits of these depths."""
        return Files(self.path, used)

    def picture(self, item: str, shape: Shape) -> Picture:
        """The image in a file."""
        with self._open(item) as file:
            return pictured(file, shape, self.used)

    def is_quick(self, item: str) -> bool:
        """Whether the file is so small that decoding it takes no long time, whatever is in it; one that is refused is."""
        with suppress(images.Unusable, OSError), self._open(item) as file:
            return is_quick_image(file)
        return True

    def _open(self, item: str) -> BinaryIO:
        return images.open_regular(os.path.join(self.path, item))  # noqa: PTH118  (names may be any bytes)


class Members:
    """Decodes the members of a zip, without unpacking it to the disk."""

    def __init__(self, path: str, used: Collection[int] = ()) -> None:
        self.path, self.used = path, used
        self._zip: zipfile.ZipFile | None = None
        self._members: dict[str, zipfile.ZipInfo] = {}

    def as_json(self) -> dict[str, Any]:
        """This reader, as JSON."""
        return {"kind": "members", "path": self.path, "used": [*self.used]}

    def among(self, used: Collection[int]) -> Members:
        """The same, of a zip whose files use all bits of these depths."""
        return Members(self.path, used)

    def picture(self, item: str, shape: Shape) -> Picture:
        """The image in a member."""
        return pictured(member(*self._found(item)), shape, self.used)

    def is_quick(self, item: str) -> bool:
        """Whether the member is so small that decoding it takes no long time, whatever is in it."""
        try:
            archive, about = self._found(item)
            _check_member(about)
            return about.file_size <= _QUICK_BYTES and is_quick_image(member(archive, about))
        except images.Unusable:
            return True
        except Exception:  # as in `workers.attempt`: an archive breaks in more ways than images do
            return False

    def _found(self, item: str) -> tuple[zipfile.ZipFile, zipfile.ZipInfo]:
        if self._zip is None:
            self._zip = zipfile.ZipFile(self.path)
            self._members = members_by_path(self._zip)
        return self._zip, self._members[item]


def members_by_path(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The files of a zip by their paths within it; of those with one path the first."""
    return {path: each for each in reversed(archive.infolist()) if not (path := path_within(each)).endswith("/")}


def path_within(about: zipfile.ZipInfo) -> str:
    """The path of a member as a folder would have it, a folder's own with `/` at its end.

    Tools of Windows write backslashes, some write `./` before a path, and many write UTF-8 without saying so.
    """
    name = about.filename if about.flag_bits & _UTF_8 else _undeclared(about)
    if name.isascii() and not any(mark in name for mark in ("\\", "./", "//")):
        return name
    parts = name.replace("\\", "/").split("/")
    inner = [part for part in parts[1:-1] if part not in ("", ".")]
    return "/".join([*([] if parts[0] == "." else parts[:1]), *inner, *parts[1:][-1:]])


def _undeclared(about: zipfile.ZipInfo) -> str:
    """The name of a member that does not say its encoding: UTF-8 where it can be that, else what DOS had (CP437)."""
    try:
        return about.filename.encode("cp437").decode()
    except UnicodeError:
        return about.filename


def member(archive: zipfile.ZipFile, about: zipfile.ZipInfo, *, image: bool = True) -> BinaryIO:
    """A member of a zip in memory, of one that is no `image` its head where one is wanted.

    `images.Unusable` where it is encrypted, damaged, or over `images.MOST_BYTES`.
    """
    _check_member(about)
    try:
        with archive.open(about) as file:
            head = file.read(formats.HEAD)
            if image and not images.looks_like_image(head):
                return io.BytesIO(head)
            return io.BytesIO(head + file.read(images.MOST_BYTES))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
        raise images.Unusable("cut short or damaged within the zip") from None


def _check_member(about: zipfile.ZipInfo) -> None:
    if about.flag_bits & 1:
        raise images.Unusable("encrypted")
    if about.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others unpack without a bound
        raise images.Unusable("packed in a way that is not read here (neither stored nor deflated)")
    if about.file_size > images.MOST_BYTES:
        raise images.Unusable(f"over {images.MOST_BYTES >> 20} MB")


class RowArray(Protocol):
    """Images (n h w c, uint8), in memory or on disk, of which one at a time is read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all of them."""

    def __getitem__(self, place: int) -> Array:
        """One image (h w c)."""


class Rows:
    """Gives the rows of an array (n h w c, uint8); items are their indices."""

    def __init__(self, array: RowArray) -> None:
        self.array = array

    def as_json(self) -> None:
        """Nothing that another process could use."""

    def picture(self, item: str, shape: Shape) -> Picture:
        """The image in a row."""
        row = np.ascontiguousarray(self.array[int(item)])
        image = Image.fromarray(row[..., 0] if row.shape[2] == 1 else row)
        digest = hashlib.blake2b(row.tobytes(), digest_size=16).hexdigest()
        return Picture(images.fitted(image, *shape), image.size, image.mode, digest)


def folder_of(path: str | Path) -> str:
    """The path as a reader keeps it: absolute, as a child process may work elsewhere."""
    return os.path.abspath(path)  # noqa: PTH100  (not `resolve`: a link that is turned elsewhere is followed)
