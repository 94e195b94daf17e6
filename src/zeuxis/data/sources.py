"""What a spec names: a folder, a zip, an IDX file, or a data set of the catalog."""

from __future__ import annotations

from zeuxis.data.listing import Listing
from zeuxis.data.catalog import avatars


def find(spec: str, *, limit: int | None = None) -> Listing:
    name, _, count = spec.partition(":")
    name, _, split = name.partition("/")
    return avatars.listing(split or "train", int(count) if count else limit)
