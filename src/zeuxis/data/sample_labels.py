"""Labels that samples bring along, in a tar or a table of Parquet, rather than in a file beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zeuxis.data.listing import Content, Labels
from zeuxis.data.table_files import Unfit, of_objects
from zeuxis.data.tables import table_of_samples


def labelled(content: Content, rows: Sequence[tuple[str, Mapping[str, Any]]], name: str) -> Content:
    """The content with what rows (an item, and its values by column) say of classes or attributes.

    Items without a label are left out, as with a table in a file; where there is no label at all, the reason is noted.
    """
    if not rows:
        return content
    objects: list[tuple[str, dict[str, Any]]] = [(item, {"file": item, **values}) for item, values in rows]
    try:
        table = table_of_samples(name, of_objects(objects, []), content.items)
    except Unfit as reason:
        content.notes.append((name, f"are none: {reason}"))
        return content
    missing = [
        (item, table.reasons.get(item, f"has no label among {name}"))
        for item in content.items
        if item not in table.rows
    ]
    content.items = [item for item in content.items if item in table.rows]
    content.left_out += missing
    content.notes += [(name, note) for note in table.notes]
    content.label = table.labels
    return content


def with_class_numbers(content: Content, numbers: Mapping[str, int | None], classes: list[str], name: str) -> Content:
    """The content with classes by number, whose names are known; items of no class are left out, if any has one."""
    good = {item: number for item, number in numbers.items() if number is not None and 0 <= number < len(classes)}
    if not good:
        content.notes.append((name, "are none: no item has a class"))
        return content
    content.left_out += [(item, f"has no class among {name}") for item in content.items if item not in good]
    content.items = [item for item in content.items if item in good]
    content.label = lambda items: Labels(np.array([good[item] for item in items], np.int64), classes)
    return content
