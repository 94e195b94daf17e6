"""The model that a command draws with: where it computes, whom to trust, and the options it may be given anew."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

from cyclopts import Group, Parameter

from zeuxis.cli import flags
from zeuxis.errors import UsageError
from zeuxis.escaping import printable
from zeuxis.options import Device, Precision, checked
from zeuxis.runtime import cpu_load

if TYPE_CHECKING:
    from zeuxis.model import Model

Place = Annotated[Device, Parameter(help="device; auto: cuda, else mps, else cpu")]
Code = Annotated[str | None, Parameter(help="my_module:MyModel, to trust a family from outside Zeuxis")]
Format = Annotated[
    Precision,
    Parameter(help="number format of the pictures; auto: fp32, as bf16 is faster and changes edges"),
]
# What a command gets to load its model by; no flag of its own.
Load = Annotated[Callable[[], "Model"], Parameter(parse=False)]


def accepting(command: Callable[..., None], tokens: Sequence[str]) -> Callable[..., None]:
    """The command, whose first word names a model, with flags in the place of its `load`: where to compute, whom to trust,
    and the options of the model that the tokens name after it."""
    signature = inspect.signature(command, eval_str=True)
    more = _flags(tokens[1:]) if tokens[:1] == [flags.verb(command)] else []

    # Underlines, as the parser would take the annotation of a `words` here for that of the command's own.
    def _command(*_words: Any, **_given: Any) -> None:
        where = {name: _given.pop(name) for name in ("device", "family", "precision") if name in _given}
        since = cpu_load.now()
        options = {parameter.name: _given.pop(parameter.name) for parameter in more if parameter.name in _given}
        command(*_words, **_given, load=partial(_load, _words[0], since, **where, options=options))

    _command.__name__, _command.__doc__ = flags.verb(command), command.__doc__
    own = [parameter for parameter in signature.parameters.values() if parameter.name != "load"]
    own += [flags.keyword("device", Place, "auto"), flags.keyword("precision", Format, "auto")]
    own += [flags.keyword("family", Code, None)]
    # A command's own flag of that name stays.
    added = [parameter for parameter in more if parameter.name not in signature.parameters]
    _command.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
    return _command


def _load(
    model: str,
    since: cpu_load.Moment,
    *,
    device: Device = "auto",
    precision: Precision = "auto",
    family: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Model:
    from zeuxis import api
    from zeuxis.runtime.device import leave_busy_cores

    leave_busy_cores(since)  # importing torch took long enough to see which are
    return api.load(model, device=device, family=family, options=options, precision=precision)


def _flags(words: Sequence[str]) -> list[inspect.Parameter]:
    """The flags of the model that is named first, with the values that were saved as defaults; none where there is none."""
    if not words or words[0].startswith("-"):
        return []
    from zeuxis import loading, renamed
    from zeuxis.io import files
    from zeuxis.model import options_of

    try:
        config = files.read_json(loading.find_model(words[0]) / "config.json")
        family = loading.trusted(str(config["family"]), trusted_code(words))
        saved = renamed.options(family.family(), config["options"])
    except (UsageError, KeyError, TypeError, ValueError):
        return []  # what is wrong with the model is said where it is loaded
    free = {field.name: field for field in options_of(family, at_sampling=True)}
    kept = {field.name for field in options_of(family)} - free.keys()
    parameters = flags.from_fields(family, _group(family), skip=kept)
    return [
        _of_class(parameter, _group(family)) if free[parameter.name].metadata.get("of_class") else parameter
        for parameter in (each.replace(default=_saved(family, saved, each)) for each in parameters)
    ]


def _of_class(parameter: inspect.Parameter, group: Group) -> inspect.Parameter:
    """The flag of a class, which takes text: its number, or its name."""
    (note,) = (each for each in get_args(parameter.annotation) if isinstance(each, Parameter))
    text = Parameter(help=note.help, group=group, allow_leading_hyphen=True)
    return parameter.replace(annotation=Annotated[str, text], default=str(parameter.default))


def _saved(family: type[Model], saved: Mapping[Any, Any], parameter: inspect.Parameter) -> Any:
    """The value that was saved for an option, as --help may show it; the family's default where it is none."""
    (field,) = (field for field in dataclasses.fields(family) if field.name == parameter.name)
    try:
        value = checked(field, get_type_hints(family)[field.name], saved.get(field.name, parameter.default))
    except UsageError:
        return parameter.default
    return printable(value) if isinstance(value, str) else value


def _group(family: type[Model]) -> Group:
    return Group(f"Options of {family.family()}", sort_key=2)


def trusted_code(words: Sequence[str]) -> str | None:
    """The class outside Zeuxis that the words trust."""
    for word, following in zip(words, [*words[1:], None]):
        if word.startswith("--family="):
            return word.removeprefix("--family=")
        if word == "--family":
            return following
    return None
