"""Flags for the options that a trained model may be given anew when it is sampled: those of the model that is named."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from zeuxis.cli import flags
from zeuxis.errors import UsageError

if TYPE_CHECKING:
    from zeuxis.model import Model

# What a command gets: the options that were typed, by name. No flag of its own.
Given = Annotated[Mapping[str, Any] | None, Parameter(parse=False)]


def accepting(command: Callable[..., None], tokens: Sequence[str]) -> Callable[..., None]:
    """The command, with the flags of the model that the tokens name after it; it gets what was typed as `options`."""
    signature = inspect.signature(command, eval_str=True)
    more = _flags(tokens[1:]) if tokens[:1] == [command.__name__] else []
    own = [parameter for parameter in signature.parameters.values() if parameter.name != "options"]

    def _command(*words: Any, **given: Any) -> None:
        options = {parameter.name: given.pop(parameter.name) for parameter in more if parameter.name in given}
        command(*words, **given, options=options)

    _command.__name__, _command.__doc__ = command.__name__, command.__doc__
    # A command's own flag of that name stays.
    added = [parameter for parameter in more if parameter.name not in signature.parameters]
    _command.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
    return _command


def _flags(words: Sequence[str]) -> list[inspect.Parameter]:
    """The flags of the model that is named first, with the values that were saved as defaults; none where there is none."""
    if not words or words[0].startswith("-"):
        return []
    from zeuxis import files, loading
    from zeuxis.model import options_of

    try:
        config = files.read_json(loading.find_model(words[0]) / "config.json")
        family, saved = loading.trusted(str(config["family"]), _family(words)), dict(config["options"])
    except (UsageError, KeyError, TypeError, ValueError):
        return []  # what is wrong with the model is said where it is loaded
    free = {field.name for field in options_of(family, at_sampling=True)}
    kept = {field.name for field in options_of(family)} - free
    return [
        parameter.replace(default=saved.get(parameter.name, parameter.default))
        for parameter in flags.from_fields(family, _group(family), skip=kept)
    ]


def _group(family: type[Model]) -> Group:
    return Group(f"Options of {family.family()}", sort_key=2)


def _family(words: Sequence[str]) -> str | None:
    """The class outside Zeuxis that the words trust."""
    for word, following in zip(words, [*words[1:], None]):
        if word.startswith("--family="):
            return word.removeprefix("--family=")
        if word == "--family":
            return following
    return None
