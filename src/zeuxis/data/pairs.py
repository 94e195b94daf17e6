"""Two columns of images: pairs by name, or two unrelated sets; from two sources, side by side, or made from one.

What a spec says: `SOURCE -> TARGET`, each a set of images, and SOURCE also `edges`, `grey`, `blur`, `labels`, `small` (made
of the TARGET's images) or `left`, `right` (that half of its files, the other being the target); the name of a task; or a lone
folder of files with source and target side by side.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import re
import zipfile
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from zeuxis.data import catalog, workers
from zeuxis.data.derived_sources import DERIVATIONS, SMALL, made
from zeuxis.data.listing import TILES, Array, Content, Listing, Picture, Progress, Shape
from zeuxis.data.pack import Pack, pack_of
from zeuxis.data.sources import find
from zeuxis.errors import DataError, UsageError
from zeuxis.options import ResizeMode, ResizeModeOrAuto

ARROW = " -> "
# The translations of the first lecture, each of named sets.
TASKS = {
    "labels-to-photo": "maps.labels -> maps.aerial",
    "map-to-aerial": "maps.map -> maps.aerial",
    "aerial-to-map": "maps.aerial -> maps.map",
    "aerial-to-relief": "maps.aerial -> maps.relief",
    "day-to-night": "night.day -> night.night",
    "grey-to-colour": "grey -> avatars",
    "line-to-colour": "openmoji.line -> openmoji.colour",
    "plain-to-glasses": "avatars.plain -> avatars.glasses",
    "small-to-large": "small -> photos",
}
_TASK = re.compile(r"([a-z-]+)((?:/[a-z]+)?(?::\d+)?)")  # with the split and the count of both ends
_HALVES = {"left": "right", "right": "left"}


class PairSpec(NamedTuple):
    """The specs of what is translated and of what it should become; the first may be a word for how it is made."""

    source: str
    target: str

    def __str__(self) -> str:
        return f"{self.source}{ARROW}{self.target}"

    @property
    def known(self) -> bool:
        """Whether the items of both are known to be of the same things, whatever their names."""
        if self.source in (*DERIVATIONS, *_HALVES):
            return True
        one, two = catalog.parse(self.source), catalog.parse(self.target)
        return (
            one is not None
            and two is not None
            and (one.name, one.split) == (two.name, two.split)
            and one.view != two.view
        )


def parse(spec: str) -> PairSpec | None:
    """The two ends that a spec names; None where it names one set of images (a path goes first, whatever is in it)."""
    if os.path.exists(spec):  # noqa: PTH110  (a spec may be any text)
        return None
    if (task := _TASK.fullmatch(spec)) and task[1] in TASKS:
        source, target = TASKS[task[1]].split(ARROW)
        return PairSpec(source if source in DERIVATIONS else source + task[2], target + task[2])
    source, arrow, target = spec.partition(ARROW)
    return PairSpec(source.strip(), target.strip()) if arrow else None


def shape(spec: str) -> dict[str, int]:
    """`size`, `channels` and `source_channels` that named sets decide; nothing for other data."""
    ends = parse(spec)
    if ends is None:
        return catalog.shape(spec)
    of = ends.target if ends.source == SMALL else ends.source
    source = {"channels": 1} if ends.source in ("edges", "grey") else catalog.shape(of)
    return {**catalog.shape(ends.target), **({"source_channels": source["channels"]} if source else {})}


def halves(spec: str, count: int) -> tuple[str, str] | None:
    """What is learned from, and `count` images of each end that are held out; None where nothing is.

    As `catalog.halves`, of both ends.
    """
    ends = parse(spec)
    if ends is None:
        return catalog.halves(spec, count)
    target = catalog.halves(ends.target, count)
    if ends.source in (*DERIVATIONS, *_HALVES):
        return None if target is None else (str(ends._replace(target=target[0])), str(ends._replace(target=target[1])))
    source = catalog.halves(ends.source, count)
    if source is None or target is None or not ends.known:
        return None
    return str(PairSpec(source[0], target[0])), str(PairSpec(source[1], target[1]))


def chosen_resize_mode(spec: str, asked: ResizeModeOrAuto, suits: ResizeMode) -> ResizeMode:
    """How images become squares: as asked; for `auto` as `suits` the family, where it chooses: of a folder's or a zip's."""
    if asked != "auto":
        return asked
    ends = parse(spec)
    alone = spec if ends is None else ends.target if ends.source in DERIVATIONS else ""
    files = os.path.isdir(alone) or zipfile.is_zipfile(alone)  # noqa: PTH112  (a spec may be any text)
    return suits if files and catalog.parse(alone) is None else "crop"


def completed(spec: str, way: str | None) -> str:
    """The spec with its source, where it names a set of single images and a family makes its sources in a way of its own."""
    return spec if way is None or parse(spec) is not None else str(PairSpec(way, spec))


def lasting(spec: str) -> str:
    """The spec as it is found again from any folder: paths made absolute, names and words as they are."""
    ends = parse(spec)
    if ends is not None:
        return spec if ARROW not in spec else str(PairSpec(*(lasting(end) for end in ends)))
    named = spec in (*DERIVATIONS, *_HALVES) or catalog.parse(spec) is not None
    # os.path, as its `exists` answers for any text, one too long for a file's name too.
    return spec if named or not os.path.exists(spec) else os.path.abspath(spec)  # noqa: PTH100, PTH110


@dataclass(frozen=True)
class Pairs:
    """Sources and images in two packs, and the places (n each) in them that belong together: place by place if `paired`,
    else as two sets that may differ in number."""

    name: str
    source: Pack
    image: Pack
    places: tuple[Array, Array]
    paired: bool

    def __len__(self) -> int:
        return max(map(len, self.places))

    @property
    def fingerprint(self) -> str:
        """Of all that is in both packs, and of what belongs together."""
        digest = hashlib.sha256(json.dumps([self.source.fingerprint, self.image.fingerprint, self.paired]).encode())
        for places in self.places:
            digest.update(places.tobytes())
        return digest.hexdigest()


def open_pairs(
    spec: str,
    *,
    source: Shape,
    image: Shape,
    paired: bool = True,
    max_images: int | None = None,
    progress: Progress | None = None,
) -> Pairs:
    """The images of a spec's two ends, each decoded once into a pack of its shape.

    Not `paired`, ends whose pairs are known give the source the first half of them and the image the second, so that no
    pair is seen. `UsageError` where the spec names no two ends; `DataError` where they have no names in common.
    """
    ends = parse(spec) or _beside(spec)
    packed = partial(pack_of, max_images=max_images, progress=progress)
    if ends.source in DERIVATIONS:
        if ends.source == SMALL and source.size >= image.size:
            raise UsageError(
                f"{ends}: {SMALL} sources are for families that enlarge, such as srgan; choose another way"
            )
        two = packed(find(ends.target), image)
        one = pack_of(made(ends.source, two), source._replace(resize_mode="crop"), progress=progress)
    elif ends.source in _HALVES:
        both = find(ends.target)
        one = packed(both, source._replace(resize_mode=ends.source))
        two = packed(both, image._replace(resize_mode=_HALVES[ends.source]))
    else:
        if TILES in (source.resize_mode, image.resize_mode):
            raise UsageError(
                f"--resize-mode {TILES} is for single images: those of {ends} would be cut in different places"
            )
        listings = find(ends.source), find(ends.target)
        listings = _matched(*listings) if paired and not ends.known else listings
        one, two = packed(listings[0], source), packed(listings[1], image)
    return Pairs(_name(spec, one, two), one, two, _places(one, two, paired=paired, known=ends.known), paired)


def _places(one: Pack, two: Pack, *, paired: bool, known: bool) -> tuple[Array, Array]:
    if not paired and not known:
        return np.arange(len(one)), np.arange(len(two))
    places = _aligned(one, two)
    middle = len(places[0]) // 2
    if not paired and not middle:
        raise DataError(f"{one.name} and {two.name} are one pair; two are needed to learn without pairs")
    return places if paired else (places[0][:middle], places[1][middle:])


def _name(spec: str, source: Pack, image: Pack) -> str:
    """The task's, or both ends'."""
    if spec in TASKS:
        return spec
    made_of = source.name == image.name or source.name.endswith(f"-{image.name}")
    return source.name if made_of else f"{source.name}-to-{image.name}"


def _beside(spec: str) -> PairSpec:
    """The ends of a lone folder of files with both side by side; `UsageError` where they are not twice as wide as high."""
    content = find(spec).gather()
    tried = (workers.attempt(content.reader, item, Shape(8, 1)) for item in content.items[:20])
    sizes = [found.size for found in tried if isinstance(found, Picture)]
    if sizes and all(width == 2 * height for width, height in sizes):
        return PairSpec("left", spec)
    raise UsageError(
        f"{spec} gives single images, and pairs are needed: name two folders, SOURCE and TARGET; or how sources are made "
        f"of its images ({', '.join(DERIVATIONS)}), as in: edges {spec}; or one of {', '.join(TASKS)}"
    )


def _stem(item: str) -> str:
    return posixpath.splitext(item)[0]


def _lonely(stem: str, others: Counter[str], name: str) -> str:
    """Why an item is in no pair."""
    if stem not in others:
        return f"has no partner in {name}"
    return f"is not the only one of this name, but for the ending, here or in {name}"


def _matched(one: Listing, two: Listing) -> tuple[Listing, Listing]:
    """Both with only the items whose names, but for the ending, are in the other too."""

    def gather(here: Listing, there: Listing) -> Content:
        content, other = here.gather(), there.gather()
        counts = [Counter(map(_stem, each.items)) for each in (content, other)]
        kept = [item for item in content.items if counts[0][_stem(item)] == counts[1][_stem(item)] == 1]
        if not kept:
            names = [each.items[0] if each.items else "nothing" for each in (content, other)]
            raise DataError(
                f"no name is in both {here.name} ({names[0]} ..) and {there.name} ({names[1]} ..); give pairs the same "
                "names, or learn without pairs: cyclegan"
            )
        alone = [(item, _lonely(_stem(item), counts[1], there.name)) for item in content.items if item not in set(kept)]
        return Content(kept, content.reader, content.label, content.left_out + alone)

    return (
        one._replace(key=f"{one.key} with {two.key}", gather=partial(gather, one, two)),
        two._replace(key=f"{two.key} with {one.key}", gather=partial(gather, two, one)),
    )


def _aligned(one: Pack, two: Pack) -> tuple[Array, Array]:
    """The places of the images that could be decoded on both sides, in the order of the first."""
    names = [[_stem(record["name"]) for record in pack.records()] for pack in (one, two)]
    where = {name: place for place, name in enumerate(names[1])}
    pairs = [(place, where[name]) for place, name in enumerate(names[0]) if name in where]
    if not pairs:
        raise DataError(f"no pair of {one.name} and {two.name} could be decoded on both sides")
    places = np.array(pairs, np.int64)
    return places[:, 0].copy(), places[:, 1].copy()
