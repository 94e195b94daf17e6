"""Parsers of bytes that nobody vouches for: JSON, YAML and safetensors, bounded before anything is allocated."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from zeuxis.errors import UsageError
from zeuxis.escaping import quote

if TYPE_CHECKING:
    from torch import Tensor

MAX_HEADER = 4 << 20  # bytes of a safetensors header: room for 40,000 tensors
TORCH_NAMES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$", re.ASCII)
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9_]*)$")
_FLOAT = re.compile(
    r"[-+]?((\d+\.\d*|\.\d+)([eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.(inf|Inf|INF))$|\.(nan|NaN|NAN)$", re.ASCII
)
_MAX_DIGITS = 400  # of a number: any float that is written out has fewer
_MOST_SPARE = 1 << 22  # numbers that are read and not needed: the classifiers of feature networks have half of that
# Only between double quotes does PyYAML escape these: elsewhere it reads another character back.
_LINE_ENDS = re.compile("[\x85\u2028\u2029\ufeff]")
# Brackets, and strings so that brackets inside them do not count; an unclosed string runs to the end (linear time).
_NESTING = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)


def parse_json(data: bytes, name: str | Path, *, max_depth: int = 32) -> Any:
    """Strict JSON (UTF-8, no NaN, no repeated keys, bounded depth); `UsageError` names `name`."""
    try:
        text = data.decode()
        _check_depth(text, max_depth)
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name} is not valid JSON: {error}; restore it from a copy") from None


def _check_depth(text: str, max_depth: int) -> None:
    depth = 0
    for match in _NESTING.finditer(text):
        depth += (match[0] in "[{") - (match[0] in "]}")
        if depth > max_depth:
            raise ValueError(f"nested deeper than {max_depth}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a key is repeated")
    return values


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def parse_yaml(data: bytes, name: str | Path, *, max_depth: int = 32, max_nodes: int = 5_000) -> Any:
    """YAML of plain values, bounded in depth and number, without aliases or repeated keys; `UsageError` names `name`.

    Scalars are read as in YAML 1.2: `5e-4` is a number; dates, and integers in another base than ten, are text.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        depth = nodes = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise ValueError("it has an alias (*name)")  # a few lines of them can stand for gigabytes
            self.depth, self.nodes = self.depth + 1, self.nodes + 1
            if self.depth > max_depth or self.nodes > max_nodes:
                raise ValueError(f"it has over {max_nodes:,} values, or is nested deeper than {max_depth}")
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            return _unique([(self.construct_object(k, True), self.construct_object(v, deep)) for k, v in node.value])

    _read_plain_scalars(Loader)
    kinds = (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, ArithmeticError, RecursionError)
    try:
        return yaml.load(data, Loader)
    except kinds as error:  # PyYAML's own tags raise many: `!!bool x` a KeyError
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"{name} is not valid YAML: {reason}; correct it there") from None


def _read_plain_scalars(loader: Any) -> None:
    """Let a YAML loader read numbers as in YAML 1.2, and no dates, merges or numbers in other bases."""
    unread = ("int", "float", "timestamp", "merge", "value")
    tags = {f"tag:yaml.org,2002:{name}" for name in unread}
    found = loader.yaml_implicit_resolvers
    loader.yaml_implicit_resolvers = {c: [each for each in rows if each[0] not in tags] for c, rows in found.items()}
    loader.add_implicit_resolver("tag:yaml.org,2002:int", _INTEGER, list("-+0123456789"))
    loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
    loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: _number(loader, node, _INTEGER, int))
    loader.add_constructor("tag:yaml.org,2002:float", lambda loader, node: _number(loader, node, _FLOAT, float))


def _number(loader: Any, node: Any, pattern: re.Pattern[str], kind: type) -> Any:
    text = loader.construct_scalar(node)
    if len(text) > _MAX_DIGITS or not pattern.match(text):
        raise ValueError(f"{quote(text)} is no number in base ten of at most {_MAX_DIGITS} digits")
    return kind(re.sub(r"\.(inf|nan)$", r"\1", text, flags=re.IGNORECASE))


def dump_yaml(value: Any) -> bytes:
    """YAML that `parse_yaml` reads back as the same plain values, in the same order."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

        def text(self, data: str) -> Any:
            style = '"' if _LINE_ENDS.search(data) else None
            return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)

    Dumper.add_representer(str, Dumper.text)
    Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))
    text: str = yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)
    return text.encode()


# Name -> type as safetensors writes it ("F32") and shape, as in the header: known before any data is read.
Layout = dict[str, tuple[str, tuple[int, ...]]]
Choose = Callable[[Layout], Collection[str] | None]  # the names to read, None for all; raises `UsageError`


def expecting(wanted: Mapping[str, tuple[int, ...]], *, others: tuple[str, ...] = (), what: str = "") -> Choose:
    """Read tensors of these names and shapes; `UsageError`, which begins with `what`, at any other.

    Names that begin or end with one of `others` may be there, and are read too where they are small.
    """

    def choose(found: Layout) -> Collection[str] | None:
        for name, shape in wanted.items():
            has = found[name][1] if name in found else "missing"
            if has != shape:
                raise UsageError(f"{what}weight {quote(name)} is {has}, expected {shape}; give the published file")
        for name in found.keys() - wanted.keys():
            if not (name.startswith(others) or name.endswith(others)):
                raise UsageError(
                    f"{what}the weights have {quote(name)}, which the network does not; give the published file"
                )
        spare = sum(math.prod(found[name][1]) for name in found.keys() - wanted.keys())
        return wanted.keys() if spare > _MOST_SPARE else None

    return choose


def parse_tensors(
    file: BinaryIO, size: int, name: str | Path, *, max_tensors: int, choose: Choose | None = None
) -> dict[str, Tensor]:
    """The tensors in a safetensors file of `size` bytes, open at its beginning; `UsageError` names `name`.

    `choose` is told their types and shapes before any data is read; what it raises is passed on.
    """
    layout = parse_layout(file, size, name, max_tensors=max_tensors)
    place, chosen = file.tell(), None if choose is None else choose(layout)
    tensors: dict[str, Tensor] = {}
    try:
        for tensor, (dtype, shape) in layout.items():  # in the order of the data
            length = math.prod(shape) * _BYTES[dtype]
            if chosen is None or tensor in chosen:
                file.seek(place)
                tensors[tensor] = _tensor(file, dtype, shape, length)
            place += length
    except (ValueError, OSError) as error:
        raise UsageError(f"{name} is not a safetensors file that can be read: {error}; give another") from None
    return tensors


def _tensor(file: BinaryIO, dtype: str, shape: tuple[int, ...], length: int) -> Tensor:
    import torch

    data = bytearray(length)
    if file.readinto(data) != length:  # type: ignore[attr-defined]
        raise ValueError("it was cut short meanwhile")
    kind = getattr(torch, TORCH_NAMES[dtype])
    return torch.frombuffer(data, dtype=kind).reshape(shape) if length else torch.empty(shape, dtype=kind)


def parse_layout(file: BinaryIO, size: int, name: str | Path, *, max_tensors: int) -> Layout:
    """Types and shapes of the tensors in such a file, in the order of their data; the file is left where that begins."""
    try:
        entries = _header(file, size, max_tensors)
    except (ValueError, UsageError) as error:
        raise UsageError(f"{name} is not a safetensors file that can be read: {error}; give another") from None
    entries.sort(key=lambda item: item[1]["data_offsets"])
    return {tensor: (entry["dtype"], tuple(entry["shape"])) for tensor, entry in entries}


def _header(file: BinaryIO, size: int, max_tensors: int) -> list[tuple[str, Any]]:
    """The entries of the header; `ValueError` unless they are well formed and cover the rest of the file exactly."""
    start = file.read(8)
    length = int.from_bytes(start, "little")
    fits = len(start) == 8 and 2 <= length <= min(MAX_HEADER, size - 8)
    text = file.read(length) if fits else b""
    # The length of a header may begin like a pickle: 640 is 80 02 in hexadecimal.
    if not text.startswith(b"{") and re.match(rb"PK\x03\x04|PK\x05\x06|\x80[\x02-\x05]", start):
        raise ValueError("it is a pickle (.pt, .pth, .pkl), and pickles are not read as they can run any code")
    if not fits:
        raise ValueError(f"its header would have {length:,} bytes, the file has {size:,}")
    header = parse_json(text, "its header")
    if not isinstance(header, dict) or len(header) > max_tensors + 1:
        raise ValueError(f"its header should be a table of at most {max_tensors:,} tensors")
    about = header.pop("__metadata__", {})
    if not isinstance(about, dict) or not all(isinstance(text, str) for text in about.values()):
        raise ValueError(f"its metadata is {quote(about)}, expected text by name")
    "".join([*header, *about, *about.values()]).encode()  # half of a surrogate pair is a `ValueError`
    end = 0
    for begin, stop, tensor in sorted(_spans(header.items())):
        if begin != end:
            raise ValueError(f"tensor {tensor} begins at byte {begin:,}, expected {end:,}")
        end = stop
    if end != size - 8 - length:
        raise ValueError(f"its tensors take {end:,} bytes, the file holds {size - 8 - length:,}: it may be cut short")
    return list(header.items())


def _spans(entries: Iterable[tuple[str, Any]]) -> Iterable[tuple[int, int, str]]:
    """First and last byte of each tensor, where they fit its shape and type."""
    for tensor, entry in entries:
        try:
            (begin, stop), shape, width = entry["data_offsets"], entry["shape"], _BYTES[entry["dtype"]]
        except (TypeError, KeyError, ValueError):
            raise ValueError(f"tensor {quote(tensor)} has the entry {quote(entry)}") from None
        if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in [begin, stop, *shape]):
            raise ValueError(f"tensor {quote(tensor)} has the entry {quote(entry)}")
        for extent in shape:
            width = min(width * extent, 1 << 62)  # bounded: an absurd shape must not cost time either
        if stop - begin != width or len(shape) > 16:
            raise ValueError(f"tensor {quote(tensor)} of shape {quote(shape)} cannot have {stop - begin:,} bytes")
        yield begin, stop, quote(tensor)
