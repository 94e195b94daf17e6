"""Classes of images by the folders they lie in; folders of splits, such as `train` and `test`, are no classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from zeuxis.data.item_names import composed
from zeuxis.data.listing import Labels, natural

SPLITS = frozenset({"train", "training", "val", "valid", "validation", "dev", "test", "testing", "eval", "evaluation"})


def by_folder(items: Sequence[str]) -> Labels:
    """The folder of each image as its class, where every image lies in one and there are at least two.

    Where those folders are splits, the folders within them are the classes.
    """
    above, _ = _parted(items)
    depth = common(above)
    if not above or any(len(folders) <= depth for folders in above):
        return Labels()
    values = [folders[depth] for folders in above]
    return classes_of(values) if len(set(values)) > 1 else Labels()


def notes_on_folders(items: Sequence[str], *, labelled: bool = False) -> list[tuple[str, str]]:
    """What should be known of the folders: splits that are all used, images that lie beside the folders of classes.

    Where the images are `labelled` by a table, their folders are no classes anyway.
    """
    above, splits = _parted(items)
    notes = []
    if splits:
        one = next((name for name in splits if name.lower().startswith("train")), splits[0])
        text = (
            f"are splits, not classes, and the images of all are used; for one alone give its folder, as in .../{one}"
        )
        notes.append((" and ".join(splits), text))
    depth = common(above)
    beside = [item for item, folders in zip(items, above) if len(folders) <= depth]
    within = {folders[depth] for folders in above if len(folders) > depth}
    if beside and len(within) > 1 and not labelled:
        notes.append((beside[0], f"lies in no folder of a class ({len(beside):,} such), so the folders are no classes"))
    return notes


def classes_of(values: Sequence[str]) -> Labels:
    """Labels of classes by name, in natural order: `class2` before `class10`."""
    values = [composed(value) for value in values]
    names = sorted(set(values), key=lambda name: (natural(name), name))
    index = {name: i for i, name in enumerate(names)}
    return Labels(np.array([index[value] for value in values], np.int64), names)


def common(paths: Iterable[Sequence[str]]) -> int:
    """How many folders all paths share from the first on."""
    paths = list(paths)
    columns = zip(*paths)
    return next((i for i, names in enumerate(columns) if len(set(names)) > 1), min(map(len, paths), default=0))


def _parted(items: Sequence[str]) -> tuple[list[list[str]], list[str]]:
    """The folders above each item, less those of splits; and these, where there are two or more and nothing beside them."""
    above = [composed(item).split("/")[:-1] for item in items]
    depth = common(above)
    found = {folders[depth] if len(folders) > depth else "" for folders in above}
    if len(found) < 2 or not {name.lower() for name in found} <= SPLITS:
        return above, []
    return [folders[:depth] + folders[depth + 1 :] for folders in above], sorted(found, key=natural)
