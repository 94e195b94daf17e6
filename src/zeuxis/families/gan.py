"""The original GAN: two multilayer perceptrons, trained adversarially (Goodfellow 2014)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from zeuxis.adversarial import GAN_LOSSES, adam, interval_option, lazy_weight, r1_option, turns
from zeuxis.model import Batch, Clock, Latent, Turn, option
from zeuxis.nets.adaptive import Augmentation, ada_target_option, augment_option
from zeuxis.nets.augment import Augment
from zeuxis.nets.freezing import freeze, freeze_option

# Rows and columns of which a bfloat16 product ends the process: PyTorch 2.13, SIGFPE with AMX.
_DEADLY = (32, 3 * 128**2)


def perceptron(widths: list[int], slope: float, *, norm: bool) -> nn.Sequential:
    """Linear layers with leaky ReLUs between; `norm` adds a batch norm before each activation."""
    layers: list[nn.Module] = []
    for before, after in zip(widths[:-2], widths[1:-1], strict=True):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after) if norm else nn.Identity(), nn.LeakyReLU(slope)]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


@dataclass(eq=False)
class GAN(Latent):
    """A generator and a discriminator of images as flat vectors."""

    hidden_dim: int = option(512, "units per hidden layer", low=4, high=8192)
    layers: int = option(3, "hidden layers per network", low=1, high=16)
    lr: float = option(2e-4, "Adam learning rate of both networks", low=0, high=1, group="optimisation")
    beta1: float = option(0.5, "Adam beta1", low=0, high=0.999, group="optimisation")
    loss: Literal["non-saturating", "saturating"] = option("non-saturating", "generator loss", group="losses")
    r1_gamma: float = r1_option(1.0, "off, as in 2014")
    r1_interval: int = interval_option()
    augment: Augment = augment_option()
    ada_target: float = ada_target_option()
    freeze_layers: int = freeze_option()

    training_only = ("discriminator", "augmented")
    batch_size = 64
    bf16 = True

    def build(self) -> None:
        pixels = self.channels * self.size**2
        hidden = [self.hidden_dim] * self.layers
        self.generator = perceptron([self.latent_dim, *hidden, pixels], 0.2, norm=True)
        self.discriminator = perceptron([pixels, *hidden, 1], 0.2, norm=False)
        self.augmented = Augmentation(self.augment, target=self.ada_target)
        freeze([self.discriminator[3 * i : 3 * i + 3] for i in range(self.layers)], self.freeze_layers)

    def optimizers(self) -> dict[str, Optimizer]:
        players = {"discriminator": self.discriminator, "generator": self.generator}
        return adam(players, self.lr, (self.beta1, 0.999))

    def score(self, image: Tensor) -> Tensor:
        """The discriminator's scores (n 1): the logit of 'real'."""
        flat = image.flatten(1)
        if flat.shape == _DEADLY and torch.is_autocast_enabled("cpu"):
            return torch.cat([self.discriminator(part) for part in flat.chunk(2)])
        scores: Tensor = self.discriminator(flat)
        return scores

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        fake = self.decode(torch.randn(len(batch.image), self.latent_dim, device=batch.image.device))
        yield from turns(
            GAN_LOSSES[self.loss],
            self.score,
            batch.image,
            fake,
            r1_weight=lazy_weight(self.r1_gamma, self.r1_interval, clock.step),
            augmentation=self.augmented,
            together=True,
            clock=clock,
        )

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        pixels: Tensor = torch.tanh(self.generator(z))
        return pixels.view(-1, self.channels, self.size, self.size)
