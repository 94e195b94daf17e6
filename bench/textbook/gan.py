"""The first GAN as PyTorch-GAN trains it: the generator's turn first, gradients for everything, plain Adam."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam

LATENT_DIM = 100


def networks(size: int, channels: int, width: int = 512) -> tuple[nn.Sequential, nn.Sequential]:
    """A generator (n 100 to n channels*size*size) and a discriminator (n channels*size*size to n 1, a logit)."""
    pixels = channels * size**2
    up: list[nn.Module] = []
    down: list[nn.Module] = []
    for layer in range(3):
        up += [nn.Linear(width if layer else LATENT_DIM, width), nn.BatchNorm1d(width), nn.LeakyReLU(0.2)]
        down += [nn.Linear(width if layer else pixels, width), nn.LeakyReLU(0.2)]
    return nn.Sequential(*up, nn.Linear(width, pixels)), nn.Sequential(*down, nn.Linear(width, 1))


def step(generator: nn.Module, discriminator: nn.Module, players: tuple[Adam, Adam], real: Tensor) -> float:
    """One step of both players on real images (n c h w, in [-1, 1]); the sum of their losses."""
    generator_adam, discriminator_adam = players
    fake = torch.tanh(generator(torch.randn(len(real), LATENT_DIM, device=real.device)))
    generator_adam.zero_grad()
    fool = _loss(discriminator(fake), 1.0)
    fool.backward()  # type: ignore[no-untyped-call]
    generator_adam.step()

    discriminator_adam.zero_grad()
    loss = _loss(discriminator(real.flatten(1)), 1.0) + _loss(discriminator(fake.detach()), 0.0)
    loss.backward()  # type: ignore[no-untyped-call]
    discriminator_adam.step()
    return fool.item() + loss.item()


def _loss(scores: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, target))
