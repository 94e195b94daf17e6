"""The generative adversarial network as first written: two multilayer perceptrons in a game (Goodfellow 2014)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from zeuxis.adversarial import PAIRS, adam, every_option, lazily, turns
from zeuxis.model import Batch, Clock, Latent, Turn, option


def perceptron(widths: list[int], slope: float, *, norm: bool) -> nn.Sequential:
    """Linear layers with leaky units between; `norm` puts a batch norm before each of them."""
    layers: list[nn.Module] = []
    for before, after in zip(widths[:-2], widths[1:-1], strict=True):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after) if norm else nn.Identity(), nn.LeakyReLU(slope)]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


@dataclass(eq=False)
class GAN(Latent):
    """A generator and a discriminator that see an image as one long vector."""

    width: int = option(512, "units in each hidden layer", low=4, high=8192)
    layers: int = option(3, "hidden layers in each network", low=1, high=16)
    lr: float = option(2e-4, "learning rate of both players (Adam)", low=0, high=1)
    beta1: float = option(0.5, "Adam's memory of the gradient", low=0, high=0.999)
    loss: Literal["non-saturating", "saturating"] = option("non-saturating", "the generator's side of the game")
    r1: float = option(
        1.0, "weight of the R1 penalty on the discriminator's gradient at real images; 0: as in 2014", low=0
    )
    r1_every: int = every_option()

    scaffolding = ("discriminator",)
    batch_size = 64
    bf16 = True

    def build(self) -> None:
        pixels = self.channels * self.size**2
        hidden = [self.width] * self.layers
        self.generator = perceptron([self.latent_dim, *hidden, pixels], 0.2, norm=True)
        self.discriminator = perceptron([pixels, *hidden, 1], 0.2, norm=False)

    def optimizers(self) -> dict[str, Optimizer]:
        players = {"discriminator": self.discriminator, "generator": self.generator}
        return adam(players, self.lr, (self.beta1, 0.999))

    def score(self, image: Tensor) -> Tensor:
        """The discriminator's scores (n 1): the logit of 'real'."""
        scores: Tensor = self.discriminator(image.flatten(1))
        return scores

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        fake = self.decode(torch.randn(len(batch.image), self.latent_dim, device=batch.image.device))
        weight = lazily(self.r1, self.r1_every, clock.step)
        yield from turns(PAIRS[self.loss], self.score, batch.image, fake, r1_weight=weight)

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        pixels: Tensor = torch.tanh(self.generator(z))
        return pixels.view(-1, self.channels, self.size, self.size)
