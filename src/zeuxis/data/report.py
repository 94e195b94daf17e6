"""What a data set holds, for `zeuxis data`: counts, sizes, modes, classes, attributes, duplicates, and what is passed over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from zeuxis.data.listing import TILES, evenly_spaced, shown
from zeuxis.data.pack import Pack
from zeuxis.data.passed_over import by_reason, cut_off, many, several_pages, told_crop, told_pages
from zeuxis.data.records import ImageRecords
from zeuxis.escaping import ascii_json
from zeuxis.io import images
from zeuxis.io.images import Array

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

_EXAMPLES = 3  # files that are named of those with the same note
_SHOWN = 12  # lines of a list, the rest is counted
_AT_ONCE = 256  # images that are read at once


@dataclass(frozen=True)
class DataReport:
    """A summary of a pack and of the files it was made of."""

    pack: Pack
    count: int
    sizes: list[tuple[str, int]]  # "640 x 480" and how many, most frequent first
    smallest: tuple[int, int]  # width and height
    largest: tuple[int, int]
    enlarged: int  # images whose shorter side is smaller than what they are brought to
    modes: list[tuple[str, int]]
    classes: list[tuple[str, int]]
    attributes: list[tuple[str, str, int]]  # name, opposite, how many have it
    same_files: list[list[str]]  # names of files with the same content
    same_pixels: list[list[str]]  # names of other files that look the same in the pack
    left_out: list[tuple[str, str]]
    several: list[tuple[str, int]]  # names of files with several pages or frames, and how many: the first is used
    cut_off: float  # the mean share of an image that the square crop cuts off
    most_cut_off: float
    notes: list[tuple[str, int, list[str]]]  # what is to be said of colours, of how many files, and the first of them
    unused: list[tuple[str, str]]  # names of tables and folders, and what of them is not used

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values."""
        fields = asdict(self, dict_factory=lambda pairs: {k: v for k, v in pairs if k != "pack"})
        pack = self.pack
        return {"name": pack.name, "shape": pack.shape._asdict(), "fingerprint": pack.fingerprint, **fields}

    def to_json(self) -> str:
        """The report as JSON, in ASCII, so that every output can hold it."""
        return ascii_json(self.as_dict())

    def lines(self, *, every: bool = False) -> list[str]:
        """The report as text, a line each, its summary first and last; `every` file that is left out, or three per reason."""
        lines = [f"sizes       {self._sizes()}", f"modes       {_counted(self.modes)}"]
        lines += [f"classes     {len(self.classes)}: {_counted(self.classes)}"] if self.classes else []
        lines += [f"attributes  {len(self.attributes)}: {self._attributes()}"] if self.attributes else []
        lines += [_noted(*each) for each in self.notes]
        lines += _groups("the same file", self.same_files) + _groups("the same pixels", self.same_pixels)
        lines += [f"pages       {pages}"] if (pages := told_pages(self.several)) else []
        cropped = told_crop(self.pack.shape, self.cut_off, self.most_cut_off)
        lines += [f"cropped     {cropped}"] if cropped else []
        lines += ["tables and folders", *by_reason(self.unused, every=every)] if self.unused else []
        lines += [f"left out    {self._left_out()}", *by_reason(self.left_out, every=every)]
        return [self.summary(), *lines, self.summary()]

    def summary(self) -> str:
        """How many images there are, what they are made to be, and how many files are left out."""
        shape = self.pack.shape
        how = {"crop": "the middle cropped", "pad": "padded with white", TILES: "cut out at their own resolution"}
        brought = f"brought to {shape.size} x {shape.size}, {how[shape.resize_mode]}"
        return f"{self.pack.name}: {many(self.count, 'image')}, {brought}; left out {self._left_out()}"

    def _sizes(self) -> str:
        text = _counted(self.sizes)
        if len(self.sizes) > 1:
            text += f"; from {_by(self.smallest)} to {_by(self.largest)}"
        return text + (f"; {self.enlarged:,} smaller than the target are enlarged" if self.enlarged else "")

    def _attributes(self) -> str:
        def share(name: str, opposite: str, count: int) -> str:
            return f"{name}{f' (or {opposite})' if opposite else ''} {100 * count / self.count:.0f} %"

        return ", ".join(share(*each) for each in self.attributes)

    def _left_out(self) -> str:
        return many(len(self.left_out), "file") if self.left_out else "none"

    def first_images(self, count: int = 64) -> Tensor:
        """As many images, evenly spaced (n c h w, in [-1, 1])."""
        return images.from_uint8(self.pack.rows(evenly_spaced(len(self.pack), count)))

    def sheet(self, count: int = 64) -> Image.Image:
        """A contact sheet of as many images, evenly spaced."""
        return images.sheet(self.first_images(count))


def inspect(pack: Pack) -> DataReport:
    """What a pack holds."""
    records = pack.records()
    sizes = records.sizes()
    distinct = _distinct(sizes)
    files = _same(records.digests(), np.ones(len(pack), bool))
    first = np.ones(len(pack), bool)
    first[[place for group in files for place in group[1:]]] = False
    pixels = _same(_pixels(pack, np.flatnonzero(first)), first)
    mean, most = cut_off(sizes)
    return DataReport(
        pack=pack,
        count=len(pack),
        sizes=[(_by(each), count) for each, count in distinct],
        smallest=min((each for each, _ in distinct), key=lambda each: (each[0] * each[1], each)),
        largest=max((each for each, _ in distinct), key=lambda each: (each[0] * each[1], each)),
        enlarged=int((sizes.min(1) < pack.shape.size).sum()),
        modes=records.modes().most_common(),
        classes=_class_counts(pack),
        attributes=_attribute_counts(pack),
        same_files=_named(files, records),
        same_pixels=_named(pixels, records),
        left_out=list(pack.left_out),
        several=several_pages(pack.shape, records),
        cut_off=mean,
        most_cut_off=most,
        notes=_notes(records),
        unused=list(pack.notes),
    )


def _distinct(sizes: Array) -> list[tuple[tuple[int, int], int]]:
    """Each width and height among sizes (n 2), and how many have it: most frequent first, then by their first place."""
    _, firsts, counts = np.unique(sizes[:, 0] << 32 | sizes[:, 1], return_index=True, return_counts=True)
    order = np.lexsort((firsts, -counts))
    return [((int(sizes[firsts[at], 0]), int(sizes[firsts[at], 1])), int(counts[at])) for at in order.tolist()]


def _notes(records: ImageRecords) -> list[tuple[str, int, list[str]]]:
    """Each note, how many images have it, and the first of them."""
    by_note: dict[str, tuple[int, list[str]]] = {}
    for name, note in records.noted():
        count, names = by_note.get(note, (0, []))
        by_note[note] = count + 1, [*names, shown(name)] if count < _EXAMPLES else names
    return [(note, *found) for note, found in by_note.items()]


def _noted(note: str, count: int, examples: list[str]) -> str:
    more = f", and {count - len(examples):,} more" if count > len(examples) else ""
    return f"colours     {many(count, 'image')}: each {note} ({', '.join(examples)}{more})"


def _class_counts(pack: Pack) -> list[tuple[str, int]]:
    if pack.labels is None or not pack.classes:
        return []
    return list(zip(pack.classes, np.bincount(pack.labels, minlength=len(pack.classes)).tolist()))


def _attribute_counts(pack: Pack) -> list[tuple[str, str, int]]:
    if pack.labels is None or not pack.attributes:
        return []
    counts = pack.labels.sum(0, dtype=np.int64).tolist()
    return [(each.name, each.opposite, count) for each, count in zip(pack.attributes, counts)]


def _same(contents: Iterable[str | bytes], among: Array) -> list[list[int]]:
    """Groups of two places or more whose contents are equal, of the places that are `among` (n, bool); in their order."""
    places = np.flatnonzero(among)
    # 64 bits: two of a million differing images meet once in 10^7 folders
    keys = np.fromiter(map(hash, contents), np.int64, len(places))
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order], prepend=keys[order[:1]] - 1))
    ends = np.append(starts[1:], len(order))
    found = [places[order[start:end]].tolist() for start, end in zip(starts, ends) if end - start > 1]
    return sorted(found)


def _pixels(pack: Pack, places: Array) -> Iterator[bytes]:
    """The pixels of the images at these places."""
    for start in range(0, len(places), _AT_ONCE):
        yield from (row.tobytes() for row in pack.rows(places[start : start + _AT_ONCE]))


def _named(groups: list[list[int]], records: ImageRecords) -> list[list[str]]:
    """The same groups by the names of the files, which are read shard by shard."""
    places = np.array(sorted(place for group in groups for place in group), np.int64)
    names = dict(zip(places.tolist(), map(records.names.__getitem__, places.tolist())))
    return [[shown(names[place]) for place in group] for group in groups]


def _counted(pairs: list[tuple[str, int]]) -> str:
    rest = pairs[_SHOWN:]
    text = ", ".join(f"{name} ({count:,})" for name, count in pairs[:_SHOWN])
    return text + (f", {len(rest)} more ({sum(count for _, count in rest):,})" if rest else "")


def _groups(what: str, groups: list[list[str]]) -> list[str]:
    if not groups:
        return []
    lines = [f"duplicates  {many(len(groups), 'group')} of {what}"]
    lines += [f"  {' = '.join(group[:4])}{' = ...' if len(group) > 4 else ''}" for group in groups[:_SHOWN]]
    return lines + ([f"  and {len(groups) - _SHOWN:,} more"] if len(groups) > _SHOWN else [])


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
