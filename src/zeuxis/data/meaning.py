"""What a word about data stands for: a named set, images in memory that a run recorded, a path, or a derivation."""

from __future__ import annotations

from zeuxis.data import spelling
from zeuxis.data.catalog import NamedSet
from zeuxis.data.image_files import FileSet
from zeuxis.data.values import MemorySet
from zeuxis.io.paths import expanded

ImageSet = NamedSet | FileSet | MemorySet


def image_set(word: str) -> ImageSet:
    """The one place where it is decided what a word means; `UsageError` where it could be a named set and a path."""
    return MemorySet.parse(word) or spelling.named_set(word) or FileSet(expanded(word))


def source_end(word: str, images: ImageSet) -> ImageSet | str:
    """What the sources of images are: another set, or how they are derived.

    Two folders of the user's own are read, though the first may have the name of a derivation.
    """
    plain = word.removeprefix(spelling.PREFIX)
    if plain not in spelling.WORDS:
        return image_set(word)
    if plain != word or not spelling.is_there(word):
        return plain
    if isinstance(images, NamedSet):
        spelling.check_one_meaning(word, "way to make sources")
    return FileSet(spelling.as_path(word))
