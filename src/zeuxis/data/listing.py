"""Listings of images that are not decoded yet: their names, their reader, and their classes or attributes."""

from __future__ import annotations

import bisect
import itertools
import os
import re
from abc import abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, overload, runtime_checkable

import numpy as np

from zeuxis.errors import UsageError
from zeuxis.io.images import Array

LeftOut = list[tuple[str, str]]  # name, reason


class Attribute(NamedTuple):
    """A yes-or-no property of an image, and the word for its absence ("" where there is none)."""

    name: str
    opposite: str


WHOLE = "whole"  # a resize mode that keeps height and width; the view of a set of photographs that are so
TILES = "tiles"  # a resize mode that cuts many images out of a photograph, unshrunk; the view of such


class Shape(NamedTuple):
    """What every image is made to be: `size` by `size` pixels, `channels` 1 or 3, by `crop` or `pad`, or as one of its `tiles`.

    Files are also given `whole`, at their own height and width.
    """

    size: int
    channels: int
    resize_mode: str = "crop"


Form = tuple[int, int]  # height and width, and channels


def shape_of(form: Form, resize_mode: str) -> Shape:
    """A form by this resize mode; `UsageError` where no image can have it."""
    size, channels = form
    if not 1 <= size <= 4096:
        raise UsageError(f"--size is {size}; expected 1 to 4096")
    if channels not in (1, 3):
        raise UsageError(f"--channels is {channels}; expected 1 (grey) or 3 (colour)")
    return Shape(size, channels, resize_mode)


class Picture(NamedTuple):
    """One decoded image (h w c, uint8), and what its file was: width and height, mode, a digest of its content.

    `note` is what is to be said of its colours, "" where that is nothing. Of several pages, or `frames`, the first is decoded.
    `bits` is 16 or 32 where the uppermost of so many are in use.
    """

    pixels: Array
    size: tuple[int, int]
    mode: str
    digest: str
    note: str = ""
    frames: int = 1
    bits: int = 8


class Labels(NamedTuple):
    """Classes (n, int64) or attributes (n k, uint8) with their names; None where nothing is known."""

    values: Array | None = None
    classes: list[str] = []
    attributes: list[Attribute] = []


class ItemReader(Protocol):
    """Decodes the items of a listing, one by one; raises `images.Unusable` where that cannot be."""

    def as_json(self) -> dict[str, Any] | None:
        """What makes this reader again in another process, `kind` and its arguments; None where nothing does."""

    def picture(self, item: str, shape: Shape) -> Picture:
        """The image of an item."""


@runtime_checkable
class FileReader(ItemReader, Protocol):
    """Decodes files, which somebody else may have made."""

    def among(self, used: Collection[int]) -> FileReader:
        """The same reader, among files that use all bits of these depths (16 or 32): others of them may be dark."""

    def is_quick(self, item: str) -> bool:
        """Whether decoding an item takes no long time, whatever it contains."""


@runtime_checkable
class FetchingReader(ItemReader, Protocol):
    """Reads items one after the other, and decodes them apart from that, in any thread."""

    def fetch(self, item: str) -> Callable[[Shape], Picture]:
        """Read an item; the function that decodes it."""


class MadeWhenAsked(Sequence[str]):
    """Texts that take no memory: each is made by `at` when it is asked for."""

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        return self.at(range(len(self))[place])

    @abstractmethod
    def at(self, place: int) -> str:
        """The text at a place from 0 on."""


class Numbered(MadeWhenAsked):
    """Items that are called by their numbers, as `17`, or `train-0.parquet/17` behind a word; made when they are asked for."""

    def __init__(self, groups: Sequence[tuple[str, int]]) -> None:
        self._words = [f"{word}/" if word else "" for word, _ in groups]
        self._ends = [0, *itertools.accumulate(count for _, count in groups)]

    def __len__(self) -> int:
        return self._ends[-1]

    def at(self, place: int) -> str:
        group = bisect.bisect_right(self._ends, place) - 1
        return f"{self._words[group]}{place - self._ends[group]}"


def unlabelled(items: Sequence[str]) -> Labels:
    """Nothing is known about the items."""
    return Labels()


@dataclass
class Content:
    """The images of a listing in order: their names, their reader, and the labels of those that can be read."""

    items: Sequence[str]
    reader: ItemReader
    label: Callable[[Sequence[str]], Labels] = unlabelled  # asked for the items that could be decoded
    left_out: list[tuple[str, str]] = field(default_factory=list)  # name, reason
    notes: list[tuple[str, str]] = field(default_factory=list)  # name, and what should be known of it


class Listing(NamedTuple):
    """A set of images before anything in it is read: `key` changes whenever its content may have, `gather` looks inside."""

    name: str
    key: str
    gather: Callable[[], Content]


def natural(name: str) -> list[tuple[tuple[bool, int, str], ...]]:
    """Sorts paths folder by folder, and `img2` before `img10`."""
    parts = (re.split(r"([0-9]+)", part) for part in name.split("/"))
    return [tuple((i % 2 == 1, *_token(token, i % 2 == 1)) for i, token in enumerate(each)) for each in parts]


def _token(token: str, number: bool) -> tuple[int, str]:
    token = token.lstrip("0") if number else token
    return (len(token) if number else 0), token


def evenly_spaced(total: int, count: int | None) -> Array:
    """The places (ascending, each once) of `count` of so many items, evenly spread; of all where there are no more, or None."""
    wanted = total if count is None else min(count, total)
    return np.arange(wanted) * total // max(wanted, 1)


def shown(name: str) -> str:
    """A file's name as it may be printed: what is no UTF-8, or would command the terminal, is escaped."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace") if not name.isascii() else name
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
