"""Checks of the game: what `losses` yields, when, and who moves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from zeuxis.model import Batch, Clock, Model, Turn
from zeuxis.testing.case import LATE, Case, FamilyCheckError, NoiseImages, demand, listed
from zeuxis.training.players import optimizer_of, parameters_of

PLAYED_STEPS = (0, 1, 16, LATE)
_IMAGES = 4  # of a batch


def batch_for(model: Model, size: int = _IMAGES, start: int = 0) -> Batch:
    return NoiseImages(model).batch(start, size)


def losses_are_finite_scalars(case: Case) -> None:
    """`losses` yields turns: a player that has an optimizer, and its loss as finite scalars by name."""
    for step in PLAYED_STEPS:
        model = case.model()
        optimizers, players = model.optimizers(), set()
        for turn in _turns(model, Clock(step, 4 * step)):
            player, terms = turn
            if player is not None:
                optimizer_of(player, optimizers, model)
                players.add(player)
            demand(bool(terms), f"the turn of {player!r} has no terms; yield its loss, as {{'real': loss}}")
            for name, value in terms.items():
                _check_term(f"the term {name!r} of {player!r}", value, step, images=player is None)
        demand(bool(players), f"at step {step} no player has a turn, so nothing learns")


def _turns(model: Model, clock: Clock) -> Iterator[Turn]:
    """The turns of a step, none of which moves anybody."""
    game: object = model.losses(batch_for(model), clock)
    kind = type(game).__name__
    demand(isinstance(game, Iterator), f"losses gives a {kind}; expected turns, as: yield 'player', {{'term': loss}}")
    for turn in game:  # type: ignore[attr-defined]
        pair = isinstance(turn, tuple) and len(turn) == 2 and isinstance(turn[1], dict)
        demand(
            pair, f"losses yields a {type(turn).__name__}; expected a player and its terms: 'player', {{'term': loss}}"
        )
        yield turn


def _check_term(what: str, value: object, step: int, *, images: bool) -> None:
    """A finite scalar, or where `images` is set finite values for each image of the batch."""
    if not isinstance(value, Tensor):
        raise FamilyCheckError(f"{what} is a {type(value).__name__}; expected a tensor")
    expected = "a scalar or a value for each image" if images else "a scalar: take its mean() or sum()"
    whole = value.ndim == 0 or (images and len(value) == _IMAGES)
    demand(whole, f"{what} has the shape {tuple(value.shape)}; expected {expected}")
    odd = value[~torch.isfinite(value)].flatten()
    demand(
        not len(odd), f"{what} is {odd[:1].sum().item()} at step {step}, before any update; expected a finite number"
    )


def turns_depend_on_the_clock_alone(case: Case) -> None:
    """Which turns and terms there are depends on the clock alone, not on images or chance."""

    def played(seed: int, step: int) -> list[tuple[str | None, tuple[str, ...]]]:
        model = case.model()
        torch.manual_seed(seed)
        game = model.losses(batch_for(model, start=100 * seed), Clock(step, 4 * step))
        return [(player, tuple(terms)) for player, terms in game]

    for step in PLAYED_STEPS:
        one, other = played(1, step), played(2, step)
        demand(
            one == other, f"at step {step} other images give other turns, {one} and {other}; let the clock alone decide"
        )


def only_the_player_moves(case: Case) -> None:
    """A turn moves its player and nobody else, by a loss that is computed after the turns before it."""
    model = case.model()
    optimizers = model.optimizers()
    owners = {id(p): player for player, optimizer in optimizers.items() for p in parameters_of(optimizer)}
    for player, terms in model.losses(batch_for(model), Clock()):
        if player is None:
            stirred = [name for name, p in model.named_parameters() if p.grad is not None]
            demand(not stirred, f"{listed(stirred)} has a gradient before a turn; losses must not call backward")
            continue
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        push(player, terms, parameters_of(optimizer_of(player, optimizers, model)))
        optimizers[player].step()
        for moved in parameters_of(optimizers[player]):  # a fused optimizer does not mark what it changes
            torch.autograd.graph.increment_version(moved)
        optimizers[player].zero_grad()
        others = {owners.get(id(p)) for name, p in model.named_parameters() if not torch.equal(before[name], p)}
        demand(player in others, f"the loss of {player!r} does not move it; is it detached from its parameters?")
        demand(others == {player}, f"the turn of {player!r} moves others, too: {listed(sorted(map(str, others)))}")


def push(player: str, terms: dict[str, Tensor], parameters: Sequence[Tensor]) -> None:
    """Give the player the gradient of its loss."""
    try:
        torch.stack([value.float() for value in terms.values()]).sum().backward(inputs=parameters)  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        if "inplace operation" in str(error):
            raise FamilyCheckError(
                f"the loss of {player!r} was computed before another player moved; compute scores after the yield before it"
            ) from error
        if "does not require grad" in str(error):
            raise FamilyCheckError(f"the loss of {player!r} is detached from its parameters") from error
        raise


def lr_scale_is_finite(case: Case) -> None:
    """The learning-rate scale is a finite number at every time."""
    model = case.model()
    for step in PLAYED_STEPS:
        scale = model.lr_scale(Clock(step, 4 * step))
        demand(0 <= scale < float("inf"), f"lr_scale is {scale} at step {step}; expected a finite number of at least 0")
