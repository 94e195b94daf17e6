"""StyleGAN2's mapping, synthesis and discriminator networks (Karras 2020, https://arxiv.org/abs/1912.04958)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeuxis.nets.conv import pyramid, widths
from zeuxis.nets.equalised import (
    EqualConv2d,
    EqualLinear,
    ModulatedConv2d,
    halved,
    minibatch_deviation,
    pixel_norm,
)
from zeuxis.options import option

MEMORY = 0.995  # of the mean of w, in steps
ROOT = 2**0.5  # unit-variance gains: of a leaky ReLU, and of the sum of two branches


def base_channels_option() -> Any:
    """The option for the width that `widths` takes."""
    meaning = "base channels at full resolution, doubled at each downsampling up to 8 times"
    return option(16, meaning, low=4, high=512)


class Mapping(nn.Module):
    """The mapping network, from z (n d), normalised to a sphere, to the less entangled w (n d)."""

    mean: Tensor  # mean of w (d), for truncation

    def __init__(self, latent: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EqualLinear(latent, latent, pace=0.01) for _ in range(layers))
        self.register_buffer("mean", torch.zeros(latent))

    def forward(self, z: Tensor) -> Tensor:
        w = pixel_norm(z.float())
        with torch.autocast(w.device.type, enabled=False):  # little work, and every layer hangs on it
            for layer in self.layers:
                w = F.leaky_relu(layer(w), 0.2) * ROOT
        return w

    @torch.no_grad()
    def remember(self, w: Tensor) -> None:
        """Update the moving average of w with these (n d)."""
        self.mean.lerp_(w.detach().float().mean(0), 1 - MEMORY)


class Block(nn.Module):
    """A synthesis block: modulated upsampling and convolution, and its to-RGB output added to the upsampled image."""

    def __init__(self, before: int, after: int, style: int, channels: int, size: int, *, noise_injection: bool) -> None:
        super().__init__()
        self.size = size
        self.doubled = ModulatedConv2d(before, after, style, resample="up") if size > 7 else None
        self.kept = ModulatedConv2d(after, after, style)
        self.image = ModulatedConv2d(after, channels, style, 1, demodulate=False)
        self.strengths = nn.Parameter(torch.zeros(2)) if noise_injection else None
        self.register_buffer("noise", torch.randn(2, 1, size, size) if noise_injection else None)

    def forward(self, x: Tensor, image: Tensor | None, w: Tensor) -> tuple[Tensor, Tensor]:
        """x (n c h w) and image (n c h w), or, at the first block, none yet; w (n styles d), as many as convolutions."""
        for place, convolution in enumerate(filter(None, (self.doubled, self.kept))):
            odd = self.size % 2 == 1
            x = convolution(x, w[:, place], odd=odd, gain=ROOT, noise=self._noise(place, x.shape[0]))
            x = F.leaky_relu(x, 0.2)
        made = self.image(x, w[:, -1]).float()
        if image is not None:  # bilinear is the filter of the convolutions, with the border repeated
            made = made + F.interpolate(image, (self.size, self.size), mode="bilinear", align_corners=False)
        return x, made

    def _noise(self, place: int, n: int) -> Tensor | None:
        """Noise (n or 1, 1, h, w): random in training, fixed afterwards, so that the latent determines the image."""
        if self.strengths is None:
            return None
        fixed: Tensor = self.noise[place, None]  # type: ignore[index]
        drawn = torch.randn(n, *fixed.shape[1:], device=fixed.device) if self.training else fixed
        return drawn * self.strengths[place]


class Synthesis(nn.Module):
    """Styles w (n styles d) to images (n c h w): a learned constant, upsampled by blocks; figure 7, output skips."""

    def __init__(self, size: int, channels: int, *, width: int, style: int, noise_injection: bool) -> None:
        super().__init__()
        sizes = pyramid(size)
        counts = widths(len(sizes), width)[::-1]
        self.styles = 2 * len(sizes) - 1
        self.grid = nn.Parameter(torch.randn(counts[0], sizes[0], sizes[0]))
        self.blocks = nn.ModuleList(
            Block(before, after, style, channels, side, noise_injection=noise_injection)
            for before, after, side in zip([counts[0], *counts], counts, sizes)
        )

    def forward(self, w: Tensor) -> Tensor:
        x, image, place = self.grid.expand(w.shape[0], -1, -1, -1), None, 0
        for block in self.blocks:
            styles = 1 if block.doubled is None else 2
            x, image = block(x, image, w[:, place : place + styles])
            place += styles
        assert isinstance(image, Tensor)
        return image


class Residual(nn.Module):
    """A residual block with downsampling: two convolutions, and a 1 x 1 shortcut; the sum has unit variance."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.keep = EqualConv2d(before, before)
        self.halve = EqualConv2d(before, after, resample="down")
        self.skip = EqualConv2d(before, after, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.leaky_relu(self.keep(x, gain=ROOT), 0.2)
        # The root of the activation and that of the sum cancel.
        z: Tensor = F.leaky_relu(self.halve(y), 0.2) + self.skip(halved(x, self.halve.low_pass), gain=1 / ROOT)
        return z


class Discriminator(nn.Module):
    """Images (n c h w) to scores (n 1): residual downsampling blocks, then minibatch standard deviation."""

    def __init__(self, size: int, channels: int, *, width: int) -> None:
        super().__init__()
        sizes = pyramid(size)
        counts = widths(len(sizes), width)
        self.image = EqualConv2d(channels, counts[0], 1)
        self.blocks = nn.Sequential(*(Residual(*pair) for pair in zip(counts, counts[1:])))
        self.last = EqualConv2d(counts[-1] + 1, counts[-1])
        self.dense = EqualLinear(counts[-1] * sizes[0] ** 2, counts[-1])
        self.score = EqualLinear(counts[-1], 1)

    @property
    def from_image(self) -> list[nn.Module]:
        """The blocks from the image on; the first has the layer from RGB, too."""
        return [nn.ModuleList((self.image, self.blocks[0])), *list(self.blocks)[1:]]

    def forward(self, image: Tensor) -> Tensor:
        x = self.blocks(F.leaky_relu(self.image(image, gain=ROOT), 0.2))
        x = F.leaky_relu(self.last(minibatch_deviation(x), gain=ROOT), 0.2)
        x = F.leaky_relu(self.dense(x.flatten(1)), 0.2) * ROOT
        scores: Tensor = self.score(x)
        return scores
