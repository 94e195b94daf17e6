"""Data sets known by name: one file each, which holds one `Dataset`."""

from __future__ import annotations

import functools
import importlib
import re
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

from zeuxis.data.catalog._dataset import Dataset
from zeuxis.data.listing import WHOLE, Listing
from zeuxis.errors import UsageError
from zeuxis.runtime.callbacks import ProgressCallback

_WORD = re.compile(r"([a-z][a-z0-9-]*)(?:\.([a-z]+))?(?:/([a-z]+))?(?::(\d{1,9}))?")


@functools.cache
def set_names() -> tuple[str, ...]:
    """The names, by the files of this folder."""
    stems = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))
    return tuple(stem.replace("_", "-") for stem in stems)


@dataclass(frozen=True)
class NamedSet:
    """What `avatars`, `avatars:5000`, `avatars/test` and `maps.relief/test:100` mean."""

    name: str
    view: str | None = None
    split: str | None = None
    count: int | None = None

    @classmethod
    def parse(cls, word: str) -> NamedSet | None:
        """The set that a word names; None where it names none (`avatars.zip` does not: there is no such view)."""
        match = _WORD.fullmatch(word)
        if not match or match[1] not in set_names() or (match[2] and match[2] not in _dataset(match[1]).views):
            return None
        return cls(match[1], match[2], match[3], None if match[4] is None else int(match[4]))

    def __str__(self) -> str:
        parts = (("", self.name), (".", self.view), ("/", self.split), (":", self.count))
        return "".join(f"{mark}{part}" for mark, part in parts if part is not None)

    @property
    def title(self) -> str:
        """As it is typed."""
        return str(self)

    @property
    def size(self) -> int:
        """Height and width, in pixels, that its images have or are best drawn at."""
        return _dataset(self.name).size

    @property
    def about(self) -> str:
        """What it shows, its source and its licence, in a sentence."""
        return (_module(self.name).__doc__ or "").partition("\n")[0]

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        dataset = _dataset(self.name)
        return dataset.channels if self.view is None else dataset.views[self.view]

    def absolute(self) -> NamedSet:
        """Itself: a name means the same in every folder."""
        return self

    def held_out(self, count: int) -> tuple[NamedSet, NamedSet] | None:
        """What is learned from, and `count` images that are held out; None where the set holds none out.

        `avatars:5000` gives itself and `avatars/test:COUNT`; `avatars/test:500` gives `avatars` and itself.
        """
        if "test" not in _dataset(self.name).splits:
            return None
        if self.split == "test":
            return replace(self, split=None, count=None), self
        return self, replace(self, split="test", count=count)

    def whole(self) -> NamedSet | None:
        """Its photographs at their own height and width; None where it has no such view."""
        return replace(self, view=WHOLE) if WHOLE in _dataset(self.name).views else None

    def listing(self, progress: ProgressCallback | None = None) -> Listing:
        """Its images: of the first split unless one is named, and all of them unless a count is."""
        dataset = _dataset(self.name)
        if self.split is not None and self.split not in dataset.splits:
            raise UsageError(f"{self.name} has no split {self.split!r}; choose from {', '.join(dataset.splits)}")
        chosen = self.split or dataset.splits[0], self.count
        if self.view is None or dataset.view is None:
            return dataset.listing(*chosen)
        return dataset.view(self.view, *chosen)


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")


def _dataset(name: str) -> Dataset:
    (found,) = (value for value in vars(_module(name)).values() if isinstance(value, Dataset))
    return found
