"""WGAN: a Wasserstein GAN whose critic has clipped weights (Arjovsky 2017)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Optimizer, RMSprop

from zeuxis.adversarial import beyond_middle, clip_weights, critic_report
from zeuxis.model import Batch, Clock, Latent, Turn, option
from zeuxis.nets.adaptive import Augmentation, ada_target_option, augment_option
from zeuxis.nets.augment import Augment
from zeuxis.nets.conv import Norm, Upsampling, max_channels_option, opponents, upsampling_option
from zeuxis.nets.freezing import freeze, freeze_option, trainable

# Arjovsky 2017, algorithm 1 and section 4.
PAPER = {
    "base_channels": 64,
    "upsampling": "transposed",
    "lr": 5e-5,
    "n_critic": 5,
    "clip_value": 0.01,
    "critic_norm": "batch",
    "augment": "none",
}


@dataclass(eq=False)
class WGAN(Latent):
    """A generator and a critic of the Wasserstein distance, made Lipschitz by weight clipping."""

    base_channels: int = option(32, "base channels at full resolution, doubled at each downsampling", low=4, high=512)
    max_channels: int = max_channels_option()
    lr: float = option(2e-4, "RMSprop learning rate of both networks", low=0, high=1, group="optimisation")
    n_critic: int = option(2, "critic steps per generator step", low=1, high=1000, group="losses")
    clip_value: float = option(0.01, "weight clipping bound of the critic", low=1e-6, high=1, group="losses")
    augment: Augment = augment_option()
    ada_target: float = ada_target_option()
    freeze_layers: int = freeze_option()
    upsampling: Upsampling = upsampling_option()
    critic_norm: Norm = option("batch", "normalisation in the critic")

    training_only = ("critic", "augmented")
    presets = {"paper": PAPER}
    batch_size = 64

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
        # No momentum: section 4 finds training unstable with it, as the critic's loss is nonstationary. alpha is 0.99,
        # as in the authors' code.
        players = {"critic": self.critic, "generator": self.generator}
        return {name: RMSprop(trainable(network), self.lr) for name, network in players.items()}

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        generator_moves = clock.step % self.n_critic == 0
        with torch.set_grad_enabled(generator_moves):
            fake = self.decode(torch.randn(len(batch.image), self.latent_dim, device=batch.image.device))

        real, fake = self.augmented(batch.image), self.augmented(fake)

        real_score, fake_score = self.critic(real), self.critic(fake.detach())
        yield None, critic_report(real_score, fake_score, self.augmented)
        gaps = self.augmented.score_gaps(self.critic, (real_score, fake_score), clock)
        yield "critic", {"real": -real_score.mean(), "fake": fake_score.mean()}
        clip_weights(self.critic, self.clip_value)
        if generator_moves:
            yield "generator", {"adversarial": -self.critic(fake).mean()}
        self.augmented.look(beyond_middle(real_score, fake_score), clock, gaps)

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return torch.tanh(self.generator(z))
