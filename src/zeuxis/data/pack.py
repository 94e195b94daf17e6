"""Images decoded once into memory-mapped uint8 files in the cache, which the next run opens at once."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zeuxis.data.building import PackBuild, gathered, seal_of
from zeuxis.data.checked import CheckedImages, ChosenImages, JoinedImages, refuse, set_aside
from zeuxis.data.label_files import ChosenLabels, StoredLabels
from zeuxis.data.listing import TILES, Attribute, Listing, Shape
from zeuxis.data.passed_over import in_short
from zeuxis.data.place_sets import PlaceSet
from zeuxis.data.records import ImageRecords, RecordColumns
from zeuxis.data.shard_files import DAMAGE, Shard, ShardNote, records_of
from zeuxis.data.tiles import RECIPE
from zeuxis.errors import DataError
from zeuxis.io import cache, files
from zeuxis.io.images import Array
from zeuxis.runtime.callbacks import ProgressCallback

_FORMAT = 7  # of the files in a pack, and of how images are decoded: raise it and packs are built again
_AT_ONCE = 64 << 20  # bytes: packs up to this size are verified when opened, others block by block as they are read


@dataclass(frozen=True)
class Pack:
    """Decoded images in a folder of the cache, with what is known about them."""

    path: Path
    name: str
    stored: CheckedImages | JoinedImages | ChosenImages  # n h w c, uint8, memory-mapped
    stored_labels: StoredLabels | ChosenLabels | None  # classes (n, int64), or attributes (n k, uint8), memory-mapped
    classes: list[str]
    attributes: list[Attribute]
    left_out: list[tuple[str, str]]  # name, reason
    fingerprint: str  # of the pixels, the labels and the options
    shape: Shape
    known: ImageRecords = field(default_factory=lambda: ImageRecords([], _none))
    notes: list[tuple[str, str]] = field(default_factory=list)  # name of a table or folder, and what of it is not used
    remarks: list[str] = field(default_factory=list)  # on pages, borders and images that are not used
    places: PlaceSet | None = None  # of its images among those in the files; None: all of them

    @property
    def passed_over(self) -> list[str]:
        """What of the data is not learned from, in short."""
        return [f"{self.name}: {line}" for line in in_short(self.remarks, self.notes, self.left_out)]

    def __len__(self) -> int:
        return self.stored.shape[0]

    @property
    def images(self) -> Array:
        """All images (n h w c, uint8), verified: memory-mapped where they are in one file, else copied.

        `rows` verifies only what is asked for.
        """
        return self.stored.whole()

    @property
    def labels(self) -> Array | None:
        """All labels: memory-mapped where they are those of all images in the files, else copied."""
        return None if self.stored_labels is None else self.stored_labels.whole()

    def rows(self, places: Array) -> Array:
        """The images at these places (k h w c, uint8); `DataError` where they are not those that were written."""
        return self.stored.rows(places)

    def records(self) -> ImageRecords:
        """For each image its file's `name`, `size` (width and height), `mode`, `digest`, and perhaps a `note` and `frames`."""
        return self.known

    def at(self, places: PlaceSet) -> Pack:
        """The images of a whole pack at these places, as a view of it, with a fingerprint of its own."""
        assert not isinstance(self.stored, ChosenImages) and not isinstance(self.stored_labels, ChosenLabels)
        stored, known = ChosenImages(self.stored, places), self.known.at(places)
        labels = None if self.stored_labels is None else ChosenLabels(self.stored_labels, places)
        digest = hashlib.sha256(self.fingerprint.encode())
        for part in places.parts():
            digest.update(part.tobytes())
        view = dataclasses.replace(self, stored=stored, stored_labels=labels, known=known, places=places)
        return dataclasses.replace(view, fingerprint=digest.hexdigest())


def _none(number: int) -> RecordColumns:
    raise LookupError(f"no records of shard {number}")


def pack_of(
    listing: Listing, shape: Shape, *, max_images: int | None = None, progress: ProgressCallback | None = None
) -> Pack:
    """The images of a listing in that shape, built on the first call; `max_images` takes that many, evenly spaced.

    Many are built in shards: processes that ask for the same pack at the same time share them out, and a later one goes on
    from those that are complete. `DataError` where nothing in it can be used.
    """
    folder = cache.folder("packs")
    path = folder / f"{_slug(listing.name)}-{shape.size}x{shape.channels}-{_key(listing, shape, max_images)}"
    if pack := _opened(path):
        return pack
    guard = cache.folder("packs", f".{path.name}")  # one per pack: two builders of different packs may both work
    # Looking for tiles takes long: one process does it.
    content = None if shape.resize_mode == TILES else gathered(listing, shape, max_images)
    with files.lock(guard):
        if pack := _opened(path, mend=True):
            return pack
        content = content or gathered(listing, shape, max_images, progress)
        build = PackBuild(listing.name, content, shape, path, progress)
        if build.count == 1:
            build.alone()
    if build.count > 1:
        build.with_others(guard)
    if pack := _opened(path):
        return pack
    raise DataError(f"{path} cannot be read back after it was written; check the disk, or choose another ZEUXIS_CACHE")


def _key(listing: Listing, shape: Shape, max_images: int | None) -> str:
    told = [_FORMAT, listing.key, list(shape), max_images, *([RECIPE] if shape.resize_mode == TILES else [])]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def _slug(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip(".-")[:60] or "images"


def _opened(path: Path, *, mend: bool = False) -> Pack | None:
    """The pack at the path; None where there is none, or one that is damaged: to `mend`, it is removed and named."""
    if not path.exists():
        return None
    try:
        pack = _read(path)
    except DAMAGE as error:
        if mend:
            cache.LOG.warning("%s was damaged: its images are decoded again (%s)", path, str(error).partition(";")[0])
            large = sum(each.stat().st_size for each in path.glob("images*.bin")) > _AT_ONCE
            set_aside(path) if large else files.discard(path)  # of a large one the pixels were not read
        return None
    cache.touch(path)
    return pack


def _read(path: Path) -> Pack:
    about = files.read_json(path / "pack.json", max_bytes=1 << 30)
    about, seal = about["pack"], about["sum"]
    if seal != seal_of(about) or about["path"] != path.name:
        raise ValueError("pack.json is not the file that was written")
    shape, sums = Shape(*about["shape"]), about["sums"]
    stored, records = _shards(path, shape, about["shards"])
    labels = None
    if about["labelled"]:
        labels = StoredLabels.open(path / "labels.npy", sums["labels.npy"])
    attributes = [Attribute(name, opposite) for name, opposite in about["attributes"]]
    left_out, notes = ([(name, text) for name, text in about[key]] for key in ("left_out", "notes"))
    return Pack(
        path, about["name"], stored, labels, about["classes"], attributes, left_out, about["fingerprint"], shape,
        records, notes, about["remarks"],
    )  # fmt: skip


def _shards(
    path: Path, shape: Shape, listed: Sequence[tuple[int, str]]
) -> tuple[CheckedImages | JoinedImages, ImageRecords]:
    """The images and the records of all shards, each listed by count and sum; of many images the first alone is opened."""
    form = shape.size, shape.size, shape.channels
    shards = [Shard(path, number, form) for number in range(len(listed))]
    if gone := next((each for shard in shards for each in (shard.images, shard.records) if not each.is_file()), None):
        raise ValueError(f"{gone.name} is missing")
    counts = [count for count, _ in listed]
    at_once = sum(counts) * math.prod(form) <= _AT_ONCE

    def note(number: int) -> ShardNote:
        return shards[number].read_note(listed[number][1])

    def images(number: int) -> CheckedImages:
        try:
            return shards[number].open_images(note(number))
        except DAMAGE as error:
            if at_once or not number:  # what is damaged when a pack is opened is built again
                raise
            refuse(shards[number].images, str(error))

    stored = images(0) if len(listed) == 1 else JoinedImages(counts, form, images)
    if at_once:
        stored.verify()
        for number, shard in enumerate(shards):
            shard.read_columns(note(number))
    return stored, records_of(shards, counts, note)
