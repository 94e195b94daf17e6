"""What a folder of pictures is good for: a small table from their kind and number to a family, its settings and minutes.

Each line names the recorded run that it rests on, in bench/results.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from zeuxis.data import DataSpec, Pack
from zeuxis.data.image_files import FileSet
from zeuxis.data.listing import TILES
from zeuxis.data.pairs import Pairs
from zeuxis.data.passed_over import cut_off
from zeuxis.training.config import Recipe
from zeuxis.training.recorded import pixel_ratio

FEW_IMAGES = 1000  # images: below it a discriminator learns them by heart
SOME_IMAGES = 5000  # images: recorded runs of that many and more say what to take by themselves
VERY_FEW = 100  # photographs that are cut into tiles where they are large
LARGE = 512  # pixels of the shorter side of a photograph that gives many tiles
SMALL_SIDE = 40  # pixels of the shorter side of small pictures, such as digits
MUCH = 0.4  # share of a picture that a square crop cuts off on average, above which it is padded instead
WHITE_MUCH = 0.05  # the same of pictures with a white ground, as the padding is white, too
WHITE = 250  # of 255: a corner as light as that belongs to a white ground
_LOOKED_AT = 256  # pictures whose corners are looked at
HELD_OUT = 0.2  # share of a person's own pictures; evaluate needs 20 images of it, and the tiles of one photograph
_LEAST_TO_HOLD_OUT = {False: 150, True: 20}  # pictures, of which the share is held out; True: cut into tiles
_SIZES = (64, 32, 16)  # pixels: what a laptop trains within minutes; smaller where the pictures are
_GREY = ("1", "L", "I", "F", "LA")


@dataclass(frozen=True)
class KnownPictures:
    """What is known of the data: how it is typed, the number of images, and the form in which they are learned."""

    data: str
    count: int
    size: int
    channels: int
    named: bool  # a named set has its own form
    paired: bool | None = None  # of image-to-image data: whether each source belongs to its target
    title: str = ""
    side: int = 0  # pixels: the median of the shorter sides of the files; 0: unknown
    cut_off: float = 0.0  # the mean share of a picture that a square crop cuts off
    white_ground: bool = False  # of most pictures, as of cut-outs with a transparent one
    resize_mode: str = "crop"  # by which they were read
    photographs: bool = False  # files that tiles can be cut out of
    asked: tuple[str, ...] = ()  # of size and channels, those that were asked for

    def shaped(self, size: int | None, channels: int | None) -> KnownPictures:
        """The same, to be learned in the size and channels that are asked for, if any."""
        asked = tuple(name for name, value in (("size", size), ("channels", channels)) if value is not None)
        return replace(self, size=size or self.size, channels=channels or self.channels, asked=asked)


@dataclass(frozen=True)
class Rule:
    """A line of the table: which pictures it is for, what to take, and the recorded run behind it."""

    kind: str  # in words, after the number of the pictures
    fits: Callable[[KnownPictures], bool]
    family: str
    minutes: float  # of two cores
    recorded: str  # what such a run reached
    row: str  # where that is written
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the run
    size: int = 64  # pixels of a side there

    def minutes_at(self, size: int) -> float:
        """Minutes of two cores in which a run at this size sees as many images: larger ones take longer."""
        return self.minutes * max(1.0, pixel_ratio(size, self.size))

    def told(self, size: int) -> str:
        """What was reached, with the size where a run at another one is meant."""
        return self.recorded if size == self.size else f"{self.recorded}, all at {self.size} pixels"


# The first line that fits counts. Pictures that none fits get the family of the recorded run with the lowest FID.
RULES = (
    Rule(
        "pairs",
        lambda pictures: pictures.paired is True,
        "pix2pix",
        20,
        recorded="FID[lite0] 64 to 276 on four tasks after 20 minutes",
        row="bench/results/quality.md, pix2pix at 64 pixels",
    ),
    Rule(
        "images of two sets, without pairs",
        lambda pictures: pictures.paired is False,
        "cyclegan",
        20,
        recorded="FID[lite0] 274 and 383 on two tasks after 20 minutes",
        row="bench/results/quality.md, cyclegan at 64 pixels",
    ),
    Rule(
        "large photographs: tiles make many images of them",
        lambda pictures: pictures.photographs and pictures.count < VERY_FEW and pictures.side >= LARGE,
        "dcgan",
        20,
        recorded="FID[lite0] 692 on 3,980 tiles of 31 photographs after 15 minutes, 722 after 5, real images 633",
        row="bench/results/few-images.md, a quarter of an hour on four more sets",
        settings={"resize_mode": TILES},
    ),
    Rule(
        "small grey images, and few",
        lambda pictures: _is_few(pictures) and pictures.channels == 1 and 0 < pictures.side < SMALL_SIDE,
        "dcgan",
        20,
        recorded="FID[lite0] 211 on 500 garments after 15 minutes, 224 after 5, real images 159",
        row="bench/results/few-images.md, a quarter of an hour on four more sets",
        size=32,
    ),
    Rule(
        "pictures with a white ground, and few",
        lambda pictures: _is_few(pictures) and pictures.white_ground,
        "dcgan",
        20,
        recorded="after 30 CPU minutes on 538 cut-outs one can name apples, animals and tools, after 4 silhouettes",
        row="bench/results/few-images.md, cut-outs of things",
    ),
    Rule(
        "images are few",
        lambda pictures: _is_few(pictures),
        "dcgan",
        20,
        recorded="FID[lite0] 191 on 555 photographs of galaxies after 15 minutes, 237 after 5, real images 180",
        row="bench/results/few-images.md, galaxies and nebulae",
    ),
    Rule(
        "images in colour, neither few nor many",
        lambda pictures: _is_own(pictures) and pictures.count < SOME_IMAGES and pictures.channels == 3,
        "dcgan",
        20,
        recorded="FID[lite0] 540 on 1,906 emoji after 15 minutes, 696 after 5, real images 247",
        row="bench/results/few-images.md, a quarter of an hour on four more sets",
    ),
)


def _is_own(pictures: KnownPictures) -> bool:
    return pictures.paired is None and not pictures.named


def _is_few(pictures: KnownPictures) -> bool:
    return _is_own(pictures) and pictures.count < FEW_IMAGES


def rule_for(pictures: KnownPictures) -> Rule | None:
    """The line of the table that fits these pictures; None where recorded runs decide."""
    return next((rule for rule in RULES if rule.fits(pictures)), None)


def settings_for(pictures: KnownPictures, rule: Rule | None) -> dict[str, Any]:
    """The settings of a run on these pictures, whatever its family: how they become squares, and what is held out."""
    much = WHITE_MUCH if pictures.white_ground else MUCH
    mode = "pad" if pictures.cut_off > much and pictures.resize_mode == "crop" else pictures.resize_mode
    found: dict[str, Any] = {} if mode == "crop" or pictures.paired is not None else {"resize_mode": mode}
    found |= rule.settings if rule else {}
    if not pictures.named and pictures.count >= _LEAST_TO_HOLD_OUT[found.get("resize_mode") == TILES]:
        found["hold_out"] = HELD_OUT
    return found


def pictures_of(pack: Pack, data: DataSpec, *, typed: str) -> KnownPictures:
    """What is known of single images that are open; pairs, where each file has its source and target side by side."""
    own = data.own_shape
    sizes = pack.records().sizes()
    middle = int(np.sort(sizes.min(1))[len(sizes) // 2])
    size, channels = (own["size"], own.get("channels", 3)) if "size" in own else _form_of(pack, middle)
    files = isinstance(data.images, FileSet)
    beside = files and bool((sizes[:, 0] == 2 * sizes[:, 1]).all())
    return KnownPictures(
        typed,
        len(pack),
        size,
        3 if beside else channels,
        "size" in own,
        True if beside else None,
        data.title,
        side=middle,
        cut_off=cut_off(sizes)[0] if files else 0.0,
        white_ground=_share_on_white(pack) > 1 / 2,
        resize_mode=pack.shape.resize_mode,
        photographs=data.has_photographs and pack.shape.resize_mode != TILES,
    )


def _form_of(pack: Pack, middle: int) -> tuple[int, int]:
    """Size and channels for pictures: none larger than half of them are, and grey where all are."""
    size = next((size for size in _SIZES if size <= middle), _SIZES[-1])
    return size, 1 if _share_of_modes(pack, _GREY) == 1 else 3


def _share_of_modes(pack: Pack, among: Sequence[str]) -> float:
    """The share of the files whose mode is one of these."""
    counts = pack.records().modes()
    return sum(count for mode, count in counts.items() if mode.split(";")[0] in among) / max(1, counts.total())


def _share_on_white(pack: Pack) -> float:
    """The share of the pictures with three white corners or four, of at most `_LOOKED_AT` evenly spaced ones."""
    images = pack.rows(np.linspace(0, len(pack) - 1, min(len(pack), _LOOKED_AT)).astype(np.int64))
    corners = (images[:, [0, 0, -1, -1], [0, -1, 0, -1]] >= WHITE).all(-1)  # n 4
    return float((corners.sum(1) >= 3).mean())


def warnings_of_few(data: Pack | Pairs, recipe: Recipe) -> list[str]:
    """What to say at the start of a run that learns from few single images, with what would help; pairs may be few."""
    if isinstance(data, Pairs) or len(data) >= FEW_IMAGES:
        return []
    # Diffusion has another augmentation, of which no run is recorded.
    policy = None if recipe.family == "diffusion" else recipe.options.get("augment")
    help_ = ["--augment auto"] if policy == "none" else []
    told = ", and which augmentation follows" if policy in ("none", "auto") else ""
    # Named sets have a test split.
    held_out = recipe.settings.hold_out is not None or recipe.data.held_out(1) is not None
    help_ += [] if held_out else [f"--hold-out {100 * HELD_OUT:g}%, by which evaluate tells{told}"]
    more = f"; add {', and '.join(help_)}" if help_ else ""
    return [f"warning: {len(data):,} images are few, and may be learned by heart{more} (docs/own-pictures.md)"]
