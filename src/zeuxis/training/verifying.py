"""The last interval of a run trained again, and its tensors compared bit by bit with those that were saved."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zeuxis import renamed
from zeuxis.data.specs import Data
from zeuxis.errors import UsageError
from zeuxis.escaping import ascii_json
from zeuxis.loading import trusted
from zeuxis.model import Model
from zeuxis.runtime.device import memory_kept
from zeuxis.runtime.progress import Display
from zeuxis.storage import Checkpoint, RunFolder
from zeuxis.storage.checkpoints import step_of
from zeuxis.training.compiling import compile_as_asked
from zeuxis.training.config import Recipe, read_recipe, versions
from zeuxis.training.resuming import Resumed, check_identity, take_up
from zeuxis.training.run_data import batches, reopened
from zeuxis.training.stage import on_stage
from zeuxis.training.state import State
from zeuxis.training.stepping import due, training_steps

_SHOWN = 8  # tensors that are named


@dataclass(frozen=True)
class TensorDifference:
    """A tensor that was saved otherwise than it came out again: how many of its elements differ, and by how much at most."""

    name: str
    elements: int
    of: int
    largest: float

    def line(self) -> str:
        """As text."""
        if math.isnan(self.largest):
            return f"{self.name}: missing on one side, of another shape, or not finite"
        return f"{self.name}: {self.elements:,} of {self.of:,} elements differ, by {self.largest:.3g} at most"


@dataclass(frozen=True)
class Verification:
    """What training the steps from `first` to `last` again gave: the tensors that differ, and conditions of then and now."""

    run: str
    first: int
    last: int
    tensors: int
    differences: list[TensorDifference]
    conditions: list[str]  # in which then and now differ

    @property
    def same(self) -> bool:
        """Whether every tensor has the same bits."""
        return not self.differences

    def summary(self) -> str:
        """The outcome in a line."""
        steps = f"steps {self.first + 1:,} to {self.last:,} of {self.run}"
        if self.same:
            return f"{steps} gave the same bits again: {self.tensors:,} tensors"
        return f"{steps} did not give the same bits: {len(self.differences):,} of {self.tensors:,} tensors differ"

    def lines(self) -> list[str]:
        """The outcome, the tensors that differ, and what else does, as text."""
        lines = [self.summary(), *(f"  {each.line()}" for each in self.differences[:_SHOWN])]
        lines += [f"  and {rest:,} more"] if (rest := len(self.differences) - _SHOWN) > 0 else []
        if self.conditions:
            return [*lines, *(f"changed: {condition}" for condition in self.conditions)]
        return lines if self.same else [*lines, "nothing that a run records has changed: another processor, perhaps"]

    def to_json(self) -> str:
        """As strict JSON; a difference that is not finite is null."""
        return ascii_json({**dataclasses.asdict(self, dict_factory=_plain), "same": self.same})


def _plain(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in pairs}


def verify_run(
    run: str | Path,
    *,
    data: Data | None = None,
    family: type[Model] | str | None = None,
    display: Display | None = None,
) -> Verification:
    """Train the interval between the newest two checkpoints of a run again, in memory, and compare with the newer one.

    A run with one checkpoint is trained again from its start. Nothing is written. `UsageError` where there is no interval.
    """
    with on_stage(display) as (_, shown, _):
        folder = RunFolder(Path(run))  # not opened: that removes what interrupted writes have left
        recipe = read_recipe(folder.config)
        first, last = _interval(folder, recipe)
        resumed = take_up(folder, recipe, trusted(recipe.family, family), shown, at=first)
        check_identity(resumed.checkpoint, recipe)
        saved = folder.checkpoint_at(last)
        recipe = dataclasses.replace(recipe, settings=_until(recipe, last))
        _train_again(folder, recipe, resumed, shown, data)
        found = list(_differences(resumed.state, saved, settled=_settled(saved, recipe)))
        count = sum(len(values) for values in saved.tensors.values())
        return Verification(folder.path.resolve().name, first, last, count, found, list(_conditions(recipe, saved)))


def _interval(folder: RunFolder, recipe: Recipe) -> tuple[int, int]:
    """The steps of the newest two checkpoints; 0 in the place of the older one where there is but one."""
    steps = sorted({step_of(path) for path in folder.checkpoints()})[-2:]
    if not steps:
        raise UsageError(f"{folder.path} has no checkpoint yet, so nothing can be compared; train it on first")
    if len(steps) == 2:
        return steps[0], steps[1]
    if recipe.parent or steps == [0]:
        begun = "was forked at" if recipe.parent else "began with"
        raise UsageError(f"{folder.path} has only the checkpoint that it {begun}; resume it first")
    return 0, steps[0]


def _until(recipe: Recipe, last: int) -> Any:
    return dataclasses.replace(recipe.settings, steps=last, minutes=None, cpu_minutes=None)


def _train_again(folder: RunFolder, recipe: Recipe, resumed: Resumed, display: Display, data: Data | None) -> None:
    """Play the steps up to `last`, with the rows taken where the run took them: a checkpoint has the sums since the last."""
    state, every = resumed.state, recipe.settings.log_every
    pack = reopened(folder, recipe, state.model, display, given=data)
    source, first, last = batches(recipe, state.model, pack), state.clock.step, recipe.settings.last_step
    if not resumed.settled and due(first, every):
        state.take_means()
    compile_as_asked(recipe, source, state, display.note)
    with memory_kept():
        for progress in training_steps(recipe, source, state):
            step = progress.clock.step
            if due(step, every):
                state.take_means()
            display.work("training again", step - first, last - first)


def _settled(saved: Checkpoint, recipe: Recipe) -> bool:
    """Whether the newer checkpoint was saved after its row was taken, as here."""
    return bool(saved.state.get("settled", True)) or not due(saved.step, recipe.settings.log_every)


def _differences(state: State, saved: Checkpoint, *, settled: bool) -> Iterator[TensorDifference]:
    """The tensors of a state that have other bits than those saved; the sums of a row only where both have them."""
    family = state.model.family()
    for group, values in state.tensors().items():
        if group == "sums" and not settled:
            continue
        before = saved.tensors.get(group, {})
        before = renamed.tensors(family, before) if group in ("model", "average") else dict(before)
        before = renamed.metrics(before) if group == "sums" else before
        for name in sorted(values.keys() | before.keys()):
            if (found := _difference(f"{group}: {name}", values.get(name), before.get(name))) is not None:
                yield found


def _difference(name: str, now: Tensor | None, then: Tensor | None) -> TensorDifference | None:
    """How two tensors differ in their bits; None where they do not. One that is missing differs in all of its elements."""
    there = now if now is not None else then
    assert there is not None
    if now is None or then is None or now.shape != then.shape or now.dtype != then.dtype:
        return TensorDifference(name, there.numel(), there.numel(), float("nan"))
    one, two = (value.detach().cpu().contiguous().reshape(-1) for value in (now, then))
    width = one.element_size()
    other = (one.view(torch.uint8).view(-1, width) != two.view(torch.uint8).view(-1, width)).any(1)
    count = int(other.sum())
    if not count:
        return None
    return TensorDifference(name, count, one.numel(), float((one.double() - two.double()).abs().max()))


def _conditions(recipe: Recipe, saved: Checkpoint) -> Iterator[str]:
    """What the bits of a run depend on and has changed since: versions, threads, kernels."""
    now = versions()
    yield from _changed(recipe.versions, now)
    if recipe.settings.threads not in (0, torch.get_num_threads()):
        yield f"threads {recipe.settings.threads} -> {torch.get_num_threads()}"
    kernels = saved.state.get("kernels", recipe.chosen_kernels)
    if kernels != recipe.chosen_kernels:
        yield "chosen_kernels of config.yaml are not those of the checkpoint"


def _changed(then: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for name in now:
        if then.get(name) != now[name]:
            yield f"{name} {then.get(name)} -> {now[name]}"
