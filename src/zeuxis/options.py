"""Options as dataclass fields with default, help text, bounds and group, and their validation (no torch)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import field
from types import NoneType
from typing import Any, Literal, get_args, get_type_hints

from zeuxis.errors import UsageError
from zeuxis.escaping import quote
from zeuxis.registry import address

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "fp32", "bf16"]
ResizeMode = Literal["crop", "pad", "tiles"]
ResizeModeOrAuto = Literal["auto", "crop", "pad", "tiles"]  # `auto`: what suits the family
Kernels = Literal["auto", "standard"]
Preset = Literal["paper"]
# Where --help lists an option.
OptionGroup = Literal["model", "losses", "optimisation", "sampling", "data", "run"]


def option(
    default: Any,
    meaning: str,
    *,
    low: float | None = None,
    high: float | None = None,
    group: OptionGroup = "model",
    at_sampling: bool = False,
) -> Any:
    """An option field: default, one line of help, inclusive bounds, group in --help.

    `at_sampling`: a trained model accepts other values, by `Model.adjust` and the flags of the sampling commands.
    """
    shown = "sampling" if at_sampling else group
    return field(
        default=default,
        metadata={"meaning": meaning, "low": low, "high": high, "group": shown, "at_sampling": at_sampling},
    )


def derived() -> Any:
    """A field derived from the options: no flag, not saved; `build` sets it."""
    return field(init=False, default=0)


def options_of(owner: type, *, at_sampling: bool = False) -> list[dataclasses.Field[Any]]:
    """The option fields of a dataclass, or only the sampling options."""
    fields = [f for f in dataclasses.fields(owner) if f.init]
    return [f for f in fields if f.metadata.get("at_sampling")] if at_sampling else fields


def flag_of(name: str) -> str:
    """The flag of an option: `--batch-size` for batch_size."""
    return "--" + name.replace("_", "-")


def checked_options(owner: Any) -> Iterator[tuple[str, Any]]:
    """Name and validated value of each option of an instance; `UsageError` at the first invalid one."""
    hints = get_type_hints(type(owner))
    for f in options_of(type(owner)):
        yield f.name, checked(f, hints[f.name], getattr(owner, f.name))


def checked(f: dataclasses.Field[Any], kind: Any, value: Any) -> Any:
    """The value as the field's type (a type, `Literal`, or their union with None).

    `UsageError` where it is of another type, not finite, or out of bounds.
    """
    flag, kinds = flag_of(f.name), get_args(kind) or (kind,)
    words = [word for each in kinds for word in (get_args(each) or [each]) if not isinstance(word, type)]
    types = [each for each in kinds if isinstance(each, type) and each is not NoneType]
    if value is None and NoneType in kinds:
        return None
    if words and not types:
        if value not in words or isinstance(value, bool):
            raise UsageError(f"{flag} is {quote(value)}; choose one of {', '.join(map(str, words))}")
        return value
    if float in types and type(value) is int and abs(value) < 2**1000:  # beyond it is of a wrong type
        value = float(value)
    if types and type(value) not in types:
        raise UsageError(f"{flag} is {quote(value)}; expected {types[0].__name__}")
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{flag} is {value}; expected a finite number")
    _check_bounds(flag, value, f.metadata.get("low"), f.metadata.get("high"))
    return value


def _check_bounds(flag: str, value: Any, low: float | None, high: float | None) -> None:
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        wanted = f"at least {low}" if high is None else f"at most {high}" if low is None else f"{low} to {high}"
        raise UsageError(f"{flag} is {quote(value)}; expected {wanted}")


def check_declaration(owner: type) -> None:
    """Raise `UsageError` where a class with options is no dataclass with `eq=False`."""
    where = address(owner)
    for name, value in vars(owner).items():
        if isinstance(value, dataclasses.Field):
            raise UsageError(
                f"the option {name} of {where} is not read, as the class is no dataclass; write @dataclass(eq=False) above it"
            )
    if owner.__hash__ is None:
        raise UsageError(f"{where} cannot be hashed, as torch needs; write @dataclass(eq=False) above it")
