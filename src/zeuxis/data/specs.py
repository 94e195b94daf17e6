"""What a person types about data, parsed once into a value.

It is one set of images (a named set, or a path), or pairs: `SOURCE -> TARGET`, each a set of images, and SOURCE also `edges`,
`grey`, `blur`, `labels` or `small` (made of the TARGET's images), or `left` or `right` (that half of its files, the other
half being the target); or the name of a task. A lone folder whose files have source and target side by side gives pairs too.
`zeuxis.data.spelling` has what a bare word means where there is also a path of that name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import get_args

from zeuxis.data import pairs, spelling, values
from zeuxis.data.catalog import NamedSet
from zeuxis.data.derived_sources import DERIVATIONS, SMALL
from zeuxis.data.holding_out import HoldOut, part_of
from zeuxis.data.image_files import FileSet
from zeuxis.data.listing import Form, Shape, shape_of
from zeuxis.data.meaning import ImageSet, image_set, source_end
from zeuxis.data.pack import Pack, pack_of
from zeuxis.data.pairs import HALVES, MakePack, Packs, Pairs
from zeuxis.data.spelling import ARROW
from zeuxis.data.spelling import TASKS as TASKS
from zeuxis.data.values import MemorySet
from zeuxis.errors import UsageError
from zeuxis.io.paths import expanded
from zeuxis.options import ResizeMode, ResizeModeOrAuto
from zeuxis.runtime.callbacks import ProgressCallback

_GREY = ("edges", "grey")  # the derived sources of one channel


@dataclass(frozen=True)
class DataSpec(ABC):
    """The images that a model is to make, how they become squares, how many are taken at most, and which part of them.

    Its `str` is the text that gives it again, but for the last three.
    """

    images: ImageSet
    resize_mode: ResizeMode = field(default="crop", kw_only=True)
    max_images: int | None = field(default=None, kw_only=True)
    hold_out: HoldOut | None = field(default=None, kw_only=True)

    @staticmethod
    def parse(
        data: Data,
        *,
        resize_mode: ResizeMode | None = None,
        max_images: int | None = None,
        hold_out: float | None = None,
    ) -> DataSpec:
        """The spec of a text, a path, or images in memory; one that was parsed before stays as it is, but for what is given here.

        Of a share to `hold_out`, what opens is the rest. `UsageError` where a value cannot be, or is none of images; files
        that are not there are missed when they are opened.
        """
        spec = data if isinstance(data, DataSpec) else _given(data)
        return replace(
            spec,
            resize_mode=spec.resize_mode if resize_mode is None else resize_mode,
            max_images=spec.max_images if max_images is None else max_images,
            hold_out=spec.hold_out if hold_out is None else HoldOut(hold_out),
        )

    @staticmethod
    def stored(text: str) -> DataSpec:
        """The value of a text that a run stored: names mean what they meant then, whatever is here now."""
        return _parsed(spelling.marked(text))

    def __post_init__(self) -> None:
        if self.resize_mode not in get_args(ResizeMode):
            raise UsageError(f"--resize-mode is {self.resize_mode!r}; expected {', '.join(get_args(ResizeMode))}")
        if self.max_images is not None and self.max_images < 1:
            raise UsageError(f"--max-images is {self.max_images}; expected at least 1")

    @property
    def title(self) -> str:
        """The name of the data, without where it lies."""
        return self.images.title

    @property
    def size(self) -> int | None:
        """Height and width of the images, in pixels, where a named set decides them; else None."""
        return self.images.size

    @property
    def channels(self) -> int | None:
        """Channels of the images, where a named set decides them; else None."""
        return self.images.channels

    @property
    def source_channels(self) -> int | None:
        """Channels of the sources, where a named set or the way they are made decides them; else None."""
        return None

    @property
    def own_shape(self) -> dict[str, int]:
        """`size`, `channels` and `source_channels`, those that are decided."""
        found = {"size": self.size, "channels": self.channels, "source_channels": self.source_channels}
        return {name: value for name, value in found.items() if value is not None}

    @property
    def has_photographs(self) -> bool:
        """Whether the images are files of a folder or a zip, which tiles can be cut out of."""
        return isinstance(self.images, FileSet) and self.images.has_photographs

    def resized(self, asked: ResizeModeOrAuto, *, suits: ResizeMode) -> DataSpec:
        """With the resize mode that is asked for; for `auto` the one that suits the family, where it can be done."""
        if asked == "auto":
            asked = suits if suits != "crop" and self.has_photographs else "crop"
        return replace(self, resize_mode=asked)

    def absolute(self) -> DataSpec:
        """The same data, as it is found from any folder: paths made absolute, names and words as they are."""
        return replace(self, images=self.images.absolute())

    @abstractmethod
    def with_source(self, derivation: str | None) -> DataSpec:
        """Pairs with sources that are derived so, where this is a single set and a derivation is given; else itself."""

    def held_out(self, count: int) -> tuple[DataSpec, DataSpec] | None:
        """What is learned from and what is held out: a share, else `count` images, or pairs, of a named set; None: nothing is."""
        if self.hold_out is None:
            return self._test_split(count)
        own, unseen = self.hold_out.parts()
        return replace(self, hold_out=own), replace(self, hold_out=unseen)

    @abstractmethod
    def _test_split(self, count: int) -> tuple[DataSpec, DataSpec] | None:
        """As `held_out`, by the test splits of named sets."""

    @abstractmethod
    def open(self, size: int = 64, channels: int = 3, *, progress: ProgressCallback | None = None) -> Pack:
        """Single images, decoded once into a pack: in parallel on the first call, and only opened afterwards.

        `UsageError` where there is nothing, or pairs; `DataError` where nothing in it can be used.
        """

    @abstractmethod
    def open_pairs(
        self, source: Form, image: Form, *, paired: bool = True, progress: ProgressCallback | None = None
    ) -> Pairs:
        """Sources and images of these forms, each decoded once into a pack.

        Not `paired`, known pairs are parted, so that no pair is seen. `UsageError` where there are no pairs; `DataError` where
        two folders have no names in common.
        """


def _given(data: Data) -> DataSpec:
    """A text, a path, one set of images in memory, or two: sources, or the word for how they are made, and images."""
    if isinstance(data, str | Path):
        return _parsed(spelling.as_path(str(data)) if isinstance(data, Path) else data)  # a `Path` is never a name
    if not values.are_ends(data):
        return SingleSpec(values.as_images(data))
    source = data[0] if isinstance(data[0], str) else values.as_images(data[0])
    return PairSpec(values.as_images(data[1]), source=source)


def _parsed(text: str) -> DataSpec:
    """A task, a path that exists whatever is in its name, two ends with an arrow between, or one set."""
    if ends := spelling.ends_of_task(text):
        if not text.startswith(spelling.PREFIX):
            spelling.check_one_meaning(text, "task")
        return replace(_paired(*ends), task=text.removeprefix(spelling.PREFIX))
    if ARROW not in text:
        return SingleSpec(image_set(text))
    if spelling.is_path_with_arrow(text):
        return SingleSpec(FileSet(expanded(text)))
    source, _, target = text.partition(ARROW)
    return _paired(source.strip(), target.strip())


def _paired(source: str, target: str) -> PairSpec:
    return PairSpec(images := image_set(target), source=source_end(source, images))


@dataclass(frozen=True)
class SingleSpec(DataSpec):
    """One set of images."""

    def __str__(self) -> str:
        return str(self.images)

    def with_source(self, derivation: str | None) -> DataSpec:
        """Pairs of what is derived of the images, and the images."""
        return self if derivation is None else self._from(derivation)

    def _test_split(self, count: int) -> tuple[SingleSpec, SingleSpec] | None:
        """As of the set."""
        found = self.images.held_out(count)
        return found and (replace(self, images=found[0]), replace(self, images=found[1], max_images=None))

    def open(self, size: int = 64, channels: int = 3, *, progress: ProgressCallback | None = None) -> Pack:
        """The images, square, in uint8."""
        listing, shape = self.images.listing(progress), shape_of((size, channels), self.resize_mode)
        return part_of(pack_of(listing, shape, max_images=self.max_images, progress=progress), self.hold_out)

    def open_pairs(
        self, source: Form, image: Form, *, paired: bool = True, progress: ProgressCallback | None = None
    ) -> Pairs:
        """The left and the right half of each file, where all are twice as wide as high."""
        recorded = isinstance(self.images, MemorySet) and self.images.is_recorded  # it has been looked at, then
        if recorded or pairs.side_by_side(self.images.listing(progress)):
            return self._from("left").open_pairs(source, image, paired=paired, progress=progress)
        raise UsageError(
            f"{self} gives single images, and pairs are needed: name two folders, SOURCE and TARGET; or how sources are made "
            f"of its images ({', '.join(DERIVATIONS)}), as in: edges {self}; or one of {', '.join(TASKS)}"
        )

    def _from(self, word: str) -> PairSpec:
        found = PairSpec(self.images, source=word, resize_mode=self.resize_mode, max_images=self.max_images)
        return replace(found, hold_out=self.hold_out)


@dataclass(frozen=True)
class PairSpec(DataSpec):
    """Images and their sources: another set, or the word for how they are made of the images."""

    source: ImageSet | str = field(kw_only=True)
    task: str = field(default="", kw_only=True, compare=False)  # as it was typed, where the pairs were named so

    def __str__(self) -> str:
        return self.task or f"{self.source}{ARROW}{self.images}"

    @property
    def title(self) -> str:
        """The task's name, or those of both ends."""
        source = self.source if isinstance(self.source, str) else self.source.title
        return self.task or f"{source}{ARROW}{self.images.title}"

    @property
    def known(self) -> bool:
        """Whether the items of both are known to be of the same things, whatever their names."""
        one, two = self.source, self.images
        if isinstance(one, NamedSet) and isinstance(two, NamedSet):
            return (one.name, one.split) == (two.name, two.split) and one.view != two.view
        return isinstance(one, str)

    @property
    def source_channels(self) -> int | None:
        """Of the other set, or of what is derived."""
        if isinstance(self.source, str):
            return 1 if self.source in _GREY else self.channels if self.source == SMALL else None
        return self.source.channels

    @property
    def has_photographs(self) -> bool:
        """Whether both are of the same files: tiles of two sets would be of different places."""
        return self.source in DERIVATIONS and super().has_photographs

    def absolute(self) -> PairSpec:
        """Both ends made so."""
        source = self.source if isinstance(self.source, str) else self.source.absolute()
        return replace(self, source=source, images=self.images.absolute())

    def with_source(self, derivation: str | None) -> PairSpec:
        """Itself: it has sources."""
        return self

    def _test_split(self, count: int) -> tuple[PairSpec, PairSpec] | None:
        """Of both ends; nothing where they are not known to belong together."""
        sources: tuple[ImageSet | str, ImageSet | str] | None = None
        if isinstance(self.source, str):
            sources = self.source, self.source
        elif self.known:
            sources = self.source.held_out(count)
        images = self.images.held_out(count)
        if sources is None or images is None:
            return None
        own, unseen = (replace(self, source=each[0], images=each[1], task="") for each in zip(sources, images))
        return own, replace(unseen, max_images=None)

    def open(self, size: int = 64, channels: int = 3, *, progress: ProgressCallback | None = None) -> Pack:
        """There are two sets."""
        raise UsageError(f"single images are needed, and {self} gives two sets; name one: {self.images}")

    def open_pairs(
        self, source: Form, image: Form, *, paired: bool = True, progress: ProgressCallback | None = None
    ) -> Pairs:
        """The sources and the images."""
        pack = partial(pack_of, max_images=self.max_images, progress=progress)
        shapes = shape_of(source, self.resize_mode), shape_of(image, self.resize_mode)
        packs = self._packs(shapes, pack, matched=paired and not self.known)
        name = self.task if self.task in TASKS else ""
        return pairs.joined(packs, paired=paired, known=self.known, name=name, hold_out=self.hold_out)

    def _packs(self, shapes: tuple[Shape, Shape], pack: MakePack, *, matched: bool) -> Packs:
        if isinstance(self.source, str):
            make = pairs.of_halves if self.source in HALVES else pairs.of_derived
            return make(self.source, self.images.listing(), shapes, pack)
        return pairs.of_two_listings(self.source.listing(), self.images.listing(), shapes, pack, matched=matched)


Data = str | Path | DataSpec | values.Indexed  # what a person types or has in memory, or that parsed
