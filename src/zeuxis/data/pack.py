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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from zeuxis.data import workers
from zeuxis.data.listing import TILES, Attribute, Content, Labels, Listing, Picture, Shape, shown
from zeuxis.data.tiles import cut
from zeuxis.errors import DataError, ZeuxisError
from zeuxis.io import files, images
from zeuxis.io.images import Array
from zeuxis.runtime.callbacks import ProgressCallback

_FORMAT = 2  # of the files in a pack, and of how images are decoded: raise it and packs are built again
_EVERY = 50  # images between two calls of `progress`


@dataclass(frozen=True)
class Pack:
    """Decoded images in a folder of the cache, with what is known about them."""

    path: Path
    name: str
    images: Array  # n h w c, uint8, memory-mapped
    labels: Array | None  # classes (n, int64), or attributes (n k, uint8)
    classes: list[str]
    attributes: list[Attribute]
    left_out: list[tuple[str, str]]  # name, reason
    fingerprint: str  # of the pixels, the labels and the options
    shape: Shape

    def __len__(self) -> int:
        return len(self.images)

    def records(self) -> list[dict[str, Any]]:
        """For each image its file's `name`, `size` (width and height), `mode` and `digest` of its content."""
        return cast("list[dict[str, Any]]", files.read_json(self.path / "images.json", max_bytes=1 << 32))


def pack_of(
    listing: Listing, shape: Shape, *, max_images: int | None = None, progress: ProgressCallback | None = None
) -> Pack:
    """The images of a listing in that shape, built on the first call; `max_images` takes that many, evenly spaced.

    `DataError` where nothing in it can be used.
    """
    folder = files.cache_dir() / "packs"
    path = folder / f"{_slug(listing.name)}-{shape.size}x{shape.channels}-{_key(listing, shape, max_images)}"
    if pack := _opened(path):
        return pack
    files.make_folder(folder)
    guard = folder / f".{path.name}"  # a folder of its own per pack: two builders of different packs may both work
    files.make_folder(guard)
    with files.lock(guard):
        return _opened(path) or _built(listing, shape, max_images, path, progress)


def _key(listing: Listing, shape: Shape, max_images: int | None) -> str:
    return hashlib.sha256(json.dumps([_FORMAT, listing.key, list(shape), max_images]).encode()).hexdigest()[:16]


def _slug(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip(".-")[:60] or "images"


def _opened(path: Path) -> Pack | None:
    """The pack at the path; None where there is none, or one that is damaged."""
    try:
        about = files.read_json(path / "pack.json", max_bytes=1 << 30)
        shape = Shape(*about["shape"])
        pixels: Array = np.memmap(path / "images.bin", np.uint8, mode="r")
        pixels = pixels.reshape(about["count"], shape.size, shape.size, shape.channels)
        labels = np.load(path / "labels.npy", allow_pickle=False) if about["labelled"] else None
        if not len(pixels) or (labels is not None and len(labels) != len(pixels)):
            return None
        attributes = [Attribute(name, opposite) for name, opposite in about["attributes"]]
        left_out = [(name, reason) for name, reason in about["left_out"]]
        return Pack(
            path, about["name"], pixels, labels, about["classes"], attributes, left_out, about["fingerprint"], shape
        )
    except (ZeuxisError, OSError, EOFError, ValueError, KeyError, TypeError):
        return None


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
    with files.explained(path, need=len(content.items) * shape.size * shape.size * shape.channels):
        temporary.mkdir()
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
    with (folder / "images.bin").open("wb") as file:
        records, left_out, digest = _decode(content, shape, file, progress)
        file.flush()
        os.fsync(file.fileno())
    left_out = [(shown(name), reason) for name, reason in content.left_out + left_out]
    if not records:
        raise DataError(_nothing(name, left_out))
    labels = content.label([record["name"] for record in records])
    if labels.values is not None:
        buffer = io.BytesIO()
        np.save(buffer, labels.values, allow_pickle=False)
        files.write_file(folder / "labels.npy", buffer.getvalue())
        digest.update(labels.values.tobytes())
    about = _about(name, shape, labels) | {"count": len(records), "left_out": left_out}
    digest.update(json.dumps([_hashed(shape), about["classes"], about["attributes"]]).encode())
    files.write_file(folder / "images.json", json.dumps(records).encode())
    files.write_file(folder / "pack.json", json.dumps(about | {"fingerprint": digest.hexdigest()}).encode())


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


def _decode(content: Content, shape: Shape, file: BinaryIO, progress: ProgressCallback | None) -> tuple[Any, Any, Any]:
    """Append the pixels of each image; records of the images, names and reasons of the rest, a digest of the pixels."""
    records: list[dict[str, Any]] = []
    left_out: list[tuple[str, str]] = []
    digest, total = hashlib.sha256(), len(content.items)
    with contextlib.closing(workers.decoded(content, shape)) as results:  # closed at once, its processes ended
        for done, (item, result) in enumerate(zip(content.items, results), 1):
            if isinstance(result, Picture):
                data = np.ascontiguousarray(result.pixels).data
                file.write(data)
                digest.update(data)
                records.append({"name": item, "size": result.size, "mode": result.mode, "digest": result.digest})
            else:
                left_out.append((item, result))
            if progress and (done % _EVERY == 0 or done == total):
                progress(done, total)
    return records, left_out, digest


def _nothing(name: str, left_out: list[tuple[str, str]]) -> str:
    if not left_out:
        return f"{name} is empty; expected images ({', '.join(images.FORMATS)})"
    first, reason = left_out[0]
    rest = f" and {len(left_out) - 1:,} more" if len(left_out) > 1 else ""
    return f"{name} has no usable image ({first}: {reason}{rest}); expected {', '.join(images.FORMATS)}"
