"""The WGAN-GP as it is usually written: the DCGAN's networks, layer norm in the critic, Adam 1e-4 (Gulrajani 2017).

generator, critic = networks(64, 3)
players = optimizers(generator, critic)
for count, real in enumerate(batches):  # n c h w, in [-1, 1]
    step(generator, critic, players, real, count)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Adam

from textbook import dcgan
from textbook.dcgan import LATENT_DIM

CRITIC_STEPS, PENALTY = 5, 10.0


def networks(size: int, channels: int, width: int = 64) -> tuple[nn.Sequential, nn.Sequential]:
    """The DCGAN's generator, and its discriminator with a layer norm for each batch norm."""
    generator, critic = dcgan.networks(size, channels, width)
    norms = [nn.GroupNorm(1, layer.num_features) if isinstance(layer, nn.BatchNorm2d) else layer for layer in critic]
    return generator, nn.Sequential(*norms)


def optimizers(generator: nn.Module, critic: nn.Module, lr: float = 1e-4) -> tuple[Adam, Adam]:
    """Adam for the generator and for the critic."""
    return Adam(generator.parameters(), lr, (0.0, 0.9)), Adam(critic.parameters(), lr, (0.0, 0.9))


def step(generator: nn.Module, critic: nn.Module, players: tuple[Adam, Adam], real: Tensor, count: int) -> float:
    """A step of the critic on real images (n c h w, in [-1, 1]), every fifth time also of the generator; the critic's loss."""
    generator_adam, critic_adam = players
    critic_adam.zero_grad()
    with torch.set_grad_enabled(count % CRITIC_STEPS == 0):  # the critic alone needs no graph of the generator
        fake = torch.tanh(generator(torch.randn(len(real), LATENT_DIM, 1, 1, device=real.device)))
    loss = critic(fake.detach()).mean() - critic(real).mean() + PENALTY * _penalty(critic, real, fake.detach())
    loss.backward()
    critic_adam.step()
    if count % CRITIC_STEPS == 0:
        generator_adam.zero_grad()
        (-critic(fake).mean()).backward()
        generator_adam.step()
    return float(loss.item())


def _penalty(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = (share * real + (1 - share) * fake).requires_grad_(True)
    scores = critic(between)
    (gradient,) = torch.autograd.grad(scores, between, torch.ones_like(scores), create_graph=True, retain_graph=True)
    penalty: Tensor = (gradient.flatten(1).norm(2, dim=1) - 1).square().mean()
    return penalty
