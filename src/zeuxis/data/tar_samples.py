"""Pictures in tars, as WebDataset writes them: files of one name but for their endings are one sample.

`000017.jpg` is the picture of the sample `000017`, `000017.cls` its class, `000017.json` its class or attributes.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from zeuxis.data.class_folders import by_folder
from zeuxis.data.item_names import ENDINGS
from zeuxis.data.listing import Content, LeftOut, Picture, Shape, natural, shown
from zeuxis.data.readers import is_quick_image, pictured
from zeuxis.data.sample_labels import labelled
from zeuxis.data.shards import PART_MARK, Shards
from zeuxis.data.table_rows import CLASS_COLUMNS
from zeuxis.data.tars import TarMember, members_of, read_member
from zeuxis.errors import DataError, UsageError
from zeuxis.io import images
from zeuxis.io.parsing import parse_json

_CLASS, _JSON = "cls", "json"
_MOST_CLASS, _MOST_JSON = 256, 1 << 20  # bytes
_MOST_KEYS = 20  # of JSON that are named as not used


class TarPictures:
    """Decodes members of tars, read in place; items are their paths, behind the name of their tar where there are several."""

    def __init__(self, paths: list[str], labels: list[str], part: str = "", used: Collection[int] = ()) -> None:
        self.paths, self.labels, self.part, self.used = paths, labels, part, used
        self._open: tuple[str, BinaryIO, dict[str, TarMember]] | None = None  # of one tar at a time

    def as_json(self) -> dict[str, Any]:
        """This reader, as JSON."""
        return {"kind": "tars", "paths": self.paths, "labels": self.labels, "part": self.part, "used": [*self.used]}

    def among(self, used: Collection[int]) -> TarPictures:
        """The same, of tars whose files use all bits of these depths."""
        return TarPictures(self.paths, self.labels, self.part, used)

    def picture(self, item: str, shape: Shape) -> Picture:
        """The image in a member."""
        return pictured(read_member(*self._found(item)), shape, self.used)

    def is_quick(self, item: str) -> bool:
        """Whether the member is so small that decoding it takes no long time, whatever is in it."""
        with suppress(images.Unusable, OSError):
            return is_quick_image(read_member(*self._found(item)))
        return True

    def _found(self, item: str) -> tuple[BinaryIO, TarMember]:
        label, inside = split_item(item, self.labels)
        if self._open is None or self._open[0] != label:
            if self._open is not None:
                self._open[1].close()
            file = open(self.paths[self.labels.index(label)], "rb")  # noqa: PTH123, SIM115
            pictures = (each for each in members_of(file) if not each.refused and _is_picture(each.name, self.part))
            self._open = label, file, {_shortened(each.name, self.part): each for each in reversed([*pictures])}
        return self._open[1], self._open[2][inside]


def split_item(item: str, labels: list[str]) -> tuple[str, str]:
    """The word for the shard of an item, and its name within that."""
    return ("", item) if labels == [""] else (item.partition("/")[0], item.partition("/")[2])


@dataclass
class _Found:
    """What is in the tars: names of pictures by sample, what is said of each sample, and the rest."""

    pictures: dict[str, list[str]] = field(default_factory=dict)
    said: dict[str, dict[str, Any]] = field(default_factory=dict)
    left_out: LeftOut = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)  # endings of members that are not read
    unused: Counter[str] = field(default_factory=Counter)  # keys of JSON that say nothing of classes or attributes


def tar_content(shards: Shards) -> Content:
    """The pictures of tars in natural order, one of each sample, with their classes or attributes."""
    found = _Found()
    for path, label in zip(shards.paths, shards.labels):
        try:
            with open(path, "rb") as file:  # noqa: PTH123
                _collect(file, label, shards.part, found)
        except OSError as error:
            raise DataError(f"{shown(path)} cannot be read: {error.strerror or error}; use another copy") from None
    items = sorted(_chosen(found), key=lambda name: (natural(name), name))
    if shards.part and not items:
        endings = ", ".join(sorted(found.others)) or "none"
        raise UsageError(
            f"no member ends with .{shards.part}, as {PART_MARK}{shards.part} asks; the endings are {endings}"
        )
    rows = [(item, found.said[key]) for item in items if (key := _key(item, shards.part)) in found.said]
    content = Content(items, TarPictures(shards.paths, shards.labels, shards.part))
    if not rows:
        content.label = lambda names: by_folder([split_item(name, shards.labels)[1] for name in names])
    content.notes += [
        (f"members .{ending}", f"are not used ({count:,})") for ending, count in found.others.most_common()
    ]
    content.notes += [("keys of .json", f"not used: {', '.join(sorted(found.unused))}")] if found.unused else []
    content.left_out += found.left_out
    return labelled(content, rows, "the tar's labels")


def _collect(file: BinaryIO, label: str, part: str, found: _Found) -> None:
    before = f"{label}/" if label else ""
    for member in members_of(file):
        name = before + member.name
        if reason := _refusal(member):
            found.left_out.append((name, reason))
        elif _is_picture(member.name, part):
            key = _key(_shortened(name, part), part)
            found.pictures.setdefault(key, []).append(_shortened(name, part))
        elif (ending := _ending(name)) in (_CLASS, _JSON):
            _hear(file, member, ending, name, found)
        else:
            found.others[ending] += 1


def _hear(file: BinaryIO, member: TarMember, ending: str, name: str, found: _Found) -> None:
    """Keep what a member says of the class or the attributes of its sample."""
    said = found.said.setdefault(_key(name, ""), {})
    try:
        if member.size > (_MOST_CLASS if ending == _CLASS else _MOST_JSON):
            raise ValueError(f"{member.size:,} bytes")
        content = read_member(file, member, image=False).read()
        if ending == _CLASS:
            said["label"] = content.decode().strip()  # goes before what the JSON says
            return
        values = parse_json(content, "it")
        if not isinstance(values, dict):
            raise ValueError("no object")
        for key, value in values.items():
            if not _says_something(key, value):
                found.unused[key] += len(found.unused) < _MOST_KEYS
            elif key not in said:
                said[key] = value
    except (ValueError, UsageError) as error:
        found.left_out.append((name, f"no label that can be read ({error})"))


def _says_something(key: str, value: object) -> bool:
    """Whether a value may be an attribute, or by its key a class: identifiers are numbers too."""
    return isinstance(value, bool) or (key.lower() in CLASS_COLUMNS and isinstance(value, str | int))


def _chosen(found: _Found) -> Iterator[str]:
    """One picture of each sample: that whose ending is one word; where none is, each is a sample of its own."""
    for key, names in found.pictures.items():
        distinct = list(dict.fromkeys(names))
        found.left_out += [(name, "its name is there twice") for name in distinct for _ in range(names.count(name) - 1)]
        simple = [name for name in distinct if "." not in _ending(name)]
        yield from simple[:1] or distinct
        rest = [name for name in distinct if simple and name != simple[0]]
        found.left_out += [(name, _another(name, key)) for name in rest]


def _another(name: str, key: str) -> str:
    return f"another picture of the sample {shown(posixpath.basename(key))}; {PART_MARK}{_ending(name)} takes those instead"


def _refusal(member: TarMember) -> str:
    if any(each.startswith(".") and each != ".." for each in member.name.split("/")):
        return "hidden"
    return member.refused or ("" if member.size else "empty file")


def _is_picture(name: str, part: str) -> bool:
    """Whether a member is wanted: by the ending that is named, else by any that a picture may have."""
    return _ending(name) == part.lower() if part else name.lower().endswith(ENDINGS)


def _shortened(name: str, part: str) -> str:
    """Where an ending is named, items are called by their sample alone, as those of another ending are."""
    return name[: -len(part) - 1] if part else name


def _key(name: str, part: str) -> str:
    """The sample of a member: its path up to the first dot of its name."""
    if part:
        return name
    folder, base = posixpath.split(name)
    return posixpath.join(folder, base.partition(".")[0])


def _ending(name: str) -> str:
    return posixpath.basename(name).partition(".")[2].lower()
