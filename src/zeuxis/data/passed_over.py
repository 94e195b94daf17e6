"""What of the data is not learned from: pages after the first, borders that the crop cuts off, files and columns left out."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from zeuxis.data.listing import TILES, Shape, shown
from zeuxis.data.records import ImageRecords
from zeuxis.io.images import Array

_EXAMPLES = 3  # of each reason
_NUMBERS = re.compile(r"'[^']*'|[0-9][0-9,]*")  # and quoted words: what differs between reasons of one kind
_LEAST = 0.005  # share of a picture that is said to be cut off

Named = Sequence[tuple[str, str]]


def in_short(remarks: Sequence[str], notes: Named, left_out: Named) -> list[str]:
    """What is passed over, a line each; none where that is nothing."""
    lines = [*remarks, *(f"{name} {note}" for name, note in notes[:_EXAMPLES])]
    lines += [f"{len(notes) - _EXAMPLES:,} more such notes"] if len(notes) > _EXAMPLES else []
    if left_out:
        name, reason = left_out[0]
        lines.append(f"left out {many(len(left_out), 'file')}, the first {name}: {reason}")
    return lines


def remarks_on(shape: Shape, records: ImageRecords) -> list[str]:
    """Of images with these records: which have pages that are not used, and what is cut off."""
    told = told_pages(several_pages(shape, records)), told_crop(shape, *cut_off(records.sizes()))
    return [line for line in told if line]


def several_pages(shape: Shape, records: ImageRecords) -> list[tuple[str, int]]:
    """Names of files with several pages or frames, and how many. Tiles are named by their place and their file."""
    tiled = shape.resize_mode == TILES
    found = ((shown(name), count) for name, count in records.several())
    return list({name.partition("@")[2] if tiled else name: count for name, count in found}.items())


def told_pages(several: Sequence[tuple[str, int]]) -> str:
    """These files in words; "" where there are none."""
    if not several:
        return ""
    examples = ", ".join(f"{name} (1 of {count:,} pages used)" for name, count in several[:_EXAMPLES])
    rest = f" and {len(several) - _EXAMPLES:,} more" if len(several) > _EXAMPLES else ""
    return f"{many(len(several), 'file')} with several pages or frames, the first used: {examples}{rest}"


def cut_off(sizes: Array) -> tuple[float, float]:
    """The share of a picture (n 2: width and height) that a square crop of its middle cuts off: on average, and at most."""
    shares = 1 - sizes.min(1) / sizes.max(1)
    return float(shares.mean()), float(shares.max())


def told_crop(shape: Shape, mean: float, most: float) -> str:
    """These shares in words; "" where nothing is cropped."""
    if shape.resize_mode != "crop" or most < _LEAST:
        return ""
    share = f"{100 * mean:.0f} % of each picture is cut off"
    if most - mean >= _LEAST:
        share = f"{100 * mean:.0f} % of a picture is cut off on average, {100 * most:.0f} % at most"
    return f"{share}; --resize-mode pad keeps it"


def by_reason(named: Named, *, every: bool = False) -> list[str]:
    """Names with their reasons, a line each; of many that share a reason, but for its numbers, three and their count."""
    groups: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name, reason in named:
        groups[_NUMBERS.sub("#", reason)].append((name, reason))
    lines = []
    for group in sorted(groups.values(), key=len, reverse=True):
        listed = len(group) if every or len(group) <= _EXAMPLES + 1 else _EXAMPLES
        lines += [f"  {name}: {reason}" for name, reason in group[:listed]]
        if listed < len(group):
            what = group[0][1] if len({reason for _, reason in group}) == 1 else "for such reasons"
            lines.append(f"  and {len(group) - listed:,} more, {len(group):,} in all: {what} (--all lists them)")
    return lines


def many(count: int, what: str) -> str:
    """`1 file`, `2 files`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
