"""Deep convolutional GAN: doubling convolutions against halving ones (Radford 2015), kept stable by R1."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.optim import Optimizer

from zeuxis.adversarial import PAIRS, Restraint, adam, aim_option, every_option, lazily, turns
from zeuxis.model import Batch, Clock, Latent, Turn, option
from zeuxis.nets.augment import Augment, augment
from zeuxis.nets.conv import Norm, Upsampling, opponents
from zeuxis.schedules import decay_option, decayed

# Radford 2015, sections 3 and 4 (the prior stays Gaussian, where the paper draws uniformly: directions are then alike).
TEXTBOOK = {
    "width": 64,
    "upsampling": "transposed",
    "lr": 2e-4,
    "decay_from": 0,
    "discriminator_norm": "batch",
    "loss": "non-saturating",
    "r1": 0.0,
    "augment": "none",
    "spectral_norm": False,
}


@dataclass(eq=False)
class DCGAN(Latent):
    """A generator of images against a discriminator of real and fake, both convolutional."""

    width: int = option(32, "channels next to the image; each halving of the size doubles them", low=4, high=512)
    lr: float = option(1e-3, "learning rate of both players (Adam)", low=0, high=1)
    decay_from: int = decay_option(100_000)
    beta1: float = option(0.5, "Adam's memory of the gradient", low=0, high=0.999)
    loss: Literal["non-saturating", "least-squares", "hinge"] = option(
        "non-saturating", "what the adversaries play for"
    )
    r1: float = option(4.0, "weight of the R1 penalty on the discriminator's gradient at real images", low=0)
    r1_every: int = every_option()
    r1_aim: float = aim_option()
    upsampling: Upsampling = option("nearest", "how the generator doubles: neighbours and a convolution, or transposed")
    discriminator_norm: Norm = option("none", "normalisation in the discriminator")
    spectral_norm: bool = option(False, "bound the discriminator's layers by their spectral norm (Miyato 2018)")
    augment: Augment = option("none", "differentiable augmentation of what the discriminator sees (Zhao 2020)")
    textbook: bool = option(False, "the paper's settings in full; they override the options above")

    scaffolding = ("discriminator", "restraint")
    bf16 = True

    def build(self) -> None:
        if self.textbook:
            vars(self).update(TEXTBOOK)
        self.generator, self.discriminator = opponents(
            self.size,
            self.channels,
            width=self.width,
            inputs=self.latent_dim,
            upsampling=self.upsampling,
            norm=self.discriminator_norm,
        )
        self.restraint = Restraint(self.r1_aim)
        if self.spectral_norm:
            for module in self.discriminator.modules():
                if isinstance(module, nn.Conv2d | nn.Linear):
                    spectral_norm(module)

    def optimizers(self) -> dict[str, Optimizer]:
        players = {"discriminator": self.discriminator, "generator": self.generator}
        return adam(players, self.lr, (self.beta1, 0.999))

    def rate(self, clock: Clock) -> float:
        return decayed(self.decay_from, clock.images)

    def score(self, image: Tensor) -> Tensor:
        """The discriminator's scores (n 1) of images as it sees them, augmented."""
        scores: Tensor = self.discriminator(augment(image, self.augment))
        return scores

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        fake = self.decode(torch.randn(len(batch.image), self.latent_dim, device=batch.image.device))
        weight = lazily(self.r1, self.r1_every, clock.step)
        restraint = self.restraint if self.r1 else None
        yield from turns(PAIRS[self.loss], self.score, batch.image, fake, r1_weight=weight, restraint=restraint)

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return torch.tanh(self.generator(z))
