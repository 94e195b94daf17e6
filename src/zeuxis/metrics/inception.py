"""Inception-v3 of the original FID, up to its 2048 pooled features (Szegedy 2016, Heusel 2017).

The network `inception-2015-12-05` differs from the paper in three places: average pooling excludes the padding, the last
block uses max pooling, and the classifier (omitted here) has 1008 classes. Units are named as in the published weights
`pt_inception-2015-12-05-6726825d.pth`; every name and shape is checked.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeuxis.io.parsing import Choose, expecting
from zeuxis.metrics.folded import COUNTER, Unit, fill_units, unit_shapes

INCEPTION_SIZE = 299
_IGNORED = "fc."


def _same(before: int, after: int, height: int, width: int) -> Unit:
    return Unit(before, after, (height, width), padding=(height // 2, width // 2))


def _average(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


class BlockA(nn.Module):
    """Filters of 1, 5 and twice 3, at 35 pixels."""

    def __init__(self, before: int, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = Unit(before, 64)
        self.branch5x5_1 = Unit(before, 48)
        self.branch5x5_2 = _same(48, 64, 5, 5)
        self.branch3x3dbl_1 = Unit(before, 64)
        self.branch3x3dbl_2 = _same(64, 96, 3, 3)
        self.branch3x3dbl_3 = _same(96, 96, 3, 3)
        self.branch_pool = Unit(before, pooled)

    def forward(self, x: Tensor) -> Tensor:
        five = self.branch5x5_2(self.branch5x5_1(x))
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), five, double, self.branch_pool(_average(x))], 1)


class BlockB(nn.Module):
    """From 35 pixels to 17."""

    def __init__(self) -> None:
        super().__init__()
        self.branch3x3 = Unit(288, 384, 3, stride=2)
        self.branch3x3dbl_1 = Unit(288, 64)
        self.branch3x3dbl_2 = _same(64, 96, 3, 3)
        self.branch3x3dbl_3 = Unit(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, 2)], 1)


class BlockC(nn.Module):
    """Filters of 7 as a row and a column, at 17 pixels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch1x1 = Unit(768, 192)
        self.branch7x7_1 = Unit(768, width)
        self.branch7x7_2 = _same(width, width, 1, 7)
        self.branch7x7_3 = _same(width, 192, 7, 1)
        self.branch7x7dbl_1 = Unit(768, width)
        self.branch7x7dbl_2 = _same(width, width, 7, 1)
        self.branch7x7dbl_3 = _same(width, width, 1, 7)
        self.branch7x7dbl_4 = _same(width, width, 7, 1)
        self.branch7x7dbl_5 = _same(width, 192, 1, 7)
        self.branch_pool = Unit(768, 192)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), seven, double, self.branch_pool(_average(x))], 1)


class BlockD(nn.Module):
    """From 17 pixels to 8."""

    def __init__(self) -> None:
        super().__init__()
        self.branch3x3_1 = Unit(768, 192)
        self.branch3x3_2 = Unit(192, 320, 3, stride=2)
        self.branch7x7x3_1 = Unit(768, 192)
        self.branch7x7x3_2 = _same(192, 192, 1, 7)
        self.branch7x7x3_3 = _same(192, 192, 7, 1)
        self.branch7x7x3_4 = Unit(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([self.branch3x3_2(self.branch3x3_1(x)), seven, F.max_pool2d(x, 3, 2)], 1)


class BlockE(nn.Module):
    """Filters of 3 that part into a row and a column, at 8 pixels."""

    def __init__(self, before: int, *, largest: bool) -> None:
        super().__init__()
        self.largest = largest  # pools by the maximum
        self.branch1x1 = Unit(before, 320)
        self.branch3x3_1 = Unit(before, 384)
        self.branch3x3_2a = _same(384, 384, 1, 3)
        self.branch3x3_2b = _same(384, 384, 3, 1)
        self.branch3x3dbl_1 = Unit(before, 448)
        self.branch3x3dbl_2 = _same(448, 384, 3, 3)
        self.branch3x3dbl_3a = _same(384, 384, 1, 3)
        self.branch3x3dbl_3b = _same(384, 384, 3, 1)
        self.branch_pool = Unit(before, 192)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        parts = [self.branch3x3_2a(three), self.branch3x3_2b(three)]
        parts += [self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)]
        pooled = F.max_pool2d(x, 3, 1, 1) if self.largest else _average(x)
        return torch.cat([self.branch1x1(x), *parts, self.branch_pool(pooled)], 1)


class Inception(nn.Module):
    """Images (n 3 299 299, values 0 to 255) to features (n 2048)."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Unit(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = Unit(32, 32, 3)
        self.Conv2d_2b_3x3 = _same(32, 64, 3, 3)
        self.Conv2d_3b_1x1 = Unit(64, 80)
        self.Conv2d_4a_3x3 = Unit(80, 192, 3)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = BlockA(192, 32), BlockA(256, 64), BlockA(288, 64)
        self.Mixed_6a = BlockB()
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = BlockC(128), BlockC(160), BlockC(160), BlockC(192)
        self.Mixed_7a = BlockD()
        self.Mixed_7b, self.Mixed_7c = BlockE(1280, largest=False), BlockE(2048, largest=True)

    def forward(self, x: Tensor) -> Tensor:
        x = (x - 128) / 128
        x = F.max_pool2d(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x))), 3, 2)
        x = F.max_pool2d(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)), 3, 2)
        x = self.Mixed_6a(self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x))))
        x = self.Mixed_7a(self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(x)))))
        features: Tensor = self.Mixed_7c(self.Mixed_7b(x)).mean((2, 3))
        return features


def choose_inception() -> Choose:
    """What is read of a file of the published weights, after its names and shapes are compared with the network's."""
    with torch.device("meta"):
        return expecting(unit_shapes(Inception(), _names), others=(_IGNORED, COUNTER))


def _names(path: str) -> tuple[str, str]:
    return f"{path}.conv", f"{path}.bn"


def inception_network(weights: Mapping[str, Tensor]) -> Inception:
    """The network with the published weights; `UsageError` for others."""
    with torch.device("meta"):
        network = Inception()
    fill_units(network, weights, _names, ignored=_IGNORED)
    return network
