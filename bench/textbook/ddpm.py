"""The DDPM as it is usually written (Ho 2020): a U-Net that predicts the noise, 1000 linear betas, squared error.

network = UNet(3)
adam, alphas = Adam(network.parameters(), 1e-3), schedule()
for image in batches:  # n c h w, in [-1, 1]
    step(network, adam, alphas, image)

The layers are those of `zeuxis.nets.denoising` at one block a size, so that both sides have the same work; groups of
norms are 8, attention is the library's, memory is laid out as it comes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam

GROUPS, STEPS = 8, 1000


def schedule() -> Tensor:
    """The products of 1 - beta (1000)."""
    return (1 - torch.linspace(1e-4, 0.02, STEPS)).cumprod(0)


def step(network: nn.Module, adam: Adam, alphas: Tensor, image: Tensor) -> float:
    """One step on images (n c h w, in [-1, 1]); the loss."""
    t = torch.randint(STEPS, (len(image),), device=image.device)
    kept = alphas[t].view(-1, 1, 1, 1)
    noise = torch.randn_like(image)
    loss = F.mse_loss(network(kept.sqrt() * image + (1 - kept).sqrt() * noise, t.float()), noise)
    adam.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    adam.step()
    return float(loss.item())


class UNet(nn.Module):
    """Images (n c 32 32) and times (n) to noise: 32, 16 and 8 pixels a side, attention at 8."""

    def __init__(self, channels: int, width: int = 32) -> None:
        super().__init__()
        wide, told = 2 * width, 4 * width
        self.width = width
        self.time = nn.Sequential(nn.Linear(width, told), nn.SiLU(), nn.Linear(told, told))
        self.stem = nn.Conv2d(channels, width, 3, padding=1)
        self.down = nn.ModuleList(
            [ResBlock(width, width, told), ResBlock(width, wide, told), ResBlock(wide, wide, told)]
        )
        self.halving = nn.ModuleList([nn.Conv2d(c, c, 3, 2, 1) for c in (width, wide)])
        self.middle = nn.ModuleList([ResBlock(wide, wide, told), ResBlock(wide, wide, told)])
        joined = [(2 * wide, wide), (2 * wide, wide), (2 * wide, wide), (wide + width, wide), (wide + width, width)]
        joined.append((2 * width, width))
        self.up = nn.ModuleList([ResBlock(before, after, told) for before, after in joined])
        self.doubling = nn.ModuleList([nn.Conv2d(c, c, 3, padding=1) for c in (wide, wide)])
        self.look = nn.ModuleList([Attention(wide) for _ in range(4)])
        self.head = nn.Sequential(nn.GroupNorm(GROUPS, width), nn.SiLU(), nn.Conv2d(width, channels, 3, padding=1))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        places = torch.arange(self.width // 2, device=t.device)
        speeds = torch.exp(-math.log(10_000) * places / (self.width // 2 - 1))
        angles = t[:, None] * speeds
        told = self.time(torch.cat((angles.sin(), angles.cos()), 1))
        seen = [self.stem(x)]
        for i, block in enumerate(self.down):
            x = block(seen[-1], told)
            seen.append(self.look[0](x) if i == 2 else x)
            if i < 2:
                seen.append(self.halving[i](seen[-1]))
        x = self.middle[1](self.look[1](self.middle[0](seen[-1], told)), told)
        for i, block in enumerate(self.up):
            x = block(torch.cat((x, seen.pop()), 1), told)
            x = self.look[2 + i](x) if i < 2 else x
            if i in (1, 3):
                x = self.doubling[i // 2](F.interpolate(x, scale_factor=2))
        result: Tensor = self.head(x)
        return result


class ResBlock(nn.Module):
    """Two convolutions around what the time says, and a skip."""

    def __init__(self, before: int, after: int, told: int) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.GroupNorm(GROUPS, before), nn.SiLU(), nn.Conv2d(before, after, 3, padding=1))
        self.told = nn.Sequential(nn.SiLU(), nn.Linear(told, 2 * after))
        self.norm = nn.GroupNorm(GROUPS, after)
        self.two = nn.Conv2d(after, after, 3, padding=1)
        self.skip = nn.Conv2d(before, after, 1) if before != after else nn.Identity()

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        scale, shift = self.told(told)[:, :, None, None].chunk(2, 1)
        result: Tensor = self.skip(x) + self.two(F.silu(self.norm(self.one(x)) * (scale + 1) + shift))
        return result


class Attention(nn.Module):
    """Self-attention over the places of an image, in heads of 32 channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm, self.heads = nn.GroupNorm(GROUPS, channels), channels // 32
        self.qkv, self.out = nn.Conv2d(channels, 3 * channels, 1), nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        parts = self.qkv(self.norm(x)).view(n, 3, self.heads, c // self.heads, h * w)
        query, key, value = (parts[:, i].transpose(2, 3) for i in range(3))
        found = F.scaled_dot_product_attention(query, key, value).transpose(2, 3).reshape(n, c, h, w)
        result: Tensor = x + self.out(found)
        return result
