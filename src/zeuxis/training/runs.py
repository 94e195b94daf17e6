"""A training run from start to end: new, or resumed exactly."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from zeuxis.data import DataSpec, Pack
from zeuxis.data.batches import PackSource, PairSource, source_of
from zeuxis.data.pairs import Pairs
from zeuxis.data.places import paths_of
from zeuxis.data.specs import Data
from zeuxis.errors import UsageError
from zeuxis.io.paths import check_root
from zeuxis.judging.periodic import PeriodicEvaluation
from zeuxis.loading import trusted
from zeuxis.loggers.feeding import open_loggers
from zeuxis.model import Model, Translator
from zeuxis.options import Device
from zeuxis.runtime.callbacks import MessageCallback
from zeuxis.runtime.device import choose_device, choose_precision, memory_kept
from zeuxis.runtime.launcher_store import begun, remember
from zeuxis.runtime.progress import Display
from zeuxis.runtime.ranks import processes
from zeuxis.runtime.signals import Stopped
from zeuxis.storage import Checkpoint, RunFolder
from zeuxis.training import contact_sheets, engine
from zeuxis.training.advice import warnings_of_few
from zeuxis.training.batch_sizes import check_micro_batches
from zeuxis.training.beginning import begin_with
from zeuxis.training.build import prepare_model, values_in_force
from zeuxis.training.config import PER_MICRO_BATCH, Recipe, read_recipe, recorded, selected_by
from zeuxis.training.dry_run import Plan, plan_run
from zeuxis.training.engine import State
from zeuxis.training.following import follow, lead, open_by_all, reopened_by_all, shared_out, spent_before
from zeuxis.training.greeting import greet, noted_and_logged
from zeuxis.training.loop import Training
from zeuxis.training.micro_batches import check_processes
from zeuxis.training.resuming import Resumed, check_identity, on_device, take_up
from zeuxis.training.run_data import batches, learned_classes, periodic_evaluation
from zeuxis.training.settings import TrainSettings
from zeuxis.training.stage import RunStage, on_stage
from zeuxis.training.standing import failures_logged
from zeuxis.training.stopping import Callback
from zeuxis.training.transfer import FirstWeights

Began = Callable[[Path, MessageCallback], None]
_AS_BEFORE = {"steps": None, "minutes": None, "cpu_minutes": None}  # the limits of a run

__all__ = ["Began", "Plan", "Stopped", "choose_device", "choose_precision", "plan_run", "resume_run", "start"]


def start(
    settings: TrainSettings,
    family: type[Model],
    options: Mapping[str, Any],
    *,
    data: DataSpec,
    display: Display | None = None,
    began: Began | None = None,
    callbacks: Sequence[Callback] = (),
) -> Path:
    """Train a model of the family on the data in a new run folder; that folder, once the run is done.

    `began` is told the folder before the first step, and how to say something to the user; `callbacks` every step.
    Raises `UsageError`, `DataError`, `DivergedError`, `DiskFullError`, or `Stopped` after a signal; the newest
    checkpoint then remains.
    """
    asked = str((family.family(), str(data), settings, sorted(options.items())))
    with processes() as ranks, on_stage(display, ranks) as stage:
        if not ranks.first:
            return follow(stage, family, callbacks=callbacks)
        if before := begun(asked):  # the processes were started again, as one of them had failed
            logger = settings.logger or None
            return _resume(stage, before, family=family, logger=logger, began=began, callbacks=callbacks)
        return _start(stage, settings, family, options, data=data, began=began, callbacks=callbacks, asked=asked)


def _start(
    stage: RunStage,
    settings: TrainSettings,
    family: type[Model],
    options: Mapping[str, Any],
    *,
    data: DataSpec,
    began: Began | None,
    callbacks: Sequence[Callback],
    asked: str,
) -> Path:
    check_root(settings.out, paths_of(data))
    data, first = _selected(data, settings, family), FirstWeights.of(settings.init_from, family)
    settings = shared_out(_settled_on(settings, data, first), stage.ranks)
    shape, preset = data.own_shape, settings.preset
    options = values_in_force(family, shape=shape, preset=preset, given=options, start=first.start)
    check_micro_batches(settings.batch_size or family.batch_size, settings.micro_batches)
    settings, model = prepare_model(settings, family, options, stage.display, fill=first)
    model.class_names = learned_classes(model, pack := open_by_all(stage, settings, data, model))
    recipe = _recipe(data, settings, model, pack, first)
    source, scorer = batches(recipe, model, pack), periodic_evaluation(recipe, model, stage.display)
    lead(stage.ranks, recipe, resumed := Resumed(State.start(model)))
    name = settings.name or f"{family.family().rpartition(':')[2]}-{pack.name}"
    with stage.stop.later():
        run = RunFolder.create(settings.out, name, recipe.values(), begin=begin_with(first, recipe, resumed.state))
    remember(asked, str(run.path.absolute()))
    with run.lock(), failures_logged(run):
        _announce(run, pack, stage.display, began, [*first.lines(), *warnings_of_few(pack, recipe)])
        _train(stage, run, recipe, resumed, source, scorer, callbacks=callbacks)
    return run.path


def _selected(data: DataSpec, settings: TrainSettings, family: type[Model]) -> DataSpec:
    """The data in the form that the family learns from: with sources where it makes them itself, resized as suits it."""
    degradation = family.degradation if issubclass(family, Translator) else None
    return selected_by(settings, data.with_source(degradation), suits=family.resize_mode)


def _settled_on(settings: TrainSettings, data: DataSpec, first: FirstWeights) -> TrainSettings:
    """The settings with the resize mode of the data, and with the folder of the model that the run starts from."""
    folder = None if first.start is None else str(first.start.folder.absolute())
    return dataclasses.replace(settings, resize_mode=data.resize_mode, init_from=folder)


def _recipe(data: DataSpec, settings: TrainSettings, model: Model, pack: Pack | Pairs, first: FirstWeights) -> Recipe:
    """The recipe of a new run; its data as a path that holds wherever a resume begins."""
    recipe = Recipe(model.family(), data.absolute(), model.options, settings, pack.fingerprint, len(pack))
    kernels = _kernels(settings, model, pack)
    start = {} if first.start is None else first.start.record
    return dataclasses.replace(recipe, chosen_kernels=kernels, classes=recorded(model.class_names), started_from=start)


def resume_run(
    run: str | Path,
    *,
    steps: int | None = None,
    minutes: float | None = None,
    cpu_minutes: float | None = None,
    family: type[Model] | str | None = None,
    logger: Sequence[str] | None = None,
    data: Data | None = None,
    device: Device | None = None,
    began: Began | None = None,
    display: Display | None = None,
    callbacks: Sequence[Callback] = (),
) -> Path:
    """Resume a run, on a CPU bit for bit as if never interrupted, to its last step or to `steps`; its folder.

    `minutes` counts from now, `cpu_minutes` from the first limit of the run; `device` is where it goes on from now on.
    Code outside Zeuxis is named: a class in `family`, loggers in `logger`, which replaces the run's. `callbacks` are told
    of every step; `began` is as of `start`. `data` is the run's, given again where its pack is no longer in the cache.
    """
    with processes() as ranks, on_stage(display, ranks) as stage:
        if not ranks.first:
            return follow(stage, family, callbacks=callbacks)
        limits = {"steps": steps, "minutes": minutes, "cpu_minutes": cpu_minutes}
        named = partial(_resume, family=family, logger=logger, data=data, device=device)
        return named(stage, run, limits, began=began, callbacks=callbacks)


def _resume(
    stage: RunStage,
    run: str | Path,
    limits: Mapping[str, Any] = _AS_BEFORE,
    *,
    family: type[Model] | str | None,
    logger: Sequence[str] | None,
    data: Data | None = None,
    device: Device | None = None,
    began: Began | None,
    callbacks: Sequence[Callback],
) -> Path:
    found, shown = RunFolder.open(run), stage.display
    found.check_free()
    recipe = on_device(read_recipe(found.config).logging_to(logger), device, shown)
    check_processes(recipe.settings.micro_batches, stage.ranks, apart=recipe.noise == PER_MICRO_BATCH)
    resumed = take_up(found, recipe, trusted(recipe.family, family), shown)
    recipe = recipe.going_on(**limits, done=resumed.state.clock.step)
    _check_steps(resumed.checkpoint, recipe.settings)
    model = resumed.state.model
    pack = reopened_by_all(stage, found, recipe, model, given=data)
    model.class_names = resumed.state.average.class_names = learned_classes(model, pack)
    check_identity(resumed.checkpoint, recipe)
    source, scorer = batches(recipe, model, pack), periodic_evaluation(recipe, model, shown)
    lead(stage.ranks, recipe, resumed)
    with found.lock(), failures_logged(found):  # nothing is written before
        changed = (limits["steps"], limits["cpu_minutes"], logger, device) != (None,) * 4
        _going_on(found, resumed, recipe if changed else None, shown, began)
        _train(stage, found, recipe, resumed, source, scorer, callbacks=callbacks)
    return found.path


def _going_on(run: RunFolder, resumed: Resumed, changed: Recipe | None, display: Display, began: Began | None) -> None:
    _check_untouched(run, resumed.checkpoint)
    if changed:
        run.write_config(changed.values())
    if began:
        began(run.path, display.note)


def _announce(run: RunFolder, data: Pack | Pairs, display: Display, began: Began | None, lines: Sequence[str]) -> None:
    """Name the run, also to whom it may concern, and say what it starts from, and what of its data is passed over."""
    display.note(f"run {run.path}")
    if began:
        began(run.path, display.note)
    for line in lines:
        display.note(line)
    packs = [data] if isinstance(data, Pack) else [data.source, data.image]
    for line in dict.fromkeys(line for pack in packs for line in pack.passed_over):
        display.note(line)


def _kernels(settings: TrainSettings, model: Model, pack: Pack | Pairs) -> dict[str, str]:
    """The fastest convolution kernels on this computer, where enabled."""
    if settings.kernels != "auto" or model.device.type != "cpu" or settings.compile:
        return {}  # a GPU measures its own (`runtime.accelerator`)
    source = source_of(pack, seed=settings.seed, device=settings.device, hflip=settings.hflip)
    if not model.needs <= source.columns:
        return {}
    try:
        batch = source.batch(0, settings.batch_size or model.batch_size)
        choose = partial(engine.choose_kernels, steps=settings.last_step, micro_batches=settings.micro_batches)
        with memory_kept():  # as in training
            return choose(model, batch, precision=settings.number_format)
    except (RuntimeError, MemoryError):  # out of memory, say: the first step will tell
        return {}


def _check_steps(checkpoint: Checkpoint | None, settings: TrainSettings) -> None:
    if checkpoint and settings.last_step < checkpoint.step:
        raise UsageError(
            f"the run is at step {checkpoint.step}, beyond {settings.last_step}; choose a later end "
            "with --steps or --minutes"
        )


def _check_untouched(run: RunFolder, checkpoint: Checkpoint | None) -> None:
    newest = run.checkpoints()[::-1][len(checkpoint.skipped) if checkpoint else 0 :][:1]
    if newest != ([checkpoint.path] if checkpoint else []):
        raise UsageError(f"{run.path} has gone on since it was opened, in another process; resume it again")


def _train(
    stage: RunStage,
    run: RunFolder,
    recipe: Recipe,
    resumed: Resumed,
    source: PackSource | PairSource,
    scorer: PeriodicEvaluation | None,
    *,
    callbacks: Sequence[Callback],
) -> None:
    state, checkpoint, settled, display = resumed.state, resumed.checkpoint, resumed.settled, stage.display
    step, budget = state.clock.step, spent_before(recipe, resumed)
    reals = contact_sheets.reals_of(run, recipe, state.model, source)
    # A row that is still owed may have been written by a run that was then killed.
    run.truncate_metrics(-1 if checkpoint is None else step if settled else step - 1)
    greet(run, recipe, checkpoint, display)
    rows, saved = run.metrics()[-100:], step if checkpoint else -1
    log = open_loggers(recipe.settings.logger, run.path, recipe.values(), step=step, say=noted_and_logged(run, display))
    stage.ranks.told(str(run.path))
    with memory_kept(), log as loggers:
        parts = run, recipe, source, state, stage.stop, display, loggers, reals, budget, scorer
        Training(*parts, settled, rows, saved, resumed.owed, callbacks, stage.ranks).go()
