"""Files that mean far more work or memory than their pixels do, refused by their structure before any of it is decoded."""

from __future__ import annotations

import re
from typing import Any, BinaryIO

from PIL import Image

from zeuxis.io.pixel_modes import Unusable

_MOST_SCANS = 1000  # of a JPEG; encoders write up to a few dozen, and each goes over all of the pixels
_LARGEST_TILE = 1 << 25  # pixels of a tile of a TIFF, which is decoded whole, however small the image is
_START_OF_SCAN = b"\xff\xda"
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # neither a stuffed byte, nor padding, nor a restart


def reject_bombs(image: Image.Image, file: BinaryIO) -> None:
    """`Unusable` for a JPEG of very many scans, or a TIFF of huge tiles; the file's position is kept."""
    tags: Any = getattr(image, "tag_v2", {})
    if 322 in tags and 323 in tags and int(tags[322]) * int(tags[323]) > _LARGEST_TILE:
        raise Unusable(f"tiles of {tags[322]} x {tags[323]} pixels, which are too large; save it with smaller ones")
    if image.format in ("JPEG", "MPO"):
        place = file.tell()
        file.seek(0)
        data = file.read()
        file.seek(place)
        # What follows the image may be a video, whose bytes look like anything: the image is walked through only then.
        if data.count(_START_OF_SCAN) > _MOST_SCANS and _scans(data) > _MOST_SCANS:
            raise Unusable(f"over {_MOST_SCANS:,} scans, which would take very long; save it again")


def _scans(data: bytes) -> int:
    """The scans of a JPEG, up to its end; one more than the most where there are more."""
    count, at = 0, 2
    while count <= _MOST_SCANS and (found := _MARKER.search(data, at)):
        marker, at = data[found.start() + 1], found.end()
        if marker == 0xD9:
            break
        count += marker == 0xDA
        if marker not in (0x01, 0xD8):
            at += int.from_bytes(data[at : at + 2], "big")
    return count
