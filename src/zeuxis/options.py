"""Options as fields of a dataclass: a default, a meaning, bounds, and the check of a value (no torch)."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import field
from typing import Any, Literal, get_args, get_origin

from zeuxis.errors import UsageError
from zeuxis.registry import address

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "fp32", "bf16"]
ResizeMode = Literal["crop", "pad", "tiles"]
ResizeModeOrAuto = Literal["auto", "crop", "pad", "tiles"]  # `auto`: what suits the family
Kernels = Literal["auto", "standard"]


def option(
    default: Any, meaning: str, *, low: float | None = None, high: float | None = None, at_sampling: bool = False
) -> Any:
    """A field that is an option: its default, its meaning in one line, its bounds (inclusive), and whether a trained
    model may be given another value (`Model.adjust`, and the flags of the commands that draw)."""
    return field(default=default, metadata={"meaning": meaning, "low": low, "high": high, "at_sampling": at_sampling})


def derived() -> Any:
    """A field that follows from the options: no flag, not saved; `build` gives it its value."""
    return field(init=False, default=0)


def options_of(owner: type, *, at_sampling: bool = False) -> list[dataclasses.Field[Any]]:
    """The fields of a dataclass that are options, or only those that a trained model may be given anew."""
    fields = [f for f in dataclasses.fields(owner) if f.init]
    return [f for f in fields if f.metadata.get("at_sampling")] if at_sampling else fields


def checked(f: dataclasses.Field[Any], kind: Any, value: Any) -> Any:
    """The value, as the field's type; raise `UsageError` where it is of another type or out of bounds."""
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise UsageError(f"{_flag(f)} is {value!r}; choose one of {', '.join(map(str, get_args(kind)))}")
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(kind, type) and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
        raise UsageError(f"{_flag(f)} is {value!r}; expected {kind.__name__}")
    if kind is float and not math.isfinite(value):
        raise UsageError(f"{_flag(f)} is {value}; expected a finite number")
    low, high = f.metadata.get("low"), f.metadata.get("high")
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        wanted = f"at least {low}" if high is None else f"at most {high}" if low is None else f"{low} to {high}"
        raise UsageError(f"{_flag(f)} is {value}; expected {wanted}")
    return value


def _flag(f: dataclasses.Field[Any]) -> str:
    return "--" + f.name.replace("_", "-")


def check_declaration(owner: type) -> None:
    """Raise `UsageError` where a class with options is not the dataclass it must be: its decorator, or `eq=False`, is missing."""
    where = address(owner)
    for name, value in vars(owner).items():
        if isinstance(value, dataclasses.Field):
            raise UsageError(
                f"the option {name} of {where} is not read, as the class is no dataclass; write @dataclass(eq=False) above it"
            )
    if owner.__hash__ is None:
        raise UsageError(f"{where} cannot be hashed, as torch needs; write @dataclass(eq=False) above it")
