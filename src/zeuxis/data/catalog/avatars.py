"""Cartoon faces with known attributes, each a function of its index, drawn by python-avatars (MIT; pypi.org)."""

from __future__ import annotations

import functools
import io
import random
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import python_avatars as parts
import resvg_py
from PIL import Image

from zeuxis.data.catalog._dataset import Dataset
from zeuxis.data.listing import Attribute, Content, Labels, Listing, Picture, Shape
from zeuxis.errors import UsageError

_COUNT = 10_000
# The same person without glasses and with them.
_CHANGES: dict[str, dict[str, bool]] = {"plain": {"glasses": False}, "glasses": {"glasses": True}}
_RECIPE = 2  # raise it whenever a person changes, so that packs are drawn again
_FIRST = {"train": 0, "test": 1_000_000}  # the index of the first person of each split

# "Woman" and "man" are a convention of this data set: a set of hair styles, and facial hair. Left out is hair that
# covers the face, has a colour of its own, or cannot be told apart in the crop.
_WOMEN = ("BOB", "CURLY", "DREADS", "LONG_NOT_TOO_LONG", "STRAIGHT_1", "STRAIGHT_STRAND")
_MEN = ("CAESAR", "CAESAR_SIDE_PART", "SHORT_CURLY", "SHORT_FLAT", "SHORT_ROUND", "SHORT_WAVED", "POMPADOUR", "QUIFF")
_SMILES = ("BIG_SMILE", "SMILE")
_GLASSES = ("PRESCRIPTION_2", "ROUND")
_BEARDS = ("BEARD_LIGHT", "WICK_BEARD")
_EYES = ("DEFAULT", "DEFAULT", "DEFAULT", "SIDE", "SQUINT")
_BROWS = ("DEFAULT", "DEFAULT_NATURAL", "RAISED_EXCITED_NATURAL", "FLAT_NATURAL", "UP_DOWN_NATURAL")
_HAIR = {  # between two shades, so that hardly two people look the same
    "black hair": ("#201410", "#3A2824"),
    "brown hair": ("#643728", "#82503E"),
    "blond hair": ("#D8B25C", "#ECCC80"),
    "red hair": ("#B82C02", "#DC4814"),
    "grey hair": ("#B8B4B4", "#D8D4D4"),
}
_SKIN = {True: ("#B5682F", "#96522A"), False: ("#FFDBB4", "#EDB98A")}  # dark, and light

ATTRIBUTES = [
    Attribute("woman", "man"),
    Attribute("smiling", "neutral"),
    Attribute("glasses", "no glasses"),
    Attribute("beard", "no beard"),
    Attribute("dark skin", "light skin"),
    *(Attribute(name, "") for name in _HAIR),
]
_NAMES = [attribute.name for attribute in ATTRIBUTES]


class Person(NamedTuple):
    """All that a face is drawn from; what an attribute hides (a man's hair on a woman) is kept for when it changes."""

    attributes: dict[str, bool]
    woman_hair: str
    man_hair: str
    smile: str
    glasses: str
    beard: str
    eyes: str
    brows: str
    tone: float  # 0 to 1, between the two skins that are dark, or light
    shade: float  # the same of the hair


def person(index: int) -> Person:
    """The person of an index: attributes and traits, each drawn independently."""
    rng = random.Random(f"avatars {_RECIPE} {index}")
    woman, smiling, glasses, beard, dark = (rng.random() < 0.5 for _ in range(5))
    colour = rng.choice(list(_HAIR))
    attributes = dict(zip(_NAMES, (woman, smiling, glasses, beard and not woman, dark), strict=False))
    attributes |= {name: name == colour for name in _HAIR}
    return Person(
        attributes,
        woman_hair=rng.choice(_WOMEN),
        man_hair=rng.choice(_MEN),
        smile=rng.choice(_SMILES),
        glasses=rng.choice(_GLASSES),
        beard=rng.choice(_BEARDS),
        eyes=rng.choice(_EYES),
        brows=rng.choice(_BROWS),
        tone=rng.random(),
        shade=rng.random(),
    )


def changed(someone: Person, change: Mapping[str, bool]) -> Person:
    """The same person with some attributes changed, and only those: hair has one colour, and a woman no beard."""
    if unknown := [name for name in change if name not in _NAMES]:
        raise UsageError(f"avatars have no attribute {unknown[0]!r}; choose from {', '.join(_NAMES)}")
    attributes = {**someone.attributes, **change}
    if change.get("woman") and "beard" not in change:
        attributes["beard"] = False
    if chosen := [name for name in _HAIR if change.get(name)]:
        attributes |= {name: name == chosen[-1] for name in _HAIR}
    elif not any(attributes[name] for name in _HAIR):  # "not black" is the next colour
        gone = next(i for i, name in enumerate(_HAIR) if someone.attributes[name])
        attributes[list(_HAIR)[(gone + 1) % len(_HAIR)]] = True
    return someone._replace(attributes=attributes)


def draw_avatar(index: int, *, size: int = 64, change: Mapping[str, bool] | None = None) -> np.ndarray[Any, Any]:
    """The face of an index (size size 3, uint8); with `change`, the same person with only those attributes changed."""
    return _render(changed(person(index), change or {}), size)


def _render(someone: Person, size: int) -> np.ndarray[Any, Any]:
    svg = _svg(someone)
    png = bytes(
        resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, background="#ffffff", skip_system_fonts=True)
    )
    return np.asarray(Image.open(io.BytesIO(png), formats=("PNG",)).convert("RGB"))


def _svg(someone: Person) -> str:
    has = someone.attributes
    colour = _mixed(next(_HAIR[name] for name in _HAIR if has[name]), someone.shade)
    avatar = parts.Avatar(
        style=parts.AvatarStyle.TRANSPARENT,
        top=parts.HairType[someone.woman_hair if has["woman"] else someone.man_hair],
        mouth=parts.MouthType[someone.smile if has["smiling"] else "SERIOUS"],
        accessory=parts.AccessoryType[someone.glasses if has["glasses"] else "NONE"],
        facial_hair=parts.FacialHairType[someone.beard if has["beard"] else "NONE"],
        eyes=parts.EyeType[someone.eyes],
        eyebrows=parts.EyebrowType[someone.brows],
        skin_color=_mixed(_SKIN[has["dark skin"]], someone.tone),
        hair_color=colour,
        facial_hair_color=colour,
        clothing=parts.ClothingType.NONE,  # below the crop
    )
    return _cropped(avatar.render())


def _mixed(ends: tuple[str, str], share: float) -> str:
    """A colour between two, `share` of the way."""
    pairs = zip(*(bytes.fromhex(end[1:]) for end in ends))
    return "#" + bytes(round(a + share * (b - a)) for a, b in pairs).hex()


def _cropped(svg: str) -> str:
    """The face alone: the mouth is then about 14 of 64 pixels wide."""
    svg = svg.replace('viewBox="0 0 264 280"', 'viewBox="52 26 160 160"', 1)
    return re.sub(r'width="264px" height="280px"', 'width="160px" height="160px"', svg, count=1)


class Faces:
    """Draws the people of the items, which are their indices, all with the same attributes changed."""

    def __init__(self, change: Mapping[str, bool]) -> None:
        self.change = dict(change)

    def as_json(self) -> dict[str, Any]:
        """This reader, as JSON."""
        return {"kind": "avatars", "change": self.change}

    def picture(self, item: str, shape: Shape) -> Picture:
        """The face of an index."""
        pixels = draw_avatar(int(item), size=shape.size, change=self.change)
        if shape.channels == 1:
            pixels = np.asarray(Image.fromarray(pixels).convert("L"))[..., None]
        return Picture(pixels, size=(shape.size, shape.size), mode="RGB", digest=f"avatar {item}")


def attributes_of(items: list[str], *, change: Mapping[str, bool] | None = None) -> Labels:
    """The attributes (n k, uint8) of the people with these indices, some of them changed."""
    people = [changed(person(int(item)), change or {}) for item in items]
    rows = [[someone.attributes[name] for name in _NAMES] for someone in people]
    return Labels(np.array(rows, np.uint8).reshape(len(items), len(_NAMES)), [], ATTRIBUTES)


def _listing(split: str, count: int | None) -> Listing:
    """The first people of a split, 10,000 unless a count is given."""
    return _people({}, "avatars", split, count)


def _view(name: str, split: str, count: int | None) -> Listing:
    """The same people, all without glasses, or all with them."""
    return _people(_CHANGES[name], f"avatars-{name}", split, count)


def _people(change: Mapping[str, bool], name: str, split: str, count: int | None) -> Listing:
    first, count = _FIRST[split], _COUNT if count is None else count
    if not 1 <= count <= 1_000_000:
        raise UsageError(f"avatars:{count} is not possible; ask for 1 to 1,000,000")
    items = [str(i) for i in range(first, first + count)]
    told = "".join(f" {each} {value}" for each, value in change.items())
    return Listing(
        name if split == "train" else f"{name}-{split}",
        f"avatars {_RECIPE} {first} {count}{told}",
        lambda: Content(items, Faces(change), functools.partial(attributes_of, change=change)),
    )


AVATARS = Dataset(64, 3, _listing, {"plain": 3, "glasses": 3}, _view)
