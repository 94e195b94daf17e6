"""A share of the images held out of training, chosen by content: by a hash of the file that each image was decoded from.

The side of an image depends on its file alone: neither on other images, nor on the seed, nor on size and channels.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from zeuxis.data.lots import lot_of
from zeuxis.data.pack import Pack
from zeuxis.data.passed_over import many
from zeuxis.data.place_sets import PlaceSet
from zeuxis.errors import DataError, UsageError, ZeuxisError
from zeuxis.io import cache
from zeuxis.io.images import Array
from zeuxis.options import LEAST_HELD_OUT, MOST_HELD_OUT

_MANY = 1 << 16  # images above which their lots take a while to read


@dataclass(frozen=True)
class HoldOut:
    """The share of the images that is held out, and which part is meant: what is learned from, or the `unseen` rest."""

    share: float
    unseen: bool = False

    def __post_init__(self) -> None:
        if not LEAST_HELD_OUT <= self.share <= MOST_HELD_OUT:
            raise UsageError(f"--hold-out is {self.share:g}; expected {LEAST_HELD_OUT:g} to {MOST_HELD_OUT:g}")

    def __str__(self) -> str:
        return f"--hold-out {100 * self.share:g}%"

    def parts(self) -> tuple[HoldOut, HoldOut]:
        """What is learned from, and what is held out."""
        return HoldOut(self.share), HoldOut(self.share, unseen=True)

    def has(self, digest: str) -> bool:
        """Whether an image is in this part, by the digest of its file; the tiles of a photograph are all on its side."""
        return (lot_of(digest) < self.share * 2**64) == self.unseen

    def is_held_out(self, lots: Array) -> Array:
        """Which of the images (n, bool) with these lots (n, uint64) are held out."""
        found: Array = lots < np.uint64(math.ceil(self.share * 2**64))
        return found

    def chosen(self, held_out: Array, name: str) -> Array:
        """Which of the images (n, bool), some of which are held out (n, bool), are in this part.

        `DataError` where it, or the other part, is empty.
        """
        inside: Array = held_out == self.unseen
        if inside.all() or not inside.any():
            found, wanted = ("all", "smaller") if inside.any() == self.unseen else ("none", "larger")
            raise DataError(
                f"{self} holds out {found} of the {many(len(inside), 'image')} of {name}; give a {wanted} share, "
                "more images, or no --hold-out"
            )
        return inside


def part_of(pack: Pack, hold_out: HoldOut | None) -> Pack:
    """The part of a pack that is meant, as a view of it; all of it where nothing is held out."""
    if hold_out is None:
        return pack
    part = pack.at(PlaceSet(hold_out.chosen(_held_out(pack, hold_out), pack.name)))
    return part if hold_out.unseen else telling(part, len(pack) - len(part), hold_out)


def _held_out(pack: Pack, hold_out: HoldOut) -> Array:
    """Which images of a pack (n, bool) are held out; of many that is kept beside them, a bit for each."""
    path, count = pack.path / f"held-out-{hold_out.share!r}.bits", len(pack)
    bits = cache.read_entry(path, max_bytes=1 << 32) if count > _MANY else None
    if bits is not None and len(bits) == -(-count // 8):
        return np.unpackbits(np.frombuffer(bits, np.uint8), count=count).astype(bool)
    found = np.concatenate([hold_out.is_held_out(lots) for lots in pack.records().lots_by_shard()])
    if count > _MANY:
        with contextlib.suppress(OSError, ZeuxisError):  # such as of a cache that may only be read
            cache.write_entry(path, np.packbits(found).tobytes())
    return found


def telling(pack: Pack, count: int, hold_out: HoldOut) -> Pack:
    """The pack, which says at the start of a run that so many images are held out of it."""
    return dataclasses.replace(pack, remarks=[*pack.remarks, f"{hold_out} keeps {many(count, 'image')} unseen"])
