"""Dropout as the noise of an image-to-image generator (Isola 2017, section 3.3)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class Noise(nn.Dropout):
    """Dropout, active in training and within `drawn`, otherwise off."""

    share = 0.0  # dropout probability while active
    sources: tuple[torch.Generator, ...] = ()  # random generators, one per image

    def forward(self, x: Tensor) -> Tensor:
        if not self.sources:
            return super().forward(x) if self.p else x
        # On the CPU, so that a seed means the same on every device.
        kept = torch.stack([torch.rand(x.shape[1:], generator=source) for source in self.sources]) >= self.share
        return x * (kept / (1 - self.share)).to(x)


@contextlib.contextmanager
def drawn(network: nn.Module, share: float, seeds: range) -> Iterator[None]:
    """A context with active dropout from these seeds, one per image, independent of the rest of the batch."""
    layers = [layer for layer in network.modules() if isinstance(layer, Noise)]
    sources = tuple(torch.Generator().manual_seed(seed) for seed in seeds) if share else ()
    for layer in layers:
        layer.share, layer.sources = share, sources
    try:
        yield
    finally:
        for layer in layers:
            layer.share, layer.sources = 0.0, ()
