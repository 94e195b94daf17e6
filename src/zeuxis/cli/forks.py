"""`zeuxis branch` and `zeuxis verify`: a run forked with an option changed; and whether its last interval repeats."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, get_args

from cyclopts import App, Parameter

from zeuxis.cli import flags, sampling, train
from zeuxis.cli.output import say
from zeuxis.errors import ZeuxisError
from zeuxis.escaping import printable
from zeuxis.training.settings import FIXED, LIMITS, TrainSettings

if TYPE_CHECKING:
    from zeuxis.model import Model
    from zeuxis.training.config import Recipe

BRANCH_HELP = (
    "Fork a RUN at a checkpoint, with one option or several changed; all else stays as it is, bit for bit. The branch is a "
    "run of its own, with the metrics of its past."
)
BRANCH_EPILOGUE = (
    "Example: zeuxis branch 1 --at 4000 --r1-gamma 0, then zeuxis compare 1 2. `zeuxis branch RUN --help` lists the options "
    "of the run's family, with the run's values. A run keeps two checkpoints, or more with --keep-checkpoints."
)
_SHAPE = frozenset({"size", "channels", "source_channels"})  # refused, with the reason, but not listed
_AT = "step of the checkpoint to fork at (default: the newest)"
At = Annotated[int | None, Parameter(help=_AT, converter=flags.bounded(flags.count, 1), group=train.HERE)]
_CODE = Annotated[
    str | None, Parameter(help="my_module:MyModel, to trust a family from outside Zeuxis", group=train.HERE)
]


def register(app: App, tokens: Sequence[str]) -> None:
    """Add `branch`, with the flags of the family of the run that the tokens name, and `verify`."""
    words = tokens[1:] if tokens[:1] == ["branch"] else []
    command = App(
        name="branch", help=BRANCH_HELP, help_epilogue=BRANCH_EPILOGUE, usage="Usage: zeuxis branch RUN [OPTIONS]"
    )
    command.default(_branch(words))
    app.command(command)
    app.command(verify_command, name=flags.verb(verify_command))


def _branch(words: Sequence[str]) -> Callable[..., None]:
    """The function behind `branch`, whose signature lists the flags."""

    def _branch_from(*typed: str, **given: Any) -> None:
        from zeuxis.api.forks import branch_with

        at, family = given.pop("at", None), given.pop("family", None)
        say(f"run {branch_with(typed[0], given, at=at, family=family)}")

    name = Annotated[str, Parameter(help="the run's folder, or its number or name under runs/")]
    run = inspect.Parameter("run", inspect.Parameter.POSITIONAL_ONLY, annotation=name)
    own = [run, flags.keyword("at", At, None), flags.keyword("family", _CODE, None)]
    _branch_from.__signature__ = inspect.Signature([*own, *_options(words)])  # type: ignore[attr-defined]
    return _branch_from


def _options(words: Sequence[str]) -> list[inspect.Parameter]:
    """The options that can be changed, with the run's values as defaults; the general ones alone where no run is named."""
    if not words or words[0].startswith("-"):
        return [_shown(each, None) for each in flags.from_fields(TrainSettings)]
    found = _of_run(words)
    if found is None:
        return [_shown(each, None) for each in _of_any_family().values()]
    recipe, family = found
    saved = {
        **recipe.options,
        **{each.name: getattr(recipe.settings, each.name) for each in flags.from_fields(TrainSettings)},
    }
    parameters = [*flags.from_fields(family), *flags.from_fields(TrainSettings)]
    return [_shown(each, None if each.name in LIMITS else saved.get(each.name, each.default)) for each in parameters]


def _shown(parameter: inspect.Parameter, value: Any) -> inspect.Parameter:
    """The flag with that default; one that a branch must refuse is taken, but not listed."""
    (kind, *notes) = get_args(parameter.annotation)
    if parameter.name in FIXED or parameter.name in _SHAPE:
        notes = [*notes, Parameter(show=False)]
    if parameter.name == "steps":
        notes = [*notes, Parameter(help="new last step (default: that of the run)")]
    default = printable(value) if isinstance(value, str) else value
    return parameter.replace(annotation=Annotated[kind | None, *notes], default=default)


def _of_run(words: Sequence[str]) -> tuple[Recipe, type[Model]] | None:
    """The recipe and the family of the run that is named first; what is wrong with it is said where it is forked."""
    from zeuxis import loading
    from zeuxis.storage import RunFolder
    from zeuxis.training.config import read_recipe

    try:
        recipe = read_recipe(RunFolder(loading.find_run(words[0])).config)
        return recipe, loading.trusted(recipe.family, sampling.trusted_code(words))
    except ZeuxisError:
        return None


def _of_any_family() -> dict[str, inspect.Parameter]:
    """The options of all families by name: where the run is not there, that is what is said, and not of an option."""
    from zeuxis import families, registry

    owners = [*(families.find(name) for name in registry.built_in()), TrainSettings]
    return {each.name: each for owner in owners for each in flags.from_fields(owner)}


class NotRepeatedError(ZeuxisError):
    """Training an interval again gave other bits."""


def verify_command(
    run: Annotated[str, Parameter(help="the run's folder, or its number or name under runs/")],
    /,
    *,
    json: Annotated[bool, Parameter(help="print the outcome as JSON", negative=())] = False,
    family: sampling.Code = None,
) -> None:
    """Train a run's last interval between two checkpoints again, in memory: exit code 0 if it gives the same bits, 1 if not.

    Nothing in the run is touched. Tensors that differ are listed, with what has changed since: versions, threads, kernels.
    """
    from zeuxis import api

    found = api.verify(run, family=family)
    say(*(found.to_json().splitlines() if json else found.lines()))
    if not found.same:
        raise NotRepeatedError(found.summary())
