"""A step of Adam over weights whose channels come last is that of torch, and leaves everything in its place."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from zeuxis.training.plain_memory import step_optimizer
from zeuxis.training.restoring import optimizer_tensors, restore_optimizer

MAKE: dict[str, Callable[[nn.Module], Optimizer]] = {
    "Adam": lambda module: Adam(module.parameters(), 0.1, (0.5, 0.9), fused=True),
    "AdamW": lambda module: AdamW(module.parameters(), 0.1, weight_decay=0.1, fused=True),
    "Adam, plain": lambda module: Adam(module.parameters(), 0.1),
    "SGD": lambda module: SGD(module.parameters(), 0.1, fused=True),
}


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Conv2d(5, 3, 4, 2, 1), nn.ConvTranspose2d(3, 5, 3, bias=False), nn.Flatten(), nn.Linear(45, 2)
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def give_gradients(module: nn.Module, step: int) -> None:
    torch.manual_seed(step)
    for place, weight in enumerate(module.parameters()):
        weight.grad = torch.randn_like(weight) if step or place != 2 else None  # one comes in at the second step


@pytest.mark.parametrize("kind", MAKE)
def test_a_step_is_that_of_torch(kind: str) -> None:
    mine, theirs = network(), network()
    one, other = MAKE[kind](mine), MAKE[kind](theirs)
    for step in range(4):
        give_gradients(mine, step)
        give_gradients(theirs, step)
        step_optimizer(one)
        other.step()
        assert [id(p) for p in one.param_groups[0]["params"]] == [id(p) for p in mine.parameters()]
        found, wanted = optimizer_tensors(one), optimizer_tensors(other)
        assert list(found) == list(wanted)
        for a, b in [*zip(found.values(), wanted.values()), *zip(mine.parameters(), theirs.parameters())]:
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)
            assert a.stride() == b.stride()
        if step == 1:  # as a resume does
            fresh = MAKE[kind](mine)
            restore_optimizer(fresh, copy.deepcopy(found))
            one = fresh


def test_the_kernel_sees_plain_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    module, seen = network(), list[bool]()
    optimizer = MAKE["Adam"](module)
    plain = Adam.step

    def step(self: Adam) -> None:
        weights: list[Tensor] = self.param_groups[0]["params"]
        plain(self)
        kept = [self.state[weight]["exp_avg"] for weight in weights]
        seen.extend(each.is_contiguous() for weight in weights for each in (weight, weight.grad) if each is not None)
        seen.extend(each.is_contiguous() for each in kept)

    monkeypatch.setattr(Adam, "step", step)
    for turn in (1, 2):
        give_gradients(module, turn)
        step_optimizer(optimizer)
        assert len(seen) == turn * 3 * 5 and all(seen)
    assert not module[0].weight.is_contiguous()


def test_a_step_that_fails_leaves_the_weights_with_their_optimizer(monkeypatch: pytest.MonkeyPatch) -> None:
    module = network()
    optimizer = MAKE["Adam"](module)
    give_gradients(module, 1)

    def fail(self: Adam) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(Adam, "step", fail)
    with pytest.raises(RuntimeError, match="no memory"):
        step_optimizer(optimizer)
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == [id(p) for p in module.parameters()]
