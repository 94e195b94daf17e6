"""Data sets known by name: one file each, with its splits and a function `listing`."""

from __future__ import annotations

import functools
import importlib
import re
from pathlib import Path
from types import ModuleType

from zeuxis.data.listing import Listing
from zeuxis.errors import UsageError


@functools.cache
def names() -> tuple[str, ...]:
    """The names, by the files of this folder."""
    stems = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))
    return tuple(stem.replace("_", "-") for stem in stems)


def find(name: str, *, split: str | None = None, count: int | None = None) -> Listing:
    """The data set of a name; `split` is train unless given, `count` as many as it has."""
    module = _module(name)
    splits: tuple[str, ...] = module.SPLITS
    if split is not None and split not in splits:
        raise UsageError(f"{name} has no split {split!r}; choose from {', '.join(splits)}")
    listing: Listing = module.listing(split or splits[0], count)
    return listing


def shape(spec: str) -> dict[str, int]:
    """The `size` and `channels` that a named set's images have, or are best drawn at; nothing for other data."""
    name = re.split("[:/]", spec)[0]
    if name not in names():
        return {}
    module = _module(name)
    return {"size": module.SIZE, "channels": module.CHANNELS}


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")


def halves(spec: str, count: int) -> tuple[str, str] | None:
    """What a named set is learned from, and `count` images of it that are held out; None of other data.

    `avatars:5000` gives itself and `avatars/test:COUNT`; `avatars/test:500` gives `avatars` and itself.
    """
    name, split = re.split("[:/]", spec)[0], re.match("[^:]*/([a-z]+)", spec)
    if name not in names() or "test" not in _module(name).SPLITS:
        return None
    if split and split[1] == "test":
        return name, spec
    return spec, f"{name}/test:{count}"
