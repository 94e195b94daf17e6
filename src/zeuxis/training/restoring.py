"""What a checkpoint must hold to be restored: each name, type, shape and value is compared with those of a fresh state.

Somebody else may have made it, and a fused optimizer walks raw memory.
"""

from __future__ import annotations

import copy
import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from zeuxis import renamed
from zeuxis.escaping import quote
from zeuxis.io.parsing import TORCH_NAMES, Layout
from zeuxis.model import Model
from zeuxis.training.players import parameters_of

_TYPES = {getattr(torch, name): kind for kind, name in TORCH_NAMES.items()}
_MOST_TERMS = 1000  # that a family reports
_MOST = 1 << 53  # steps, images: what a float64 counts


def layout_of(tensors: Mapping[str, Tensor]) -> Layout:
    """Types and shapes of tensors by name, as a file has them."""
    return {name: (_TYPES.get(value.dtype, str(value.dtype)), tuple(value.shape)) for name, value in tensors.items()}


def check_layouts(
    found: Mapping[str, Layout], model: Model, average: Model, optimizers: Mapping[str, Optimizer]
) -> None:
    """Raise `ValueError` unless the groups of tensors are those of this model, its average and its optimizers."""
    groups = {"model", "average", "sums", *(f"optimizer-{player}" for player in optimizers)}
    _check_names("its groups of tensors", found.keys(), groups)
    for name, network in (("model", model), ("average", average)):
        _check_group(name, renamed.tensors(model.family(), found[name]), layout_of(network.state_dict()))
    for player, optimizer in optimizers.items():
        group = f"optimizer-{player}"
        _check_group(group, found[group], _optimizer_layout(optimizer, found[group]))
    if len(found["sums"]) > _MOST_TERMS:
        raise ValueError(f"sums: there are {len(found['sums']):,}, at most {_MOST_TERMS:,} are expected")
    _check_group("sums", found["sums"], dict.fromkeys(found["sums"], ("F64", (2,))))


def _check_group(group: str, found: Layout, wanted: Layout) -> None:
    _check_names(group, found.keys(), wanted.keys())
    for name, entry in wanted.items():
        if found[name] != entry:
            raise ValueError(f"{group}: {quote(name)} is {_words(found[name])}, expected {_words(entry)}")


def _check_names(what: str, found: Any, wanted: Any) -> None:
    for missing in sorted(wanted - found):
        raise ValueError(f"{what}: {quote(missing)} is missing")
    for unknown in sorted(found - wanted):
        raise ValueError(f"{what}: {quote(unknown)} is unknown")


def _words(entry: tuple[str, tuple[int, ...]]) -> str:
    return f"{entry[0]} of shape {quote(entry[1])}"


def _optimizer_layout(optimizer: Optimizer, found: Layout) -> Layout:
    """What the optimizer keeps of the parameters that `found` has anything of: of each all, or nothing before its first step."""
    places = [(group, parameter) for group in optimizer.param_groups for parameter in group["params"]]
    names = {name.partition("/")[0] for name in found}
    wanted: Layout = {}
    for index, (group, parameter) in enumerate(places):
        if str(index) in names:
            kept = layout_of(_slots(optimizer, group, parameter))
            wanted |= {f"{index}/{slot}": entry for slot, entry in kept.items()}
    return wanted


def _slots(optimizer: Optimizer, group: Mapping[str, Any], parameter: Tensor) -> dict[str, Tensor]:
    """What a step makes the optimizer keep of a parameter: tried on zeros of its shape, one parameter at a time."""
    place = "cpu" if parameter.is_meta else parameter.device  # a fused optimizer takes none without memory
    like = torch.zeros_like(parameter, device=place, requires_grad=True)
    like.grad = torch.zeros_like(like)
    trial = copy.copy(optimizer)
    trial.param_groups, trial.state = [{**group, "params": [like]}], defaultdict(dict)
    trial.step()
    return dict(trial.state[like])


def check_values(tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Raise `ValueError` at a tensor that no checkpoint is saved with: not finite, or a count that counts nothing."""
    for group, values in tensors.items():
        for name, value in values.items():
            if value.is_floating_point() and not bool(value.isfinite().all()):
                raise ValueError(f"{group}: {quote(name)} is not finite")
            counts = name.rpartition("/")[2] == "step" and group.startswith("optimizer-")
            if counts and not bool(((value >= 1) & (value <= _MOST) & (value == value.round())).all()):
                raise ValueError(f"{group}: {quote(name)} counts no steps")
    for name, value in tensors["sums"].items():
        if not 1 <= float(value[1]) <= _MOST:
            raise ValueError(f"sums: {quote(name)} is of no steps")


def check_scalars(scalars: Mapping[str, Any], optimizers: Mapping[str, Optimizer]) -> None:
    """Raise `ValueError` unless the plain values are a clock, and the settings of these optimizers."""
    for name in ("step", "images"):
        value = scalars.get(name)
        if type(value) is not int or not 0 <= value <= _MOST:
            raise ValueError(f"{name} is {quote(value)}, expected a number of them")
    saved = scalars.get("optimizers")
    if not isinstance(saved, dict):
        raise ValueError(f"optimizers is {quote(saved)}, expected a table")
    _check_names("its optimizers", saved.keys(), optimizers.keys())
    for player, optimizer in optimizers.items():
        _check_settings(player, saved[player], optimizer.state_dict()["param_groups"])


def _check_settings(player: str, saved: Any, fresh: list[dict[str, Any]]) -> None:
    """Another version of PyTorch may have settings that are not saved; those that are must be the fresh ones."""
    groups = json.loads(json.dumps(saved))
    wanted = json.loads(json.dumps(fresh))
    if not isinstance(groups, list) or [type(group) for group in groups] != [dict] * len(wanted):
        raise ValueError(f"optimizer of {player}: its settings are {quote(saved)}, expected {len(wanted)} tables")
    for group, new in zip(groups, wanted):
        for name in ["params", *group]:
            value = group.get(name)
            if name not in new or _typed(value) != _typed(new[name]):
                raise ValueError(
                    f"optimizer of {player}: {quote(name)} is {quote(value)}, expected {quote(new.get(name))}"
                )


def _typed(value: Any) -> Any:
    """The value such that True is not 1, and 1 not 1.0."""
    return [_typed(each) for each in value] if isinstance(value, list) else (type(value), value)


def check_seconds(value: Any) -> float:
    """Seconds that were spent; `TypeError` where it is no number, `ValueError` where it cannot be one of seconds."""
    if type(value) not in (int, float):
        raise TypeError(f"{quote(value)} is no number of seconds")
    if not 0 <= value < _MOST:
        raise ValueError(f"{quote(value)} seconds were not spent")
    return float(value)


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """What an optimizer keeps, by the parameter's index and a name."""
    state = optimizer.state_dict()["state"]
    return {f"{index}/{name}": value for index, slots in state.items() for name, value in slots.items()}


def restore_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimizer what `optimizer_tensors` once gave, after it was checked; its settings are the fresh ones."""
    fresh = optimizer.state_dict()["param_groups"]
    parameters = parameters_of(optimizer)
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split("/", 1)
        like = parameters[int(index)]
        # In the parameter's memory layout, as the optimizer itself lays it out: a fused step walks raw memory.
        kept = torch.empty_like(like, dtype=value.dtype).copy_(value) if value.shape == like.shape else value.clone()
        state.setdefault(int(index), {})[name] = kept
    optimizer.load_state_dict({"state": state, "param_groups": fresh})
