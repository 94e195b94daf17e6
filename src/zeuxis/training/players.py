"""The players of a family: the parameters of each optimizer, and checks of their declaration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from torch import Tensor
from torch.optim import Optimizer

from zeuxis.errors import UsageError
from zeuxis.model import Model


def parameters_of(optimizer: Optimizer) -> list[Tensor]:
    """The parameters of the optimizer."""
    return [p for group in optimizer.param_groups for p in group["params"]]


def check_parameters(model: Model) -> None:
    """Raise `UsageError` where there is nothing to train."""
    if next(model.parameters(), None) is None:
        raise UsageError(f"{model.family()} has no parameters; assign its networks in build, as self.generator = ...")


def optimizer_of(player: str, optimizers: Mapping[str, Optimizer], model: Model) -> Optimizer:
    """The player's optimizer; `UsageError` where it has none."""
    if player not in optimizers:
        raise UsageError(
            f"losses of {model.family()} yields the player {player!r}, which has no optimizer; optimizers gives "
            f"{', '.join(map(repr, optimizers)) or 'none'}"
        )
    return optimizers[player]


def check_owners(model: Model, optimizers: Mapping[str, Optimizer]) -> None:
    """Raise `UsageError` unless each trainable parameter belongs to exactly one player."""
    owners = {player: {id(p) for p in parameters_of(optimizer)} for player, optimizer in optimizers.items()}
    known = {id(p) for p in model.parameters()}
    for name, parameter in model.named_parameters():
        mine = [player for player, owned in owners.items() if id(parameter) in owned]
        if not mine and parameter.requires_grad:
            raise UsageError(f"{name} is in no optimizer and never trained; add it to one, or freeze it")
        if len(mine) > 1:
            raise UsageError(f"{name} is in the optimizers of {' and '.join(mine)}; leave it to one player")
    for player, optimizer in optimizers.items():
        if owners[player] - known:
            raise UsageError(
                f"the optimizer of {player} has a tensor outside the model's parameters, which is not saved; register it"
            )
        if max(Counter(map(id, parameters_of(optimizer))).values(), default=1) > 1:
            raise UsageError(f"the optimizer of {player} has one parameter twice; give each once")
