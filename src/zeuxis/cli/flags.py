"""Flags from dataclass fields, and the converters of what is typed: counts (20k), seeds (0-35,88), bounded numbers."""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from cyclopts import Group, Parameter, Token

from zeuxis.options import options_of

MAX_SEEDS = 1_000_000
_COUNT = re.compile(r"(-?\d+(?:_\d+)*(?:\.\d+)?(?:e\+?\d{1,2})?)\s*([kKmM]?)", re.ASCII)
_SEEDS = re.compile(r"(\d{1,19})(?:-(\d{1,19}))?", re.ASCII)
_FACTORS = {"": 1, "k": 1_000, "m": 1_000_000}


def verb(command: Callable[..., None]) -> str:
    """What a person types for a command: the name of `evaluate_command` is `evaluate`, as the function of the api is."""
    return command.__name__.removesuffix("_command")


def count(text: str) -> int:
    """A whole number, written 500, 20k or 1.5M; `ValueError` otherwise."""
    match = _COUNT.fullmatch(text.strip())
    value = Decimal(match[1].replace("_", "")) * _FACTORS[match[2].lower()] if match and len(text) < 40 else None
    if value is None or value != value.to_integral_value():
        raise ValueError(f"{_short(text)} is no count; expected a whole number such as 500, 20k or 1.5M")
    if abs(value) >= 2**63:
        raise ValueError(f"it is {_short(text)}; expected less than 2^63")
    return int(value)


def seeds(text: str) -> list[int]:
    """Seeds in the order typed, written 0-35,88 (both ends of a range included); `ValueError` otherwise."""
    found: list[int] = []
    for part in text.split(","):
        match = _SEEDS.fullmatch(part.strip())
        if not match:
            raise ValueError(f"{_short(text)} names no seeds; expected whole numbers and ranges such as 0-35,88")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last >= 2**63:
            raise ValueError(f"{_short(part)} is no range of seeds; expected the lower one first, below 2^63")
        if len(found) + last - first >= MAX_SEEDS:
            raise ValueError(f"{_short(text)} names more than {MAX_SEEDS} seeds; ask for fewer at a time")
        found.extend(range(first, last + 1))
    return found


def number(text: str) -> float:
    """A finite number; `ValueError` otherwise."""
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{_short(text)} is no number; expected one such as 10 or 0.5") from None
    if not math.isfinite(value):
        raise ValueError(f"it is {value}; expected a finite number")
    return value


def share(text: str) -> float:
    """A finite number, written 0.2 or 20%; `ValueError` otherwise."""
    plain = text.strip()
    try:
        value = float(f"{plain[:-1].strip()}e-2") if plain.endswith("%") else float(plain)
    except ValueError:
        value = math.nan
    if math.isnan(value) or math.isinf(value):
        raise ValueError(f"{_short(text)} is no share; expected one such as 20% or 0.2")
    return value


def reader_of(field: dataclasses.Field[Any], hint: Any) -> Callable[[str], Any] | None:
    """What reads the number of an option; None where it is no number."""
    if field.metadata.get("percent"):
        return share
    return {int: count, float: number}.get(_plain(hint))


def bounded(read: Callable[[str], Any], low: float | None = None, high: float | None = None) -> Any:
    """A converter that reads one value and refuses what is out of bounds (inclusive)."""

    def convert(kind: Any, tokens: Sequence[Token]) -> Any:
        value = read(tokens[0].value)
        if (low is not None and value < low) or (high is not None and value > high):
            raise ValueError(f"it is {_short(tokens[0].value)}; expected {_range(low, high)}")
        return value

    return convert


def flag(meaning: str, *, low: float | None = None, high: float | None = None) -> Parameter:
    """A flag that takes a count, such as 20k, within bounds (inclusive)."""
    return Parameter(help=meaning, converter=bounded(count, low, high))


# How --help groups the options of training, in this order.
GROUPS = {
    name: Group(title, sort_key=place)
    for place, (name, title) in enumerate(
        {
            "model": "Model",
            "losses": "Losses and regularisation",
            "optimisation": "Optimisation",
            "sampling": "Sampling (can be changed after training)",
            "data": "Data",
            "run": "Run",
        }.items(),
        start=1,
    )
}


def from_fields(owner: type, group: Group | None = None, *, skip: Iterable[str] = ()) -> list[inspect.Parameter]:
    """A keyword parameter for each option of a dataclass, with its default, meaning and bounds; in the option's own group
    of `GROUPS`, or all in one."""
    hints = get_type_hints(owner)
    fields = [field for field in options_of(owner) if field.name not in set(skip)]
    own = [GROUPS[field.metadata.get("group", "model")] for field in fields]
    return [_parameter(field, hints[field.name], group or each) for field, each in zip(fields, own)]


def _parameter(field: dataclasses.Field[Any], hint: Any, group: Group) -> inspect.Parameter:
    low, high = field.metadata.get("low"), field.metadata.get("high")
    read = reader_of(field, hint)
    note = Parameter(
        help=field.metadata.get("meaning", ""),
        group=group,
        converter=bounded(read, low, high) if read else None,
        negative=f"--no-{field.name}" if get_origin(hint) is tuple else None,
    )
    return keyword(field.name, Annotated[hint, note], field.default)


def keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    """A parameter given by name only."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def _plain(hint: Any) -> Any:
    """`int` for `int | None`, other types as they are."""
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    return kinds[0] if len(kinds) == 1 and type(None) in get_args(hint) else hint


def _range(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"at most {high}" if low is None else f"at least {low}"
    return f"{low} to {high}"


def _short(text: str) -> str:
    """The text as it may stand in a one-line message."""
    quoted = ascii(text)
    return quoted if len(quoted) <= 60 else quoted[:60] + "..."
