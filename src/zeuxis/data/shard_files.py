"""The files of one shard of a pack: its images, the columns of their records, and a note of what both should be."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from zeuxis.data.checked import CheckedImages, refuse
from zeuxis.data.records import ImageRecords, RecordColumns
from zeuxis.errors import ZeuxisError
from zeuxis.io import cache, files
from zeuxis.io.parsing import parse_json

_MOST_BYTES = 1 << 32  # of a file that is read whole
DAMAGE = (
    ZeuxisError,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
)  # what a damaged file raises

_Form = tuple[int, int, int]  # height, width, channels


class ShardNote(NamedTuple):
    """What a shard holds, as its file of JSON says."""

    items: str  # a digest of the names of all its items, used or not
    images: int  # how many
    sums: list[str]  # of the blocks of its images
    records: str  # the sum of its records
    left_out: list[tuple[str, str]]  # name, reason
    used: list[int]  # depths of which pictures use all bits
    dark: list[tuple[str, int]]  # pictures that were refused for using few, and their depths
    among: list[int]  # depths whose dark pictures were taken in spite of that


class Shard:
    """One shard by its number; the first has the plain names, so that a pack of one shard has no others.

    It is complete, or absent: the note is written last.
    """

    def __init__(self, folder: Path, number: int, form: _Form) -> None:
        end = f"-{number}" if number else ""
        self.number, self.form = number, form
        self.images, self.records = folder / f"images{end}.bin", folder / f"records{end}.bin"
        self.note = folder / f"shard{end}.json"

    def read_note(self, wanted: str = "") -> ShardNote:
        """What the shard holds; `ValueError` or `UsageError` where the note is not the one of this sum."""
        data = files.read_bytes(self.note, max_bytes=_MOST_BYTES) if not wanted else summed(self.note, wanted)
        found: dict[str, Any] = parse_json(data, self.note)
        pairs = {name: [(str(one), two) for one, two in found[name]] for name in ("left_out", "dark")}
        return ShardNote(**found | pairs)

    def write_note(self, note: ShardNote) -> None:
        """Complete the shard."""
        files.write_file(self.note, json.dumps(note._asdict()).encode(), mode=cache.file_mode())

    def open_images(self, note: ShardNote) -> CheckedImages:
        """Its images; `OSError` or `ValueError` where the file has another size."""
        return CheckedImages.open(self.images, (note.images, *self.form), note.sums)

    def read_columns(self, note: ShardNote) -> RecordColumns:
        """What is known of its images; `ValueError` where that is damaged."""
        return RecordColumns.from_bytes(summed(self.records, note.records))

    @contextmanager
    def written(self) -> Iterator[BinaryIO]:
        """A file for the images, which takes its name once it is on the disk, and is gone after an error."""
        draft = files.temporary(self.images)
        try:
            with open(draft, "xb", opener=_create) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.images)
        except BaseException:
            with suppress(OSError):
                draft.unlink()
            raise


def records_of(shards: Sequence[Shard], counts: Sequence[int], note: Callable[[int], ShardNote]) -> ImageRecords:
    """What is known of the images of all these shards; where that is damaged, `DataError`, and the pack is discarded."""

    def read(number: int) -> RecordColumns:
        try:
            return shards[number].read_columns(note(number))
        except DAMAGE as error:
            refuse(shards[number].records, str(error))

    return ImageRecords(counts, read)


def digest_of_names(items: Sequence[str]) -> str:
    """A digest of the names of items, which may be any text."""
    return hashlib.blake2b(json.dumps([*items]).encode(), digest_size=16).hexdigest()


def summed(path: Path, wanted: str) -> bytes:
    """The content of a file of a pack; `ValueError` where it is not the one that was written."""
    data = files.read_bytes(path, max_bytes=_MOST_BYTES)
    if cache.checksum(data) != wanted:
        raise ValueError(f"{path.name} is not the file that was written")
    return data


def _create(path: str, flags: int) -> int:
    return os.open(path, flags, cache.file_mode())
