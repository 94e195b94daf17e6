"""pix2pix: paired image-to-image translation by a conditional GAN and an L1 loss (Isola 2017)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from zeuxis.adversarial import GAN_LOSSES, AdaptiveR1, adam, interval_option, lazy_weight, target_option, turns
from zeuxis.model import Batch, Clock, Translator, Turn, option
from zeuxis.nets.augment import JitterMode, jitter, jitter_mode_option, jitter_scale_option
from zeuxis.nets.conv import Upsampling, textbook_init, upsampling_option
from zeuxis.nets.noise import drawn
from zeuxis.nets.norm import Norm
from zeuxis.nets.patch import Field, Patch
from zeuxis.nets.resnet import ResNet
from zeuxis.nets.unet import UNet


@dataclass(eq=False)
class Pix2Pix(Translator):
    """A generator from source to image, and a conditional PatchGAN discriminator."""

    network: Literal["unet", "resnet"] = option("unet", "generator network")
    base_channels: int = option(
        32, "base channels at full resolution, doubled at each downsampling (paper: 64)", low=4, high=512
    )
    blocks: int = option(6, "residual blocks, for --network resnet", low=1, high=64)
    upsampling: Upsampling = upsampling_option()
    receptive_field: Field = option(70, "receptive field of the PatchGAN discriminator, in pixels")
    norm: Norm = option("batch", "normalisation in both networks")
    dropout: float = option(
        0.5, "dropout in the decoder, also when translating: the generator's noise", low=0, high=0.9, at_sampling=True
    )
    l1_weight: float = option(30.0, "weight of the L1 loss (paper: 100)", low=0, group="losses")
    gan_weight: float = option(1.0, "weight of the adversarial loss; 0: L1 alone", low=0, group="losses")
    loss: Literal["non-saturating", "least-squares", "hinge"] = option(
        "non-saturating", "adversarial loss", group="losses"
    )
    r1_gamma: float = option(
        0.0, "weight (gamma) of the R1 gradient penalty on real pairs; 4 suits drawings", low=0, group="losses"
    )
    r1_interval: int = interval_option()
    r1_target: float = target_option()
    jitter_scale: float = jitter_scale_option()
    jitter_mode: JitterMode = jitter_mode_option()
    lr: float = option(2e-4, "Adam learning rate of both networks", low=0, high=1, group="optimisation")
    beta1: float = option(0.5, "Adam beta1", low=0, high=0.999, group="optimisation")

    training_only = ("discriminator", "adaptive_r1")
    bf16 = True
    batch_size = 8

    def build(self) -> None:
        ends = self.source_channels, self.channels
        self.generator: nn.Module
        shared: dict[str, Any] = {
            "width": self.base_channels,
            "norm": self.norm,
            "dropout": self.dropout,
            "upsampling": self.upsampling,
        }
        if self.network == "unet":
            self.generator = UNet(self.size, *ends, **shared)
        else:
            self.generator = ResNet(*ends, blocks=self.blocks, **shared)
        self.discriminator = Patch(
            sum(ends), width=self.base_channels, field=self.receptive_field, norm=self.norm, size=self.size
        )
        textbook_init(self.generator)
        textbook_init(self.discriminator)
        self.adaptive_r1 = AdaptiveR1(self.r1_target)

    def optimizers(self) -> dict[str, Optimizer]:
        players = {"discriminator": self.discriminator, "generator": self.generator}
        return adam(players, self.lr, (self.beta1, 0.999))

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        """Equations 3 and 4 of the paper; the discriminator is conditioned on the source."""
        assert batch.source is not None
        source, real = jitter((batch.source, batch.image), self.jitter_scale, self.jitter_mode)
        fake = self.generator(source)
        distance = self.l1_weight * (fake - real).abs().mean()
        if not self.gan_weight:
            yield "generator", {"l1": distance}
            return

        def score(image: Tensor) -> Tensor:
            scores: Tensor = self.discriminator(torch.cat((source, image), 1))
            return scores

        weight = lazy_weight(self.r1_gamma, self.r1_interval, clock.step)
        adaptive_r1 = self.adaptive_r1 if self.r1_gamma else None
        game = partial(turns, GAN_LOSSES[self.loss], clock=clock)
        for player, terms in game(score, real, fake, r1_weight=weight, adaptive_r1=adaptive_r1):
            if player == "generator":
                terms = {"adversarial": self.gan_weight * terms["adversarial"], "l1": distance}
            yield player, terms

    @property
    def stochastic(self) -> bool:
        """Whether dropout acts as noise: with an adversarial loss only, as L1 alone has one optimum."""
        return bool(self.gan_weight and self.dropout)

    def translate(self, source: Tensor, direction: str = "forward", seed: int = 0) -> Tensor:
        with drawn(self.generator, self.dropout if self.stochastic else 0.0, range(seed, seed + len(source))):
            image: Tensor = self.generator(source)
        return image
