"""Checks of how a family is written: its decorator, options, networks, players."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import Field
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from zeuxis import families
from zeuxis.errors import UsageError
from zeuxis.model import Model, options_of
from zeuxis.options import check_declaration, checked
from zeuxis.testing.case import Case, demand
from zeuxis.training.players import check_owners


def options_are_declared(case: Case) -> None:
    """The class is a dataclass with `eq=False`, and each of its fields is an `option`."""
    check_declaration(case.family)
    hints = get_type_hints(case.family)
    for field in options_of(case.family):
        demand(
            bool(field.metadata.get("meaning")),
            f"the field {field.name} has no meaning that --help could show; write {field.name}: {field.type} = "
            f'option({field.default!r}, "what it means")',
        )
        plain = _plain(hints[field.name])
        demand(plain, f"the option {field.name} is a {field.type}; options are int, float, str, bool or Literal[...]")


def _plain(kind: Any) -> bool:
    """Whether options may be of this type."""
    if get_origin(kind) in (Union, UnionType):
        return all(map(_plain, get_args(kind)))
    return get_origin(kind) is Literal or kind in (int, float, str, bool, NoneType)


def nothing_is_missing(case: Case) -> None:
    """The class has all methods of the types it is derived from."""
    missing = sorted(case.family.__abstractmethods__)
    demand(not missing, f"{', '.join(missing)} is missing; a model of its type has {', '.join(missing)}")


def its_name_finds_it(case: Case) -> None:
    """The class is found by its name, as runs and saved models are."""
    name = case.family.family()
    demand("<locals>" not in name, f"{name} is a class inside a function; move it to the top of a module")
    demand(families.find(name) is case.family, f"{name} names another class; give them different names")


def never_yields_inside_with(case: Case) -> None:
    """No method yields inside a `with`: what it switches would stay so while others play."""
    for owner in case.family.__mro__:
        if issubclass(owner, Model) and owner.__module__ != Model.__module__:
            for line in _yields_inside_with(owner):
                demand(False, f"{owner.__name__} yields inside a with, in line {line}; end the with before the yield")


def _yields_inside_with(owner: type) -> Iterator[int]:
    """The lines of the module where a method of the class does so; none where there is no source to read."""
    try:
        lines, first = inspect.getsourcelines(owner)
    except (OSError, TypeError):
        return
    for outer in ast.walk(ast.parse(textwrap.dedent("".join(lines)))):
        if isinstance(outer, ast.With | ast.AsyncWith):
            for inner in ast.walk(outer):
                if isinstance(inner, ast.Yield | ast.YieldFrom):
                    yield first + inner.lineno - 1


def options_are_checked(case: Case) -> None:
    """An option of another type, or out of its bounds, is refused by an error that names its flag."""
    hints = get_type_hints(case.family)
    for field in options_of(case.family):
        flag = "--" + field.name.replace("_", "-")
        for wrong in _wrong(field, hints[field.name]):
            said = _refusal(case, {field.name: wrong})
            demand(said is not None, f"{flag} may be {wrong!r}; call super().__post_init__(), which checks options")
            demand(flag in (said or ""), f"{flag} {wrong!r} is refused by an error that does not name {flag}: {said}")


def _wrong(field: Field[Any], kind: Any) -> Iterator[Any]:
    """Values that the field may not have."""
    if get_origin(kind) is Literal:
        yield "none of these"
    elif kind is int:
        yield from ("64", True, 1.5)
    elif kind is float:
        yield from ("0.5", float("nan"))
    elif kind in (bool, str):
        yield 3
    if field.metadata.get("low") is not None:
        yield field.metadata["low"] - 1
    if field.metadata.get("high") is not None:
        yield field.metadata["high"] + 1


def _refusal(case: Case, options: dict[str, Any]) -> str | None:
    try:
        case.model(options)
    except UsageError as error:
        return str(error)
    except Exception:  # it came as far as the family's own code
        return None
    return None


def presets_are_options(case: Case) -> None:
    """The values of every preset are ones that the options of their names may have."""
    fields, hints = {field.name: field for field in options_of(case.family)}, get_type_hints(case.family)
    for preset, values in case.family.presets.items():
        for name, value in values.items():
            demand(name in fields, f"the preset {preset} sets {name!r}, which is no option")
            checked(fields[name], hints[name], value)


def networks_have_parameters(case: Case) -> None:
    """`build` makes networks, with something to learn, and those that only training uses are among them."""
    model = case.model()
    for name in model.training_only:
        demand(hasattr(model, name), f"training_only names {name!r}, which build does not make; assign self.{name}")


def every_parameter_has_one_player(case: Case) -> None:
    """Every parameter belongs to the optimizer of one player."""
    model = case.model()
    optimizers = model.optimizers()
    demand(isinstance(optimizers, dict), f"optimizers gives a {type(optimizers).__name__}; expected one by player")
    check_owners(model, optimizers)
