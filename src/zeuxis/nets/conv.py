"""Stacks of strided convolutions: images down to a vector, and a vector up to images (Radford 2015)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Norm = Literal["batch", "none"]


def pyramid(size: int) -> list[int]:
    """The sizes an image passes through when it is halved down to between 4 and 7 pixels: 64 -> [4, 8, 16, 32, 64]."""
    sizes = [size]
    while sizes[0] >= 8:
        sizes.insert(0, sizes[0] // 2)
    return sizes


def _norm(kind: Norm, channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels) if kind == "batch" else nn.Identity()


class Down(nn.Module):
    """Images (n c h w) to vectors (n outputs): stride-2 convolutions, channels doubling, then one linear map."""

    def __init__(
        self, size: int, channels: int, *, width: int, outputs: int = 1, norm: Norm = "none", slope: float = 0.2
    ) -> None:
        super().__init__()
        sizes = pyramid(size)
        widths = [channels] + [width << i for i in range(len(sizes) - 1)]
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(zip(widths, widths[1:], strict=False)):
            kind: Norm = "none" if i == 0 else norm  # a norm on the first layer would hide the image's own contrast
            layers += [nn.Conv2d(before, after, 4, 2, 1, bias=kind == "none"), _norm(kind, after), nn.LeakyReLU(slope)]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1] * sizes[0] ** 2, outputs)

    def forward(self, image: Tensor) -> Tensor:
        features: Tensor = self.body(image)  # n c 4 4
        vector: Tensor = self.head(features.permute(0, 2, 3, 1).flatten(1))  # free where channels come last
        return vector


class Up(nn.Module):
    """Vectors (n inputs) to images (n c h w): a linear map to a small grid, then stride-2 transposed convolutions."""

    def __init__(
        self, size: int, channels: int, *, width: int, inputs: int, norm: Norm = "batch", slope: float = 0.0
    ) -> None:
        super().__init__()
        sizes = pyramid(size)
        widths = [width << i for i in reversed(range(len(sizes) - 1))] + [channels]
        self.grid = sizes[0]
        self.stem = nn.Linear(inputs, widths[0] * self.grid**2, bias=norm == "none")
        layers: list[nn.Module] = [_norm(norm, widths[0]), nn.LeakyReLU(slope)]
        for i, (before, after) in enumerate(zip(widths, widths[1:], strict=False)):
            last = i == len(widths) - 2
            kind: Norm = "none" if last else norm
            odd = sizes[i + 1] % 2  # an odd size was halved downwards: 25 -> 12, so 12 -> 25 needs one row more
            layers += [nn.ConvTranspose2d(before, after, 4, 2, 1, output_padding=odd, bias=kind == "none")]
            layers += [] if last else [_norm(kind, after), nn.LeakyReLU(slope)]
        self.body = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        grid = self.stem(z).unflatten(1, (self.grid, self.grid, -1)).permute(0, 3, 1, 2)  # n c 4 4, channels last
        image: Tensor = self.body(grid)
        return image


@torch.no_grad()
def textbook_init(network: nn.Module) -> None:
    """Weights from N(0, 0.02), norms around 1: Radford 2015, section 4."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
