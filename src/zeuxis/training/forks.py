"""A run forked at one of its checkpoints: a new run with the same past, and other options from there on."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from zeuxis.data.places import paths_of
from zeuxis.data.specs import Data
from zeuxis.errors import UsageError
from zeuxis.escaping import quote
from zeuxis.io import files
from zeuxis.io.paths import check_root
from zeuxis.loading import trusted
from zeuxis.loggers import check_trusted
from zeuxis.model import Model, Translator
from zeuxis.options import flag_of
from zeuxis.runtime.progress import Display
from zeuxis.runtime.signals import Stop
from zeuxis.storage import HISTOGRAMS_FILE, METRICS_FILE, Checkpoint, RunFolder
from zeuxis.training.batch_sizes import check_micro_batches
from zeuxis.training.build import check_options, prepare_model
from zeuxis.training.config import Recipe, read_recipe
from zeuxis.training.model_card import save_model
from zeuxis.training.restoring import layout_of
from zeuxis.training.resuming import Resumed, check_identity, take_up
from zeuxis.training.run_data import reopened
from zeuxis.training.runs import resume_run
from zeuxis.training.settings import FIXED, LIMITS, TrainSettings
from zeuxis.training.stage import on_stage
from zeuxis.training.state import State
from zeuxis.training.transfer import fitted_state

_SHEET = re.compile(r"(\d{8,12})\.png")
_SHAPE = ("size", "channels", "source_size", "source_channels")  # of the images that a model learns from
_MOST = 1 << 32  # bytes of a file of metrics


def branch_run(
    run: str | Path,
    changes: Mapping[str, Any],
    *,
    at: int | None = None,
    data: Data | None = None,
    family: type[Model] | str | None = None,
    display: Display | None = None,
) -> Path:
    """Fork a run at the checkpoint of a step (None: its newest) and train the branch to its end; the branch's folder.

    `changes` are options of the family and of `TrainSettings` by name; all others are the parent's. The branch ends where
    its parent does, unless limits are given. Raises as `runs.start` does; `UsageError` at a change that a branch cannot have.
    """
    with on_stage(display) as (stop, shown, _):
        parent = RunFolder.open(run)
        made, settings = _forked(parent, changes, at, data=data, family=family, stop=stop, display=shown)
    logger = changes.get("logger")
    limits = {} if changes.get("minutes") is None else {name: getattr(settings, name) for name in LIMITS}
    return resume_run(made.path, data=data, family=family, logger=logger, display=display, **limits)


def _forked(
    parent: RunFolder,
    changes: Mapping[str, Any],
    at: int | None,
    *,
    data: Data | None,
    family: type[Model] | str | None,
    stop: Stop,
    display: Display,
) -> tuple[RunFolder, TrainSettings]:
    """The branch's folder with all that it begins with, and its settings."""
    old = read_recipe(parent.config)
    resumed = take_up(parent, old, trusted(old.family, family), display, at=_step(parent, at))
    check_identity(resumed.checkpoint, old)
    recipe, state = _changed(parent, old, resumed, changes, display)
    reopened(parent, recipe, state.model, display, given=data)
    root, name = _place(parent, recipe, changes)
    check_root(root, paths_of(recipe.data))
    step, changed = recipe.fork, told(recipe.parent["changed"], old, resumed)
    line = f"branch of {_name(parent)} at step {step:,}: {changed}"
    begin = partial(_begin, parent=parent, resumed=resumed, recipe=recipe, state=state, line=line)
    with stop.later():
        made = RunFolder.create(root, name, recipe.values(), begin=begin)
    display.note(f"run {made.path}")
    display.note(line)
    return made, recipe.settings


def _step(parent: RunFolder, at: int | None) -> int | None:
    if at is not None and at < 1:
        raise UsageError(f"--at is {at}; expected the step of a checkpoint of {parent.path}, at least 1")
    return at


def _checkpoint(parent: RunFolder, resumed: Resumed) -> Checkpoint:
    if resumed.checkpoint is None:
        raise UsageError(f"{parent.path} has no checkpoint to fork it at yet; train it on, or start a new run")
    return resumed.checkpoint


def _changed(
    parent: RunFolder, old: Recipe, resumed: Resumed, changes: Mapping[str, Any], display: Display
) -> tuple[Recipe, State]:
    """The branch's recipe, and its state at the fork; `UsageError` where the checkpoint cannot be gone on from so."""
    checkpoint, model = _checkpoint(parent, resumed), resumed.state.model
    general = {field.name for field in dataclasses.fields(TrainSettings)}
    given = {name: value for name, value in changes.items() if name not in general}
    check_options(type(model), changes, others=sorted(general))
    asked = _settings(parent, old, {name: value for name, value in changes.items() if name in general}, checkpoint.step)
    _check_shapes(parent, model, {**model.options, **given}, checkpoint)
    settings, new = prepare_model(asked, type(model), {**model.options, **given}, display, fill=None)
    state = State.start(new)
    restored = {**checkpoint.state, "optimizers": _settings_of(state, checkpoint.state["optimizers"])}
    try:
        state.restore(fitted_state(checkpoint.tensors, new), restored)
    except (KeyError, ValueError, TypeError, RuntimeError, IndexError) as error:
        raise _unfit(parent, given, str(error)) from None
    recipe = dataclasses.replace(
        old,
        options=new.options,
        settings=settings,
        chosen_kernels=old.chosen_kernels if settings.kernels == "auto" else {},
        parent={
            "run": _name(parent),
            "step": checkpoint.step,
            "checkpoint": checkpoint.digest,
            "changed": _changes(old, model, settings, new),
        },
    )
    return recipe, state


def _settings(parent: RunFolder, old: Recipe, given: Mapping[str, Any], step: int) -> TrainSettings:
    """The branch's settings: where nothing is said, its end is its parent's, or as far as its parent got."""
    for name, reason in FIXED.items():
        if name in given and given[name] != getattr(old.settings, name):
            raise UsageError(f"{flag_of(name)} cannot change in a branch: {reason}; start a new run instead")
    if given.get("kernels", "standard") == "auto" != old.settings.kernels:
        raise UsageError("--kernels auto measures at the start of a run, so a branch cannot change to it; leave it out")
    if "logger" not in given:
        check_trusted(old.settings.logger)
    if not LIMITS & {name for name, value in given.items() if value is not None}:
        given = {**given, "steps": old.settings.steps or _newest(parent)}
    settings = dataclasses.replace(old.settings, **{"minutes": None, "cpu_minutes": None, **given})
    if not settings.endless and settings.last_step <= step:
        raise UsageError(
            f"the branch would end at step {settings.last_step:,} and begins at {step:,}; choose a later end with --steps, "
            "or an earlier checkpoint with --at"
        )
    check_micro_batches(settings.batch_size or 1, settings.micro_batches)
    return settings


def _newest(parent: RunFolder) -> int:
    rows = parent.metrics()
    return int(rows[-1]["step"]) if rows else 0


def _check_shapes(parent: RunFolder, model: Model, options: Mapping[str, Any], checkpoint: Checkpoint) -> None:
    """Raise `UsageError` unless a model of these options has the checkpoint's tensors and learns from the same images."""
    changed = {name: value for name, value in options.items() if value != model.options[name]}
    unfilled = State.unfilled(type(model), options, parent.path / "config.yaml")
    for name in _SHAPE if isinstance(model, Translator) else _SHAPE[:2]:
        before, after = getattr(model, name), getattr(unfilled.model, name)
        if before != after:
            raise _unfit(parent, changed, f"{name} would be {after}, and its images have {before}")
    if model.needs != unfilled.model.needs:
        needs = " and ".join(", ".join(sorted(each.needs)) for each in (model, unfilled.model))
        raise _unfit(parent, changed, f"the losses would read other columns of the data ({needs})")
    try:
        tensors = fitted_state(checkpoint.tensors, unfilled.model)
        unfilled.check({group: layout_of(values) for group, values in tensors.items()})
    except ValueError as error:
        raise _unfit(parent, changed, str(error)) from None


def _unfit(parent: RunFolder, changed: Mapping[str, Any], reason: str) -> UsageError:
    flags = ", ".join(map(flag_of, changed)) or "nothing"
    return UsageError(
        f"{flags} cannot change in a branch of {parent.path}: {reason}; start a new run, with --init-from where its weights fit"
    )


def _settings_of(state: State, saved: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the branch's optimizers, over the parameters that the checkpoint's were of."""
    fresh = state.scalars()["optimizers"]
    return {
        player: [{**group, "params": before.get("params")} for group, before in zip(groups, saved.get(player, []))]
        for player, groups in fresh.items()
    }


def _changes(old: Recipe, model: Model, settings: TrainSettings, new: Model) -> dict[str, Any]:
    """The values of what the branch changes, by name; where it goes, how far, and who is told of it are no changes."""
    aside = LIMITS | {"out", "name", "logger"}
    general = [field.name for field in dataclasses.fields(TrainSettings) if field.name not in aside]
    found = {
        name: getattr(settings, name) for name in general if getattr(settings, name) != getattr(old.settings, name)
    }
    return found | {name: value for name, value in new.options.items() if value != model.options[name]}


def told(changed: Mapping[str, Any], old: Recipe, resumed: Resumed) -> str:
    """What a branch changes, in words: `r1_gamma 0.5 -> 0.0`."""
    before = {**dataclasses.asdict(old.settings), **resumed.state.model.options}
    return ", ".join(f"{name} {quote(before[name])} -> {quote(changed[name])}" for name in changed) or "nothing changed"


def _place(parent: RunFolder, recipe: Recipe, changes: Mapping[str, Any]) -> tuple[Path, str]:
    """The folder for the branch, its parent's unless one is given, and its name, which says what it changes."""
    number, _, slug = _name(parent).partition("-")
    parts = [f"{name.replace('_', '-')}-{_short(value)}" for name, value in recipe.parent["changed"].items()]
    name = "-".join([slug if number.isdigit() and slug else _name(parent), *(parts or ["branch"])])
    beside = parent.path.parent if parent.path.name == _name(parent) else parent.path.resolve().parent
    return Path(changes.get("out") or beside), str(changes.get("name") or name)


def _name(run: RunFolder) -> str:
    """The name of its folder, which may have been given as `.`."""
    return run.path.resolve().name


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _begin(draft: RunFolder, *, parent: RunFolder, resumed: Resumed, recipe: Recipe, state: State, line: str) -> None:
    """Write what the branch begins with: metrics and sheets up to the fork, the checkpoint there, and its model."""
    checkpoint = _checkpoint(parent, resumed)
    for name in (METRICS_FILE, HISTOGRAMS_FILE):
        if (parent.path / name).exists():
            files.write_file(draft.path / name, files.read_bytes(parent.path / name, max_bytes=_MOST, follow=False))
    draft.truncate_metrics(checkpoint.step if resumed.settled else checkpoint.step - 1)
    _copy_sheets(parent.path, draft.path, checkpoint.step)
    own = {"run": recipe.identity(), "kernels": recipe.chosen_kernels, "optimizers": state.scalars()["optimizers"]}
    scalars = {name: value for name, value in checkpoint.state.items() if name != "processor_seconds"}
    draft.save_checkpoint(checkpoint.step, state.tensors(), {**scalars, **own})
    state.average.class_names = tuple(recipe.classes)
    save_model(draft, recipe, state)
    draft.log(line)


def _copy_sheets(parent: Path, draft: Path, step: int) -> None:
    """The contact sheets of steps up to the fork."""
    for sheet in parent.glob("*/*.png"):
        match = _SHEET.fullmatch(sheet.name)
        if match and int(match[1]) <= step:
            files.make_folder(draft / sheet.parent.name)
            data = files.read_bytes(sheet, max_bytes=1 << 28, follow=False)
            files.write_file(draft / sheet.parent.name / sheet.name, data)
