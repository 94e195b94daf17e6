"""Data sets known by name: one file each, with its splits and a function `listing`."""

from __future__ import annotations

import functools
import importlib
from pathlib import Path

from zeuxis.data.listing import Listing
from zeuxis.errors import UsageError


@functools.cache
def names() -> tuple[str, ...]:
    """The names, by the files of this folder."""
    stems = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))
    return tuple(stem.replace("_", "-") for stem in stems)


def find(name: str, *, split: str | None = None, count: int | None = None) -> Listing:
    """The data set of a name; `split` is train unless given, `count` as many as it has."""
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    splits: tuple[str, ...] = module.SPLITS
    if split is not None and split not in splits:
        raise UsageError(f"{name} has no split {split!r}; choose from {', '.join(splits)}")
    listing: Listing = module.listing(split or splits[0], count)
    return listing
