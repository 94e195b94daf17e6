"""A training run from start to end: new, or resumed exactly."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from zeuxis.data import DataSpec, Pack
from zeuxis.data.batches import PackSource, PairSource, open_data, source_of
from zeuxis.data.pairs import Pairs
from zeuxis.data.places import given_again, missing, paths_of
from zeuxis.data.specs import Data
from zeuxis.errors import DataError, UsageError
from zeuxis.escaping import quote
from zeuxis.io.paths import check_root
from zeuxis.judging.periodic import PeriodicEvaluation
from zeuxis.judging.reference import choose_reference
from zeuxis.judging.translation import choose_pairs
from zeuxis.loading import trusted
from zeuxis.loggers.feeding import open_loggers
from zeuxis.metrics import extractors
from zeuxis.model import Model, Translator
from zeuxis.options import Device
from zeuxis.runtime import signals
from zeuxis.runtime.callbacks import MessageCallback
from zeuxis.runtime.device import choose_device, choose_precision, memory_kept
from zeuxis.runtime.notebook import open_live
from zeuxis.runtime.progress import Display, noting, open_display
from zeuxis.runtime.signals import Interrupt, Stop, Stopped
from zeuxis.storage import Checkpoint, RunFolder
from zeuxis.training import contact_sheets, engine
from zeuxis.training.advice import warnings_of_few
from zeuxis.training.batch_sizes import check_labels, check_micro_batches, check_one_image
from zeuxis.training.beginning import begin_with
from zeuxis.training.budget import Budget
from zeuxis.training.build import prepare_model, values_in_force
from zeuxis.training.config import Recipe, read_recipe, recorded, selected_by
from zeuxis.training.dry_run import Plan, plan_run
from zeuxis.training.engine import State
from zeuxis.training.greeting import greet, noted_and_logged
from zeuxis.training.loop import Training
from zeuxis.training.resuming import Resumed, check_identity, on_device, take_up
from zeuxis.training.settings import TrainSettings
from zeuxis.training.standing import failures_logged
from zeuxis.training.stopping import Callback
from zeuxis.training.transfer import FirstWeights

Began = Callable[[Path, MessageCallback], None]

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
    with on_stage(display) as (stop, shown):
        check_root(settings.out, paths_of(data))
        data, first = _selected(data, settings, family), FirstWeights.of(settings.init_from, family)
        settings = _settled_on(settings, data, first)
        shape, preset = data.own_shape, settings.preset
        options = values_in_force(family, shape=shape, preset=preset, given=options, start=first.start)
        check_micro_batches(settings.batch_size or family.batch_size, settings.micro_batches)
        settings, model = prepare_model(settings, family, options, shown, fill=first)
        pack = _open(data, model, shown)
        model.class_names = _class_names(model, pack)
        recipe = _recipe(data, settings, model, pack, first)
        source = batches(recipe, model, pack)
        scorer = _periodic_evaluation(recipe, model, shown)
        state, name = State.start(model), settings.name or f"{family.family().rpartition(':')[2]}-{pack.name}"
        with stop.later():
            run = RunFolder.create(settings.out, name, recipe.values(), begin=begin_with(first, recipe, state))
        with run.lock(), failures_logged(run):
            _announce(run, pack, shown, began, [*first.lines(), *warnings_of_few(pack, recipe)])
            _train(run, recipe, Resumed(state), source, scorer, stop=stop, display=shown, callbacks=callbacks)
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
    with on_stage(display) as (stop, shown):
        found = RunFolder.open(run)
        found.check_free()
        recipe = on_device(read_recipe(found.config).logging_to(logger), device, shown)
        resumed = take_up(found, recipe, trusted(recipe.family, family), shown)
        recipe = recipe.going_on(steps, minutes, cpu_minutes, done=resumed.state.clock.step)
        _check_steps(resumed.checkpoint, recipe.settings)
        pack = reopened(found, recipe, model := resumed.state.model, shown, given=data)
        model.class_names = resumed.state.average.class_names = _class_names(model, pack)
        check_identity(resumed.checkpoint, recipe)
        source, scorer = batches(recipe, model, pack), _periodic_evaluation(recipe, model, shown)
        with found.lock(), failures_logged(found):  # nothing is written before
            changed = (steps, cpu_minutes, logger, device) != (None,) * 4
            _going_on(found, resumed, recipe if changed else None, shown, began)
            _train(found, recipe, resumed, source, scorer, stop=stop, display=shown, callbacks=callbacks)
    return found.path


def _going_on(run: RunFolder, resumed: Resumed, changed: Recipe | None, display: Display, began: Began | None) -> None:
    _check_untouched(run, resumed.checkpoint)
    if changed:
        run.write_config(changed.values())
    if began:
        began(run.path, display.note)


@contextlib.contextmanager
def on_stage(display: Display | None) -> Iterator[tuple[Stop, Display]]:
    """Signals received and the display open; a signal before the first step ends the run with nothing lost."""
    with signals.signals() as stop:
        try:
            with display or open_live() or open_display() as shown, noting(shown):
                yield stop, shown
        except Interrupt as interrupt:
            raise interrupt.stopped(f"{interrupt}; nothing is lost") from None


def _open(data: DataSpec, model: Model, display: Display) -> Pack | Pairs:
    return open_data(data, model, progress=lambda done, total: display.work("reading images", done, total))


def _class_names(model: Model, data: Pack | Pairs) -> tuple[str, ...]:
    """The names of the labels that a model learns, in their order; none where it learns none."""
    if "label" not in model.needs or not isinstance(data, Pack):
        return ()
    return tuple(attribute.name for attribute in data.attributes) or tuple(data.classes)


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
    if settings.kernels != "auto" or settings.precision != "fp32" or model.device.type != "cpu" or settings.compile:
        return {}  # a GPU measures its own (`runtime.accelerator`)
    source = source_of(pack, seed=settings.seed, device=settings.device, hflip=settings.hflip)
    if not model.needs <= source.columns:
        return {}
    try:
        batch = source.batch(0, settings.batch_size or model.batch_size)
        return engine.choose_kernels(model, batch, steps=settings.last_step, micro_batches=settings.micro_batches)
    except (RuntimeError, MemoryError):  # out of memory, say: the first step will tell
        return {}


def reopened(
    run: RunFolder, recipe: Recipe, model: Model, display: Display, *, given: Data | None = None
) -> Pack | Pairs:
    """The data that the run began with; what to do where it has gone or changed."""
    if given is not None:
        _open(given_again(given, recipe.data), model, display)  # its packs are then in the cache
    if gone := missing(recipe.data):
        raise UsageError(
            f"{gone} is no longer there; if it was moved, write where it is after `data:` in {run.path / 'config.yaml'}"
        )
    pack = _open(recipe.data, model, display)
    if pack.fingerprint != recipe.fingerprint:
        raise DataError(
            f"{recipe.data} has changed since the run began ({len(pack):,} images, {recipe.images:,} then), or the order "
            f"of its classes has{_moved(recipe.classes, _class_names(model, pack))}: "
            "resuming would not be exact; restore the data, or start a new run with --init-from this one"
        )
    return pack


def _moved(before: list[str], now: tuple[str, ...]) -> str:
    """The first class that has another number than it had, in words."""
    for number, (name, other) in enumerate(zip(before, now)):
        if name != other:
            return f" (number {number} was {quote(name)}, and is {quote(other)})"
    return ""


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
    run: RunFolder,
    recipe: Recipe,
    resumed: Resumed,
    source: PackSource | PairSource,
    scorer: PeriodicEvaluation | None,
    *,
    stop: Stop,
    display: Display,
    callbacks: Sequence[Callback],
) -> None:
    state, checkpoint, settled = resumed.state, resumed.checkpoint, resumed.settled
    step, budget = state.clock.step, Budget(recipe.settings)
    reals = contact_sheets.reals_of(run, recipe, state.model, source)
    if checkpoint:
        budget.resumed(checkpoint.state)
    # A row that is still owed may have been written by a run that was then killed.
    run.truncate_metrics(-1 if checkpoint is None else step if settled else step - 1)
    greet(run, recipe, checkpoint, display)
    rows, saved = run.metrics()[-100:], step if checkpoint else -1
    log = open_loggers(recipe.settings.logger, run.path, recipe.values(), step=step, say=noted_and_logged(run, display))
    with memory_kept(), log as loggers:
        parts = run, recipe, source, state, stop, display, loggers, reals, budget, scorer
        Training(*parts, settled, rows, saved, resumed.owed, callbacks).go()


def batches(recipe: Recipe, model: Model, pack: Pack | Pairs) -> PackSource | PairSource:
    """The batches of the run, if the data has what the losses need."""
    settings = recipe.settings
    source = source_of(pack, seed=settings.seed, device=settings.device, hflip=settings.hflip)
    if missing := model.needs - source.columns:
        start = recipe.started_from.get("model") if "label" in missing else None
        hint = f"; options that are not given are those of {start}: give --num-classes 0, say" if start else ""
        what = f"{recipe.family} learns from {', '.join(sorted(missing))}, which {recipe.data} does not have"
        raise DataError(f"{what}{hint}")
    check_labels(model, pack)
    check_one_image(model, source, settings)
    return source


def _periodic_evaluation(recipe: Recipe, model: Model, display: Display) -> PeriodicEvaluation | None:
    """The periodic evaluation, where enabled."""
    settings = recipe.settings
    if not settings.evaluate_every:
        return None
    extractor = extractors.find_extractor("lite0", device=settings.device)
    if isinstance(model, Translator):
        pairs = choose_pairs(model, recipe.data, count=settings.evaluate_samples)
        return PeriodicEvaluation.of_translations(pairs, extractor)
    chosen = choose_reference(recipe.data, count=settings.evaluate_samples, size=model.size, channels=model.channels)
    return PeriodicEvaluation.of_samples(chosen, extractor, progress=display.work)
