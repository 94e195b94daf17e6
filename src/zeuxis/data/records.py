"""What is known of each image of a pack: columns of a shard in one file, read when they are asked for."""

from __future__ import annotations

import functools
import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, overload

import numpy as np

from zeuxis.data.listing import MadeWhenAsked, Picture
from zeuxis.data.lots import lot_of
from zeuxis.data.place_sets import PlaceSet
from zeuxis.io.images import Array


class Texts(MadeWhenAsked):
    """Texts one after another in UTF-8, and where each ends; names of files may hold lone surrogates."""

    def __init__(self, ends: Array, data: bytes) -> None:
        self._ends, self._data = ends, data

    @classmethod
    def of(cls, values: Sequence[str]) -> Texts:
        """These texts."""
        encoded = [value.encode("utf-8", "surrogatepass") for value in values]
        return cls(np.cumsum([0, *map(len, encoded)], dtype=np.int64), b"".join(encoded))

    def arrays(self) -> tuple[Array, Array]:
        """What they are made of."""
        return self._ends, np.frombuffer(self._data, np.uint8)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def at(self, place: int) -> str:
        start, end = self._ends[place : place + 2].tolist()
        return self._data[start:end].decode("utf-8", "surrogatepass")


class RecordColumns(NamedTuple):
    """What is known of the images (n) of one shard; modes and notes are numbers of distinct texts."""

    names: Texts
    digests: Texts  # of the files
    sizes: Array  # n 2, int32: width and height
    modes: Array  # n, int32
    notes: Array  # n, int32
    frames: Array  # n, int32
    bits: Array  # n, int32
    lots: Array  # n, uint64
    mode_texts: Texts
    note_texts: Texts

    def to_bytes(self) -> bytes:
        """The columns as arrays of NumPy, one behind another."""
        buffer = io.BytesIO()
        for column in self:
            for array in column.arrays() if isinstance(column, Texts) else [column]:
                np.save(buffer, array, allow_pickle=False)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> RecordColumns:
        """What `to_bytes` has given."""
        buffer = io.BytesIO(data)
        read = functools.partial(np.load, buffer, allow_pickle=False)
        texts = {"names", "digests", "mode_texts", "note_texts"}
        columns: list[Any] = [Texts(read(), read().tobytes()) if name in texts else read() for name in cls._fields]
        return cls(*columns)

    def record(self, place: int) -> dict[str, Any]:
        """What is known of one image, by name; `note`, `frames` and `bits` only where they say something."""
        size, note = tuple(self.sizes[place].tolist()), self.note_texts[int(self.notes[place])]
        found: dict[str, Any] = {
            "name": self.names[place],
            "size": size,
            "mode": self.mode_texts[int(self.modes[place])],
        }
        found |= {"digest": self.digests[place]} | ({"note": note} if note else {})
        found |= {"frames": int(self.frames[place])} if self.frames[place] > 1 else {}
        return found | ({"bits": int(self.bits[place])} if self.bits[place] > 8 else {})


class ColumnWriter:
    """Collects what is known of the images of one shard."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._digests: list[str] = []
        self._numbers: list[tuple[int, ...]] = []  # width, height, mode, note, frames, bits
        self._modes: dict[str, int] = {}
        self._notes: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._names)

    def add(self, name: str, picture: Picture) -> None:
        """Note the next image."""
        self._names.append(name)
        self._digests.append(picture.digest)
        mode = self._modes.setdefault(picture.mode, len(self._modes))
        note = self._notes.setdefault(picture.note, len(self._notes))
        self._numbers.append((*picture.size, mode, note, picture.frames, picture.bits))

    def columns(self) -> RecordColumns:
        """The columns."""
        numbers = np.array(self._numbers, np.int32).reshape(-1, 6)
        names, digests = Texts.of(self._names), Texts.of(self._digests)
        lots = np.fromiter(map(lot_of, self._digests), np.uint64, len(self))
        texts = Texts.of([*self._modes]), Texts.of([*self._notes])
        modes, notes, frames, bits = numbers[:, 2:].T
        return RecordColumns(names, digests, numbers[:, :2], modes, notes, frames, bits, lots, *texts)


class ImageRecords(Sequence[dict[str, Any]]):
    """For each image its file's `name`, `size` (width and height), `mode`, `digest`, and perhaps `note`, `frames`, `bits`.

    `read` gives the columns of a shard, of which `counts` has the lengths; `places` chooses among the images.
    One shard is in memory at a time.
    """

    def __init__(
        self, counts: Sequence[int], read: Callable[[int], RecordColumns], places: PlaceSet | None = None
    ) -> None:
        self._ends = np.cumsum([0, *counts])
        self._places = places
        self._read = functools.lru_cache(maxsize=1)(read)

    def __len__(self) -> int:
        return int(self._ends[-1]) if self._places is None else len(self._places)

    @overload
    def __getitem__(self, place: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, place: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, place: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        columns, inside = self._found(place)
        return columns.record(inside)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (columns.record(place) for columns, inside in self._parts() for place in inside.tolist())

    def __deepcopy__(self, memo: object) -> ImageRecords:
        """Itself, as its files are never written again."""
        return self

    def at(self, places: PlaceSet) -> ImageRecords:
        """Those of a whole pack at these places."""
        return ImageRecords(np.diff(self._ends).tolist(), self._read, places)

    def verify(self) -> None:
        """Read all of them, with the errors of `read`."""
        for number in range(len(self._ends) - 1):
            self._read(number)

    @property
    def names(self) -> Sequence[str]:
        """The names."""
        return _Names(self)

    def digests(self) -> Iterator[str]:
        """Digests of the files."""
        return (columns.digests[place] for columns, inside in self._parts() for place in inside.tolist())

    def sizes(self) -> Array:
        """Widths and heights (n 2, int64)."""
        parts = [each.sizes[inside].astype(np.int64) for each, inside in self._parts()]
        return np.concatenate([np.empty((0, 2), np.int64), *parts])

    def lots(self) -> Array:
        """Numbers (n, uint64) that decide what is held out: a hash of each file."""
        return np.concatenate([np.empty(0, np.uint64), *self.lots_by_shard()])

    def lots_by_shard(self) -> Iterator[Array]:
        """The same, shard by shard."""
        return (each.lots[inside] for each, inside in self._parts())

    def modes(self) -> Counter[str]:
        """How many images have each mode."""
        found: Counter[str] = Counter()
        for columns, inside in self._parts():
            counts = np.bincount(columns.modes[inside], minlength=len(columns.mode_texts)).tolist()
            found.update({text: count for text, count in zip(columns.mode_texts, counts) if count})
        return found

    def noted(self) -> Iterator[tuple[str, str]]:
        """Names and notes of those that have one."""
        for columns, inside in self._parts():
            texts = list(columns.note_texts)
            chosen = inside[np.array([bool(text) for text in texts], bool)[columns.notes[inside]]]
            yield from ((columns.names[place], texts[columns.notes[place]]) for place in chosen.tolist())

    def several(self) -> Iterator[tuple[str, int]]:
        """Names of files with several pages or frames, and how many."""
        for columns, inside in self._parts():
            chosen = inside[columns.frames[inside] > 1]
            yield from ((columns.names[place], int(columns.frames[place])) for place in chosen.tolist())

    def _found(self, place: int) -> tuple[RecordColumns, int]:
        """The shard of an image, and its place there."""
        at = range(len(self))[place]
        at = at if self._places is None else int(self._places.at(np.array([at]))[0])
        number = int(np.searchsorted(self._ends, at, side="right")) - 1
        return self._read(number), at - int(self._ends[number])

    def _parts(self) -> Iterator[tuple[RecordColumns, Array]]:
        """The columns of each shard with places in them, shard by shard."""
        for number, (first, last) in enumerate(zip(self._ends.tolist(), self._ends[1:].tolist())):
            inside = np.arange(first, last) if self._places is None else self._places.between(first, last)
            if len(inside):
                yield self._read(number), inside - first


class _Names(MadeWhenAsked):
    """The names of records, as a sequence that takes no memory."""

    def __init__(self, records: ImageRecords) -> None:
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    def at(self, place: int) -> str:
        columns, inside = self._records._found(place)
        return columns.names[inside]

    def __iter__(self) -> Iterator[str]:
        parts = self._records._parts()
        return (columns.names[place] for columns, inside in parts for place in inside.tolist())
