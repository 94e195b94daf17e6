"""The SRGAN's game as it is usually written: the paper's networks, VGG features, cross-entropy, Adam 1e-4 (Ledig 2017).

generator, discriminator, eyes = networks(96)
players = optimizers(generator, discriminator)
for small, large in batches:  # n 3 24 24 and n 3 96 96, in [-1, 1]
    step(generator, discriminator, eyes, players, small, large)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam

WIDTH, BLOCKS = 64, 16
VGG_FACTOR, ADVERSARY = 2.5e-3, 1e-3


class Residual(nn.Module):
    """Two convolutions with batch norm, and their input added."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(WIDTH)
        self.conv2, self.bn2 = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(WIDTH)
        self.prelu = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.bn2(self.conv2(self.prelu(self.bn1(self.conv1(x)))))
        return y


class Generator(nn.Module):
    """Images to images 4 times as high and wide."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, WIDTH, 9, padding=4), nn.PReLU())
        self.blocks = nn.Sequential(*(Residual() for _ in range(BLOCKS)))
        self.second = nn.Sequential(nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(WIDTH))
        doubling = [[nn.Conv2d(WIDTH, 4 * WIDTH, 3, padding=1), nn.PixelShuffle(2), nn.PReLU()] for _ in range(2)]
        self.last = nn.Sequential(*doubling[0], *doubling[1], nn.Conv2d(WIDTH, 3, 9, padding=4), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        y: Tensor = self.last(x + self.second(self.blocks(x)))
        return y


def _discriminator(size: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(3, WIDTH, 3, padding=1), nn.LeakyReLU(0.2)]
    widths = [WIDTH, WIDTH, 2 * WIDTH, 2 * WIDTH, 4 * WIDTH, 4 * WIDTH, 8 * WIDTH, 8 * WIDTH]
    for i in range(1, 8):
        convolution = nn.Conv2d(widths[i - 1], widths[i], 3, stride=2 if i % 2 else 1, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(widths[i]), nn.LeakyReLU(0.2)]
    dense = nn.Linear(8 * WIDTH * (size // 16) ** 2, 1024)
    return nn.Sequential(*layers, nn.Flatten(), dense, nn.LeakyReLU(0.2), nn.Linear(1024, 1))


def _vgg() -> nn.Sequential:
    """VGG16 up to the end of its fourth block, with weights as they come: the time does not depend on them."""
    layers: list[nn.Module] = []
    before = 3
    for i, widths in enumerate(((64, 64), (128, 128), (256, 256, 256), (512, 512, 512))):
        layers += [nn.MaxPool2d(2)] if i else []
        for width in widths:
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU(inplace=True)]
            before = width
    return nn.Sequential(*layers).eval().requires_grad_(False)


def networks(size: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    """Generator, discriminator of images of a size, and VGG."""
    return Generator(), _discriminator(size), _vgg()


def optimizers(generator: nn.Module, discriminator: nn.Module) -> tuple[Adam, Adam]:
    """Adam for the generator and for the discriminator."""
    return Adam(generator.parameters(), 1e-4), Adam(discriminator.parameters(), 1e-4)


def step(
    generator: nn.Module,
    discriminator: nn.Module,
    feature_network: nn.Module,
    players: tuple[Adam, Adam],
    small: Tensor,
    large: Tensor,
) -> float:
    """A step of both players (small n 3 h w, large n 3 4h 4w, in [-1, 1]); the generator's loss."""
    generator_adam, discriminator_adam = players
    fake = generator(small)
    discriminator_adam.zero_grad()
    real_score, fake_score = discriminator(large), discriminator(fake.detach())
    real_loss = F.binary_cross_entropy_with_logits(real_score, torch.ones_like(real_score))
    fake_loss = F.binary_cross_entropy_with_logits(fake_score, torch.zeros_like(fake_score))
    (real_loss + fake_loss).backward()  # type: ignore[no-untyped-call]
    discriminator_adam.step()

    generator_adam.zero_grad()
    score = discriminator(fake)
    fool = F.binary_cross_entropy_with_logits(score, torch.ones_like(score))
    content = F.mse_loss(feature_network((fake + 1) * 127.5), feature_network((large + 1) * 127.5).detach())
    loss = VGG_FACTOR * content + ADVERSARY * fool
    loss.backward()  # type: ignore[no-untyped-call]
    generator_adam.step()
    return float(loss.item())
