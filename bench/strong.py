"""The textbook's step as a strong user of PyTorch writes it: four lines more, and the same game."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Step = Callable[[Tensor], object]


class Book(NamedTuple):
    """A textbook's game: its networks, its optimizers, and one step of all of them on images (n c h w, in [-1, 1])."""

    networks: Sequence[nn.Module]
    optimizers: Sequence[Optimizer]
    step: Step


def strong(book: Book, *, bf16: bool) -> Step:
    """The step with channels last, fused Adam and, with `bf16`, autocast; changes the networks and optimizers in place.

    Each weight is cast once a turn: autocast keeps what it has cast until an optimizer moves the weights.
    """
    for network in book.networks:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for optimizer in book.optimizers:
        for group in optimizer.param_groups:
            group.update({"fused": True} if "fused" in group else {})  # RMSprop has none
        optimizer.register_step_post_hook(lambda *_: torch.clear_autocast_cache())

    def step(image: Tensor) -> object:
        with torch.autocast(image.device.type, torch.bfloat16, enabled=bf16):
            return book.step(image.to(memory_format=torch.channels_last))

    return step
