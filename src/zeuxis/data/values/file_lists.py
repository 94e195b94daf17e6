"""A list of files: pictures, or tars, or Parquet files. Known by the content of the files, wherever they lie."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from zeuxis.data import shards
from zeuxis.data.class_folders import by_folder
from zeuxis.data.image_files import content_of_shards
from zeuxis.data.listing import Content, shown
from zeuxis.data.readers import Files, folder_of
from zeuxis.errors import UsageError
from zeuxis.io.paths import expanded

_BLOCK = 1 << 20


class FileList:
    """The pictures in files that are listed, in the order of the list; classes are the folders that they lie in."""

    def __init__(self, given: Sequence[str | Path]) -> None:
        paths = [folder_of(expanded(str(path))) for path in given]
        for path in paths:
            if not os.path.isfile(path):  # noqa: PTH113
                kind = "a folder; give it by itself" if os.path.isdir(path) else "no such file; correct the list"  # noqa: PTH112
                raise UsageError(f"{shown(path)}: {kind}")
        self.shards = shards.of_files(paths)
        self.name = self.shards.name if self.shards else "files"
        self.root = _common(paths)
        self.items = [os.path.relpath(path, self.root).replace(os.sep, "/") for path in paths]
        if len(set(self.items)) < len(self.items):
            twice = next(item for place, item in enumerate(self.items) if item in self.items[:place])
            raise UsageError(f"{shown(twice)} is in the list twice; give each file once")

    def __len__(self) -> int:
        return len(self.items)

    def digests(self) -> Iterator[str]:
        """Of the content of each file."""
        return (_digest_of(os.path.join(self.root, item)) for item in self.items)  # noqa: PTH118

    def labels_digest(self) -> str:
        """Of the names, which say what the classes are and what else is told of the files."""
        return hashlib.blake2b(json.dumps(self.items).encode(), digest_size=16).hexdigest()

    def content(self) -> Content:
        """The pictures; of tars and Parquet files those that are in them."""
        if self.shards:
            return content_of_shards(self.shards)
        return Content(self.items, Files(self.root), by_folder)


def _common(paths: list[str]) -> str:
    try:
        return os.path.commonpath([os.path.dirname(path) for path in paths])  # noqa: PTH120
    except ValueError:
        raise UsageError("the files of the list lie on several drives; give those of one drive") from None


def _digest_of(path: str) -> str:
    digest = hashlib.blake2b(digest_size=16)
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        digest.update(f"cannot be read: {error.strerror}".encode())
    return digest.hexdigest()
