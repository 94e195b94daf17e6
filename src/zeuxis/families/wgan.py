"""Wasserstein GAN: a critic with clipped weights measures how far apart two distributions are (Arjovsky 2017)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Optimizer, RMSprop

from zeuxis.adversarial import clip, distance
from zeuxis.model import Batch, Clock, Latent, Turn, option
from zeuxis.nets.conv import Norm, Upsampling, opponents

# Arjovsky 2017, algorithm 1 and section 4.
TEXTBOOK = {
    "width": 64,
    "upsampling": "transposed",
    "lr": 5e-5,
    "critic_steps": 5,
    "clip": 0.01,
    "critic_norm": "batch",
}


@dataclass(eq=False)
class WGAN(Latent):
    """A generator of images that a critic draws towards the real ones; the critic's slope is bound by clipping."""

    width: int = option(32, "channels next to the image; each halving of the size doubles them", low=4, high=512)
    lr: float = option(2e-4, "learning rate of both players (RMSprop)", low=0, high=1)
    critic_steps: int = option(2, "steps of the critic for each of the generator", low=1, high=1000)
    clip: float = option(0.01, "bound of the critic's weights", low=1e-6, high=1)
    upsampling: Upsampling = option("nearest", "how the generator doubles: neighbours and a convolution, or transposed")
    critic_norm: Norm = option("batch", "normalisation in the critic")
    textbook: bool = option(False, "the paper's settings in full; they override the options above")

    scaffolding = ("critic",)
    batch_size = 64

    def build(self) -> None:
        if self.textbook:
            vars(self).update(TEXTBOOK)
        self.generator, self.critic = opponents(
            self.size,
            self.channels,
            width=self.width,
            inputs=self.latent_dim,
            upsampling=self.upsampling,
            norm=self.critic_norm,
        )

    def optimizers(self) -> dict[str, Optimizer]:
        # No momentum: section 4 finds that the critic's target moves too much for it. The mean of squares has the paper's
        # code's memory, 0.99.
        players = {"critic": self.critic, "generator": self.generator}
        return {name: RMSprop(network.parameters(), self.lr) for name, network in players.items()}

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        generator_moves = clock.step % self.critic_steps == 0
        with torch.set_grad_enabled(generator_moves):
            fake = self.decode(torch.randn(len(batch.image), self.latent_dim, device=batch.image.device))

        real_score, fake_score = self.critic(batch.image), self.critic(fake.detach())
        yield None, {"distance/critic": distance(real_score, fake_score)}
        yield "critic", {"real": -real_score.mean(), "fake": fake_score.mean()}
        clip(self.critic, self.clip)
        if generator_moves:
            yield "generator", {"fool": -self.critic(fake).mean()}

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return torch.tanh(self.generator(z))
