"""EfficientNet-Lite0 up to its pooled features (Tan and Le 2019, https://arxiv.org/abs/1905.11946; Lite: R. Liu 2020)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from zeuxis.io.parsing import Choose, expecting
from zeuxis.metrics.folded import COUNTER, Unit, fill_units, unit_shapes

LITE0_SIZE = 128  # pixels: a third of the work of the 224 it was trained at, and the features still tell images apart
_MOST = 6.0  # Lite replaces swish by ReLU6, and has no squeeze-and-excitation
# Repeats, kernel, stride of the first, expansion, channels: table 1 of the paper, whose last row is the head.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_IGNORED = "_fc."
_PUBLISHED = {
    "expand": ("_expand_conv", "_bn0"),
    "depth": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
}


class InvertedBottleneck(nn.Module):
    """An inverted bottleneck (Sandler 2018): expansion, depthwise convolution, projection; residual if shapes match."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = before * expansion
        self.expand = Unit(before, wide, most=_MOST) if expansion > 1 else nn.Identity()
        pad = {"padding": kernel // 2} if stride == 1 else {"uneven": kernel - 2}
        self.depth = Unit(wide, wide, kernel, stride=stride, groups=wide, most=_MOST, **pad)
        self.project = Unit(wide, after, most=None)
        self.adds = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.depth(self.expand(x)))
        return x + y if self.adds else y


class Lite0(nn.Module):
    """Images (n 3 128 128, values 0 to 255) to features (n 1280)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Unit(3, 32, 3, stride=2, uneven=1, most=_MOST)
        blocks, before = [], 32
        for repeats, kernel, stride, expansion, after in _STAGES:
            for i in range(repeats):
                blocks.append(InvertedBottleneck(before, after, kernel, stride if i == 0 else 1, expansion))
                before = after
        self.blocks = nn.Sequential(*blocks)
        self.head = Unit(before, 1280, most=_MOST)

    def forward(self, x: Tensor) -> Tensor:
        x = (x - 127) / 128
        features: Tensor = self.head(self.blocks(self.stem(x))).mean((2, 3))
        return features


def choose_lite0() -> Choose:
    """What is read of a file of the published weights, after its names and shapes are compared with the network's."""
    with torch.device("meta"):
        return expecting(unit_shapes(Lite0(), _names), others=(_IGNORED, COUNTER))


def lite0_network(weights: Mapping[str, Tensor]) -> Lite0:
    """The network with the published weights; `UsageError` for others."""
    with torch.device("meta"):
        network = Lite0()
    fill_units(network, weights, _names, ignored=_IGNORED)
    return network


def _names(path: str) -> tuple[str, str]:
    if path in ("stem", "head"):
        return f"_conv_{path}", "_bn0" if path == "stem" else "_bn1"
    _, number, unit = path.split(".")
    conv, norm = _PUBLISHED[unit]
    return f"_blocks.{number}.{conv}", f"_blocks.{number}.{norm}"
