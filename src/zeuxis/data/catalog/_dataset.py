"""What each file of the catalog holds: one data set, its splits, its views if it has any, and what lists its images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from zeuxis.data.listing import Listing


class Dataset(NamedTuple):
    """A data set that is known by name, and the size and channels that its images have, or are best drawn at.

    Views show the same things in several ways (a map and a photograph of one place), item by item under the same names.
    """

    size: int
    channels: int
    listing: Callable[[str, int | None], Listing]  # of a split; of so many of its images, or of all
    views: Mapping[str, int] = {}  # and the channels of each
    view: Callable[[str, str, int | None], Listing] | None = None  # of a view, the rest as of `listing`
    splits: tuple[str, ...] = ("train", "test")  # the first is meant unless another is named
