"""Images in memory as a set: known by a digest of their content, so that a pack which was built of them is found again.

Its text is `pack@NAME-DIGEST`. With that alone, in another process, the pack in the cache is all there is of them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from typing import ClassVar, Protocol

from zeuxis.data.listing import Content, FetchingReader, Listing, Picture, Shape
from zeuxis.errors import DataError, UsageError
from zeuxis.runtime.callbacks import ProgressCallback

_RECIPE = 1  # raise it whenever other pixels are made of the same values
_EVERY = 50  # images between two calls of `progress`
_TEXT = re.compile(r"pack@([\w.-]{1,60})-([0-9a-f]{32})", re.ASCII)


class ImageValues(Protocol):
    """Images in memory, and their labels, which can be read again and again."""

    name: str

    def __len__(self) -> int:
        """How many there are."""

    def digests(self) -> Iterator[str]:
        """A digest of the content of each image, in their order."""

    def labels_digest(self) -> str:
        """A digest of all labels and of their names; asked for after `digests`."""

    def content(self) -> Content:
        """The images, named by their numbers; asked for after `digests`."""


class MemorySet:
    """Images in memory, or what a run recorded of such."""

    # Images come in every size, with and without colours, and none are known to be held out.
    size: ClassVar[None] = None
    channels: ClassVar[None] = None

    def __init__(self, name: str, values: ImageValues | None, digest: str = "") -> None:
        self.title = re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip(".-")[:60] or "images"
        self._values, self._digest = values, digest
        self._each: list[str] = []  # digests of the images, kept so that a change is noticed

    @classmethod
    def parse(cls, text: str) -> MemorySet | None:
        """The set that a text stands for, of which only packs are left; None for any other text."""
        match = _TEXT.fullmatch(text)
        return cls(match[1], None, match[2]) if match else None

    def __str__(self) -> str:
        return f"pack@{self.title}-{self.digest()}"

    @property
    def is_recorded(self) -> bool:
        """Whether the images themselves are not here, and only their packs may be."""
        return self._values is None

    def digest(self, progress: ProgressCallback | None = None) -> str:
        """Of the content: each image is read, once in the life of this object."""
        if not self._digest and self._values is not None:
            self._each = []
            for each in self._values.digests():
                self._each.append(each)
                if progress and (len(self._each) % _EVERY == 0 or len(self._each) == len(self._values)):
                    progress(len(self._each), len(self._values))
            told = json.dumps([_RECIPE, self._each, self._values.labels_digest()])
            self._digest = hashlib.blake2b(told.encode(), digest_size=16).hexdigest()
        return self._digest

    def absolute(self) -> MemorySet:
        """Itself: it lies in no folder."""
        return self

    def held_out(self, count: int) -> None:
        """Nothing."""

    def whole(self) -> None:
        """Nothing: they are read as they are learned."""

    def listing(self, progress: ProgressCallback | None = None) -> Listing:
        """The images; those of a record can only be found in a pack."""
        return Listing(self.title, f"memory {self.digest(progress)}", self._gather)

    def _gather(self) -> Content:
        if self._values is None:
            raise UsageError(
                f"{self} was given as a value, and the cache has no pack of it with this size, channels and resize mode; "
                "give the same data again in Python, as in zeuxis.resume(RUN, data=images)"
            )
        content = self._values.content()
        if isinstance(content.reader, FetchingReader):  # else it reads files, in other processes
            content.reader = _Unchanged(content.reader, self._each, self.title)
        return content


class _Unchanged:
    """Gives the images of another reader, those alone whose content is what it was when it was first read."""

    def __init__(self, reader: FetchingReader, digests: list[str], name: str) -> None:
        self.reader, self.digests, self.name = reader, digests, name

    def as_json(self) -> None:
        """Nothing that another process could use."""

    def picture(self, item: str, shape: Shape) -> Picture:
        """The image of an item; `DataError` where it has changed."""
        return self.fetch(item)(shape)

    def fetch(self, item: str) -> Callable[[Shape], Picture]:
        """Read an item; what decodes it, with `DataError` where it has changed."""
        decode = self.reader.fetch(item)

        def decode_checked(shape: Shape) -> Picture:
            found = decode(shape)
            if found.digest != self.digests[int(item)]:
                raise DataError(f"item {item} of {self.name} {CHANGING}")
            return found

        return decode_checked


CHANGING = (
    "differs from one reading to the next, as random augmentation makes it, so that no run could be resumed exactly; "
    "remove what is random (zeuxis mirrors images itself: hflip)"
)
