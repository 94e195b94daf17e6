"""A step of Adam over weights whose channels come last, as plain memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam, AdamW, Optimizer

_LAST, _BACK = (0, 2, 3, 1), (0, 3, 1, 2)  # n c h w as it lies in memory, and back


def step_optimizer(optimizer: Optimizer) -> None:
    """Step the optimizer. Adam's fused kernel on a CPU sees weights whose channels come last as they lie in memory.

    It would copy weights, gradients and moments to plain memory and back. Each number is computed alike.
    """
    plain = _plain_weights(optimizer)
    if not plain:
        optimizer.step()
        return
    given = [group["params"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["params"] = [plain.get(weight, weight) for weight in group["params"]]
    _rename(optimizer, plain, _LAST)
    try:
        optimizer.step()
    finally:
        for group, weights in zip(optimizer.param_groups, given):
            group["params"] = weights
        _rename(optimizer, {view: weight for weight, view in plain.items()}, _BACK)


def _plain_weights(optimizer: Optimizer) -> dict[Tensor, Tensor]:
    """Views of the weights to be seen as plain memory, with their gradients, by weight. Adam alone treats each number by
    itself, whatever the shape."""
    if type(optimizer) not in (Adam, AdamW):
        return {}
    weights = [p for group in optimizer.param_groups if group.get("fused") for p in group["params"]]
    return {weight: _plain(weight) for weight in weights if _is_last(weight)}


def _is_last(weight: Tensor) -> bool:
    """Whether the weight has a gradient and, on a CPU, channels that come last."""
    if weight.grad is None or weight.ndim != 4 or weight.device.type != "cpu" or weight.is_contiguous():
        return False
    return weight.is_contiguous(memory_format=torch.channels_last)


def _plain(weight: Tensor) -> Tensor:
    view = weight.detach().permute(_LAST)
    assert weight.grad is not None
    view.grad = weight.grad.permute(_LAST).contiguous()
    return view


def _rename(optimizer: Optimizer, names: Mapping[Tensor, Tensor], order: tuple[int, ...]) -> None:
    """Keep what the optimizer has of these weights under the others, its dimensions in that order."""
    kept: defaultdict[Tensor, Any] = defaultdict(dict)
    for weight, state in optimizer.state.items():
        known = weight in names
        kept[names.get(weight, weight)] = {
            slot: value.permute(order) if known and isinstance(value, Tensor) and value.ndim == 4 else value
            for slot, value in state.items()
        }
    optimizer.state = kept
