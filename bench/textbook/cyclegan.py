"""CycleGAN as it is usually written: ResNets against patches of 70 pixels, least squares, a pool, Adam 2e-4 (Zhu 2017).

game = Game()
for source, image in batches:  # each n 3 h w, in [-1, 1], unrelated
    losses = game.step(source, image)

The layers are those of `zeuxis.nets`.
"""

from __future__ import annotations

import itertools
import random

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam

from textbook.pix2pix import init, patches

CYCLE, IDENTITY, POOL = 10.0, 0.5, 50


class Residual(nn.Module):
    """Two convolutions, and their input added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=False),
            nn.InstanceNorm2d(channels),
            nn.ReLU(True),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=False),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.body(x)
        return y


def generator(width: int, blocks: int) -> nn.Sequential:
    """Images (n 3 h w) to images: the paper's c7s1, d, d, R ..., u, u, c7s1."""
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7, bias=False)]
    layers += [nn.InstanceNorm2d(width), nn.ReLU(True)]
    for before in (width, 2 * width):
        layers += [nn.Conv2d(before, 2 * before, 3, 2, 1, bias=False), nn.InstanceNorm2d(2 * before), nn.ReLU(True)]
    layers += [Residual(4 * width) for _ in range(blocks)]
    for before in (4 * width, 2 * width):
        layers += [nn.ConvTranspose2d(before, before // 2, 3, 2, 1, output_padding=1, bias=False)]
        layers += [nn.InstanceNorm2d(before // 2), nn.ReLU(True)]
    return nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh())


class ImagePool:
    """The last images that were made (Shrivastava 2017): each new one is, at even odds, exchanged for one of them."""

    def __init__(self) -> None:
        self.images: list[Tensor] = []

    def exchanged(self, made: Tensor) -> Tensor:
        """What the discriminator is shown (n c h w)."""
        shown = []
        for image in made.detach():
            if len(self.images) < POOL:
                self.images.append(image.clone())
            elif random.random() < 0.5:
                place = random.randrange(POOL)
                old, self.images[place] = self.images[place], image.clone()
                image = old
            shown.append(image)
        return torch.stack(shown)


class Game:
    """Two generators, two discriminators, their optimizers and pools."""

    def __init__(self, width: int = 64, blocks: int = 6) -> None:
        self.forward, self.back = generator(width, blocks), generator(width, blocks)
        self.of_images, self.of_sources = patches(3, width), patches(3, width)
        self.networks = self.forward, self.back, self.of_images, self.of_sources
        for network in self.networks:
            network.apply(init)
        self.pools = ImagePool(), ImagePool()
        made_by = itertools.chain(self.forward.parameters(), self.back.parameters())
        judged_by = itertools.chain(self.of_images.parameters(), self.of_sources.parameters())
        self.makers, self.judges = Adam(made_by, 2e-4, (0.5, 0.999)), Adam(judged_by, 2e-4, (0.5, 0.999))

    def step(self, source: Tensor, image: Tensor) -> tuple[float, float]:
        """One step of both players; the losses of the generators and of the discriminators (halved, as in section 7.1)."""
        for judge in (self.of_images, self.of_sources):
            judge.requires_grad_(False)
        self.makers.zero_grad()
        fake_image, fake_source = self.forward(source), self.back(image)
        fool = _square(self.of_images(fake_image), 1.0) + _square(self.of_sources(fake_source), 1.0)
        cycle = F.l1_loss(self.back(fake_image), source) + F.l1_loss(self.forward(fake_source), image)
        identity = F.l1_loss(self.forward(image), image) + F.l1_loss(self.back(source), source)
        loss = fool + CYCLE * cycle + CYCLE * IDENTITY * identity
        loss.backward()  # type: ignore[no-untyped-call]
        self.makers.step()

        self.judges.zero_grad()
        total = 0.0
        for judge, real, fake, pool in (
            (self.of_images, image, fake_image, self.pools[0]),
            (self.of_sources, source, fake_source, self.pools[1]),
        ):
            judge.requires_grad_(True)
            judged = (_square(judge(real), 1.0) + _square(judge(pool.exchanged(fake)), 0.0)) / 2
            judged.backward()  # type: ignore[no-untyped-call]
            total += float(judged.item())
        self.judges.step()
        return float(loss.item()), total


def _square(scores: Tensor, target: float) -> Tensor:
    return F.mse_loss(scores, torch.full_like(scores, target))
