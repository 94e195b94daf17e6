"""Checks of a step as it runs: in parts, in half precision, on an accelerator."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from zeuxis.adversarial import gradient_penalty
from zeuxis.model import Batch, Clock, Model
from zeuxis.testing.case import LATE, Case, FamilyCheckError, demand, listed
from zeuxis.testing.game import batch_for, push
from zeuxis.training.engine import split, train_step
from zeuxis.training.players import parameters_of


def a_step_never_waits_for_the_device(case: Case) -> None:
    """A step stays on its device and asks for no tensor's value, as an accelerator would have to be waited for."""
    for step in (0, 16, LATE):
        # On a device without data asking for a value fails, and so does a tensor that was left on the CPU.
        with mock.patch.object(torch, "autocast", lambda *_, **__: contextlib.nullcontext()):  # unknown on that device
            model = case.model().to("meta")
            columns = [None if column is None else column.to("meta") for column in batch_for(model)]
            optimizers = model.optimizers()
            try:
                for player, terms in model.losses(Batch(*columns), Clock(step, 4 * step)):  # type: ignore[arg-type]
                    if player is not None:
                        push(player, terms, parameters_of(optimizers[player]))
            except (RuntimeError, NotImplementedError) as error:
                raise FamilyCheckError(
                    f"a step asks for a tensor's value (if, .item(), .tolist()), or makes a tensor without device=: {error}"
                ) from error


def micro_batches_play_the_same_turns(case: Case) -> None:
    """A batch in two parts plays the turns of a whole one."""
    model = case.model()
    whole = train_step(case.model(), model.optimizers(), batch_for(model, 8), Clock())
    parts = train_step(model, model.optimizers(), batch_for(model, 8), Clock(), micro_batches=2)
    demand(whole.keys() == parts.keys(), f"of a whole batch come {listed(list(whole))}, of parts {listed(list(parts))}")


def buffers_change_after_the_last_turn(case: Case) -> None:
    """A buffer changes after the last yield: until then every part of a batch must meet the same one."""
    for step in (0, LATE):
        alone, beside = (_half(case, step, beside=beside) for beside in (False, True))
        changed = [name for name, value in alone.items() if beside[name] != value]
        demand(
            not changed,
            f"at step {step} the terms of a micro-batch differ where another is played beside it ({listed(changed)}); "
            "change buffers after the last yield",
        )


def _half(case: Case, step: int, *, beside: bool) -> dict[str, float]:
    """The terms of the second half of a batch, none of which moves anybody; the first half may be played beside it."""
    model = case.model()
    first, second = (model.losses(part, Clock(step, 8 * step)) for part in split(batch_for(model, 8), 2))
    found: dict[str, float] = {}
    for number in range(1000):
        if beside:
            with _torchs_buffers_kept(model):
                torch.manual_seed(1000 + number)
                next(first, None)
        torch.manual_seed(number)
        turn = next(second, None)
        if turn is None:
            return found
        found |= {f"{number} {turn[0]}/{name}": value.float().mean().item() for name, value in turn[1].items()}
    raise FamilyCheckError("losses goes on after 1000 turns; let it end")


@contextlib.contextmanager
def _torchs_buffers_kept(model: Model) -> Iterator[None]:
    """With the buffers of torch's own layers (statistics, power iterations) put back afterwards."""
    own = [layer for layer in model.modules() if type(layer).__module__.startswith("torch.")]
    kept = [(buffer, buffer.clone()) for layer in own for buffer in layer.buffers(recurse=False)]
    yield
    with torch.no_grad():
        for buffer, value in kept:
            buffer.copy_(value)


def penalties_stay_in_float32(case: Case) -> None:
    """Gradient penalties are computed in float32 under bfloat16 autocast, too.

    Exempt is `gradient_penalty`: it squares distances from 1, not gradients, and its gradients agree in both formats.
    """
    rounded: list[int] = []
    plain = torch.autograd.grad

    def _watched(outputs: Any, inputs: Any, *args: Any, **named: Any) -> Any:
        exempt = sys._getframe(1).f_code is gradient_penalty.__code__
        if named.get("create_graph") and not exempt and _rounds(outputs, inputs):
            rounded.append(1)
        return plain(outputs, inputs, *args, **named)

    for step in (0, LATE):
        model = case.model()
        with contextlib.ExitStack() as stack:
            for owner in (torch.autograd, sys.modules[case.family.__module__]):
                for name in [name for name, value in vars(owner).items() if value is plain]:
                    stack.enter_context(mock.patch.object(owner, name, _watched))
            with contextlib.suppress(*(() if model.bf16 else (RuntimeError,))):  # it need not know bfloat16 at all
                train_step(model, model.optimizers(), batch_for(model), Clock(step, 4 * step), precision="bf16")
        demand(
            not rounded,
            "a gradient penalty is computed in bfloat16, where squares underflow; compute its scores and "
            "torch.autograd.grad inside torch.autocast(device.type, enabled=False)",
        )


def _rounds(outputs: Any, inputs: Any) -> bool:
    """Whether between inputs and outputs a tensor changes its number format, as under autocast."""
    ends = {node for node in map(_node, _tensors(inputs)) if node is not None}
    waiting, seen = [_node(output) for output in _tensors(outputs)], set(ends)
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if type(node).__name__ == "ToCopyBackward0":
            return True
        waiting += [before for before, _ in node.next_functions]
    return False


def _tensors(value: Any) -> Sequence[Tensor]:
    return (value,) if isinstance(value, Tensor) else tuple(value)


def _node(tensor: Tensor) -> Any:
    """Where a tensor stands in the graph of what is differentiated."""
    return torch.autograd.graph.get_gradient_edge(tensor).node if tensor.requires_grad else None
