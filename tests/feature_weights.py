"""Made-up weights under the published names, for the tests of the feature networks."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from zeuxis.metrics import inception, lite0
from zeuxis.metrics.folded import Unit

NAMES: dict[str, Callable[[str], tuple[str, str]]] = {
    "lite0": lite0._names,
    "inception": lambda path: (f"{path}.conv", f"{path}.bn"),
}
NETWORKS: dict[str, type[nn.Module]] = {"lite0": lite0.Lite0, "inception": inception.Inception}


def made_up(kind: str) -> dict[str, Tensor]:
    """Weights of every convolution and batch norm, with variances that keep the signal alive."""
    random = torch.Generator().manual_seed(0)
    found: dict[str, Tensor] = {}
    with torch.device("meta"):
        network = NETWORKS[kind]()
    for path, unit in sorted(network.named_modules()):
        if isinstance(unit, Unit):
            conv, norm = NAMES[kind](path)
            shape = unit.conv.weight.shape
            width = shape[0]
            found[f"{conv}.weight"] = torch.randn(shape, generator=random) * math.sqrt(2 / shape[1:].numel())
            found[f"{norm}.weight"] = 1 + torch.randn(width, generator=random) / 10
            found[f"{norm}.bias"] = torch.randn(width, generator=random) / 5
            found[f"{norm}.running_mean"] = torch.randn(width, generator=random) / 10
            found[f"{norm}.running_var"] = 0.5 + torch.rand(width, generator=random)
            found[f"{norm}.num_batches_tracked"] = torch.tensor(7)
    return found


def pattern(size: int, count: int = 2) -> Tensor:
    """Images (n 3 s s) of whole numbers from 0 to 250."""
    place = torch.arange(3 * size * size * count).view(count, 3, size, size)
    return ((place * 7919) % 251).float()
