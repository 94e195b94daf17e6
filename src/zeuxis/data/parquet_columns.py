"""Which columns of a Parquet file are the pictures, their classes, or their attributes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zeuxis.data.listing import shown
from zeuxis.data.shards import PART_MARK
from zeuxis.data.table_rows import CLASS_COLUMNS
from zeuxis.errors import DataError, UsageError
from zeuxis.io.parsing import parse_json

USUAL = ("image", "img", "picture", "photo", "pixels")  # columns of pictures, the likeliest first


@dataclass
class Columns:
    """The leaf of the pictures, the columns of labels, the names of the classes where these are numbers; what is not used."""

    image: str
    labels: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)


def columns_of(file: Any, path: str, wanted: str) -> Columns:
    """The columns of a file; `DataError` where none has pictures, `UsageError` where it must be told which is wanted."""
    schema, features = file.schema_arrow, _features(file)
    pictures = {name: leaf for name in schema.names if (leaf := _leaf(name, schema.field(name).type))}
    known = [name for name in pictures if features.get(name, {}).get("_type") == "Image"]
    chosen = chosen_column(known or list(pictures), list(pictures), wanted, schema.names, path)
    classes = {name: each["names"] for name, each in features.items() if _is_class_label(each) and name in schema.names}
    labels = next(iter(_likeliest(list(classes))), "")
    found = Columns(pictures[chosen], [labels] if labels else [], [str(name) for name in classes.get(labels, [])])
    if not labels:
        found.labels = [name for name in schema.names if _says_something(name, schema.field(name).type)]
    unused = [name for name in schema.names if name not in (chosen, *found.labels)]
    if unused:
        found.notes.append((f"column{'s' if len(unused) > 1 else ''} {', '.join(unused)}", "not used"))
    return found


def chosen_column(likely: list[str], possible: list[str], wanted: str, every: list[str], where: str) -> str:
    """The column of the pictures: that which is wanted, or the only likely one, or the one with a usual name."""
    columns = ", ".join(map(shown, every))
    if wanted:
        if wanted in possible:
            return wanted
        kind = "is no column of pictures" if wanted in every else "is no column"
        raise UsageError(f"{shown(wanted)} {kind} of {shown(where)}; it has {columns}")
    if not likely:
        raise DataError(
            f"{shown(where)} has no column of pictures (encoded bytes, or bytes and path) among {columns or 'none'}; "
            "write the pictures as PNG or JPEG into one"
        )
    usual = [name for name in USUAL if name in likely]
    if len(likely) == 1 or usual:
        return (usual or likely)[0]
    raise UsageError(
        f"{shown(where)} has several columns of pictures, {', '.join(map(shown, likely))}; name one, as in "
        f"{shown(where)}{PART_MARK}{shown(likely[0])}"
    )


def _features(file: Any) -> Mapping[str, Mapping[str, Any]]:
    """What Hugging Face's `datasets` wrote of the columns; none where that is missing or not as it writes it."""
    about = (file.schema_arrow.metadata or {}).get(b"huggingface")
    if about is None or len(about) > 1 << 22:
        return {}
    try:
        features = parse_json(about, "the metadata")["info"]["features"]
        return {str(name): each for name, each in features.items() if isinstance(each, dict)}
    except (UsageError, LookupError, TypeError, AttributeError):
        return {}


def _leaf(name: str, kind: Any) -> str:
    """The path of the bytes of a column: itself, or the field `bytes` of a struct; "" where it has none."""
    from pyarrow import types

    if types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        return f"{name}.bytes" if _leaf("bytes", kind.field("bytes").type) == "bytes" else ""
    bytes_too = types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)
    return name if bytes_too else ""


def _is_class_label(feature: Mapping[str, Any]) -> bool:
    return feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list) and bool(feature["names"])


def _likeliest(names: list[str]) -> list[str]:
    """Those with the usual names of a class first."""
    return sorted(names, key=lambda name: CLASS_COLUMNS.index(name.lower()) if name.lower() in CLASS_COLUMNS else 99)


def _says_something(name: str, kind: Any) -> bool:
    """Whether a column may have attributes, by its values, or classes, by its name: identifiers are integers too."""
    from pyarrow import types

    kind = kind.value_type if types.is_dictionary(kind) else kind  # what pandas has of categories
    words = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    plain = types.is_integer(kind) or words
    return types.is_boolean(kind) or (plain and name.lower() in CLASS_COLUMNS)
