"""DCGAN: a deep convolutional GAN (Radford 2015), stabilised by R1."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.optim import Optimizer

from zeuxis.adversarial import (
    GAN_LOSSES,
    AdaptiveR1,
    adam,
    interval_option,
    lazy_weight,
    r1_option,
    target_option,
    turns,
)
from zeuxis.model import Batch, Clock, Latent, Turn, option
from zeuxis.nets.adaptive import Augmentation, ada_target_option, augment_option
from zeuxis.nets.augment import Augment
from zeuxis.nets.conv import Norm, Upsampling, detail_option, max_channels_option, opponents, upsampling_option
from zeuxis.nets.freezing import freeze, freeze_option
from zeuxis.schedules import decay_option, decayed

# Radford 2015, sections 3 and 4 (the prior stays Gaussian and so isotropic; the paper's is uniform).
PAPER = {
    "base_channels": 64,
    "upsampling": "transposed",
    "lr": 2e-4,
    "lr_decay_start": 0,
    "discriminator_norm": "batch",
    "detail_gain": 1.0,
    "loss": "non-saturating",
    "r1_gamma": 0.0,
    "augment": "none",
    "spectral_norm": False,
}


@dataclass(eq=False)
class DCGAN(Latent):
    """A convolutional generator and a convolutional discriminator, trained adversarially."""

    base_channels: int = option(32, "base channels at full resolution, doubled at each downsampling", low=4, high=512)
    max_channels: int = max_channels_option()
    lr: float = option(
        0.0,
        "Adam learning rate of both networks; 0: 0.001 up to 64 pixels, above 0.064 / size",
        low=0,
        high=1,
        group="optimisation",
    )
    lr_decay_start: int = decay_option(100_000)
    beta1: float = option(0.5, "Adam beta1", low=0, high=0.999, group="optimisation")
    loss: Literal["non-saturating", "least-squares", "hinge"] = option(
        "non-saturating", "adversarial loss", group="losses"
    )
    r1_gamma: float = r1_option(4.0)
    r1_interval: int = interval_option()
    r1_target: float = target_option()
    upsampling: Upsampling = upsampling_option()
    discriminator_norm: Norm = option("none", "normalisation in the discriminator")
    detail_gain: float = detail_option()
    spectral_norm: bool = option(False, "spectral normalisation of the discriminator (Miyato 2018)")
    augment: Augment = augment_option()
    ada_target: float = ada_target_option()
    freeze_layers: int = freeze_option()

    training_only = ("discriminator", "adaptive_r1", "augmented")
    presets = {"paper": PAPER}
    bf16 = True

    def build(self) -> None:
        # A deeper discriminator is steeper in its weights: at 128 pixels 0.001 makes its score swing from step to step.
        self.lr = self.lr or 1e-3 * min(1.0, 64 / self.size)
        self.generator, self.discriminator = opponents(
            self.size,
            self.channels,
            width=self.base_channels,
            most=self.max_channels,
            inputs=self.latent_dim,
            upsampling=self.upsampling,
            norm=self.discriminator_norm,
            detail_gain=self.detail_gain,
        )
        self.adaptive_r1 = AdaptiveR1(self.r1_target, detail_gain=self.detail_gain)
        self.augmented = Augmentation(self.augment, target=self.ada_target)
        if self.spectral_norm:
            for module in self.discriminator.modules():
                if isinstance(module, nn.Conv2d | nn.Linear):
                    spectral_norm(module)
        freeze(self.discriminator.blocks, self.freeze_layers)

    def optimizers(self) -> dict[str, Optimizer]:
        players = {"discriminator": self.discriminator, "generator": self.generator}
        return adam(players, self.lr, (self.beta1, 0.999))

    def lr_scale(self, clock: Clock) -> float:
        return decayed(self.lr_decay_start, clock.images)

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        fake = self.decode(torch.randn(len(batch.image), self.latent_dim, device=batch.image.device))
        yield from turns(
            GAN_LOSSES[self.loss],
            self.discriminator,
            batch.image,
            fake,
            r1_weight=lazy_weight(self.r1_gamma, self.r1_interval, clock.step),
            adaptive_r1=self.adaptive_r1 if self.r1_gamma else None,
            augmentation=self.augmented,
            clock=clock,
        )

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return torch.tanh(self.generator(z))
