"""Pictures in Parquet files, as Hugging Face and pandas write them: a column of encoded pictures, and perhaps one of classes."""

from __future__ import annotations

import bisect
import contextlib
import io
import itertools
from collections.abc import Collection, Iterator
from typing import Any

from zeuxis.data.listing import Content, Numbered, Picture, Shape, shown
from zeuxis.data.parquet_columns import Columns, columns_of
from zeuxis.data.readers import is_quick_image, pictured
from zeuxis.data.sample_labels import labelled, with_class_numbers
from zeuxis.data.shards import Shards
from zeuxis.errors import DataError, UsageError, ZeuxisError
from zeuxis.io import images

_AT_ONCE = 64 << 20  # bytes of rows that are held at once, however large each row of a group may be
_MOST_ROWS = 256  # at once
_MOST_FILE = 5_000_000  # rows in all
_BUFFER = 1 << 20
_MOST_WORD = 1000  # characters of a class that are kept


class ParquetPictures:
    """Decodes the pictures in a column of Parquet files; items are numbers of rows, as `17` or `train-0.parquet/17`."""

    def __init__(self, paths: list[str], labels: list[str], column: str, used: Collection[int] = ()) -> None:
        self.paths, self.labels, self.column, self.used = paths, labels, column, used
        self._rows: tuple[str, _Rows] | None = None  # of one file at a time

    def as_json(self) -> dict[str, Any]:
        """This reader, as JSON."""
        known = {"kind": "parquet", "paths": self.paths, "labels": self.labels, "column": self.column}
        return {**known, "used": [*self.used]}

    def among(self, used: Collection[int]) -> ParquetPictures:
        """The same, of pictures that use all bits of these depths."""
        return ParquetPictures(self.paths, self.labels, self.column, used)

    def picture(self, item: str, shape: Shape) -> Picture:
        """The image in a row."""
        return pictured(self._file(item), shape, self.used)

    def is_quick(self, item: str) -> bool:
        """Whether the picture is so small that decoding it takes no long time, whatever is in it."""
        try:
            return is_quick_image(self._file(item))
        except images.Unusable:
            return True

    def _file(self, item: str) -> io.BytesIO:
        label, _, row = item.rpartition("/")
        try:
            if self._rows is None or self._rows[0] != label:
                self._rows = label, _Rows(self.paths[self.labels.index(label)], self.column)
            return io.BytesIO(self._rows[1].encoded(int(row)))
        except (images.Unusable, MemoryError):
            raise
        except Exception as error:  # of a damaged page: pyarrow's own, and Python's
            self._rows = None
            raise images.Unusable(f"in a damaged part of the file ({_in_a_line(error)})") from None


class _Rows:
    """The rows of one column, read forward; going back begins again at the row's group. Few are in memory at a time."""

    def __init__(self, path: str, column: str) -> None:
        self._file, self._column = _opened(path), column
        counts = [self._file.metadata.row_group(group).num_rows for group in range(self._file.num_row_groups)]
        self._starts = [0, *itertools.accumulate(counts)]
        self._batches: Iterator[Any] = iter(())
        self._group, self._first, self._batch = -1, 0, None

    def encoded(self, row: int) -> bytes:
        """The encoded picture of a row; `images.Unusable` where there is none, or it is too large."""
        group = bisect.bisect_right(self._starts, row) - 1
        if group != self._group or row < self._first:
            self._batches = _batches(self._file, group, [self._column])
            self._group, self._first, self._batch = group, self._starts[group], None
        while self._batch is None or row >= self._first + self._batch.num_rows:
            self._first += 0 if self._batch is None else self._batch.num_rows
            self._batch = next(self._batches)
        found = self._batch.column(0)
        cell = (found if found.type.num_fields == 0 else found.field(0))[row - self._first]
        if not cell.is_valid or not found[row - self._first].is_valid:
            raise images.Unusable("no picture in this row, or only the path of one, which is not followed")
        content = cell.as_buffer()
        if content.size > images.MOST_BYTES:
            raise images.Unusable(f"over {images.MOST_BYTES >> 20} MB")
        return bytes(content)


def _opened(path: str) -> Any:
    """A Parquet file whose pages are read as they are needed; `DataError` where it is damaged, `UsageError` without pyarrow."""
    try:
        from pyarrow import parquet
    except ImportError:
        raise UsageError("Parquet needs the package pyarrow; install it with: pip install 'zeuxis[parquet]'") from None
    with _explained(path):
        return parquet.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER, memory_map=False)


@contextlib.contextmanager
def _explained(path: str) -> Iterator[None]:
    """Whatever pyarrow raises on a damaged file, as `DataError` of one line."""
    try:
        yield
    except (MemoryError, ZeuxisError):
        raise
    except Exception as error:  # pyarrow's own, and Python's: ValueError, OSError, KeyError, UnicodeError
        raise DataError(f"{shown(path)} is a damaged Parquet file ({_in_a_line(error)}); use another copy") from None


def _in_a_line(error: Exception) -> str:
    return shown(" ".join(str(error).split())[:200]) or type(error).__name__


def _batches(file: Any, group: int, columns: list[str]) -> Iterator[Any]:
    """Rows of a group, so few at a time that they fit into memory whatever their size: by what the file says of it."""
    # The size of the whole group: to ask for that of a column ends the process where the statistics are damaged.
    largest = file.metadata.row_group(group).total_byte_size
    rows = max(1, min(_MOST_ROWS, _AT_ONCE // max(largest, 1)))
    found: Iterator[Any] = file.iter_batches(batch_size=rows, row_groups=[group], columns=columns, use_threads=False)
    return found


def parquet_content(shards: Shards) -> Content:
    """The pictures of Parquet files in the order of their rows, with their classes or attributes."""
    groups: list[tuple[str, int]] = []
    said: list[tuple[str, dict[str, Any]]] = []
    columns: Columns | None = None
    for path, label in zip(shards.paths, shards.labels):
        with contextlib.closing(_opened(path)) as file, _explained(path):
            columns = _same(columns, columns_of(file, path, shards.part), path)
            groups.append((label, _count(file)))
            if columns.labels:
                said += zip(Numbered(groups[-1:]), _cells(file, columns.labels))
    assert columns is not None
    content = Content(
        Numbered(groups), ParquetPictures(shards.paths, shards.labels, columns.image), notes=columns.notes
    )
    if columns.classes:
        numbers = {item: values[columns.labels[0]] for item, values in said}
        return with_class_numbers(content, numbers, columns.classes, f"the column {columns.labels[0]}")
    return labelled(content, said, "the columns of labels")


def _count(file: Any) -> int:
    """The number of rows; `DataError` where the file says that there are more than anyone has."""
    count = int(file.metadata.num_rows)
    if count > _MOST_FILE:
        raise DataError(
            f"a Parquet file says that it has {count:,} rows; at most {_MOST_FILE:,} are read, so make several"
        )
    return count


def _same(first: Columns | None, here: Columns, path: str) -> Columns:
    if first is not None and (first.image, first.labels, first.classes) != (here.image, here.labels, here.classes):
        raise DataError(f"{shown(path)} has other columns than the files before it; give files of one table")
    return first or here


def _cells(file: Any, columns: list[str]) -> Iterator[dict[str, Any]]:
    """The values of these columns, row by row."""
    for group in range(file.num_row_groups):
        for batch in _batches(file, group, columns):
            for row in zip(*(batch.column(name) for name in columns)):
                yield dict(zip(columns, map(_value, row)))


def _value(cell: Any) -> Any:
    value = cell.as_py()
    return value[:_MOST_WORD] if isinstance(value, str) else value
