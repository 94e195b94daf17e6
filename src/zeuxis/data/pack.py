"""Images decoded once into a memory-mapped uint8 file in the cache, which the next run opens at once."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import re
import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np

from zeuxis.data import workers
from zeuxis.data.checked import CheckedImages, ChosenImages, SummedWriter, refuse
from zeuxis.data.listing import TILES, Attribute, Content, FileReader, Labels, Listing, Picture, Shape, shown
from zeuxis.data.messages import record_of
from zeuxis.data.passed_over import in_short, remarks_on
from zeuxis.data.scales import Scales
from zeuxis.data.tiles import RECIPE, cut
from zeuxis.errors import DataError, ZeuxisError
from zeuxis.io import cache, files, images
from zeuxis.io.images import Array
from zeuxis.io.parsing import parse_json
from zeuxis.runtime.callbacks import ProgressCallback

_FORMAT = 6  # of the files in a pack, and of how images are decoded: raise it and packs are built again
_AT_ONCE = 64 << 20  # bytes: packs up to this size are verified when opened, others block by block as they are read
_EVERY = 50  # images between two calls of `progress`


@dataclass(frozen=True)
class Pack:
    """Decoded images in a folder of the cache, with what is known about them."""

    path: Path
    name: str
    stored: CheckedImages | ChosenImages  # n h w c, uint8, memory-mapped
    labels: Array | None  # classes (n, int64), or attributes (n k, uint8)
    classes: list[str]
    attributes: list[Attribute]
    left_out: list[tuple[str, str]]  # name, reason
    fingerprint: str  # of the pixels, the labels and the options
    shape: Shape
    records_sum: str = ""  # of the file of the records
    notes: list[tuple[str, str]] = field(default_factory=list)  # name of a table or folder, and what of it is not used
    remarks: list[str] = field(default_factory=list)  # on pages, borders and images that are not used
    places: Array | None = None  # of its images among those in the files; None: all of them

    @property
    def passed_over(self) -> list[str]:
        """What of the data is not learned from, in short."""
        return [f"{self.name}: {line}" for line in in_short(self.remarks, self.notes, self.left_out)]

    def __len__(self) -> int:
        return self.stored.shape[0]

    @property
    def images(self) -> Array:
        """All images (n h w c, uint8), memory-mapped and verified; `rows` verifies only what is asked for."""
        return self.stored.whole()

    def rows(self, places: Array) -> Array:
        """The images at these places (k h w c, uint8); `DataError` where they are not those that were written."""
        return self.stored.rows(places)

    def records(self) -> list[dict[str, Any]]:
        """For each image its file's `name`, `size` (width and height), `mode`, `digest`, and perhaps a `note` and `frames`."""
        path = self.path / "images.json"
        try:
            found = cast("list[dict[str, Any]]", parse_json(_summed(path, self.records_sum), path))
        except (ZeuxisError, ValueError) as error:
            refuse(path, str(error))
        return found if self.places is None else [found[place] for place in self.places]

    def at(self, places: Array) -> Pack:
        """The images of a whole pack at these places (ascending), as a view of it, with a fingerprint of its own."""
        assert isinstance(self.stored, CheckedImages)
        stored, labels = ChosenImages(self.stored, places), None if self.labels is None else self.labels[places]
        digest = hashlib.sha256(self.fingerprint.encode() + places.tobytes()).hexdigest()
        return dataclasses.replace(self, stored=stored, labels=labels, fingerprint=digest, places=places)


def pack_of(
    listing: Listing, shape: Shape, *, max_images: int | None = None, progress: ProgressCallback | None = None
) -> Pack:
    """The images of a listing in that shape, built on the first call; `max_images` takes that many, evenly spaced.

    `DataError` where nothing in it can be used.
    """
    folder = cache.folder("packs")
    path = folder / f"{_slug(listing.name)}-{shape.size}x{shape.channels}-{_key(listing, shape, max_images)}"
    if pack := _opened(path):
        return pack
    guard = cache.folder("packs", f".{path.name}")  # one per pack: two builders of different packs may both work
    with files.lock(guard):
        return _opened(path, mend=True) or _built(listing, shape, max_images, path, progress)


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
    except (ZeuxisError, OSError, EOFError, ValueError, LookupError, TypeError, AttributeError) as error:
        if mend:
            cache.LOG.warning("%s was damaged: its images are decoded again (%s)", path, str(error).partition(";")[0])
            files.discard(path)
        return None
    cache.touch(path)
    return pack


def _read(path: Path) -> Pack:
    about = files.read_json(path / "pack.json", max_bytes=1 << 30)
    about, seal = about["pack"], about["sum"]
    if seal != _seal(about) or about["path"] != path.name:
        raise ValueError("pack.json is not the file that was written")
    shape, sums = Shape(*about["shape"]), about["sums"]
    stored = CheckedImages.open(
        path / "images.bin", (about["count"], shape.size, shape.size, shape.channels), sums["images.bin"]
    )
    if stored.nbytes <= _AT_ONCE:
        stored.verify()
        _summed(path / "images.json", sums["images.json"])
    elif not (path / "images.json").is_file():
        raise ValueError("images.json is missing")
    labels = None
    if about["labelled"]:
        labels = np.load(io.BytesIO(_summed(path / "labels.npy", sums["labels.npy"])), allow_pickle=False)
    attributes = [Attribute(name, opposite) for name, opposite in about["attributes"]]
    left_out, notes = ([(name, text) for name, text in about[key]] for key in ("left_out", "notes"))
    return Pack(
        path, about["name"], stored, labels, about["classes"], attributes, left_out, about["fingerprint"], shape,
        sums["images.json"], notes, about["remarks"],
    )  # fmt: skip


def _summed(path: Path, wanted: str) -> bytes:
    """The content of a file of a pack; `ValueError` where it is not the one that was written."""
    data = files.read_bytes(path, max_bytes=1 << 32)
    if cache.checksum(data) != wanted:
        raise ValueError(f"{path.name} is not the file that was written")
    return data


def _seal(about: dict[str, Any]) -> str:
    return cache.checksum(json.dumps(about, sort_keys=True).encode())


def _built(
    listing: Listing, shape: Shape, max_images: int | None, path: Path, progress: ProgressCallback | None
) -> Pack:
    """Build the pack in a temporary folder and give it its name; what an interruption leaves is swept."""
    for left in path.parent.glob(f"{path.name}.tmp-*"):  # we hold this pack's lock: nobody is writing there
        shutil.rmtree(left, ignore_errors=True)
    content = (
        cut(listing, max_images, progress) if shape.resize_mode == TILES else _limited(listing.gather(), max_images)
    )
    temporary = path.with_name(f"{path.name}.tmp-{secrets.token_hex(6)}")
    need = len(content.items) * shape.size * shape.size * shape.channels
    cache.make_room(need)
    with files.explained(path, need=need):
        temporary.mkdir(cache.folder_mode())
        try:
            _write(listing.name, content, shape, temporary, progress)
            files.discard(path)  # a damaged one
            temporary.replace(path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    files.sync_folder(path.parent)
    if pack := _opened(path):
        return pack
    raise DataError(f"{path} cannot be read back after it was written; check the disk, or choose another ZEUXIS_CACHE")


def _limited(content: Content, max_images: int | None) -> Content:
    count = len(content.items)
    if max_images is None or max_images >= count:
        return content
    return dataclasses.replace(content, items=[content.items[i * count // max_images] for i in range(max_images)])


def _write(name: str, content: Content, shape: Shape, folder: Path, progress: ProgressCallback | None) -> None:
    with open(folder / "images.bin", "wb", opener=_create) as file:
        content, decoded = _decode_set(content, shape, file, progress)
        records, left_out, digest = decoded.records, decoded.left_out, decoded.digest
        file.flush()
        os.fsync(file.fileno())
    left_out = [(shown(name), shown(reason)) for name, reason in content.left_out + left_out]
    if not records:
        raise DataError(_nothing(name, left_out))
    labels = content.label([record["name"] for record in records])
    contents = {"images.json": json.dumps(records).encode()}
    if labels.values is not None:
        buffer = io.BytesIO()
        np.save(buffer, labels.values, allow_pickle=False)
        contents["labels.npy"] = buffer.getvalue()
        digest.update(labels.values.tobytes())
    notes = [(shown(name), shown(note)) for name, note in content.notes]
    about = _about(name, shape, labels) | {"count": len(records), "left_out": left_out, "notes": notes}
    about["remarks"] = remarks_on(shape, records)
    digest.update(json.dumps([_hashed(shape), about["classes"], about["attributes"]]).encode())
    sums = {"images.bin": decoded.sums} | {each: cache.checksum(data) for each, data in contents.items()}
    about |= {"fingerprint": digest.hexdigest(), "path": folder.name.partition(".tmp-")[0], "sums": sums}
    contents["pack.json"] = json.dumps({"sum": _seal(about), "pack": about}).encode()
    for each, data in contents.items():
        files.write_file(folder / each, data, mode=cache.file_mode())


def _create(path: str, flags: int) -> int:
    return os.open(path, flags, cache.file_mode())


def _hashed(shape: Shape) -> list[Any]:
    """The shape as the fingerprint has it: tiles by their first name, so that packs and runs of before stay known."""
    return ["cuts" if word == TILES else word for word in shape]


def _about(name: str, shape: Shape, labels: Labels) -> dict[str, Any]:
    return {
        "name": name,
        "shape": list(shape),
        "labelled": labels.values is not None,
        "classes": labels.classes,
        "attributes": [list(attribute) for attribute in labels.attributes],
    }


class _Decoded(NamedTuple):
    """Records of the images that were written, names and reasons of the rest, a digest of the pixels, sums of their blocks."""

    records: list[dict[str, Any]]
    left_out: list[tuple[str, str]]
    digest: Any
    sums: list[str]


def _decode_set(
    content: Content, shape: Shape, file: BinaryIO, progress: ProgressCallback | None
) -> tuple[Content, _Decoded]:
    """Write the pixels of each image; again, where the set shows that those which were refused are no more than dark."""
    scales = Scales()
    found = _decode(content, shape, file, scales, progress)
    if scales.known and isinstance(content.reader, FileReader):
        reader, notes = content.reader.among(scales.known), content.notes + scales.notes()
        content = dataclasses.replace(content, reader=reader, notes=notes)
        file.seek(0)
        file.truncate()
        found = _decode(content, shape, file, Scales(), progress)
    return content, found


def _decode(
    content: Content, shape: Shape, out: BinaryIO, scales: Scales, progress: ProgressCallback | None
) -> _Decoded:
    records: list[dict[str, Any]] = []
    left_out: list[tuple[str, str]] = []
    file = SummedWriter(out, shape.size * shape.size * shape.channels)
    digest, total = hashlib.sha256(), len(content.items)
    with contextlib.closing(workers.decoded(content, shape)) as results:  # closed at once, its processes ended
        for done, (item, result) in enumerate(zip(content.items, results), 1):
            scales.see(item, result)
            if isinstance(result, Picture):
                data = np.ascontiguousarray(result.pixels).data
                file.write(data)
                digest.update(data)
                records.append({"name": item, **record_of(result)})
            else:
                left_out.append((item, result))
            if progress and (done % _EVERY == 0 or done == total):
                progress(done, total)
    return _Decoded(records, left_out, digest, file.sums())


def _nothing(name: str, left_out: list[tuple[str, str]]) -> str:
    if not left_out:
        return f"{name} is empty; expected images ({', '.join(images.FORMATS)})"
    first, reason = left_out[0]
    rest = f" and {len(left_out) - 1:,} more" if len(left_out) > 1 else ""
    return f"{name} has no usable image ({first}: {reason}{rest}); expected {', '.join(images.FORMATS)}"
