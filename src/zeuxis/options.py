"""Options as dataclass fields with default, help text, bounds and group, and their validation (no torch)."""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from numbers import Integral, Real
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from zeuxis.errors import UsageError
from zeuxis.escaping import quote
from zeuxis.registry import address

# Of several GPUs `cuda` is the first.
Device = Literal[
    "auto", "cpu", "cuda", "mps", "cuda:0", "cuda:1", "cuda:2", "cuda:3", "cuda:4", "cuda:5", "cuda:6", "cuda:7"
]  # fmt: skip
Precision = Literal["auto", "fp32", "tf32", "bf16"]
ResizeMode = Literal["crop", "pad", "tiles"]
ResizeModeOrAuto = Literal["auto", "crop", "pad", "tiles"]  # `auto`: what suits the family
Kernels = Literal["auto", "standard"]
Preset = Literal["paper"]
LEAST_HELD_OUT, MOST_HELD_OUT = 0.001, 0.999  # shares of the images
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
    of_class: bool = False,
    percent: bool = False,
    of_weights: bool = False,
) -> Any:
    """An option field: default, one line of help, inclusive bounds, group in --help.

    `at_sampling`: a trained model accepts other values, by `Model.adjust` and the flags of the sampling commands. Of these
    an option `of_class` is a class's number, for which its name may be given where it is known. A number may be typed in
    `percent`, too. `of_weights`: a run that starts from a model's weights (`--init-from`) has its value, as it has those of
    the groups model and sampling.
    """
    shown = "sampling" if at_sampling else group
    about = {"meaning": meaning, "low": low, "high": high, "group": shown, "at_sampling": at_sampling}
    kept = of_weights or shown in ("model", "sampling")
    marks = {"of_class": of_class, "of_weights": kept, "percent": percent}
    return field(default=default, metadata={**about, **marks})


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
    """The value as the field's type (a type, `Literal`, their union with None, or a tuple of names); a number of numpy as
    Python's own.

    `UsageError` where it is of another type, not finite, or out of bounds.
    """
    if get_origin(kind) is tuple:
        return _checked_names(flag_of(f.name), value)
    flag, kinds = flag_of(f.name), get_args(kind) or (kind,)
    value = _plain(value, kinds)
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


def _checked_names(flag: str, value: Any) -> tuple[str, ...]:
    """Each name once, in the order given."""
    if not isinstance(value, list | tuple) or not all(type(name) is str and name for name in value):
        raise UsageError(f"{flag} is {quote(value)}; expected a list of names")
    return tuple(dict.fromkeys(value))


def _plain(value: Any, kinds: Sequence[Any]) -> Any:
    """The number or path as the type that is saved; what is neither as it is."""
    if isinstance(value, os.PathLike) and str in kinds:
        return os.fspath(value)
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    return float(value) if isinstance(value, Real) and not isinstance(value, Integral) else value


def _check_bounds(flag: str, value: Any, low: float | None, high: float | None) -> None:
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        wanted = f"at least {low}" if high is None else f"at most {high}" if low is None else f"{low} to {high}"
        raise UsageError(f"{flag} is {quote(value)}; expected {wanted}")


def numbered(
    fields: Mapping[str, dataclasses.Field[Any]], options: Mapping[str, Any], names: Sequence[str]
) -> dict[str, Any]:
    """The options with the numbers of classes that were given by `names`; `UsageError` where a name is unknown."""

    def of_class(name: str) -> bool:
        return bool(fields[name].metadata.get("of_class")) and isinstance(options[name], str)

    return {
        name: _class_number(flag_of(name), options[name], names) if of_class(name) else options[name]
        for name in options
    }


def _class_number(flag: str, text: str, names: Sequence[str]) -> int:
    """The number of a class, given as it or by name; `number:` or `name:` before it says which, where it could be both."""
    plain = [unicodedata.normalize("NFC", name) for name in names]
    wanted = unicodedata.normalize("NFC", text)
    kind, _, rest = wanted.partition(":")
    number = rest if kind == "number" else wanted
    name = rest if kind == "name" and wanted not in plain else wanted
    as_number = int(number) if kind != "name" and re.fullmatch(r"-?[0-9]{1,9}", number, re.ASCII) else None
    as_name = plain.index(name) if name in plain else None
    if as_number is not None and as_name not in (None, as_number):
        raise UsageError(
            f"{flag} {text} could be a number or the name of class {as_name}; give number:{text} or name:{text}"
        )
    found = as_name if as_number is None else as_number
    if found is None:
        near = difflib.get_close_matches(name, plain, 1)
        hint = (
            f"did you mean {near[0]}?" if near else f"it has {', '.join(plain[:8])}{', ...' if len(plain) > 8 else ''}"
        )
        there = f"no class of the model; {hint}" if names else "no number, and this model has no names of classes"
        raise UsageError(f"{flag} is {text}: {there}")
    return found


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
