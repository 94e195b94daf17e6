"""Who decodes the items of a source: files of a folder, members of a zip, rows of an array, drawn faces."""

from __future__ import annotations

import hashlib
from typing import Any

from zeuxis.data.listing import Array, Picture, Reader, Shape


def reader_from(spec: dict[str, Any]) -> Reader:
    """The reader that has this `spec`."""
    if spec["kind"] == "avatars":
        from zeuxis.data.catalog.avatars import Faces

        return Faces()
    raise ValueError(spec)
