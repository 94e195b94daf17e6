"""The steps of a run as its recipe has them, without what the run writes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from zeuxis.training import engine
from zeuxis.training.config import Recipe
from zeuxis.training.engine import Source
from zeuxis.training.state import Progress, State


def training_steps(recipe: Recipe, source: Source, state: State) -> Iterator[Progress]:
    """The steps of a run from a state on, up to its last one; nothing is written."""
    settings, model = recipe.settings, state.model
    state.clock = dataclasses.replace(state.clock, dataset=recipe.images)
    return engine.train(
        model,
        source,
        steps=settings.last_step,
        batch_size=settings.batch_size or model.batch_size,
        seed=settings.seed,
        ema_half_life=model.ema_half_life if settings.ema_half_life is None else settings.ema_half_life,
        micro_batches=settings.micro_batches,
        precision=settings.number_format,
        kernels=recipe.chosen_kernels,
        resume=state,
    )
