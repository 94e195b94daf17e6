"""Data sets known by name: one file each, with its splits, its views if it has any, and a function `listing`.

Views show the same things in several ways (a map and a photograph of one place), item by item under the same names.
"""

from __future__ import annotations

import functools
import importlib
import re
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from zeuxis.data.listing import Listing
from zeuxis.errors import UsageError

_SPEC = re.compile(r"([a-z][a-z0-9-]*)(?:\.([a-z]+))?(?:/([a-z]+))?(?::(\d{1,9}))?")


class Named(NamedTuple):
    """What `avatars`, `avatars:5000`, `avatars/test` and `maps.relief/test:100` say."""

    name: str
    view: str | None = None
    split: str | None = None
    most: int | None = None

    def __str__(self) -> str:
        parts = (("", self.name), (".", self.view), ("/", self.split), (":", self.most))
        return "".join(f"{mark}{part}" for mark, part in parts if part is not None)


@functools.cache
def names() -> tuple[str, ...]:
    """The names, by the files of this folder."""
    stems = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))
    return tuple(stem.replace("_", "-") for stem in stems)


def parse(spec: str) -> Named | None:
    """What a spec says, if it names a set that is here (`avatars.zip` does not: there is no such view)."""
    match = _SPEC.fullmatch(spec)
    if not match or match[1] not in names() or (match[2] and match[2] not in views(match[1])):
        return None
    return Named(match[1], match[2], match[3], None if match[4] is None else int(match[4]))


def views(name: str) -> dict[str, int]:
    """The views of a set, and the channels of each; most sets have none."""
    found: dict[str, int] = getattr(_module(name), "VIEWS", {})
    return found


def find(named: Named) -> Listing:
    """The data set of a name; the split is train unless given, as many as it has unless `most` says fewer."""
    module = _module(named.name)
    splits: tuple[str, ...] = module.SPLITS
    if named.split is not None and named.split not in splits:
        raise UsageError(f"{named.name} has no split {named.split!r}; choose from {', '.join(splits)}")
    chosen = named.split or splits[0], named.most
    listing: Listing = module.listing(*chosen) if named.view is None else module.view(named.view, *chosen)
    return listing


def shape(spec: str) -> dict[str, int]:
    """The `size` and `channels` that a named set's images have, or are best drawn at; nothing for other data."""
    named = parse(spec)
    if named is None:
        return {}
    module = _module(named.name)
    return {"size": module.SIZE, "channels": views(named.name)[named.view] if named.view else module.CHANNELS}


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")


def halves(spec: str, count: int) -> tuple[str, str] | None:
    """What a named set is learned from, and `count` images of it that are held out; None of other data.

    `avatars:5000` gives itself and `avatars/test:COUNT`; `avatars/test:500` gives `avatars` and itself.
    """
    named = parse(spec)
    if named is None or "test" not in _module(named.name).SPLITS:
        return None
    if named.split == "test":
        return str(named._replace(split=None, most=None)), spec
    return spec, str(named._replace(split="test", most=count))
