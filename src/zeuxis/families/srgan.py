"""SRGAN: super-resolution by a residual network, pretrained on pixels, then adversarial (Ledig 2017)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from zeuxis.adversarial import GAN_LOSSES, adam, turns
from zeuxis.mechanisms import UsesFeatures
from zeuxis.model import Batch, Clock, SuperResolution, Turn, option
from zeuxis.nets.augment import random_symmetry

# Ledig 2017, sections 2 and 3.2, with VGG16 for VGG19; its fourth block is nearest to the features of the paper.
PAPER = {
    "base_channels": 64,
    "blocks": 16,
    "kernel_size": 9,
    "norm": "batch",
    "bicubic_skip": False,
    "pretrain_steps": 1_000_000,
    "pretrain_lr": 1e-4,
    "lr": 1e-4,
    "gan_weight": 1e-3,
    "vgg_block": 4,
    "mse_weight": 0.0,
    "rotate90": False,
}

# Per VGG block: scales the feature MSE to the pixel MSE, as measured on photographs upsampled 4x bicubically.
# The paper's factor is 0.006, for the features of its VGG19.
_FEATURES = {1: 1.2e-5, 2: 5e-5, 3: 2.5e-4, 4: 2.5e-3}


class Residual(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self, width: int, *, norm: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(*_convolution(width, norm), nn.PReLU(), *_convolution(width, norm))

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, self.body(x))


def _convolution(width: int, norm: bool) -> list[nn.Module]:
    convolution = nn.Conv2d(width, width, 3, 1, 1, bias=not norm)
    return [convolution, nn.BatchNorm2d(width)] if norm else [convolution]


class SRResNet(nn.Module):
    """Images (n inputs h w) to images (n outputs h*scale w*scale): residual blocks, then a PixelShuffle per doubling.

    With `bicubic` the output is an unbounded residual of the bicubic upsampling; else the image in [-1, 1].
    """

    def __init__(
        self, inputs: int, outputs: int, *, width: int, blocks: int, kernel: int, scale: int, norm: bool, bicubic: bool
    ) -> None:
        super().__init__()
        self.outputs, self.scale, self.bicubic = outputs, scale, bicubic
        self.head = nn.Sequential(nn.Conv2d(inputs, width, kernel, 1, kernel // 2), nn.PReLU())
        self.body = nn.Sequential(*(Residual(width, norm=norm) for _ in range(blocks)), *_convolution(width, norm))
        doublings = [_doubling(width) for _ in range(int(math.log2(scale)))]
        self.tail = nn.Sequential(*doublings, nn.Conv2d(width, outputs, kernel, 1, kernel // 2))

    def forward(self, source: Tensor) -> Tensor:
        features = self.head(source)
        made: Tensor = self.tail(features + self.body(features))
        if not self.bicubic:
            return torch.tanh(made)
        alike = source if source.shape[1] == self.outputs else source.mean(1, keepdim=True)
        return made + F.interpolate(alike, scale_factor=self.scale, mode="bicubic", align_corners=False)


def _doubling(width: int) -> nn.Module:
    """Sub-pixel upsampling by 2: a convolution to four times the channels, then PixelShuffle (Shi 2016)."""
    return nn.Sequential(nn.Conv2d(width, 4 * width, 3, 1, 1), nn.PixelShuffle(2), nn.PReLU())


class Judge(nn.Module):
    """Images (n c size size) to scores (n 1): 3 x 3 convolutions, every second with stride 2 (figure 4)."""

    def __init__(self, channels: int, *, width: int, size: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, 1, 1), nn.LeakyReLU(0.2)]
        before = width
        for i in range(1, 8):
            after = width << i // 2
            layers += [nn.Conv2d(before, after, 3, 1 + i % 2, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
            before, size = after, -(-size // (1 + i % 2))
        dense = nn.Linear(before * size**2, 16 * width)
        self.body = nn.Sequential(*layers, nn.Flatten(), dense, nn.LeakyReLU(0.2), nn.Linear(16 * width, 1))

    def forward(self, image: Tensor) -> Tensor:
        scores: Tensor = self.body(image)
        return scores


@dataclass(eq=False)
class SRGAN(SuperResolution, UsesFeatures):
    """A super-resolution generator, a discriminator, and the features of a frozen VGG16."""

    size: int = option(96, "height and width of the high-resolution images, in pixels", low=16, high=1024)
    base_channels: int = option(32, "channels of the generator, base channels of the discriminator", low=4, high=512)
    blocks: int = option(8, "residual blocks of the generator", low=1, high=64)
    kernel_size: Literal[3, 5, 9] = option(3, "kernel size of the generator's first and last convolutions")
    norm: Literal["batch", "none"] = option("none", "normalisation in the generator")
    bicubic_skip: bool = option(True, "add the network's output to the bicubic upsampling (residual learning)")
    pretrain_steps: int = option(
        10_000, "steps on the pixel loss alone (SRResNet), before the GAN", low=0, high=10**9, group="optimisation"
    )
    pretrain_lr: float = option(1e-3, "Adam learning rate of these steps", low=0, high=1, group="optimisation")
    lr: float = option(1e-4, "Adam learning rate of both networks", low=1e-9, high=1, group="optimisation")
    gan_weight: float = option(3e-4, "weight of the adversarial loss; 0: off", low=0, group="losses")
    vgg_weight: float = option(1.0, "weight of the VGG perceptual loss; 0: off", low=0, group="losses")
    vgg_block: Literal[1, 2, 3, 4] = option(3, "VGG16 block whose features are compared", group="losses")
    vgg_file: str = option("", "VGG16 weights of your own: .pth of torchvision, or safetensors", group="losses")
    mse_weight: float = option(1.0, "weight of the pixel MSE in adversarial training", low=0, group="losses")
    rotate90: bool = option(True, "augment with flips and rotations by 90 degrees", group="data")

    training_only = ("discriminator",)
    presets = {"paper": PAPER}
    batch_size = 16
    bf16 = True

    def build(self) -> None:
        self.generator = SRResNet(
            self.source_channels,
            self.channels,
            width=self.base_channels,
            blocks=self.blocks,
            kernel=self.kernel_size,
            scale=self.scale,
            norm=self.norm == "batch",
            bicubic=self.bicubic_skip,
        )
        self.discriminator = Judge(self.channels, width=self.base_channels, size=self.source_size * self.scale)

    def optimizers(self) -> dict[str, Optimizer]:
        players = {"discriminator": self.discriminator, "generator": self.generator}
        return adam(players, self.lr)

    def lr_scale(self, clock: Clock) -> float:
        return self.pretrain_lr / self.lr if clock.step < self.pretrain_steps else 1.0

    def schedule_breakpoints(self, batch_size: int) -> list[Clock]:
        """The pretraining on the pixel loss, and the adversarial training."""
        return [Clock(step, step * batch_size) for step in sorted({0, self.pretrain_steps})]

    @property
    def feature_weights(self) -> str:
        return self.vgg_file

    @property
    def needs_features(self) -> bool:
        return self.vgg_weight > 0

    @property
    def receptive_radius(self) -> int:
        edge = self.kernel_size // 2
        return edge + 2 * self.blocks + 1 + 2 + -(-edge // self.scale)  # the doublings: 1 and a half; bicubic: 2

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        """The pixel MSE during pretraining, then equations 2 and 3 of the paper."""
        assert batch.source is not None
        height, width = (self.scale * n for n in batch.source.shape[-2:])
        source, real = batch.source, batch.image[..., :height, :width]  # the scale need not divide the size
        if self.rotate90:
            source, real = random_symmetry((source, real))
        fake = self.generator(source)
        square = (fake - real).square().mean()
        alone = clock.step < self.pretrain_steps
        content = {"mse": square} if alone else self.content(fake, real, square)
        if alone or not self.gan_weight:
            yield "generator", content
            return
        for player, terms in turns(GAN_LOSSES["non-saturating"], self.discriminator, real, fake):
            if player == "generator":
                terms = {"adversarial": self.gan_weight * terms["adversarial"], **content}
            yield player, terms

    def content(self, fake: Tensor, real: Tensor, square: Tensor) -> dict[str, Tensor]:
        """The content loss: the VGG loss (equation 5) and the pixel MSE (equation 4)."""
        terms = {"mse": self.mse_weight * square} if self.mse_weight else {}
        if self.vgg_weight:
            with torch.no_grad():
                wanted = self.see(real, self.vgg_block)
            apart = (self.see(fake, self.vgg_block) - wanted).float().square().mean()
            terms["vgg"] = self.vgg_weight * _FEATURES[self.vgg_block] * apart
        return terms

    def translate(self, source: Tensor, direction: str = "forward", seed: int = 0) -> Tensor:
        return torch.clamp(self.generator(source), -1, 1)
