"""The U-Net that removes noise: residual blocks told of the noise's level, attention where pixels are few (Ho 2020)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeuxis.nets.norm import padded

_SMALLEST = 8  # pixels a side below which the image is not halved further
_ATTENTIVE = 8  # pixels a side up to which places look at each other
_HEAD = 32  # channels of an attention head
_GROUP = 16  # channels that are normalised together; with fewer the gradient takes 30 times as long (CPU, bfloat16)
_FREQUENCIES = 16  # of the sines that write down a level
# Of them, in radians. Over all levels (ln sigma / 4) none comes round, so that a rare level is answered as its neighbours
# are; with waves of up to 64 rad the first images that are expected have dots.
_LOWEST, _HIGHEST = 0.1, 1.0
_REACHES = (2, 4)  # pixels each way of the squares beside a pixel whose means it is compared with
_SQUARES = 4 * len(_REACHES)
_LOUD = 3.0  # deviations of the noise that such a difference is bounded by


class DenoisingUNet(nn.Module):
    """Noisy images (n c h w), the level of their noise (n) and what they show (n conditions) to images of that shape.

    `patch` pixels a side are one to the network, as many channels more: the first layers, which cost the most, then see
    a quarter of the places or less. The last layer begins at zero, so that the first prediction is zero.

    Beside the image the network sees how each pixel differs from those on all sides of it, measured by the deviation of the
    noise (`fine`), and tells which share of each difference is noise: in plain areas some of all, near an edge none of those
    from beyond it. Faint noise would else be a hundredth of what it sees, and have to pass through all layers pixel by pixel.
    """

    def __init__(self, size: int, channels: int, *, width: int, blocks: int, patch: int, conditions: int) -> None:
        super().__init__()
        self.patch, planes = patch, (1 + _SQUARES) * channels * patch**2  # of the image and its differences
        sides = _sides(-(-size // patch))
        widths = [width if i == 0 else 2 * width for i in range(len(sides))]
        embedding = 4 * width
        linear = nn.Linear(2 * _FREQUENCIES, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        self.level = nn.Sequential(Waves(), *linear)
        self.condition = nn.Linear(conditions, embedding, bias=False) if conditions else None
        self.stem = nn.Conv2d(planes, width, 3, 1, 1)
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        seen, before = [width], width  # channels of what the way up is joined to, as the way down leaves them
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
        """Of images whose noise has the deviations `noise` (n 1 1 1), at levels (n) as the waves write them down."""
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
    """How pixels (n c h w) differ from the means of the squares that they are a corner of (n squares*c h w), in deviations
    of the noise (n 1 1 1), softly bounded by 3: near an edge one of these lies on the pixel's own side (Kuwahara 1976)."""
    height, width = image.shape[-2:]
    around = []
    for reach in _REACHES:
        means = F.avg_pool2d(F.pad(image, (reach,) * 4, mode="replicate"), reach + 1, 1)
        around += [means[..., y : y + height, x : x + width] for y in (0, reach) for x in (0, reach)]
    return (_LOUD * torch.tanh((image[:, None] - torch.stack(around, 1)) / (_LOUD * noise[:, None]))).flatten(1, 2)


class Block(nn.Module):
    """Two convolutions with what came in added; the level shifts and scales what is between; attention if asked for."""

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
    """Every place of an image (n c h w) looks at all others, and adds what it finds (Vaswani 2017)."""

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
        # Written out: for so few places the fused kernel's gradient takes 20 times as long on a CPU (bfloat16).
        weights = torch.softmax(query @ key.transpose(2, 3) / key.shape[-1] ** 0.5, -1)
        found = (weights @ value).transpose(1, 2).reshape(n, h, w, c).permute(0, 3, 1, 2)
        result: Tensor = x + self.leave(found)
        return result


class Halved(nn.Module):
    """Half the size, rounded up."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(channels, channels, 3, 2, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        result: Tensor = self.layer(x)
        return result


class Doubled(nn.Module):
    """The size of what it is joined to next, by nearest neighbours and a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(channels, channels, 3, 1, 1)

    def forward(self, x: Tensor, like: Tensor) -> Tensor:
        result: Tensor = self.layer(F.interpolate(x, size=like.shape[-2:], mode="nearest"))
        return result


class Waves(nn.Module):
    """Sines and cosines (n k) of levels (n), from slow to fast ones: numbers that a linear layer can tell apart."""

    speeds: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Saved with the weights, which have learned to read waves of these speeds.
        self.register_buffer("speeds", torch.logspace(math.log10(_LOWEST), math.log10(_HIGHEST), _FREQUENCIES))

    def forward(self, level: Tensor) -> Tensor:
        angles = level[:, None] * self.speeds
        return torch.cat((angles.sin(), angles.cos()), 1)


def _sides(side: int) -> list[int]:
    """Pixels a side at each level: 32 -> [32, 16, 8]."""
    sides = [side]
    while sides[-1] > _SMALLEST:
        sides.append(-(-sides[-1] // 2))
    return sides


def _norm(channels: int) -> nn.GroupNorm:
    """Normalisation of each image alone, by groups of channels (Wu 2018)."""
    return nn.GroupNorm(channels // _GROUP if channels % _GROUP == 0 else 1, channels)


def _zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer with weights of zero: what it is in adds nothing at first."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
