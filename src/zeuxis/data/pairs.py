"""Two columns of images, packed: of two listings, of both halves of one, or the images of one and what is made of them."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from zeuxis.data import workers
from zeuxis.data.derived_sources import SMALL, derived_listing
from zeuxis.data.holding_out import HoldOut, part_of, telling
from zeuxis.data.item_names import stem
from zeuxis.data.listing import TILES, Content, Listing, Picture, Shape, evenly_spaced
from zeuxis.data.pack import Pack
from zeuxis.errors import DataError, UsageError
from zeuxis.io.images import Array

HALVES = {"left": "right", "right": "left"}  # each with the other
_TRIED = 20  # files that must all be twice as wide as high where both halves are in one

Packs = tuple[Pack, Pack]  # the sources, and the images
MakePack = Callable[[Listing, Shape], Pack]


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

    def at_most(self, count: int) -> Pairs:
        """Those of at most so many places on each side, evenly spaced."""
        source, image = (places[evenly_spaced(len(places), count)] for places in self.places)
        return replace(self, places=(source, image))


def of_two_listings(one: Listing, two: Listing, shapes: tuple[Shape, Shape], pack: MakePack, *, matched: bool) -> Packs:
    """The sources of one listing and the images of the other; `matched`, only those whose names are in both.

    `DataError` where that is none; `UsageError` where tiles are asked for.
    """
    if TILES in (shape.resize_mode for shape in shapes):
        raise UsageError(
            f"--resize-mode {TILES} is for single images: those of {one.name} and {two.name} would be cut in different places"
        )
    if matched:
        one, two = _matched(one, two)
    return pack(one, shapes[0]), pack(two, shapes[1])


def of_halves(half: str, listing: Listing, shapes: tuple[Shape, Shape], pack: MakePack) -> Packs:
    """The `left` or the `right` half of each file as the source of the other half."""
    source, image = shapes
    return pack(listing, source._replace(resize_mode=half)), pack(listing, image._replace(resize_mode=HALVES[half]))


def of_derived(way: str, listing: Listing, shapes: tuple[Shape, Shape], pack: MakePack) -> Packs:
    """The images of a listing, and what is made of each as its source, so that nothing is decoded twice."""
    source, image = shapes
    if way == SMALL and source.size >= image.size:
        raise UsageError(
            f"{way} sources of {listing.name} are for families that enlarge, such as srgan; choose another way"
        )
    images = pack(listing, image)
    return pack(derived_listing(way, images), source._replace(resize_mode="crop")), images


def side_by_side(listing: Listing) -> bool:
    """Whether each file has a source and an image beside each other, by their being twice as wide as high."""
    content = listing.gather()
    with contextlib.closing(workers.decoded(Content(content.items[:_TRIED], content.reader), Shape(8, 1))) as results:
        sizes = [found.size for found in results if isinstance(found, Picture)]
    return bool(sizes) and all(width == 2 * height for width, height in sizes)


def joined(packs: Packs, *, paired: bool, known: bool, name: str = "", hold_out: HoldOut | None = None) -> Pairs:
    """The packs with the places in them that belong together; the name is that of both unless one is given.

    Not `paired`, packs whose pairs are `known` give the source the first half of them and the image the second, so that no
    pair is seen. Of what is held out, a pair is on the side of its image. `DataError` where no pair is left.
    """
    name = name or _name(*packs)
    if not paired and not known:
        source, image = (part_of(pack, hold_out) for pack in packs)
        return Pairs(name, source, image, (np.arange(len(source)), np.arange(len(image))), paired)
    source, image = packs
    places = _aligned(source, image)
    if hold_out is not None:
        inside = _inside(image, places[1], hold_out)
        image = image if hold_out.unseen else telling(image, len(places[1]) - len(inside), hold_out)
        places = places[0][inside], places[1][inside]
    return Pairs(name, source, image, places if paired else _parted(places, source, image), paired)


def _name(source: Pack, image: Pack) -> str:
    made_of = source.name == image.name or source.name.endswith(f"-{image.name}")
    return source.name if made_of else f"{source.name}-to-{image.name}"


def _inside(image: Pack, places: Array, hold_out: HoldOut) -> Array:
    """Which of the pairs with these images (places among the pairs) are in the part."""
    return np.flatnonzero(hold_out.chosen(hold_out.is_held_out(image.records().lots()[places]), image.name))


def _parted(places: tuple[Array, Array], source: Pack, image: Pack) -> tuple[Array, Array]:
    """The sources of the first half of some pairs, and the images of the second."""
    middle = len(places[0]) // 2
    if not middle:
        raise DataError(f"{source.name} and {image.name} are one pair; two are needed to learn without pairs")
    return places[0][:middle], places[1][middle:]


def _lonely(item: str, others: Counter[str], name: str) -> str:
    """Why an item is in no pair."""
    if stem(item) not in others:
        return f"has no partner in {name}"
    return f"is not the only one of this name, but for the ending, here or in {name}"


def _matched(one: Listing, two: Listing) -> tuple[Listing, Listing]:
    """Both with only the items whose names, but for the ending, are in the other too."""

    def gather(here: Listing, there: Listing) -> Content:
        content, other = here.gather(), there.gather()
        counts = [Counter(map(stem, each.items)) for each in (content, other)]
        kept = [item for item in content.items if counts[0][stem(item)] == counts[1][stem(item)] == 1]
        if not kept:
            names = [each.items[0] if each.items else "nothing" for each in (content, other)]
            raise DataError(
                f"no name is in both {here.name} ({names[0]} ..) and {there.name} ({names[1]} ..); give pairs the same "
                "names, or learn without pairs: cyclegan"
            )
        chosen = set(kept)
        alone = [(item, _lonely(item, counts[1], there.name)) for item in content.items if item not in chosen]
        return Content(kept, content.reader, content.label, content.left_out + alone)

    return (
        one._replace(key=f"{one.key} with {two.key}", gather=partial(gather, one, two)),
        two._replace(key=f"{two.key} with {one.key}", gather=partial(gather, two, one)),
    )


def _aligned(one: Pack, two: Pack) -> tuple[Array, Array]:
    """The places of the images that could be decoded on both sides, in the order of the first."""
    names = [[stem(name) for name in pack.records().names] for pack in (one, two)]
    where = {name: place for place, name in enumerate(names[1])}
    pairs = [(place, where[name]) for place, name in enumerate(names[0]) if name in where]
    if not pairs:
        raise DataError(f"no pair of {one.name} and {two.name} could be decoded on both sides")
    places = np.array(pairs, np.int64)
    return places[:, 0].copy(), places[:, 1].copy()
