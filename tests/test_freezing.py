"""FreezeD: frozen blocks stay to the bit, cost less, and change neither the penalties nor the gradients of the others."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from zeuxis import families
from zeuxis.adversarial import gradient_penalty, r1
from zeuxis.errors import UsageError
from zeuxis.model import Clock, Model, options_of
from zeuxis.testing.case import NoiseImages, first_difference
from zeuxis.testing.case import trained as trained_on
from zeuxis.training.engine import State, train_step
from zeuxis.training.players import parameters_of

BLOCKS = {"gan": 3, "dcgan": 2, "wgan": 2, "wgan_gp": 2, "progan": 2, "stylegan2": 2}  # at 16 pixels
SMALL: dict[str, Any] = {"size": 16, "base_channels": 4, "hidden_dim": 8, "latent_dim": 6, "images_per_stage": 1}
GROWN = Clock(16, 400)  # a step with all penalties, after the growth


def build(name: str, **options: Any) -> Model:
    family = families.find(name)
    known = {field.name for field in options_of(family)}
    torch.manual_seed(0)
    return family(**{key: value for key, value in SMALL.items() if key in known}, **options)


def frozen(model: Model) -> set[str]:
    return {name for name, parameter in model.named_parameters() if not parameter.requires_grad}


def player(model: Model) -> str:
    return "critic" if model.family().startswith("wgan") else "discriminator"


@pytest.mark.parametrize("name", BLOCKS)
def test_the_first_blocks_are_frozen_from_the_image_on(name: str) -> None:
    counts = [len(frozen(build(name, freeze_layers=count))) for count in range(BLOCKS[name] + 1)]
    assert counts[0] == 0 and counts == sorted(set(counts))
    model = build(name, freeze_layers=1)
    batch = NoiseImages(model).batch(0, 2).image.requires_grad_()
    every = {each for each, _ in model.named_parameters() if each.startswith(player(model))}
    assert frozen(model) < every
    first = next(p for each, p in model.named_parameters() if each in frozen(model) and each.endswith("weight"))
    assert batch.shape[1] in first.shape or batch[0].numel() in first.shape, "it sees the image"
    with pytest.raises(UsageError, match=f"--freeze-layers is 9, and the discriminator has {BLOCKS[name]} blocks"):
        build(name, freeze_layers=9)


@pytest.mark.parametrize("name", BLOCKS)
def test_frozen_blocks_are_never_moved_nor_differentiated(name: str) -> None:
    state = State.start(build(name, freeze_layers=1))
    kept = frozen(state.model)
    before = {each: value.clone() for each, value in state.model.named_parameters()}
    for step in (0, 16, 32):
        batch = NoiseImages(state.model).batch(step, 4)
        train_step(state.model, state.optimizers, batch, Clock(step, 400 + 4 * step))
        assert all(p.grad is None for each, p in state.model.named_parameters() if each in kept)
    moved = {each for each, value in state.model.named_parameters() if not torch.equal(value, before[each])}
    judge = player(state.model)
    assert not moved & kept and any(each.startswith(judge) for each in moved)
    owned = {id(p) for p in parameters_of(state.optimizers[judge])}
    assert not owned & {id(p) for each, p in state.model.named_parameters() if each in kept}
    assert len(state.optimizers[judge].state) <= len(owned)


@pytest.mark.parametrize("name", BLOCKS)
def test_the_gradients_of_the_others_are_those_of_autograd(name: str) -> None:
    """Term by term, with the penalties on the input, of a model in which nothing is frozen."""
    options = {"clip_value": 1.0} if name == "wgan" else {}  # which leaves weights in both
    plain, model = build(name, **options), build(name, freeze_layers=1, **options)
    for (turn, terms, expected), (again, found, gradients) in zip(played(plain, model), played(model, model)):
        assert turn == again and terms.keys() == found.keys()
        for term, value in terms.items():
            torch.testing.assert_close(found[term], value, atol=1e-6, rtol=1e-5)
        for each, gradient in gradients.items():
            torch.testing.assert_close(gradient, expected[each], atol=1e-6, rtol=1e-4)


def played(model: Model, like: Model) -> list[tuple[str, dict[str, Tensor], dict[str, Tensor]]]:
    """The turns of a step in which nobody moves: player, terms, and the gradients of the parameters that `like` trains."""
    torch.manual_seed(1)
    found = []
    wanted = {each for each, parameter in like.named_parameters() if parameter.requires_grad}
    for who, terms in model.losses(NoiseImages(model).batch(0, 4), GROWN):
        if who is not None:
            mine = {
                each: p for each, p in model.named_parameters() if each in wanted and each.split(".")[0] in part(who)
            }
            loss = torch.stack([value.float() for value in terms.values()]).sum()
            gradients = torch.autograd.grad(loss, list(mine.values()), retain_graph=True, allow_unused=True)
            told = {each: g for each, g in zip(mine, gradients) if g is not None}
            assert told
            found.append((who, {each: value.detach() for each, value in terms.items()}, told))
    return found


def part(who: str) -> set[str]:
    return {"generator", "mapping_network", "synthesis"} if who == "generator" else {who}


def test_penalties_differentiate_through_frozen_blocks() -> None:
    """R1 and the gradient penalty, and their gradients, against autograd on a network without frozen blocks."""
    plain, model = build("dcgan"), build("dcgan", freeze_layers=1)
    real, fake = torch.rand(4, 3, 16, 16) * 2 - 1, torch.rand(4, 3, 16, 16) * 2 - 1
    image = real.clone().requires_grad_()
    (slope,) = torch.autograd.grad(plain.get_submodule("discriminator")(image).sum(), image, create_graph=True)
    by_hand = slope.square().sum((1, 2, 3)).mean() / 2
    found = r1(model.get_submodule("discriminator"), real)
    torch.testing.assert_close(found, by_hand)
    last = "discriminator.head.weight"
    (wanted,) = torch.autograd.grad(by_hand, plain.get_parameter(last))
    torch.testing.assert_close(torch.autograd.grad(found, model.get_parameter(last))[0], wanted)
    torch.manual_seed(2)
    penalties = []
    for each in (plain, model):
        torch.manual_seed(2)
        penalties.append(gradient_penalty(each.get_submodule("discriminator"), real, fake))
    torch.testing.assert_close(*penalties)


class Operations(TorchDispatchMode):
    """Counts the operations of convolutions and matrix products, forwards and backwards."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if count := flop_registry.get(func._overloadpacket):
            self.total += count(*args, **(kwargs or {}), out_val=made)
        return made


@pytest.mark.parametrize("name", BLOCKS)
def test_a_step_takes_fewer_operations(name: str) -> None:
    """Of the frozen blocks no gradient is computed: each further block saves some."""

    def operations(count: int) -> int:
        state = State.start(build(name, freeze_layers=count))
        with Operations() as counted:
            train_step(state.model, state.optimizers, NoiseImages(state.model).batch(0, 4), Clock(17, 400))
        return counted.total

    found = [operations(count) for count in range(BLOCKS[name] + 1)]
    assert found == sorted(found, reverse=True) and len(set(found)) == len(found)


def test_clipping_leaves_frozen_weights() -> None:
    state = State.start(build("wgan", freeze_layers=1, clip_value=1e-6))
    before = {each: p.clone() for each, p in state.model.named_parameters() if each in frozen(state.model)}
    train_step(state.model, state.optimizers, NoiseImages(state.model).batch(0, 4), Clock())
    after = dict(state.model.named_parameters())
    assert all(torch.equal(value, after[each]) for each, value in before.items())
    assert max(float(p.detach().abs().max()) for each, p in after.items() if each == "critic.head.weight") <= 1e-6


@pytest.mark.parametrize("name", BLOCKS)
def test_resuming_with_frozen_blocks_is_exact(name: str) -> None:
    whole, part = (State.start(build(name, freeze_layers=1)) for _ in range(2))
    trained_on(whole, 5)
    trained_on(part, 2)
    second = State.start(build(name, freeze_layers=1))
    tensors = {group: {key: value.clone() for key, value in found.items()} for group, found in part.tensors().items()}
    second.restore(tensors, part.scalars())
    trained_on(second, 5)
    assert first_difference(whole, second) is None
