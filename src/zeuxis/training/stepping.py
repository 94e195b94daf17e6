"""The steps of a run as its recipe has them, without what the run writes, and the steps at which it writes."""

from __future__ import annotations

from collections.abc import Iterator

from zeuxis.runtime.ranks import ALONE, Ranks
from zeuxis.training import engine
from zeuxis.training.config import PER_MICRO_BATCH, Recipe
from zeuxis.training.engine import Source
from zeuxis.training.run_data import inform_augmentation
from zeuxis.training.state import Progress, State

_EARLY = (1, 2, 5)


def due(step: int, every: int, *, first: int = 1) -> bool:
    """Whether something is due at a step: at multiples of `every`, and before it at 1, 2, 5, 10, 20 ... from `first`."""
    if step % every == 0:
        return True
    leading = step
    while leading % 10 == 0 and leading:
        leading //= 10
    return first <= step < every and leading in _EARLY


def training_steps(recipe: Recipe, source: Source, state: State, ranks: Ranks = ALONE) -> Iterator[Progress]:
    """The steps of a run from a state on, up to its last one; nothing is written."""
    settings, model = recipe.settings, state.model
    inform_augmentation(model, recipe)
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
        ranks=ranks,
        apart=recipe.noise == PER_MICRO_BATCH,
    )
