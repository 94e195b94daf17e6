"""The WGAN as it is usually written: the DCGAN's networks, RMSprop 5e-5, weights clamped at 0.01 (Arjovsky 2017).

generator, critic = dcgan.networks(64, 3)
players = optimizers(generator, critic)
for count, real in enumerate(batches):  # n c h w, in [-1, 1]
    step(generator, critic, players, real, count)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Optimizer, RMSprop

from textbook.dcgan import LATENT_DIM

CRITIC_STEPS = 5


def optimizers(generator: nn.Module, critic: nn.Module, lr: float = 5e-5) -> tuple[Optimizer, Optimizer]:
    """RMSprop for the generator and for the critic."""
    return RMSprop(generator.parameters(), lr), RMSprop(critic.parameters(), lr)


def step(
    generator: nn.Module, critic: nn.Module, players: tuple[Optimizer, Optimizer], real: Tensor, count: int
) -> float:
    """A step of the critic on real images (n c h w, in [-1, 1]), every fifth time also of the generator; the critic's loss."""
    generator_player, critic_player = players
    critic_player.zero_grad()
    with torch.set_grad_enabled(count % CRITIC_STEPS == 0):  # the critic alone needs no graph of the generator
        fake = torch.tanh(generator(torch.randn(len(real), LATENT_DIM, 1, 1, device=real.device)))
    loss = critic(fake.detach()).mean() - critic(real).mean()
    loss.backward()
    critic_player.step()
    for weight in critic.parameters():
        weight.data.clamp_(-0.01, 0.01)
    if count % CRITIC_STEPS == 0:
        generator_player.zero_grad()
        (-critic(fake).mean()).backward()
        generator_player.step()
    return float(loss.item())
