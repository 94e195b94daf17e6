"""ProGAN's game at its last size as it is usually written: doubled by neighbours, then convolved; convolved, then pooled;
a critic with a penalised slope and drift, images drawn anew for the generator (Karras 2018).

generator, critic = networks(64, 3)
players = optimizers(generator, critic)
for real in batches:  # n c h w, in [-1, 1]
    losses = step(generator, critic, players, real)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam

from textbook.stylegan2 import widths

LATENT_DIM = 128
PENALTY, DRIFT = 10.0, 1e-3


class Linear(nn.Linear):
    """An equalised linear layer."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight / math.sqrt(self.in_features), self.bias)


class Conv(nn.Conv2d):
    """An equalised convolution that keeps the size."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight / math.sqrt(self.in_channels * self.kernel_size[0] ** 2)
        return F.conv2d(x, weight, self.bias, padding=self.kernel_size[0] // 2)


def act(x: Tensor) -> Tensor:
    """Leaky ReLU at its input's variance."""
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


def normed(x: Tensor) -> Tensor:
    """Pixel norm."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


class Generator(nn.Module):
    """Latents (n 128) to images (n c h w)."""

    def __init__(self, size: int, channels: int, width: int) -> None:
        super().__init__()
        counts = widths(size, width)
        self.stem = Linear(LATENT_DIM, counts[0] * 16)
        self.doubled = nn.ModuleList(Conv(*pair, 3) for pair in zip(counts, counts[1:]))
        self.kept = nn.ModuleList(Conv(count, count, 3) for count in counts)
        self.image = Conv(counts[-1], channels, 1)

    def forward(self, z: Tensor) -> Tensor:
        x = normed(act(self.stem(normed(z)).view(len(z), -1, 4, 4)))
        x = normed(act(self.kept[0](x)))
        for doubled, kept in zip(self.doubled, self.kept[1:]):
            x = normed(act(doubled(F.interpolate(x, scale_factor=2))))
            x = normed(act(kept(x)))
        images: Tensor = self.image(x)
        return images


class Critic(nn.Module):
    """Images (n c h w) to scores (n 1)."""

    def __init__(self, size: int, channels: int, width: int) -> None:
        super().__init__()
        counts = widths(size, width)
        self.image = Conv(channels, counts[-1], 1)
        self.keep = nn.ModuleList(Conv(count, count, 3) for count in counts[1:])
        self.halve = nn.ModuleList(Conv(after, before, 3) for before, after in zip(counts, counts[1:]))
        self.last = Conv(counts[0] + 1, counts[0], 3)
        self.dense = Linear(counts[0] * 16, counts[0])
        self.score = Linear(counts[0], 1)

    def forward(self, image: Tensor) -> Tensor:
        x = act(self.image(image))
        for keep, halve in zip(reversed(self.keep), reversed(self.halve)):
            x = act(F.avg_pool2d(halve(act(keep(x))), 2))
        n, c, h, w = x.shape
        deviation = (x.view(4, n // 4, c, h, w).var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
        x = act(self.last(torch.cat([x, deviation.view(-1, 1, 1, 1).repeat(4, 1, h, w)], 1)))
        scores: Tensor = self.score(act(self.dense(x.flatten(1))))
        return scores


def networks(size: int, channels: int, width: int = 16) -> tuple[Generator, Critic]:
    """Generator and critic of our defaults' shape; `size` is a power of two, at least 8."""
    return Generator(size, channels, width), Critic(size, channels, width)


def optimizers(generator: nn.Module, critic: nn.Module) -> tuple[Adam, Adam]:
    """Adam for the generator and for the critic."""
    return Adam(generator.parameters(), 2.5e-3, (0.0, 0.99)), Adam(critic.parameters(), 2.5e-3, (0.0, 0.99))


def step(generator: Generator, critic: Critic, players: tuple[Adam, Adam], real: Tensor) -> tuple[float, float]:
    """One step of both players on real images (n c h w, n a multiple of 4); the losses of critic and generator."""
    generator_adam, critic_adam = players
    with torch.no_grad():
        fake = generator(torch.randn(len(real), LATENT_DIM, device=real.device))
    critic.zero_grad()
    real_score = critic(real)
    loss = critic(fake).mean() - real_score.mean() + DRIFT * real_score.square().mean()
    (loss + PENALTY * _penalty(critic, real, fake)).backward()
    critic_adam.step()

    generator.zero_grad()
    fooled = -critic(generator(torch.randn(len(real), LATENT_DIM, device=real.device))).mean()
    fooled.backward()
    generator_adam.step()
    return loss.item(), fooled.item()


def _penalty(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = (share * real + (1 - share) * fake).requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    penalty: Tensor = (gradient.flatten(1).norm(dim=1) - 1).square().mean()
    return penalty
