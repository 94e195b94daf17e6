"""What recorded runs reached: FID against images seen, by family and data, from a table that the bench makes."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

CORES = 2  # of the machine whose minutes were recorded


@dataclass(frozen=True)
class RecordedRun:
    """A run of a family with its own defaults, a mean over seeds: minutes of two cores, images seen, FID[lite0].

    `real` is the FID of real images, the best to hope for.
    """

    data: str
    family: str
    size: int
    channels: int
    minutes: float
    images: int
    fid: float
    real: float
    seeds: int

    def speed(self, size: int) -> float:
        """Images of this size a minute, by their pixels (bench/results/growth.md)."""
        return self.images / self.minutes / pixel_ratio(size, self.size)

    def where(self, size: int) -> str:
        """Its data, with their size where a run at another one is meant."""
        return self.data if size == self.size else f"{self.data} at {self.size} pixels"

    def told(self, size: int) -> str:
        """Its outcome in words."""
        return f"FID[lite0] {self.fid:.0f} on {self.where(size)} after {self.images:,} images (real images {self.real:.0f})"


def pixel_ratio(size: int, other: int) -> float:
    """How many times the pixels, and about the time, an image of one size has of an image of the other."""
    return (size / other) ** 2


@lru_cache(maxsize=1)
def recorded_runs() -> tuple[RecordedRun, ...]:
    """All of the table."""
    text = resources.files("zeuxis.training").joinpath("known_quality.json").read_text(encoding="utf-8")
    return tuple(RecordedRun(**row) for row in json.loads(text)["rows"])


def alike(channels: int, size: int, families: Sequence[str]) -> list[RecordedRun]:
    """The runs of these families on the data set that is most like images of this form, and that most families were run on."""
    rows = [row for row in recorded_runs() if row.family in families]
    sets = dict.fromkeys((row.data, row.channels, row.size) for row in rows)

    def distance(each: tuple[str, int, int]) -> tuple[bool, float, int]:
        name, channels_there, size_there = each
        tried = {row.family for row in rows if row.data == name}
        return (channels_there == 1) != (channels == 1), abs(math.log2(size_there / size)), -len(tried)

    found = min(sets, key=distance) if sets else None
    return [row for row in rows if (row.data, row.channels, row.size) == found]


def nearest_run(rows: Sequence[RecordedRun], family: str, images: float) -> RecordedRun | None:
    """The run of the family that had seen the number of images nearest to this, on a logarithmic scale."""
    own = [row for row in rows if row.family == family]
    return min(own, key=lambda row: abs(math.log(row.images / max(images, 1.0))), default=None)


def longest(rows: Sequence[RecordedRun], family: str) -> RecordedRun | None:
    """The run of the family that had seen most images."""
    return max((row for row in rows if row.family == family), key=lambda row: row.images, default=None)


def expected_fid(rows: Sequence[RecordedRun], family: str, images: float) -> float:
    """The FID after so many images, between recorded runs by their logarithms, beyond them that of the last.

    Before the first it falls as the square root of the images, about as that of the recorded runs does at first.
    Infinite where the family has no run.
    """
    own = sorted((row.images, row.fid) for row in rows if row.family == family)
    if not own:
        return math.inf
    if images < own[0][0]:
        return own[0][1] * math.sqrt(own[0][0] / max(images, 1.0))
    for (before, first), (after, second) in zip(own, own[1:]):
        if images <= after:
            share = math.log(images / before) / math.log(after / before)
            return math.exp(math.log(first) + share * math.log(second / first))
    return own[-1][1]
