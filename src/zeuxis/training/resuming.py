"""A run taken up where its newest checkpoint left it: all of it is known to be good before anything is written."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from zeuxis import renamed
from zeuxis.errors import UsageError
from zeuxis.escaping import quote
from zeuxis.io.parsing import Layout
from zeuxis.model import Model
from zeuxis.options import Device
from zeuxis.runtime.device import choose_device
from zeuxis.runtime.progress import Display
from zeuxis.storage import Checkpoint, RunFolder
from zeuxis.training import histograms
from zeuxis.training.budget import Budget
from zeuxis.training.build import Fill, check_options, prepare_model
from zeuxis.training.config import Recipe
from zeuxis.training.engine import State
from zeuxis.training.transfer import find_start, transfer_weights


@dataclass(frozen=True)
class Resumed:
    """The state of a run and the checkpoint that it is of, None before the first; `settled` and `owed` as in `Training`."""

    state: State
    checkpoint: Checkpoint | None = None
    settled: bool = True
    owed: dict[str, Any] = field(default_factory=dict)


def take_up(run: RunFolder, recipe: Recipe, family: type[Model], display: Display, *, at: int | None = None) -> Resumed:
    """The state of the run as it was saved: by its newest checkpoint, or at the step `at`, of which 0 is the start.

    `UsageError` where no checkpoint is whole, or one is not of this run.
    """
    check_options(family, recipe.options)
    # Without memory: neither the options nor the checkpoint are trusted yet.
    unfilled = State.unfilled(family, recipe.options, run.path / "config.yaml")

    def check(layouts: Mapping[str, Layout]) -> None:
        try:
            unfilled.check(layouts)
        except ValueError as error:
            raise UsageError(_misfit(error)) from None

    if at is None:
        checkpoint = run.load_checkpoint(check)
    else:  # a run that started from a model's weights has them in a checkpoint of step 0
        checkpoint = run.checkpoint_at(at, check) if at or run.keeps(0) else None
    asked = dataclasses.replace(recipe.settings, logger=())  # those out of a file are not trusted here
    fill = None if checkpoint else _start_of(recipe, family)
    settings, model = prepare_model(asked, family, recipe.options, display, fill=fill)
    state = State.start(model)
    if checkpoint is None:
        return Resumed(state)
    batch_size = settings.batch_size or model.batch_size
    try:
        state.restore(checkpoint.tensors, checkpoint.state)
        Budget(recipe.settings).resumed(checkpoint.state)
        settled = _checked(checkpoint, batch_size)
        owed = histograms.checked_rows(checkpoint.state.get("histograms", {}))
    except (KeyError, ValueError, TypeError, RuntimeError, IndexError) as error:
        raise UsageError(f"{checkpoint.path}: {_misfit(error)}") from None
    return Resumed(state, checkpoint, settled, owed)


def _start_of(recipe: Recipe, family: type[Model]) -> Fill | None:
    """How a run without a checkpoint gets its first weights again, where they were a model's; `UsageError` where that model
    is another by now."""
    if recipe.settings.init_from is None:
        return None
    start = find_start(recipe.settings.init_from, family)
    if recipe.started_from and recipe.started_from["sha256"] != start.sha256:
        raise UsageError(
            f"{start.name} has other weights than when the run began, and it has no checkpoint; start a new run"
        )
    return partial(transfer_weights, start=start)


def on_device(recipe: Recipe, device: Device | None, display: Display) -> Recipe:
    """The recipe on a device, or on its own where none is given; another device gives other bits, and that is said."""
    if device is None:
        return recipe
    before, now = recipe.settings.device, str(choose_device(device))
    if now != before:
        display.note(
            f"the run moves from {before} to {now}: from here on its bits are not those that {before} would have given"
        )
    settings = dataclasses.replace(recipe.settings, device=now)  # type: ignore[arg-type]
    return dataclasses.replace(recipe, settings=settings)


def check_identity(checkpoint: Checkpoint | None, recipe: Recipe) -> None:
    """Raise `UsageError` where a checkpoint says that it is of another run, whose seed or data, say, are others."""
    saved = checkpoint.state.get("run") if checkpoint else None
    if checkpoint and (difference := next(_differences(saved, recipe), "")):
        raise UsageError(
            f"{checkpoint.path} belongs to another run: {difference}; restore config.yaml and checkpoints/ of one run, "
            "or start a new one with --init-from this one"
        )


def _misfit(error: Exception) -> str:
    return f"it does not fit the run's options: {error}; restore config.yaml"


def _checked(checkpoint: Checkpoint, batch_size: int) -> bool:
    """Whether row and sheet of the step are done; `ValueError` where that, or the clock, is not what was saved."""
    state, settled = checkpoint.state, checkpoint.state.get("settled")
    if not isinstance(settled, bool):
        raise ValueError(f"settled is {quote(settled)}, expected true or false")
    if (state["step"], state["images"]) != (checkpoint.step, checkpoint.step * batch_size):
        raise ValueError(
            f"its clock is at step {state['step']:,} and {state['images']:,} images, "
            f"expected {checkpoint.step:,} and {checkpoint.step * batch_size:,}"
        )
    return settled


def _differences(saved: Any, recipe: Recipe) -> Iterator[str]:
    """How the run that a checkpoint says it is of is not this one; none where it says nothing, as those before 0.3 do."""
    if saved is None:
        return
    found = renamed.config(saved) if isinstance(saved, dict) else {}
    wanted = json.loads(json.dumps(recipe.identity()))
    for part, value in wanted.items():
        told = found.get(part)
        if isinstance(value, dict) and isinstance(told, dict):
            for name in sorted(value.keys() | told.keys(), key=str):
                if value.get(name) != told.get(name):
                    yield f"its {name} is {quote(told.get(name))}, that of config.yaml {quote(value.get(name))}"
        elif told != value:
            yield f"its {part} is {quote(told)}, that of config.yaml {quote(value)}"
