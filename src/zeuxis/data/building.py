"""Builds packs in shards: each complete or absent, so that a killed build goes on, and several processes may share one."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import secrets
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zeuxis.data import workers
from zeuxis.data.checked import SummedWriter
from zeuxis.data.listing import TILES, Content, FileReader, Labels, Listing, Picture, Shape, shown
from zeuxis.data.order import MOST_SORTED
from zeuxis.data.passed_over import remarks_on
from zeuxis.data.records import ColumnWriter
from zeuxis.data.scales import Scales
from zeuxis.data.shard_files import DAMAGE, Shard, ShardNote, digest_of_names, records_of
from zeuxis.data.tiles import cut
from zeuxis.errors import DataError, UsageError
from zeuxis.io import cache, files, images
from zeuxis.runtime import launch
from zeuxis.runtime.callbacks import ProgressCallback

SHARD_ITEMS = 1 << 16  # of the listing: what a kill loses at most. Fingerprints of many images depend on it
_EVERY = 50  # images between two calls of `progress`
_BLOCK = 1 << 20  # bytes that are hashed at once


def gathered(
    listing: Listing, shape: Shape, max_images: int | None = None, progress: ProgressCallback | None = None
) -> Content:
    """What a pack is made of: the items of a listing, or tiles of them; of many, so many that are evenly spaced."""
    if shape.resize_mode == TILES:
        return cut(listing, max_images, progress)
    content = listing.gather()
    count = len(content.items)
    if max_images is None or max_images >= count:
        return content
    return dataclasses.replace(content, items=[content.items[i * count // max_images] for i in range(max_images)])


class PackBuild:
    """A pack that is to be built at a path."""

    def __init__(
        self, name: str, content: Content, shape: Shape, path: Path, progress: ProgressCallback | None = None
    ) -> None:
        self.name, self.content, self.shape, self.path, self.progress = name, content, shape, path, progress
        self.count = max(1, -(-len(content.items) // SHARD_ITEMS))  # of shards
        self._form = shape.size, shape.size, shape.channels
        self._image_bytes = shape.size * shape.size * shape.channels
        self._done: dict[int, ShardNote] = {}

    def alone(self) -> None:
        """Build it all; for one who holds the pack's lock. An interruption leaves nothing, or what is swept."""
        for left in self.path.parent.glob(f"{self.path.name}.tmp-*"):  # nobody else is writing there
            shutil.rmtree(left, ignore_errors=True)
        folder = self.path.with_name(f"{self.path.name}.tmp-{secrets.token_hex(6)}")
        need = len(self.content.items) * self._image_bytes
        cache.make_room(need)
        with files.explained(self.path, need=need):
            folder.mkdir(cache.folder_mode())
            try:
                self._make_all(folder, None)
                self._finish(folder)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise

    def with_others(self, guard: Path) -> None:
        """Build those shards that nobody else builds, until all are there; `guard` is the folder of the pack's lock.

        An interruption leaves the shards that are complete, and the next build goes on from there.
        """
        folder = self.path.with_name(self.path.name + cache.PARTS)
        with files.explained(self.path, need=0), cache.building(folder):
            left = [number for number in range(self.count) if not self._stands(folder, number, ())]
            need = sum(len(self._items(number)) for number in left) * self._image_bytes
            cache.make_room(need)
            with files.explained(self.path, need=need):
                self._make_all(folder, guard)
                with files.lock(guard):
                    if not self.path.exists():
                        self._finish(folder)
                        shutil.rmtree(guard / "shards", ignore_errors=True)

    def _make_all(self, folder: Path, guard: Path | None) -> None:
        """Make every shard; again those with dark pictures, where the set shows that they are no more than dark."""
        self._make(range(self.count), folder, guard)
        known, reader = self._scales().known, self.content.reader
        if known and isinstance(reader, FileReader) and not _is_made(self.path, guard):
            self._make(range(self.count), folder, guard, among=known)

    def _make(self, numbers: Iterable[int], folder: Path, guard: Path | None, *, among: Collection[int] = ()) -> None:
        """Make the shards that are absent; first those of this rank, then of the next ones, and at last wait for others."""
        first = sorted(numbers, key=lambda number: ((number - launch.rank()) % launch.world_size(), number))
        for wait in (False, True):
            for number in first:
                if _is_made(self.path, guard):
                    return
                if not self._stands(folder, number, among):
                    with _claimed(guard, number, wait=wait) as mine:
                        if mine and not _is_made(self.path, guard) and not self._stands(folder, number, among):
                            self._make_shard(folder, number, among)

    def _stands(self, folder: Path, number: int, among: Collection[int]) -> bool:
        """Whether a shard is complete: of these items, its dark pictures taken where others of the set show their scale."""
        note = self._done.get(number)
        if note is None or not _settled(note, among):
            note = self._read(folder, number)
        if note is None or not _settled(note, among):
            return False
        self._done[number] = note
        return True

    def _read(self, folder: Path, number: int) -> ShardNote | None:
        shard = self._shard(folder, number)
        try:
            note = shard.read_note()
            whole = shard.images.stat().st_size == note.images * self._image_bytes and shard.records.is_file()
        except DAMAGE:
            return None
        return note if whole and note.items == digest_of_names(self._items(number)) else None

    def _shard(self, folder: Path, number: int) -> Shard:
        return Shard(folder, number, self._form)

    def _items(self, number: int) -> Sequence[str]:
        return self.content.items[number * SHARD_ITEMS : (number + 1) * SHARD_ITEMS]

    def _scales(self) -> Scales:
        """What all pictures of the set say of its depths."""
        notes = [self._done[number] for number in sorted(self._done)]
        return Scales({bits for note in notes for bits in note.used}, [each for note in notes for each in note.dark])

    def _make_shard(self, folder: Path, number: int, among: Collection[int]) -> None:
        """Decode the items of a shard into its files."""
        shard, items, before = self._shard(folder, number), list(self._items(number)), self._done.get(number)
        shard.note.unlink(missing_ok=True)
        content, columns, scales = self._share(items, among), ColumnWriter(), Scales()
        left_out: list[tuple[str, str]] = []
        start = sum(len(self._items(each)) for each in self._done if each != number)
        with shard.written() as out, contextlib.closing(workers.decoded(content, self.shape)) as results:
            file = SummedWriter(out, self._image_bytes)
            for done, (item, result) in enumerate(zip(items, results), 1):
                scales.see(item, result)
                if isinstance(result, Picture):
                    file.write(np.ascontiguousarray(result.pixels).data)
                    columns.add(item, result)
                else:
                    left_out.append((item, result))
                if done % _EVERY == 0 or done == len(items):
                    self._tell(start + done)
        data = columns.columns().to_bytes()
        files.write_file(shard.records, data, mode=cache.file_mode())
        seen = (before.used, before.dark) if among and before else (scales.used, scales.dark)
        sums = file.sums(), cache.checksum(data)
        note = ShardNote(digest_of_names(items), len(columns), *sums, left_out, *seen, list(among))
        shard.write_note(note)
        self._done[number] = note

    def _share(self, items: Sequence[str], among: Collection[int]) -> Content:
        reader = self.content.reader
        if among and isinstance(reader, FileReader):
            reader = reader.among(among)
        return Content(items, reader)

    def _tell(self, done: int) -> None:
        if self.progress:
            self.progress(done, len(self.content.items))

    def _finish(self, folder: Path) -> None:
        """Describe the shards in a folder, all of which are complete, and give it the pack's name."""
        shards = [self._shard(folder, number) for number in range(self.count)]
        notes = [self._done[number] for number in range(self.count)]
        records = records_of(shards, [note.images for note in notes], notes.__getitem__)
        left_out = [*self.content.left_out, *(each for note in notes for each in note.left_out)]
        left_out = [(shown(name), shown(reason)) for name, reason in left_out]
        if not records:
            raise DataError(_nothing(self.name, left_out))
        labels = self.content.label(records.names)
        about = self._about(labels) | {"count": len(records), "left_out": left_out, "notes": self._notes()}
        about["remarks"] = remarks_on(self.shape, records)
        about["shards"] = [[note.images, _sum_of(shard.note)] for shard, note in zip(shards, notes)]
        contents = {} if labels.values is None else {"labels.npy": _saved(labels.values)}
        about["sums"] = {each: cache.checksum(data) for each, data in contents.items()}
        about["fingerprint"] = self._fingerprint(shards, notes, labels)
        contents["pack.json"] = json.dumps({"sum": seal_of(about), "pack": about}).encode()
        for each, data in contents.items():
            files.write_file(folder / each, data, mode=cache.file_mode())
        wanted = {*contents} | {path.name for each in shards for path in (each.images, each.records, each.note)}
        for path in folder.iterdir():
            if path.name not in wanted:  # a draft that a kill has left
                path.unlink(missing_ok=True)
        files.discard(self.path)  # a damaged one
        folder.replace(self.path)
        files.sync_folder(self.path.parent)

    def _about(self, labels: Labels) -> dict[str, Any]:
        return {
            "name": self.name,
            "path": self.path.name,
            "shape": list(self.shape),
            "labelled": labels.values is not None,
            "classes": labels.classes,
            "attributes": [list(attribute) for attribute in labels.attributes],
        }

    def _notes(self) -> list[tuple[str, str]]:
        scales = self._scales()
        more = scales.notes() if isinstance(self.content.reader, FileReader) else []
        return [(shown(name), shown(note)) for name, note in [*self.content.notes, *more]]

    def _fingerprint(self, shards: Sequence[Shard], notes: Sequence[ShardNote], labels: Labels) -> str:
        """Of the pixels, the labels and the options; of more images than an old order sorts, by the sums of the pixels."""
        digest = hashlib.sha256()
        if sum(note.images for note in notes) > MOST_SORTED:
            digest.update(json.dumps([note.sums for note in notes]).encode())
        else:
            for shard in shards:
                with shard.images.open("rb") as file:
                    for block in iter(lambda: file.read(_BLOCK), b""):
                        digest.update(block)
        if labels.values is not None:
            digest.update(labels.values.tobytes())
        about = self._about(labels)
        digest.update(json.dumps([_hashed(self.shape), about["classes"], about["attributes"]]).encode())
        return digest.hexdigest()


def seal_of(about: dict[str, Any]) -> str:
    """The sum of a pack's description."""
    return cache.checksum(json.dumps(about, sort_keys=True).encode())


@contextlib.contextmanager
def _claimed(guard: Path | None, number: int, *, wait: bool) -> Iterator[bool]:
    """Whether a shard is ours to make; always, where nobody else may."""
    if guard is None:
        yield True
        return
    with contextlib.ExitStack() as held:
        yield _claim(held, guard / "shards" / str(number), wait=wait)


def _claim(held: contextlib.ExitStack, place: Path, *, wait: bool) -> bool:
    """Lock the folder of a shard, if it is free or once it is."""
    for again in (True, False):
        try:
            files.make_folder(place, mode=cache.folder_mode())
            if not wait:
                return held.enter_context(files.lock_if_free(place))
            held.enter_context(files.lock(place))
            break
        except UsageError as error:  # whoever finished the pack just now has removed the folders, once and for all
            if not (again and isinstance(error.__cause__, FileNotFoundError)):
                raise
    return True


def _is_made(path: Path, guard: Path | None) -> bool:
    """Whether another process has finished the pack meanwhile."""
    return guard is not None and path.exists()


def _settled(note: ShardNote, among: Collection[int]) -> bool:
    """Whether no picture of the shard is left out that is dark among pictures of these depths."""
    return note.among == list(among) or not any(bits in among for _, bits in note.dark)


def _sum_of(path: Path) -> str:
    return cache.checksum(files.read_bytes(path, max_bytes=1 << 32))


def _saved(values: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    return buffer.getvalue()


def _hashed(shape: Shape) -> list[Any]:
    """The shape as the fingerprint has it: tiles by their first name, so that runs of before stay known."""
    return ["cuts" if word == TILES else word for word in shape]


def _nothing(name: str, left_out: list[tuple[str, str]]) -> str:
    if not left_out:
        return f"{name} is empty; expected images ({', '.join(images.FORMATS)})"
    first, reason = left_out[0]
    rest = f" and {len(left_out) - 1:,} more" if len(left_out) > 1 else ""
    return f"{name} has no usable image ({first}: {reason}{rest}); expected {', '.join(images.FORMATS)}"
