"""What a run that starts from a model's weights has before its first step, so that a resume needs that model no more."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from zeuxis.storage import RunFolder
from zeuxis.training.config import Recipe
from zeuxis.training.model_card import save_model
from zeuxis.training.state import State
from zeuxis.training.transfer import FirstWeights


def begin_with(first: FirstWeights, recipe: Recipe, state: State) -> Callable[[RunFolder], None] | None:
    """What writes the checkpoint of step 0, the model and the log of a run's folder; None for a run of random weights, which
    its seed gives again."""
    return partial(_begin, first=first, recipe=recipe, state=state) if first.start else None


def _begin(draft: RunFolder, *, first: FirstWeights, recipe: Recipe, state: State) -> None:
    own = {"settled": True, "run": recipe.identity(), "kernels": recipe.chosen_kernels}
    draft.save_checkpoint(0, state.tensors(), {**state.scalars(), **own})
    save_model(draft, recipe, state)
    for line in first.lines():
        draft.log(line)
