"""What a data set holds, for `zeuxis data`: counts, sizes, modes, classes, attributes, duplicates, and what is passed over."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from zeuxis.data.listing import TILES, evenly_spaced, shown
from zeuxis.data.pack import Pack
from zeuxis.data.passed_over import by_reason, cut_off, many, several_pages, told_crop, told_pages
from zeuxis.escaping import ascii_json
from zeuxis.io import images

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

_EXAMPLES = 3  # files that are named of those with the same note
_SHOWN = 12  # lines of a list, the rest is counted


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
    sizes = [(int(record["size"][0]), int(record["size"][1])) for record in records]
    names = [shown(record["name"]) for record in records]
    files = _same(names, (record["digest"] for record in records))
    known = {name for group in files for name in group[1:]}
    pixels = _same(names, (row.tobytes() for row in pack.images), skip=known)
    mean, most = cut_off(records)
    return DataReport(
        pack=pack,
        count=len(pack),
        sizes=Counter(_by(each) for each in sizes).most_common(),
        smallest=min(sizes, key=lambda each: (each[0] * each[1], each)),
        largest=max(sizes, key=lambda each: (each[0] * each[1], each)),
        enlarged=sum(min(each) < pack.shape.size for each in sizes),
        modes=Counter(str(record["mode"]) for record in records).most_common(),
        classes=_class_counts(pack),
        attributes=_attribute_counts(pack),
        same_files=files,
        same_pixels=pixels,
        left_out=list(pack.left_out),
        several=several_pages(pack.shape, records),
        cut_off=mean,
        most_cut_off=most,
        notes=_notes(names, [record.get("note", "") for record in records]),
        unused=list(pack.notes),
    )


def _notes(names: list[str], notes: list[str]) -> list[tuple[str, int, list[str]]]:
    by_note: dict[str, list[str]] = defaultdict(list)
    for name, note in zip(names, notes):
        if note:
            by_note[note].append(name)
    return [(note, len(found), found[:_EXAMPLES]) for note, found in by_note.items()]


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


def _same(names: list[str], contents: Iterable[str | bytes], skip: Iterable[str] = ()) -> list[list[str]]:
    """Groups of two names or more whose contents are equal."""
    groups: dict[int, list[str]] = defaultdict(list)
    left = set(skip)
    for name, content in zip(names, contents):
        if name not in left:
            groups[hash(content)].append(name)  # 64 bits: two of a million differing images meet once in 10^7 folders
    return [group for group in groups.values() if len(group) > 1]


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
