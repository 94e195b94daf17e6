"""The DCGAN as pytorch/examples trains it: width 64, batch 64, batch norm in both networks, Adam 2e-4 (Radford 2015).

generator, discriminator = networks(64, 3)
players = optimizers(generator, discriminator)
for real in batches:  # n c h w, in [-1, 1]
    losses = step(generator, discriminator, players, real)
images = torch.tanh(generator(torch.randn(n, LATENT_DIM, 1, 1)))  # n c h w, in [-1, 1]; generator.eval() first
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam

LATENT_DIM = 100


def networks(size: int, channels: int, width: int = 64) -> tuple[nn.Sequential, nn.Sequential]:
    """A generator (n 100 1 1 to n channels size size, before its tanh) and a discriminator (to n 1 1 1, a logit).

    `size` is a power of two, at least 8; `width` is the number of channels next to the image.
    """
    doublings = size.bit_length() - 3
    if size < 8 or size != 4 << doublings:
        raise ValueError(f"size is {size}; the textbook's networks take a power of two, at least 8")
    widths = [width << i for i in range(doublings)]
    up: list[nn.Module] = [nn.ConvTranspose2d(LATENT_DIM, widths[-1], 4, 1, 0, bias=False)]
    for before, after in zip(widths[::-1], widths[-2::-1]):
        up += [nn.BatchNorm2d(before), nn.ReLU(True), nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False)]
    up += [nn.BatchNorm2d(width), nn.ReLU(True), nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=False)]
    down: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)]
    for before, after in zip(widths, widths[1:]):
        down += [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2, True)]
    down += [nn.Conv2d(widths[-1], 1, 4, 1, 0, bias=False)]
    generator, discriminator = nn.Sequential(*up), nn.Sequential(*down)
    generator.apply(_init)
    discriminator.apply(_init)
    return generator, discriminator


def optimizers(generator: nn.Module, discriminator: nn.Module, lr: float = 2e-4) -> tuple[Adam, Adam]:
    """Adam for the generator and for the discriminator."""
    return Adam(generator.parameters(), lr, (0.5, 0.999)), Adam(discriminator.parameters(), lr, (0.5, 0.999))


def step(
    generator: nn.Module, discriminator: nn.Module, players: tuple[Adam, Adam], real: Tensor
) -> tuple[float, float]:
    """One step of both players on real images (n c h w, in [-1, 1]); the losses of discriminator and generator."""
    generator_adam, discriminator_adam = players
    discriminator.zero_grad()
    loss_real = _loss(discriminator(real), 1.0)
    loss_real.backward()  # type: ignore[no-untyped-call]
    fake = torch.tanh(generator(torch.randn(len(real), LATENT_DIM, 1, 1, device=real.device)))
    loss_fake = _loss(discriminator(fake.detach()), 0.0)
    loss_fake.backward()  # type: ignore[no-untyped-call]
    discriminator_adam.step()

    generator.zero_grad()
    loss = _loss(discriminator(fake), 1.0)
    loss.backward()  # type: ignore[no-untyped-call]
    generator_adam.step()
    return (loss_real + loss_fake).item(), loss.item()


def _loss(scores: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, target))


def _init(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
