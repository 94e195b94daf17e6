"""StyleGAN2's game as its authors write it: activations scaled in training, a filter after each doubling convolution,
images drawn anew for each player (Karras 2020). Without augmentation, penalties and noise, which ours leaves out to compare.

mapping, synthesis, discriminator = networks(64, 3)
players = optimizers(mapping, synthesis, discriminator)
for real in batches:  # n c h w, in [-1, 1]
    losses = step(mapping, synthesis, discriminator, players, real)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam

LATENT_DIM = 128
MIXING = 0.9


class Linear(nn.Module):
    """An equalised linear layer."""

    def __init__(self, inputs: int, outputs: int, bias: float = 0.0, lr: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr)
        self.bias = nn.Parameter(torch.full((outputs,), bias / lr))
        self.scale, self.lr = lr / math.sqrt(inputs), lr

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.lr)


class Conv(nn.Module):
    """An equalised convolution, or one that first blurs and then halves."""

    def __init__(self, before: int, after: int, kernel: int = 3, *, down: bool = False, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(after, before, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(after)) if bias else None
        self.scale, self.down = 1 / math.sqrt(before * kernel**2), down

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale
        if not self.down:
            return F.conv2d(x, weight, self.bias, padding=weight.shape[-1] // 2)
        pad = 1 + weight.shape[-1] // 2
        return F.conv2d(blur(x, pad), weight, self.bias, stride=2)


class Modulated(nn.Module):
    """A modulated convolution: scaled activations in training, else weights of each image's own, in groups."""

    def __init__(
        self, before: int, after: int, style: int, kernel: int = 3, *, up: bool = False, demod: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(after, before, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(after))
        self.affine = Linear(style, before, bias=1.0)
        self.scale, self.up, self.demod = 1 / math.sqrt(before * kernel**2), up, demod

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        weight, style = self.weight * self.scale, self.affine(w)[:, None, :, None, None]
        each = weight * style  # n o c k k
        if self.training:
            y = self._convolved(x * style[:, 0], weight, groups=1)
        else:
            n, c, h, side = x.shape
            y = self._convolved(x.reshape(1, n * c, h, side), each.flatten(0, 1), groups=n)
            y = y.view(n, -1, *y.shape[2:])
        if self.demod:
            y = y * torch.rsqrt(each.square().sum((2, 3, 4)) + 1e-8).to(y.dtype)[:, :, None, None]
        return y + self.bias.to(y.dtype)[:, None, None]

    def _convolved(self, x: Tensor, weight: Tensor, groups: int) -> Tensor:
        """x (n g*c h w) convolved by weights (g*o c k k), doubled where this layer doubles."""
        if not self.up:
            return F.conv2d(x, weight, padding=weight.shape[-1] // 2, groups=groups)
        turned = weight.view(groups, -1, *weight.shape[1:]).transpose(1, 2).flatten(0, 1)  # g*c o k k
        return blur(F.conv_transpose2d(x, turned, stride=2, groups=groups), 1, gain=4.0)


def blur(x: Tensor, pad: int, *, gain: float = 1.0, stride: int = 1) -> Tensor:
    """The filter 1 3 3 1 along both sides of each channel."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], device=x.device) / 8
    kernel = (torch.outer(taps, taps) * gain).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(F.pad(x, (pad, pad, pad, pad)), kernel, stride=stride, groups=x.shape[1])


def act(x: Tensor) -> Tensor:
    """Leaky ReLU at its input's variance."""
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


class Mapping(nn.Module):
    """z (n d) to w (n d)."""

    def __init__(self, latent: int = LATENT_DIM, layers: int = 4) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Linear(latent, latent, lr=0.01) for _ in range(layers))

    def forward(self, z: Tensor) -> Tensor:
        w = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        for layer in self.layers:
            w = act(layer(w))
        return w


class Block(nn.Module):
    """A doubling convolution (but in the first block), one more, and what they add to the image."""

    def __init__(self, before: int, after: int, style: int, channels: int, *, up: bool) -> None:
        super().__init__()
        self.doubled = Modulated(before, after, style, up=True) if up else None
        self.kept = Modulated(after, after, style)
        self.image = Modulated(after, channels, style, 1, demod=False)


class Synthesis(nn.Module):
    """w (n styles d) to images (n c h w)."""

    def __init__(self, size: int, channels: int, width: int, style: int = LATENT_DIM) -> None:
        super().__init__()
        counts = widths(size, width)
        self.grid = nn.Parameter(torch.randn(counts[0], 4, 4))
        pairs = zip([counts[0], *counts], counts)
        self.blocks = nn.ModuleList(Block(*pair, style, channels, up=i > 0) for i, pair in enumerate(pairs))
        self.styles = 2 * len(counts) - 1

    def forward(self, w: Tensor) -> Tensor:
        x, styles = self.grid.repeat(len(w), 1, 1, 1), iter(w.unbind(1))
        image: Tensor | None = None
        for block in self.blocks:
            assert isinstance(block, Block)
            if block.doubled is not None:
                x = act(block.doubled(x, next(styles)))
            style = next(styles)
            x = act(block.kept(x, style))
            made: Tensor = block.image(x, style)
            if image is not None:
                made = made + F.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)
            image = made
        assert image is not None
        return image


class Residual(nn.Module):
    """Two convolutions, the second halving, and a shortcut."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.keep = Conv(before, before)
        self.halve = Conv(before, after, down=True)
        self.skip = Conv(before, after, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = act(self.halve(act(self.keep(x)))) + self.skip(blur(x, 1, stride=2))
        return y / math.sqrt(2)


class Discriminator(nn.Module):
    """Images (n c h w) to scores (n 1)."""

    def __init__(self, size: int, channels: int, width: int) -> None:
        super().__init__()
        counts = widths(size, width)[::-1]
        self.image = Conv(channels, counts[0], 1)
        self.blocks = nn.Sequential(*(Residual(*pair) for pair in zip(counts, counts[1:])))
        self.last = Conv(counts[-1] + 1, counts[-1])
        self.dense = Linear(counts[-1] * 16, counts[-1])
        self.score = Linear(counts[-1], 1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.blocks(act(self.image(image)))
        n, c, h, w = x.shape
        group = x.view(4, n // 4, c, h, w)
        deviation = (group.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3)).view(-1, 1, 1, 1)
        x = act(self.last(torch.cat([x, deviation.repeat(4, 1, h, w)], 1)))
        scores: Tensor = self.score(act(self.dense(x.flatten(1))))
        return scores


def widths(size: int, width: int) -> list[int]:
    """Channels at each size from 4 pixels up; `ValueError` for a size that is no power of two."""
    levels = size.bit_length() - 2
    if size < 8 or size != 4 << (levels - 1):
        raise ValueError(f"size is {size}; the textbook's networks take a power of two, at least 8")
    return [min(width << i, 8 * width) for i in reversed(range(levels))]


def networks(size: int, channels: int, width: int = 16) -> tuple[Mapping, Synthesis, Discriminator]:
    """Mapping, synthesis and discriminator of our defaults' shape; `size` is a power of two, at least 8."""
    return Mapping(), Synthesis(size, channels, width), Discriminator(size, channels, width)


def optimizers(mapping: nn.Module, synthesis: nn.Module, discriminator: nn.Module) -> tuple[Adam, Adam]:
    """Adam for the generator and for the discriminator."""
    generator = [*mapping.parameters(), *synthesis.parameters()]
    return Adam(generator, 2.5e-3, (0.0, 0.99)), Adam(discriminator.parameters(), 2.5e-3, (0.0, 0.99))


def step(
    mapping: Mapping, synthesis: Synthesis, discriminator: nn.Module, players: tuple[Adam, Adam], real: Tensor
) -> tuple[float, float]:
    """One step of both players on real images (n c h w, n a multiple of 4); the losses of discriminator and generator."""
    generator_adam, discriminator_adam = players
    with torch.no_grad():
        fake = synthesis(_styles(mapping, len(real), synthesis.styles))
    discriminator.zero_grad()
    loss = F.softplus(-discriminator(real)).mean() + F.softplus(discriminator(fake)).mean()
    loss.backward()  # type: ignore[no-untyped-call]
    discriminator_adam.step()

    mapping.zero_grad()
    synthesis.zero_grad()
    fooled = F.softplus(-discriminator(synthesis(_styles(mapping, len(real), synthesis.styles)))).mean()
    fooled.backward()  # type: ignore[no-untyped-call]
    generator_adam.step()
    return loss.item(), fooled.item()


def _styles(mapping: Mapping, n: int, styles: int) -> Tensor:
    """Styles (n styles d), most of them of two latents."""
    device = next(mapping.parameters()).device
    noise = [torch.randn(n, LATENT_DIM, device=device) for _ in range(2)]
    one, other = (mapping(z)[:, None].repeat(1, styles, 1) for z in noise)
    start = torch.where(torch.rand(n, device=device) < MIXING, torch.randint(1, styles, (n,), device=device), styles)
    return torch.where((torch.arange(styles, device=device) < start[:, None])[..., None], one, other)
