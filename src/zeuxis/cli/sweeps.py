"""`zeuxis sweep`: every combination of the values typed for some flags of `zeuxis train`, one run after another."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import Field
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

from cyclopts import App, Parameter

from zeuxis import families
from zeuxis.cli import flags, train
from zeuxis.cli.output import say, say_aside
from zeuxis.errors import UsageError
from zeuxis.options import checked, flag_of, options_of
from zeuxis.training.settings import TrainSettings

if TYPE_CHECKING:
    from zeuxis.model import Model

SWEEP_HELP = (
    "Train a FAMILY on DATA for every combination of values, one run after another. Flags of `zeuxis train` take several "
    "values here, separated by commas; --seed also takes ranges. The same command goes on with a sweep that was broken off."
)
SWEEP_EPILOGUE = (
    "Example: zeuxis sweep dcgan avatars --seed 0-4 --lr 1e-3,5e-4 --steps 10k. The runs lie in one folder under runs/, which "
    "zeuxis compare takes as it takes runs. --dry-run shows the runs and the minutes that they will take."
)
MAX_RUNS = 100


def register(app: App, tokens: Sequence[str]) -> None:
    """Add the command, with the flags of the family that the tokens name."""
    words = tokens[1:] if tokens[:1] == ["sweep"] else []
    name = train.typed_family(words)
    family = families.find(name) if name else None
    usage = "Usage: zeuxis sweep FAMILY DATA [TARGET] [OPTIONS]"
    command = App(name="sweep", help=SWEEP_HELP, help_epilogue=SWEEP_EPILOGUE, usage=usage)
    command.default(_command(name, family))
    app.command(command)


def _command(name: str | None, family: type[Model] | None) -> Callable[..., None]:
    """The function behind `sweep`, whose signature lists the flags."""
    parameters = _parameters(family)

    def _sweep_from(*words: Any, **given: Any) -> None:
        typed, data, target = (*words, None, None, None)[:3]
        if family is None or (typed or name) != name or data is None:
            raise UsageError(
                "name the family and the data before the flags, as in: zeuxis sweep dcgan avatars --seed 0-4"
            )
        own = {each: given.pop(each) for each in ("max_runs", "dry_run", "json") if each in given}
        _sweep(family, data if target is None else f"{data} -> {target}", given, **own)

    _sweep_from.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return _sweep_from


def _sweep(
    family: type[Model],
    data: str,
    given: dict[str, Any],
    *,
    max_runs: int = MAX_RUNS,
    dry_run: bool = False,
    json: bool = False,
) -> None:
    from zeuxis.api.sweeps import grid_of
    from zeuxis.training.sweep_report import plan_sweep, report_on
    from zeuxis.training.sweeps import run_sweep

    values = {name: _values(family, name, value) for name, value in given.items()}
    axes = {name: found for name, found in values.items() if len(found) > 1}
    if not axes:
        raise UsageError(
            "no flag has several values, so there is one run: name some, as in --seed 0-4, or use zeuxis train"
        )
    grid = grid_of(family, data, axes, {name: found[0] for name, found in values.items() if len(found) == 1})
    if dry_run:
        say(*plan_sweep(grid, max_runs=max_runs).lines())
        return
    found = report_on(run_sweep(grid, max_runs=max_runs, note=say_aside))
    say(*(found.to_json().splitlines() if json else found.lines()))


def _values(family: type[Model], name: str, typed: Any) -> list[Any]:
    """The values that were typed for a flag; a `UsageError` names the one that cannot be."""
    if not isinstance(typed, str):
        return [typed]
    owner = TrainSettings if name in {field.name for field in options_of(TrainSettings)} else family
    (field,) = (field for field in options_of(owner) if field.name == name)
    hint = get_type_hints(owner)[name]
    try:
        return [checked(field, hint, value) for value in _read(field, hint, typed)]
    except ValueError as error:
        raise UsageError(f"{flag_of(name)}: {error}") from None


def _read(field: Field[Any], hint: Any, typed: str) -> Sequence[Any]:
    kinds = set(get_args(hint) or (hint,))
    if field.name == "seed":
        return flags.seeds(typed)
    if str in kinds:
        return [typed]  # a path, or a name
    parts = [part.strip() for part in typed.split(",")]
    if float in kinds or int in kinds:
        read = flags.reader_of(field, hint) or flags.number
        return [read(part) for part in parts]
    words = {str(word): word for kind in kinds for word in (get_args(kind) or [kind])}
    return [words.get(part, part) for part in parts]


def _parameters(family: type[Model] | None) -> list[inspect.Parameter]:
    """Those of `train`: flags with a value take text, in which there may be several."""
    found = [each for each in train.parameters(family) if each.name not in {"config", "dry_run", "explore"}]
    words = [each for each in found if each.kind is inspect.Parameter.POSITIONAL_ONLY]
    options = [_listed(each) for each in found if each.kind is inspect.Parameter.KEYWORD_ONLY]
    return [*words, *_of_this_command(), *options]


def _listed(parameter: inspect.Parameter) -> inspect.Parameter:
    (kind, note) = get_args(parameter.annotation)
    if kind is bool or get_origin(kind) is tuple:  # several loggers are of each run
        return parameter
    words = [
        str(word) for each in get_args(kind) or () for word in (get_args(each) or [each]) if not isinstance(word, type)
    ]
    choices = f" (choices: {', '.join(words)})" if words else ""
    text = Parameter(help=f"{note.help}{choices}", group=note.group, allow_leading_hyphen=True)
    default = None if parameter.default is None else str(parameter.default)
    return parameter.replace(annotation=Annotated[str | None, text], default=default)


def _of_this_command() -> list[inspect.Parameter]:
    most = Parameter(help="refuse a sweep of more runs", converter=flags.bounded(flags.count, 1), group=train.HERE)
    dry = Parameter(
        help="show the runs, and the minutes that they will take; train nothing", group=train.HERE, negative=()
    )
    plain = Parameter(help="print the table at the end as JSON", group=train.HERE, negative=())
    return [
        flags.keyword("max_runs", Annotated[int, most], MAX_RUNS),
        flags.keyword("dry_run", Annotated[bool, dry], False),
        flags.keyword("json", Annotated[bool, plain], False),
    ]
