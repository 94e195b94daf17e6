"""Stacks of strided convolutions: images down to a vector, and a vector up to images (Radford 2015)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeuxis.nets.norm import norm_layer
from zeuxis.options import option

Norm = Literal["batch", "layer", "none"]
Upsampling = Literal["nearest", "transposed"]


def upsampling_option() -> Any:
    """The option for `Upsampling`."""
    return option("nearest", "generator upsampling: nearest neighbour and a convolution, or transposed")


def pyramid(size: int) -> list[int]:
    """The sizes an image passes through when it is halved down to between 4 and 7 pixels: 64 -> [4, 8, 16, 32, 64]."""
    sizes = [size]
    while sizes[0] >= 8:
        sizes.insert(0, sizes[0] // 2)
    return sizes


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
            layers += [
                nn.Conv2d(before, after, 4, 2, 1, bias=kind == "none"),
                norm_layer(kind, after),
                nn.LeakyReLU(slope),
            ]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1] * sizes[0] ** 2, outputs)

    def forward(self, image: Tensor) -> Tensor:
        features: Tensor = self.body(image)  # n c 4 4
        vector: Tensor = self.head(features.permute(0, 2, 3, 1).flatten(1))  # free where channels come last
        return vector


class ResizeConv2d(nn.ConvTranspose2d):
    """Images (n c h w) doubled by nearest neighbours, then convolved 3x3: where features are flat, so is the image (Odena 2016).

    Computed as the transposed convolution, 4x4 with stride 2, that the two are together: the same sums, of fewer products.
    """

    def __init__(self, before: int, after: int, *, output_padding: int = 0, bias: bool = True) -> None:
        super().__init__(before, after, 3, 2, 1, output_padding=output_padding, bias=bias)

    def forward(self, image: Tensor, output_size: list[int] | None = None) -> Tensor:
        return F.conv_transpose2d(image, spread(self.weight), self.bias, 2, 1, self.output_padding)


def spread(weight: Tensor) -> Tensor:
    """Weights (a b k k) over four neighbours (a b k+1 k+1): the sum of the weights at each of the four places."""
    places = ((0, 1, 0, 1), (1, 0, 0, 1), (0, 1, 1, 0), (1, 0, 1, 0))
    first, *others = (F.pad(weight, place) for place in places)
    for other in others:
        first = first + other
    return first


class Up(nn.Module):
    """Vectors (n inputs) to images (n c h w): a linear map to a small grid, doubled again and again, channels halving.

    `transposed` doubles by transposed convolutions, the last of which makes the image. `nearest` doubles by
    `ResizeConv2d`, once more than the image needs channels for, and a convolution at full size makes the image.
    """

    def __init__(
        self,
        size: int,
        channels: int,
        *,
        width: int,
        inputs: int,
        norm: Norm = "batch",
        slope: float = 0.0,
        upsampling: Upsampling = "transposed",
    ) -> None:
        super().__init__()
        sizes = pyramid(size)
        widths = [width << i for i in reversed(range(len(sizes) - 1))]
        widths += [width // 2 if upsampling == "nearest" else channels]
        self.grid = sizes[0]
        self.stem = nn.Linear(inputs, widths[0] * self.grid**2, bias=norm == "none")
        layers: list[nn.Module] = [norm_layer(norm, widths[0]), nn.LeakyReLU(slope)]
        for i, (before, after) in enumerate(zip(widths, widths[1:], strict=False)):
            image = upsampling == "transposed" and i == len(widths) - 2
            kind: Norm = "none" if image else norm
            odd = sizes[i + 1] % 2  # an odd size was halved downwards: 25 -> 12, so 12 -> 25 needs one row more
            layers += [doubling(upsampling, before, after, odd=odd, bias=kind == "none")]
            layers += [] if image else [norm_layer(kind, after), nn.LeakyReLU(slope)]
        layers += [nn.Conv2d(widths[-1], channels, 3, 1, 1)] if upsampling == "nearest" else []
        self.body = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        grid = self.stem(z).unflatten(1, (self.grid, self.grid, -1)).permute(0, 3, 1, 2)  # n c 4 4, channels last
        image: Tensor = self.body(grid)
        return image


def doubling(
    upsampling: Upsampling, before: int, after: int, *, odd: int = 0, kernel: int = 4, bias: bool = True
) -> nn.ConvTranspose2d:
    """The layer that doubles images (n before h w), and gives one row and column more where the size is `odd` (`kernel` 4)."""
    if upsampling == "nearest":
        return ResizeConv2d(before, after, output_padding=odd, bias=bias)
    return nn.ConvTranspose2d(before, after, kernel, 2, 1, output_padding=odd + kernel % 2, bias=bias)


def opponents(
    size: int, channels: int, *, width: int, inputs: int, upsampling: Upsampling, norm: Norm
) -> tuple[Up, Down]:
    """A generator of images and a judge of them, the judge with that norm.

    Weights are as in Radford 2015, but those of a judge without norms, which would let each layer make a faint texture
    fainter: `steady_init`.
    """
    generator = Up(size, channels, width=width, inputs=inputs, upsampling=upsampling)
    judge = Down(size, channels, width=width, norm=norm)
    textbook_init(generator)
    (steady_init if norm == "none" else textbook_init)(judge)
    return generator, judge


@torch.no_grad()
def steady_init(network: nn.Module, slope: float = 0.2) -> None:
    """Weights that keep the mean square from layer to layer, through leaky ReLUs of that slope: He 2015, equation 15."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, slope)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


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
