"""Wasserstein GAN with gradient penalty: the critic's slope is drawn to 1 instead of clipped (Gulrajani 2017)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from zeuxis.adversarial import adam, distance, gradient_penalty
from zeuxis.model import Batch, Clock, Latent, Turn, option
from zeuxis.nets.conv import Upsampling, opponents

# Gulrajani 2017, algorithm 1 and section 4, with the networks of its table 1 for DCGANs.
TEXTBOOK = {
    "width": 64,
    "upsampling": "transposed",
    "lr": 1e-4,
    "beta1": 0.0,
    "beta2": 0.9,
    "critic_steps": 5,
    "penalty": 10.0,
    "one_sided": False,
    "critic_norm": "layer",
}


@dataclass(eq=False)
class WGANGP(Latent):
    """A generator of images that a critic draws towards the real ones; the critic pays for a slope that is not 1."""

    width: int = option(32, "channels next to the image; each halving of the size doubles them", low=4, high=512)
    lr: float = option(5e-4, "learning rate of both players (Adam)", low=0, high=1)
    beta1: float = option(0.0, "Adam's memory of the gradient", low=0, high=0.999)
    beta2: float = option(0.9, "Adam's memory of the gradient's square", low=0, high=0.9999)
    critic_steps: int = option(2, "steps of the critic for each of the generator", low=1, high=1000)
    penalty: float = option(10.0, "weight of the penalty on the critic's slope", low=0)
    one_sided: bool = option(False, "let only slopes above 1 pay the penalty")
    upsampling: Upsampling = option("nearest", "how the generator doubles: neighbours and a convolution, or transposed")
    critic_norm: Literal["layer", "none"] = option(
        "layer", "normalisation in the critic (none over the batch: the penalty is each image's own)"
    )
    textbook: bool = option(False, "the paper's settings in full; they override the options above")

    scaffolding = ("critic",)
    batch_size = 64
    bf16 = True

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
        players = {"critic": self.critic, "generator": self.generator}
        return adam(players, self.lr, (self.beta1, self.beta2))

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        generator_moves = clock.step % self.critic_steps == 0
        with torch.set_grad_enabled(generator_moves):
            fake = self.decode(torch.randn(len(batch.image), self.latent_dim, device=batch.image.device))

        real_score, fake_score = self.critic(batch.image), self.critic(fake.detach())
        yield None, {"distance/critic": distance(real_score, fake_score)}
        slope = gradient_penalty(self.critic, batch.image, fake, one_sided=self.one_sided)
        yield "critic", {"real": -real_score.mean(), "fake": fake_score.mean(), "penalty": self.penalty * slope}
        if generator_moves:
            yield "generator", {"fool": -self.critic(fake).mean()}

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return torch.tanh(self.generator(z))
