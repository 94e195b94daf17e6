"""Pictures one by one: datasets of PyTorch, lists of PIL images or arrays, whatever has a length and gives items by number."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from PIL import Image

from zeuxis.data.listing import Content, Labels, Numbered, Picture, Shape
from zeuxis.data.table_rows import CLASS_COLUMNS
from zeuxis.data.values.labels import chosen, digest_of, labels_of
from zeuxis.data.values.memory import CHANGING
from zeuxis.data.values.pixels import Ends, array_of, as_image, black_of, channels_last, check_kind, to_8bit
from zeuxis.errors import UsageError
from zeuxis.io import images
from zeuxis.io.images import Array

_USUAL = ("image", "img", "picture", "photo", "pixel_values", "pixels")  # keys of pictures in items that are tables
_TRIED = 2  # items that are read twice before all are read


class Item(NamedTuple):
    """An item of a dataset: its picture, as PIL has it or as an array (h w c), and its label."""

    picture: Image.Image | Array
    label: Any = None

    @property
    def digest(self) -> str:
        """Of all that the picture's pixels depend on."""
        if isinstance(self.picture, Image.Image):
            info = self.picture.info
            about = [self.picture.mode, self.picture.size, info.get("exif"), info.get("icc_profile")]
            about += [info.get("transparency"), self.picture.getpalette()]
            content = self.picture.tobytes()
        else:
            about, content = [self.picture.dtype.str, self.picture.shape], self.picture.tobytes()
        return hashlib.blake2b(repr(about).encode() + content, digest_size=16).hexdigest()


class PictureSequence:
    """The pictures of a dataset, each read when it is needed; `UsageError` where its first items are unfit."""

    def __init__(self, given: Any, *, labels: Any = None, names: Any = None, column: str = "") -> None:
        self.given, self.column = given, column
        self.name = dataset_name(given)
        self._labels, self._names, self._given_labels = Labels(), names, labels
        self._black = 0.0
        for place in range(min(_TRIED, len(self))):
            if self.item(place).digest != self.item(place).digest:
                raise UsageError(f"item {place} of {self.name} {CHANGING}")

    def __len__(self) -> int:
        return len(self.given)

    def digests(self) -> Iterator[str]:
        """Of each picture; its label, and the ends of its values, are noted too."""
        ends, labels = Ends(), []
        for place in range(len(self)):
            picture, label = item = self.item(place)
            if not isinstance(picture, Image.Image) and picture.dtype.kind == "f":
                ends = ends.with_values(picture)
            labels.append(label)
            yield item.digest
        self._black = black_of(ends, self.name) if ends != Ends() else 0.0
        given = labels if self._given_labels is None else self._given_labels
        names = self._names or names_of(self.given, attributes=any(map(_is_row, given[:1])))
        self._labels = labels_of(given, len(self), names, self.name)

    def labels_digest(self) -> str:
        """Of the labels and their names."""
        return digest_of(self._labels)

    def content(self) -> Content:
        """The pictures, named by their places."""
        return Content(Numbered([("", len(self))]), self, partial(chosen, self._labels))

    def as_json(self) -> None:
        """Nothing that another process could use."""

    def picture(self, item: str, shape: Shape) -> Picture:
        """The picture at a place."""
        return self.fetch(item)(shape)

    def fetch(self, item: str) -> Callable[[Shape], Picture]:
        """The picture at a place; what fits it into a shape."""
        return partial(_fitted, self.item(int(item)), self._black)

    def item(self, place: int) -> Item:
        """The item at a place; `UsageError` where it is no picture, nor a picture with its label."""
        what = f"item {place} of {self.name}"
        try:
            found = self.given[place]
        except Exception as error:  # of code that is not ours: it may raise anything
            raise UsageError(
                f"{what} cannot be read ({_told(error)}); make each item of the dataset readable"
            ) from error
        if isinstance(found, dict):
            found = _of_table(found, self.column, what)
        if isinstance(found, tuple | list):
            if not 1 <= len(found) <= 2:
                raise UsageError(f"{what} has {len(found)} parts; expected a picture, or a picture and its label")
            return Item(_picture(found[0], what), found[1] if len(found) == 2 else None)
        return Item(_picture(found, what))


def _fitted(item: Item, black: float, shape: Shape) -> Picture:
    image, digest = item.picture, item.digest
    if not isinstance(image, Image.Image):
        image = as_image(to_8bit(image, black))
    elif image.width * image.height > images.MOST_PIXELS:
        raise images.Unusable(f"over {images.MOST_PIXELS // 1_000_000} megapixels ({image.width} x {image.height})")
    return Picture(images.fitted(image, *shape), image.size, image.mode, digest)


def _picture(value: Any, what: str) -> Image.Image | Array:
    if isinstance(value, Image.Image):
        return value.copy()  # a file that is not yet read is decoded in the copy, and the user's stays as it is
    if (array := array_of(value)) is not None:
        check_kind(array, what)
        return channels_last(array, what, many=False)
    raise UsageError(
        f"{what} is {_article(type(value).__name__)}; expected a PIL image, an array or a tensor, or one of these and a label"
    )


def _of_table(found: dict[str, Any], column: str, what: str) -> tuple[Any, Any]:
    """The picture and the label of an item whose parts have names."""
    pictures = [name for name in ([column] if column else _USUAL) if name in found]
    if not pictures:
        raise UsageError(f"{what} has {', '.join(map(str, found))}; none is called {column or ', '.join(_USUAL)}")
    labels = [name for name in CLASS_COLUMNS if name in found and name != pictures[0]]
    return found[pictures[0]], found[labels[0]] if labels else None


def names_of(given: Any, *, attributes: bool) -> list[str] | None:
    """The names of a dataset's classes or attributes, as torchvision has them, also behind `Subset`; None where it has none."""
    for _ in range(8):
        names = getattr(given, "attr_names" if attributes else "classes", None)
        if isinstance(names, list | tuple) and any(names):
            return [name if isinstance(name, str) else " ".join(map(str, name)) for name in names if name]
        given = getattr(given, "dataset", None)
    return None


def _is_row(label: Any) -> bool:
    array = array_of(label)
    return array.ndim == 1 if array is not None else isinstance(label, list | tuple)


def dataset_name(given: Any) -> str:
    """What a dataset is called: as its class, or as that of the dataset which it is a part of."""
    while type(given).__name__ in ("Subset", "ConcatDataset") and getattr(given, "dataset", None) is not None:
        given = given.dataset
    return "pictures" if isinstance(given, list | tuple) else re.sub(r"\W+", "-", type(given).__name__).lower()


def _article(word: str) -> str:
    return f"{'an' if word[:1].lower() in 'aeiou' else 'a'} {word}"


def _told(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
