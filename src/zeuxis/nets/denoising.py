"""The denoising U-Net: residual blocks conditioned on the noise level, self-attention at low resolution (Ho 2020)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeuxis.nets.norm import padded

_SMALLEST = 8  # pixels a side at which downsampling stops
_ATTENTIVE = 8  # highest resolution with self-attention, in pixels
_HEAD = 32  # channels of an attention head
_GROUP = 16  # channels per group of group norm; with fewer the gradient takes 30 times as long (CPU, bfloat16)
_FREQUENCIES = 16  # of the sinusoidal embedding of a noise level
# Of them, in radians. Over all levels (ln sigma / 4) none comes round, so that a rare level is answered as its neighbours
# are; with waves of up to 64 rad the first images that are expected have dots.
_LOWEST, _HIGHEST = 0.1, 1.0
_REACHES = (2, 4)  # size in pixels of the squares of the local differences
_SQUARES = 4 * len(_REACHES)
_LOUD = 3.0  # soft bound of the differences, in standard deviations of the noise


class DenoisingUNet(nn.Module):
    """Noisy images (n c h w), noise levels (n) and conditions (n conditions) to images of the same shape.

    Patches of `patch` by `patch` pixels are folded into channels, which makes the first layers, the most expensive, at
    least four times smaller. The last layer is initialised at zero, and so is the first prediction.

    Local differences of each pixel from its surroundings, in standard deviations of the noise (`fine`), are extra input
    channels, and the network predicts their shares of noise as extra outputs: in flat areas a part of each, at an edge
    none of those across it. Otherwise faint noise would be a hundredth of the input, to be carried through all layers.
    """

    def __init__(self, size: int, channels: int, *, width: int, blocks: int, patch: int, conditions: int) -> None:
        super().__init__()
        self.patch, planes = patch, (1 + _SQUARES) * channels * patch**2  # of the image and its local differences
        sides = _sides(-(-size // patch))
        widths = [width if i == 0 else 2 * width for i in range(len(sides))]
        embedding = 4 * width
        linear = nn.Linear(2 * _FREQUENCIES, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        self.level = nn.Sequential(Waves(), *linear)
        self.condition = nn.Linear(conditions, embedding, bias=False) if conditions else None
        self.stem = nn.Conv2d(planes, width, 3, 1, 1)
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        seen, before = [width], width  # channels of the skip connections, in the order of the encoder
        for i, (side, after) in enumerate(zip(sides, widths)):
            if i:
                self.downs.append(Halved(before))
                seen.append(before)
            for _ in range(blocks):
                self.downs.append(Block(before, after, embedding, attention=side <= _ATTENTIVE))
                seen.append(after)
                before = after
        middle = Block(before, before, embedding, attention=True), Block(before, before, embedding)
        self.middle = nn.ModuleList(middle)
        for i, (side, after) in reversed(list(enumerate(zip(sides, widths)))):
            for _ in range(blocks + 1):
                self.ups.append(Block(before + seen.pop(), after, embedding, attention=side <= _ATTENTIVE))
                before = after
            if i:
                self.ups.append(Doubled(before))
        self.head = nn.Sequential(_norm(before), nn.SiLU(), _zeroed(nn.Conv2d(before, planes, 3, 1, 1)))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as images come: 1.2 times as fast

    def forward(self, image: Tensor, noise: Tensor, level: Tensor, condition: Tensor | None = None) -> Tensor:
        """The prediction for noise of standard deviations `noise` (n 1 1 1), at levels (n) for the embedding."""
        height, width = image.shape[-2:]
        embedding = self.level(level)
        if self.condition is not None and condition is not None:
            embedding = embedding + self.condition(condition)
        embedding = F.silu(embedding)
        image = image.contiguous()  # all that is not a convolution is faster plane by plane, up to three times
        differs = fine(image, noise)
        x = F.pixel_unshuffle(padded(torch.cat((image, differs), 1), self.patch), self.patch)
        x = self.stem(x.contiguous(memory_format=torch.channels_last))  # faster, and the same bits however weights lie
        seen = [x]
        for layer in self.downs:
            x = layer(x, embedding)
            seen.append(x)
        for layer in self.middle:
            x = layer(x, embedding)
        for layer in self.ups:
            x = layer(x, seen[-1]) if isinstance(layer, Doubled) else layer(torch.cat((x, seen.pop()), 1), embedding)
        answer = F.pixel_shuffle(self.head(x).contiguous(), self.patch)[..., :height, :width]
        plain, share = answer.tensor_split([image.shape[1]], 1)
        return plain + (share * differs).reshape(-1, _SQUARES, *image.shape[1:]).sum(1)


def fine(image: Tensor, noise: Tensor) -> Tensor:
    """Differences of pixels (n c h w) from the means of the squares at their corners (n squares*c h w), in standard
    deviations of the noise (n 1 1 1), softly bounded by 3. At an edge one square is on the pixel's side (Kuwahara 1976)."""
    height, width = image.shape[-2:]
    around = []
    for reach in _REACHES:
        means = F.avg_pool2d(F.pad(image, (reach,) * 4, mode="replicate"), reach + 1, 1)
        around += [means[..., y : y + height, x : x + width] for y in (0, reach) for x in (0, reach)]
    return (_LOUD * torch.tanh((image[:, None] - torch.stack(around, 1)) / (_LOUD * noise[:, None]))).flatten(1, 2)


class Block(nn.Module):
    """A residual block of two convolutions, modulated by scale and shift from the noise level; optional attention."""

    def __init__(self, before: int, after: int, embedding: int, *, attention: bool = False) -> None:
        super().__init__()
        self.enter = nn.Sequential(_norm(before), nn.SiLU(), nn.Conv2d(before, after, 3, 1, 1))
        self.embedding = nn.Linear(embedding, 2 * after)
        self.norm = _norm(after)
        self.leave = _zeroed(nn.Conv2d(after, after, 3, 1, 1))
        self.skip = nn.Conv2d(before, after, 1) if before != after else nn.Identity()
        self.attention = Attention(after) if attention else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.embedding(embedding)[:, :, None, None].chunk(2, 1)
        y = F.silu(self.norm(self.enter(x)) * (1 + scale) + shift)
        result: Tensor = self.attention(self.skip(x) + self.leave(y))
        return result


class Attention(nn.Module):
    """Residual self-attention over the positions of feature maps (n c h w) (Vaswani 2017)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = max(1, channels // _HEAD)
        self.norm = _norm(channels)
        self.ask = nn.Conv2d(channels, 3 * channels, 1)
        self.leave = _zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        asked = self.ask(self.norm(x)).permute(0, 2, 3, 1).reshape(n, h * w, 3, self.heads, c // self.heads)
        query, key, value = asked.permute(2, 0, 3, 1, 4)  # each n heads places channels
        found = _attended(query, key, value).transpose(1, 2).reshape(n, h, w, c).permute(0, 3, 1, 2)
        result: Tensor = x + self.leave(found)
        return result


def _attended(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    if query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, key, value)
    # Written out: for so few places the fused kernel's gradient takes 20 times as long on a CPU (bfloat16).
    weights = torch.softmax(query @ key.transpose(2, 3) / key.shape[-1] ** 0.5, -1)
    return weights @ value


class Halved(nn.Module):
    """Half the size, rounded up."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(channels, channels, 3, 2, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        result: Tensor = self.layer(x)
        return result


class Doubled(nn.Module):
    """Upsampling to the size of the skip connection, by nearest neighbours and a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(channels, channels, 3, 1, 1)

    def forward(self, x: Tensor, like: Tensor) -> Tensor:
        result: Tensor = self.layer(F.interpolate(x, size=like.shape[-2:], mode="nearest"))
        return result


class Waves(nn.Module):
    """The sinusoidal embedding (n k) of noise levels (n), from low to high frequency."""

    speeds: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Saved with the weights, which have learned to read waves of these speeds.
        self.register_buffer("speeds", torch.logspace(math.log10(_LOWEST), math.log10(_HIGHEST), _FREQUENCIES))

    def forward(self, level: Tensor) -> Tensor:
        angles = level[:, None] * self.speeds
        return torch.cat((angles.sin(), angles.cos()), 1)


def _sides(side: int) -> list[int]:
    """The resolutions of the U-Net: 32 -> [32, 16, 8]."""
    sides = [side]
    while sides[-1] > _SMALLEST:
        sides.append(-(-sides[-1] // 2))
    return sides


def _norm(channels: int) -> nn.GroupNorm:
    """Group normalisation (Wu 2018)."""
    return nn.GroupNorm(channels // _GROUP if channels % _GROUP == 0 else 1, channels)


def _zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer with weights of zero: its residual branch adds nothing at first."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
