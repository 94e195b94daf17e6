"""`zeuxis train` and `zeuxis resume`; the flags of `train` are the fields of `TrainSettings` and of the family named."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from cyclopts import App, Group, Parameter

from zeuxis import families, renamed
from zeuxis.cli import config_file, flags
from zeuxis.cli.output import say
from zeuxis.errors import UsageError
from zeuxis.options import Device, flag_of
from zeuxis.training.settings import TrainSettings

if TYPE_CHECKING:
    from zeuxis.model import Model

HERE = Group("This command", sort_key=0)
TRAIN_HELP = (
    "Train a FAMILY on DATA: a folder, a zip, tars, Parquet, IDX files or a named set such as avatars. Image-to-image "
    "families learn to map DATA, the source, to TARGET."
)
EXPLORE_HELP = (
    "show the training on a page in the browser; once it is done the page stays open, with the model, until Ctrl-C"
)
EPILOGUE = (
    "Example: zeuxis train dcgan avatars --steps 20k. `zeuxis families` lists the families; "
    "`zeuxis train dcgan --help` also shows the options of dcgan."
)


def register(app: App, tokens: Sequence[str]) -> None:
    """Add `train`, with the flags of the family that the tokens or their --config name, and `resume`."""
    words = tokens[1:] if tokens[:1] == ["train"] else []
    config = config_file.read_options(words)
    name = typed_family(words) or config_file.family_of(config)
    config = renamed.typed(name, config)
    family = families.find(name) if name else None
    command = App(
        name="train",
        help=TRAIN_HELP,
        help_epilogue=EPILOGUE,
        usage="Usage: zeuxis train FAMILY DATA [TARGET] [OPTIONS]",
    )
    command.default(_command(name, family, config))
    command.config = (config_file.options_source(config, parameters(family)),) if config else ()
    app.command(command)
    app.command(resume_command, name=flags.verb(resume_command))


def resume_command(
    run: str,
    /,
    *,
    steps: Annotated[int | None, flags.flag("new last step", low=1)] = None,
    minutes: Annotated[float | None, Parameter(converter=flags.bounded(flags.number, 0))] = None,
    cpu_minutes: Annotated[float | None, Parameter(converter=flags.bounded(flags.number, 0))] = None,
    family: Annotated[str | None, Parameter(help="my_module:MyModel, to trust a family from outside Zeuxis")] = None,
    logger: Annotated[tuple[str, ...] | None, Parameter(negative="--no-logger")] = None,
    device: Device | None = None,
    explore: Annotated[bool, Parameter(help=EXPLORE_HELP, negative=())] = False,
) -> None:
    """Resume a stopped run exactly: on a CPU the same bits as if it had never stopped.

    Parameters
    ----------
    run
        the run's folder, or its number or name under runs/
    minutes
        stop after this many minutes of wall-clock time from now
    cpu_minutes
        stop after this many minutes of CPU time in training steps, those before included
    logger
        log to these from now on (default: as before); may be repeated
    device
        device to go on with (default: that of the run)
    """
    from zeuxis.api import training
    from zeuxis.cli.watching import explore_trained, page_beside

    resume = partial(training.resume_with, run, steps=steps, minutes=minutes, cpu_minutes=cpu_minutes)
    with page_beside(explore) as page:
        folder = resume(family=family, logger=logger, device=device, began=page.open if page else None)
    say(f"run {folder}")
    if page:
        explore_trained(folder, page, family)


def _command(name: str | None, family: type[Model] | None, config: dict[str, Any]) -> Callable[..., None]:
    """The function behind `train`, whose signature lists the flags."""

    def _train_from(*words: Any, **given: Any) -> None:
        typed, data, target = (*words, None, None, None)[:3]
        if family is None or (typed or name) != name:
            raise UsageError("name the family before the flags, as in: zeuxis train dcgan avatars --steps 20k")
        given.pop("config", None)
        joined = data if target is None else f"{data} -> {target}"
        dry_run, explore = given.pop("dry_run", False), given.pop("explore", False)
        _train(family, joined or config.get("data"), given, dry_run=dry_run, explore=explore)

    _train_from.__signature__ = inspect.Signature(parameters(family))  # type: ignore[attr-defined]
    return _train_from


def _train(family: type[Model], data: str | None, given: dict[str, Any], *, dry_run: bool, explore: bool) -> None:
    general = {field.name for field in fields(TrainSettings)}
    settings = TrainSettings(**{name: value for name, value in given.items() if name in general})
    options = {name: value for name, value in given.items() if name not in general}
    if dry_run:
        _show_plan(settings, family, data, given)
        return
    if data is None:
        raise UsageError(
            "DATA is missing; expected a folder of images or a named set, as in: zeuxis train dcgan avatars"
        )
    from zeuxis.api import training
    from zeuxis.cli.watching import explore_trained, page_beside

    with page_beside(explore) as page:
        run = training.train_with(family, data, settings, options, began=page.open if page else None)
    say(f"run {run}")
    if page:
        explore_trained(run, page, family.family() if ":" in family.family() else None)


def _show_plan(settings: TrainSettings, family: type[Model], data: str | None, given: dict[str, Any]) -> None:
    from zeuxis import api

    plan = api.dry_run(family, data, **given)
    say(*plan.notes, "options:")
    for name, value in plan.options.items():
        say(f"  {name}: {value}" + (f"  ({plan.origins[name]})" if name in plan.origins else ""))
    say("parameters:")
    for name, number in plan.parameters.items():
        say(f"  {name}: {number:,}")
    say(
        f"memory: {plan.peak_bytes / 2**20:,.0f} MiB, of which weights and optimizers {plan.state_bytes / 2**20:,.0f} MiB"
    )
    paces = [f"{pace.seconds:.3f}" + (f" from step {pace.first:,}" if pace.first else "") for pace in plan.paces]
    say(f"seconds per step on {plan.device}: {', '.join(paces)}; {plan.batch_size} images each")
    for what, minutes in (("minutes", settings.minutes), ("core minutes", settings.cpu_minutes)):
        if minutes is not None:
            say(f"in {minutes:g} {what}: about {plan.steps(60 * minutes, core=what != 'minutes'):,.0f} steps")
    if not settings.endless:
        say(f"all {settings.last_step:,} steps: {plan.seconds(settings.last_step) / 60:,.0f} minutes")


def parameters(family: type[Model] | None) -> list[inspect.Parameter]:
    """The parameters of `train`: two words, its own flags, the family's, the general ones."""
    only, translates = inspect.Parameter.POSITIONAL_ONLY, _translates(family)
    told = Annotated[str | None, Parameter(help="a family, or your own as my_module:MyModel")]
    data = Annotated[
        str | None, Parameter(help="a folder, a zip, tars, Parquet, IDX files, or a named set: avatars, avatars:5000")
    ]
    target = Annotated[
        str | None,
        Parameter(
            help="target images, for image-to-image families; DATA may then be edges, grey, blur, labels or small, derived "
            "from TARGET, or left or right: that half of each file"
        ),
    ]
    return [
        inspect.Parameter("family", only, annotation=told, default=None),
        inspect.Parameter("data", only, annotation=data, default=None),
        *([inspect.Parameter("target", only, annotation=target, default=None)] if translates else []),
        *_of_this_command(),
        *(flags.from_fields(family) if family else _shared()),
        *flags.from_fields(TrainSettings),
    ]


def _of_this_command() -> list[inspect.Parameter]:
    """The flags that are no options of a run."""
    config = Annotated[str | None, Parameter(help="YAML file of options; flags override it", group=HERE)]
    dry_run = Annotated[
        bool,
        Parameter(
            help="show options in force, parameters, memory and seconds per step; train nothing",
            group=HERE,
            negative=(),
        ),
    ]
    explore = Annotated[bool, Parameter(help=EXPLORE_HELP, group=HERE, negative=())]
    return [
        flags.keyword("config", config, None),
        flags.keyword("dry_run", dry_run, False),
        flags.keyword("explore", explore, False),
    ]


def _translates(family: type[Model] | None) -> bool:
    """Whether DATA may be followed by a TARGET; before the family is known it may."""
    if family is None:
        return True
    from zeuxis.model import Translator

    return issubclass(family, Translator)


def _shared() -> list[inspect.Parameter]:
    """The options that every family has, without importing one."""
    group = flags.GROUPS["model"]
    size = Annotated[int | None, Parameter(help="height and width of the images, in pixels", group=group)]
    channels = Annotated[int | None, Parameter(help="image channels: 1 greyscale, 3 RGB", group=group)]
    return [flags.keyword("size", size, None), flags.keyword("channels", channels, None)]


def typed_family(words: Sequence[str]) -> str | None:
    """The first word that is no flag and no flag's value; before the family is known its flags are guessed at."""
    hints = get_type_hints(TrainSettings)
    valued = {flag_of(name) for name, kind in hints.items() if kind is not bool} | {"--config", "--size", "--channels"}
    bare = {flag_of(name) for name, kind in hints.items() if kind is bool} | {"--dry-run", "--explore", "--help", "-h"}
    before = ""
    for word in words:
        known = word in families.names() and before not in valued
        if not word.startswith("-") and (known or not before or before in bare or before.startswith("--no-")):
            return word
        before = word if word.startswith("-") and "=" not in word else ""
    return None
