"""Finds the image that a name in a table or in another folder means, whatever its Unicode form, case and ending."""

from __future__ import annotations

import posixpath
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Any

ENDINGS = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff")


def composed(name: str) -> str:
    """A name in its composed form (NFC): a Mac writes `o` and two dots where others write one letter."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def stem(item: str) -> str:
    """The path of an item less its ending, composed: what the items of a pair have in common."""
    return posixpath.splitext(composed(item))[0]


class ItemNames:
    """Finds the image that a cell means: by its path, its name, or either with another ending or none."""

    def __init__(self, items: Sequence[str], folders: Iterable[str]) -> None:
        self.folders = tuple(folders)  # where paths may begin
        self.exact = {composed(item): item for item in reversed(items)} | {item: item for item in items}
        self.paths = _unique(items, str.casefold)
        self.path_stems = _unique(items, lambda item: stem(item).casefold())
        self.names = _unique(items, lambda item: posixpath.basename(item).casefold())
        self.name_stems = _unique(items, lambda item: posixpath.basename(stem(item)).casefold())

    def find(self, cell: Any, *, any_ending: bool = False) -> str | None:
        """The item of a cell; with `any_ending`, `a.jpg` means `a.png` too. None where there is none, or several."""
        text = str(cell).strip().replace("\\", "/") if cell is not None else ""
        text = posixpath.normpath(composed(text)) if text else ""
        if not text:
            return None
        paths = [text, *(posixpath.join(folder, text) for folder in self.folders)]
        found = next((self.exact[path] for path in paths if path in self.exact), None)
        found = found or next((self.paths[key] for path in paths if (key := path.casefold()) in self.paths), None)
        return found or self._less_ending(text, paths, any_ending)

    def _less_ending(self, text: str, paths: list[str], any_ending: bool) -> str | None:
        cut = posixpath.splitext(text)
        less = cut[0] if any_ending and cut[1].lower() in ENDINGS else None
        if "/" not in text and (found := self.names.get(text.casefold())):
            return found
        for end in (text, less):
            keys = [] if end is None else [path[: len(path) - len(text)] + end for path in paths]
            found = next((found for key in keys if (found := self.path_stems.get(key.casefold()))), None)
            if not found and end is not None and "/" not in text:
                found = self.name_stems.get(end.casefold())
            if found:
                return found
        return None


def _unique(items: Sequence[str], key: Callable[[str], str]) -> dict[str, str]:
    """The items by a key that no other item has."""
    found: dict[str, str | None] = {}
    for item in items:
        each = key(composed(item))
        found[each] = None if each in found else item
    return {each: item for each, item in found.items() if item is not None}
