"""Stacks of strided convolutions: images down to a vector, and a vector up to images (Radford 2015)."""

from __future__ import annotations

from functools import partial
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
    """The resolutions from 4 to 7 pixels up to `size`, by halving: 64 -> [4, 8, 16, 32, 64]."""
    sizes = [size]
    while sizes[0] >= 8:
        sizes.insert(0, sizes[0] // 2)
    return sizes


def detail_option() -> Any:
    """The option for the gain of a `DetailConv2d` at the image."""
    meaning = (
        "gain of fine details in the first layer of the discriminator, as textures are faint in photographs; 1: none"
    )
    return option(4.0, meaning, low=1, high=64)


WIDEST = 8  # times the channels next to the image, as in Radford 2015 at 64 pixels and Isola 2017 at 256


def max_channels_option() -> Any:
    """The option for the most channels of a layer, as `widths` takes it."""
    return option(0, f"most channels of a layer; 0: {WIDEST} times the base channels", low=0, high=65536)


def widths(count: int, width: int, most: int = 0) -> list[int]:
    """Channels at each of `count` sizes, the largest size first: `width`, doubling up to `most`, 0 for 8 times `width`."""
    return [min(width << i, most or WIDEST * width) for i in range(count)]


class DetailConv2d(nn.Conv2d):
    """A convolution whose weights count `gain` times in how they differ from their mean over the window.

    In photographs fine details are faint beside flat areas. This makes them as large, without further products: weights
    are drawn, and learned by Adam, on the scale of what they are for.
    """

    def __init__(self, *layer: Any, gain: float, **options: Any) -> None:
        super().__init__(*layer, **options)
        self.gain = gain

    def forward(self, image: Tensor) -> Tensor:
        level = self.weight.mean((2, 3), keepdim=True)
        weight = level + self.gain * (self.weight - level)
        return F.conv2d(image, weight, self.bias, self.stride, self.padding)


class Down(nn.Module):
    """Images (n c h w) to vectors (n outputs): stride-2 convolutions, channels by `widths`, then one linear map."""

    def __init__(
        self,
        size: int,
        channels: int,
        *,
        width: int,
        most: int = 0,
        outputs: int = 1,
        norm: Norm = "none",
        slope: float = 0.2,
        detail_gain: float = 1.0,
    ) -> None:
        super().__init__()
        sizes = pyramid(size)
        counts = [channels, *widths(len(sizes) - 1, width, most)]
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(zip(counts, counts[1:], strict=False)):
            kind: Norm = (
                "none" if i == 0 else norm
            )  # no norm in the first layer: it would remove the contrast of the image
            convolution = nn.Conv2d if i or detail_gain == 1 else partial(DetailConv2d, gain=detail_gain)
            layers += [
                convolution(before, after, 4, 2, 1, bias=kind == "none"),
                norm_layer(kind, after),
                nn.LeakyReLU(slope),
            ]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(counts[-1] * sizes[0] ** 2, outputs)

    @property
    def blocks(self) -> list[nn.Module]:
        """Each convolution with its norm and activation, the one next to the image first."""
        return [self.body[i : i + 3] for i in range(0, len(self.body), 3)]

    def forward(self, image: Tensor) -> Tensor:
        features: Tensor = self.body(image)  # n c 4 4
        vector: Tensor = self.head(features.permute(0, 2, 3, 1).flatten(1))  # free where channels come last
        return vector


class ResizeConv2d(nn.ConvTranspose2d):
    """Images (n c h w) doubled by nearest neighbours, then convolved 3x3: no checkerboard artefacts (Odena 2016).

    Computed as one equivalent transposed convolution, 4x4 with stride 2, which takes fewer products.
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
    """Vectors (n inputs) to images (n c h w): a linear map to a small grid, upsampled by 2, channels by `widths`.

    `transposed` upsamples by transposed convolutions, the last of which outputs the image. `nearest` upsamples by
    `ResizeConv2d`, and a convolution at full resolution outputs the image.
    """

    def __init__(
        self,
        size: int,
        channels: int,
        *,
        width: int,
        inputs: int,
        most: int = 0,
        norm: Norm = "batch",
        slope: float = 0.0,
        upsampling: Upsampling = "transposed",
    ) -> None:
        super().__init__()
        sizes = pyramid(size)
        counts = widths(len(sizes) - 1, width, most)[::-1]
        counts += [width // 2 if upsampling == "nearest" else channels]
        self.grid = sizes[0]
        self.stem = nn.Linear(inputs, counts[0] * self.grid**2, bias=norm == "none")
        layers: list[nn.Module] = [norm_layer(norm, counts[0]), nn.LeakyReLU(slope)]
        for i, (before, after) in enumerate(zip(counts, counts[1:], strict=False)):
            image = upsampling == "transposed" and i == len(counts) - 2
            kind: Norm = "none" if image else norm
            odd = sizes[i + 1] % 2  # an odd size was halved downwards: 25 -> 12, so 12 -> 25 needs one row more
            layers += [doubling(upsampling, before, after, odd=odd, bias=kind == "none")]
            layers += [] if image else [norm_layer(kind, after), nn.LeakyReLU(slope)]
        layers += [nn.Conv2d(counts[-1], channels, 3, 1, 1)] if upsampling == "nearest" else []
        self.body = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        grid = self.stem(z).unflatten(1, (self.grid, self.grid, -1)).permute(0, 3, 1, 2)  # n c 4 4, channels last
        image: Tensor = self.body(grid)
        return image


def doubling(
    upsampling: Upsampling, before: int, after: int, *, odd: int = 0, kernel: int = 4, bias: bool = True
) -> nn.ConvTranspose2d:
    """The layer that upsamples (n before h w) by 2, plus one row and column where the size is `odd` (`kernel` 4)."""
    if upsampling == "nearest":
        return ResizeConv2d(before, after, output_padding=odd, bias=bias)
    return nn.ConvTranspose2d(before, after, kernel, 2, 1, output_padding=odd + kernel % 2, bias=bias)


def opponents(
    size: int,
    channels: int,
    *,
    width: int,
    most: int = 0,
    inputs: int,
    upsampling: Upsampling,
    norm: Norm,
    detail_gain: float = 1.0,
) -> tuple[Up, Down]:
    """A generator, and a discriminator (or critic) with that norm.

    Initialisation is as in Radford 2015. A discriminator without norm uses `steady_init`, as small weights would
    attenuate faint textures in every layer.
    """
    generator = Up(size, channels, width=width, most=most, inputs=inputs, upsampling=upsampling)
    judge = Down(size, channels, width=width, most=most, norm=norm, detail_gain=detail_gain)
    textbook_init(generator)
    (steady_init if norm == "none" else textbook_init)(judge)
    return generator, judge


@torch.no_grad()
def steady_init(network: nn.Module, slope: float = 0.2) -> None:
    """Initialisation with constant variance through leaky ReLUs of that slope: He 2015, equation 15."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, slope)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


@torch.no_grad()
def textbook_init(network: nn.Module) -> None:
    """Initialisation of weights from N(0, 0.02), norm gains around 1: Radford 2015, section 4."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
