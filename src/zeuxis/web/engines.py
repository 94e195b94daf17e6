"""What draws pictures for latents: the model itself."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from zeuxis.explore.spaces import Space, decode_latents


class Engine(Protocol):
    """Draws pictures (n c h w, in [-1, 1], on the CPU) for latents of the space in which the page works."""

    @property
    def name(self) -> str: ...
    def decode(self, z: Tensor) -> Tensor: ...


class TorchEngine:
    """PyTorch, on the model's own device."""

    name = "torch"

    def __init__(self, space: Space) -> None:
        self._space = space

    def decode(self, z: Tensor) -> Tensor:
        """Pictures for latents (n ...)."""
        return decode_latents(self._space, z)
