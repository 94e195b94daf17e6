"""Dropout as the noise of a generator that is given images, not numbers (Isola 2017, section 3.3)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class Noise(nn.Dropout):
    """Dropout in training; afterwards at rest but where `drawn` wakes it."""

    share = 0.0  # of the features that are dropped while it is awake
    sources: tuple[torch.Generator, ...] = ()  # of chance, one for each image

    def forward(self, x: Tensor) -> Tensor:
        if not self.sources:
            return super().forward(x) if self.p else x
        # On the CPU, so that a seed means the same on every device.
        kept = torch.stack([torch.rand(x.shape[1:], generator=source) for source in self.sources]) >= self.share
        return x * (kept / (1 - self.share)).to(x)


@contextlib.contextmanager
def drawn(network: nn.Module, share: float, seeds: range) -> Iterator[None]:
    """With the noise of these seeds, one for each image of a batch, which thus does not depend on its neighbours."""
    layers = [layer for layer in network.modules() if isinstance(layer, Noise)]
    sources = tuple(torch.Generator().manual_seed(seed) for seed in seeds) if share else ()
    for layer in layers:
        layer.share, layer.sources = share, sources
    try:
        yield
    finally:
        for layer in layers:
            layer.share, layer.sources = 0.0, ()
