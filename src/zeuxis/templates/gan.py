"""A GAN of two small perceptrons (Goodfellow 2014), stabilised by R1."""

# The line above is what `zeuxis families` and the model card say about this family. The file runs as it is:
#
#     zeuxis train my_family:MyFamily digits --minutes 1
#
# Change one thing at a time, train again, and look at samples/ in the run's folder.

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from zeuxis import Batch, Clock, Latent, option
from zeuxis.adversarial import adam, lazy_weight, r1
from zeuxis.model import Turn
from zeuxis.schedules import decayed


@dataclass(eq=False)  # without eq=False the class has no hash, which torch needs
class MyFamily(Latent):
    """A generator of images against a discriminator of real and generated ones."""

    # Options. Each is a flag (--hidden-dim), a line of --help, a key in config.yaml and a value in the saved model; bounds
    # are checked. `size` and `channels` are inherited: digits has its own, 8 and 1.
    latent_dim: int = option(32, "dimension of the latent space", low=1, high=65536)
    hidden_dim: int = option(256, "units per hidden layer", low=4, high=8192)
    lr: float = option(2e-3, "Adam learning rate of both networks", low=0, high=1, group="optimisation")
    beta1: float = option(0.5, "Adam beta1", low=0, high=0.999, group="optimisation")
    r1_gamma: float = option(0.1, "weight of the R1 gradient penalty; 0: off", low=0, group="losses")
    r1_interval: int = option(8, "steps between penalties (lazy regularisation)", low=1, group="losses")
    # A trained model takes another value of these: zeuxis sample RUN --truncation 0.7
    truncation: float = option(1.0, "scale of the latents; below 1: less diverse", low=0, high=4, at_sampling=True)

    training_only = ("discriminator",)  # networks that the saved model does without
    batch_size = 64  # default of --batch-size
    ema_half_life = 10_000  # images; samples come from the average of the weights

    def build(self) -> None:
        """Make the networks from the options: any nn.Module, for every size and number of channels."""
        pixels, hidden = self.channels * self.size**2, self.hidden_dim
        self.generator = nn.Sequential(
            nn.Linear(self.latent_dim, hidden),
            nn.BatchNorm1d(hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden, hidden),
            nn.BatchNorm1d(hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden, pixels),
            nn.Tanh(),
        )
        self.discriminator = nn.Sequential(
            nn.Linear(pixels, hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden, hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden, 1),
        )

    def optimizers(self) -> dict[str, Optimizer]:
        """One optimizer per player. Every parameter belongs to exactly one."""
        players = {"discriminator": self.discriminator, "generator": self.generator}
        return adam(players, self.lr, (self.beta1, 0.999))

    def score(self, image: Tensor) -> Tensor:
        """The discriminator's scores (n 1) of images (n c h w): logits of "real"."""
        scores: Tensor = self.discriminator(image.flatten(1))
        return scores

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        """The turns of one training step. A turn is a player and the named terms of its loss, whose sum it descends."""
        real = batch.image  # n c h w, in [-1, 1]
        fake = self.decode(torch.randn(len(real), self.latent_dim, device=real.device))  # each step has its own seed

        real_score, fake_score = self.score(real), self.score(fake.detach())
        # Nobody's turn: only logged, the mean as a metric and the values as a histogram.
        answers = {"prob_real": torch.sigmoid(real_score), "prob_fake": torch.sigmoid(fake_score)}
        yield None, {f"discriminator/{name}": value for name, value in answers.items()}

        terms = {"real": F.softplus(-real_score).mean(), "fake": F.softplus(fake_score).mean()}
        # What comes every few steps is decided by the clock alone, never by the value of a tensor.
        if weight := lazy_weight(self.r1_gamma, self.r1_interval, clock.step):
            terms["r1"] = weight * r1(self.score, real)
        yield "discriminator", terms

        # After a yield the player has moved, so a score that is used here is computed here.
        yield "generator", {"adversarial": F.softplus(-self.score(fake)).mean()}
        # After the last yield is the place to update buffers (register_buffer in build): what a run must remember.

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Images (n c h w, in [-1, 1]) for latents (n latent_dim): all that sample, interpolate and edit need."""
        image: Tensor = self.generator(z * self.truncation)
        return image.view(-1, self.channels, self.size, self.size)

    # These hooks have defaults. Delete what you do not need.

    def lr_scale(self, clock: Clock) -> float:
        """Factor on the learning rates: 1 for 100,000 images, then falling."""
        return decayed(100_000, clock.images)

    def schedule_breakpoints(self, batch_size: int) -> list[Clock]:
        """The times at which steps begin to call other layers, as in a network that grows; here none but the start."""
        return [Clock()]

    def diagnostics(self) -> dict[str, Tensor]:
        """More images (n c h w, in [-1, 1]) by name, drawn beside the samples of a run: eight latents at four scales."""
        z = self.prior(range(8))
        return {"latent-scale": torch.cat([self.decode(z * scale) for scale in (0.25, 0.5, 1.0, 1.5)])}
