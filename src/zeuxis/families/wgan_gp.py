"""WGAN-GP: a Wasserstein GAN with a gradient penalty on its critic (Gulrajani 2017)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from zeuxis.adversarial import adam, beyond_middle, critic_report, gradient_penalty, scores_together
from zeuxis.model import Batch, Clock, Latent, Turn, option
from zeuxis.nets.adaptive import Augmentation, ada_target_option, augment_option
from zeuxis.nets.augment import Augment
from zeuxis.nets.conv import Upsampling, max_channels_option, opponents, upsampling_option
from zeuxis.nets.freezing import freeze, freeze_option

# Gulrajani 2017, algorithm 1 and section 4, with the networks of its table 1 for DCGANs.
PAPER = {
    "base_channels": 64,
    "upsampling": "transposed",
    "lr": 1e-4,
    "beta1": 0.0,
    "beta2": 0.9,
    "n_critic": 5,
    "gp_weight": 10.0,
    "one_sided": False,
    "critic_norm": "layer",
    "augment": "none",
}


@dataclass(eq=False)
class WGANGP(Latent):
    """A generator and a critic of the Wasserstein distance, with a penalty on gradient norms other than 1."""

    base_channels: int = option(32, "base channels at full resolution, doubled at each downsampling", low=4, high=512)
    max_channels: int = max_channels_option()
    lr: float = option(5e-4, "Adam learning rate of both networks", low=0, high=1, group="optimisation")
    beta1: float = option(0.0, "Adam beta1", low=0, high=0.999, group="optimisation")
    beta2: float = option(0.9, "Adam beta2", low=0, high=0.9999, group="optimisation")
    n_critic: int = option(2, "critic steps per generator step", low=1, high=1000, group="losses")
    gp_weight: float = option(10.0, "weight (lambda) of the gradient penalty", low=0, group="losses")
    one_sided: bool = option(False, "one-sided gradient penalty: only norms above 1 are penalised", group="losses")
    augment: Augment = augment_option()
    ada_target: float = ada_target_option()
    freeze_layers: int = freeze_option()
    upsampling: Upsampling = upsampling_option()
    critic_norm: Literal["layer", "none"] = option(
        "layer", "normalisation in the critic (no batch norm: the penalty is per image)"
    )

    training_only = ("critic", "augmented")
    presets = {"paper": PAPER}
    batch_size = 64
    bf16 = True

    def build(self) -> None:
        self.generator, self.critic = opponents(
            self.size,
            self.channels,
            width=self.base_channels,
            most=self.max_channels,
            inputs=self.latent_dim,
            upsampling=self.upsampling,
            norm=self.critic_norm,
        )
        self.augmented = Augmentation(self.augment, target=self.ada_target)
        freeze(self.critic.blocks, self.freeze_layers)

    def optimizers(self) -> dict[str, Optimizer]:
        players = {"critic": self.critic, "generator": self.generator}
        return adam(players, self.lr, (self.beta1, self.beta2))

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        generator_moves = clock.step % self.n_critic == 0
        with torch.set_grad_enabled(generator_moves):
            fake = self.decode(torch.randn(len(batch.image), self.latent_dim, device=batch.image.device))

        real, fake = self.augmented(batch.image), self.augmented(fake)

        real_score, fake_score = scores_together(self.critic, real, fake.detach())  # no norm over the batch
        yield None, critic_report(real_score, fake_score, self.augmented)
        gaps = self.augmented.score_gaps(self.critic, (real_score, fake_score), clock)
        slope = gradient_penalty(self.critic, real, fake, one_sided=self.one_sided)
        yield "critic", {"real": -real_score.mean(), "fake": fake_score.mean(), "penalty": self.gp_weight * slope}
        if generator_moves:
            yield "generator", {"adversarial": -self.critic(fake).mean()}
        self.augmented.look(beyond_middle(real_score, fake_score), clock, gaps)

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return torch.tanh(self.generator(z))
