"""Images from images, learned from pairs: a conditional GAN that also stays near the truth (Isola 2017)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from zeuxis.adversarial import PAIRS, Restraint, adam, aim_option, every_option, lazily, turns
from zeuxis.model import Batch, Clock, Translator, Turn, option
from zeuxis.nets.augment import Enlarge, jitter
from zeuxis.nets.conv import Upsampling, textbook_init
from zeuxis.nets.noise import drawn
from zeuxis.nets.norm import Norm
from zeuxis.nets.patch import Field, Patch
from zeuxis.nets.resnet import ResNet
from zeuxis.nets.unet import UNet


@dataclass(eq=False)
class Pix2Pix(Translator):
    """A generator from source to image, and a discriminator of pairs that judges patch by patch."""

    network: Literal["unet", "resnet"] = option("unet", "network of the generator")
    width: int = option(32, "channels next to the image (the paper: 64)", low=4, high=512)
    blocks: int = option(6, "residual blocks of a resnet", low=1, high=64)
    upsampling: Upsampling = option("nearest", "how the generator doubles: neighbours and a convolution, or transposed")
    patch: Field = option(70, "pixels that one score of the discriminator sees")
    norm: Norm = option("batch", "normalisation in both networks")
    dropout: float = option(
        0.5, "share of the decoder's features dropped: the generator's noise", low=0, high=0.9, at_sampling=True
    )
    l1: float = option(30.0, "weight of the distance to the true image (the paper: 100)", low=0)
    adversary: float = option(1.0, "weight of the adversary; 0: the distance alone", low=0)
    loss: Literal["non-saturating", "least-squares", "hinge"] = option(
        "non-saturating", "what the adversaries play for"
    )
    r1: float = option(
        0.0, "weight of the R1 penalty on the discriminator's gradient at real images; 4 for drawings", low=0
    )
    r1_every: int = every_option()
    r1_aim: float = aim_option()
    jitter: float = option(1.117, "pairs are enlarged by this and cropped back at random; 1: never", low=1, high=2)
    enlarge: Enlarge = option("padding", "how: mirrored at the edges, or resized, which blurs them")
    lr: float = option(2e-4, "learning rate of both players (Adam)", low=0, high=1)
    beta1: float = option(0.5, "Adam's memory of the gradient", low=0, high=0.999)

    scaffolding = ("discriminator", "restraint")
    bf16 = True
    batch_size = 8

    def build(self) -> None:
        ends = self.source_channels, self.channels
        self.generator: nn.Module
        shared: dict[str, Any] = {
            "width": self.width,
            "norm": self.norm,
            "dropout": self.dropout,
            "upsampling": self.upsampling,
        }
        if self.network == "unet":
            self.generator = UNet(self.size, *ends, **shared)
        else:
            self.generator = ResNet(*ends, blocks=self.blocks, **shared)
        self.discriminator = Patch(sum(ends), width=self.width, field=self.patch, norm=self.norm, size=self.size)
        textbook_init(self.generator)
        textbook_init(self.discriminator)
        self.restraint = Restraint(self.r1_aim)

    def optimizers(self) -> dict[str, Optimizer]:
        players = {"discriminator": self.discriminator, "generator": self.generator}
        return adam(players, self.lr, (self.beta1, 0.999))

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        """Equations 3 and 4 of the paper; the conditional discriminator sees the source beside what it judges."""
        assert batch.source is not None
        source, real = jitter((batch.source, batch.image), self.jitter, self.enlarge)
        fake = self.generator(source)
        distance = self.l1 * (fake - real).abs().mean()
        if not self.adversary:
            yield "generator", {"l1": distance}
            return

        def score(image: Tensor) -> Tensor:
            scores: Tensor = self.discriminator(torch.cat((source, image), 1))
            return scores

        weight = lazily(self.r1, self.r1_every, clock.step)
        restraint = self.restraint if self.r1 else None
        for player, terms in turns(PAIRS[self.loss], score, real, fake, r1_weight=weight, restraint=restraint):
            if player == "generator":
                terms = {"fool": self.adversary * terms["fool"], "l1": distance}
            yield player, terms

    @property
    def noisy(self) -> bool:
        """With an adversary, who wants one of all that might be; the distance alone wants their mean."""
        return bool(self.adversary and self.dropout)

    def translate(self, source: Tensor, direction: str = "forward", seed: int = 0) -> Tensor:
        with drawn(self.generator, self.dropout if self.noisy else 0.0, range(seed, seed + len(source))):
            image: Tensor = self.generator(source)
        return image
