"""A run that is shared out over processes: the first one leads, and the others train with it and write nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from zeuxis.data import DataSpec, Pack
from zeuxis.data.pairs import Pairs
from zeuxis.data.places import missing, paths_of
from zeuxis.data.specs import Data
from zeuxis.loading import trusted
from zeuxis.loggers.feeding import Loggers
from zeuxis.model import Model
from zeuxis.runtime.device import memory_kept
from zeuxis.runtime.progress import Display
from zeuxis.runtime.ranks import Ranks
from zeuxis.storage import RunFolder
from zeuxis.training.budget import Budget
from zeuxis.training.build import prepare_model
from zeuxis.training.config import Recipe, read_recipe
from zeuxis.training.loop import Training
from zeuxis.training.micro_batches import check_processes
from zeuxis.training.resuming import Resumed
from zeuxis.training.run_data import batches, learned_classes, open_for, periodic_evaluation, reopened
from zeuxis.training.settings import TrainSettings
from zeuxis.training.stage import RunStage
from zeuxis.training.state import State
from zeuxis.training.stopping import Callback


def shared_out(settings: TrainSettings, ranks: Ranks) -> TrainSettings:
    """The settings with at least one micro-batch for each process; `UsageError` where the processes cannot share them."""
    if settings.micro_batches == 1:
        return dataclasses.replace(settings, micro_batches=ranks.size)
    check_processes(settings.micro_batches, ranks)
    return settings


def spent_before(recipe: Recipe, resumed: Resumed) -> Budget:
    """The time limits of the run, with what was spent before it was resumed."""
    budget = Budget(recipe.settings)
    if resumed.checkpoint:
        budget.resumed(resumed.checkpoint.state)
    return budget


def lead(ranks: Ranks, recipe: Recipe, resumed: Resumed) -> None:
    """Tell the other processes what is trained, and give them its state; they have opened the data once this returns."""
    if ranks.size == 1:
        return
    state = resumed.state
    saved = state.clock.step if resumed.checkpoint else -1
    spent = spent_before(recipe, resumed).spent
    ranks.told({"recipe": recipe.values(), "settled": resumed.settled, "saved": saved, "spent": spent})
    ranks.exchange([0.0])
    ranks.shared(state.tensors())
    ranks.told(state.scalars())


def open_by_all(stage: RunStage, settings: TrainSettings, data: DataSpec, model: Model) -> Pack | Pairs:
    """The data of a new run; where they are files, all processes build shards of their pack."""
    recipe = Recipe(model.family(), data.absolute(), model.options, settings)
    return open_for(data, model, stage.display, shared=_told_to_open(stage.ranks, recipe))


def reopened_by_all(
    stage: RunStage, run: RunFolder, recipe: Recipe, model: Model, *, given: Data | None = None
) -> Pack | Pairs:
    """As `reopened`; where the data are files that are still there, all processes build shards of a pack that has gone."""
    shared = given is None and not missing(recipe.data) and _told_to_open(stage.ranks, recipe)
    return reopened(run, recipe, model, stage.display, given=given, shared=shared)


def _told_to_open(ranks: Ranks, recipe: Recipe) -> bool:
    """Whether there are other processes, which now open the same files."""
    shared = ranks.size > 1 and bool(paths_of(recipe.data))
    if shared:
        ranks.told({"open": recipe.values()})
    return shared


def follow(stage: RunStage, family: type[Model] | str | None, *, callbacks: Sequence[Callback]) -> Path:
    """Train with the process that leads; the run's folder, in which nothing is read or written here."""
    ranks, display = stage.ranks, stage.display
    about = ranks.told()
    if "open" in about:
        recipe = read_recipe(about["open"])
        open_for(recipe.data, _model_of(recipe, family, display), display, shared=True)
        about = ranks.told()
    recipe = read_recipe(about["recipe"])
    model = _model_of(recipe, family, display)
    pack = reopened(RunFolder(Path(recipe.settings.out)), recipe, model, display)
    source, scorer = batches(recipe, model, pack), periodic_evaluation(recipe, model, display)
    state = State.start(model)
    model.class_names = state.average.class_names = learned_classes(model, pack)
    ranks.exchange([0.0])  # all have their data
    state.restore(ranks.shared(), ranks.told())
    run, budget = RunFolder(Path(ranks.told())), Budget(recipe.settings)
    budget.spent = budget.before = about["spent"]
    with memory_kept():
        parts = run, recipe, source, state, stage.stop, display, Loggers([], display.note), None, budget, scorer
        Training(*parts, about["settled"], [], about["saved"], {}, callbacks, ranks).go()
    return run.path


def _model_of(recipe: Recipe, family: type[Model] | str | None, display: Display) -> Model:
    """The model of a recipe; its weights come from the process that leads."""
    alone = dataclasses.replace(recipe.settings, logger=())
    _, model = prepare_model(alone, trusted(recipe.family, family), recipe.options, display, fill=None)
    return model
