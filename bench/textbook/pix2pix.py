"""pix2pix as it is usually written: U-Net against patches of 70 pixels, cross-entropy, 100 times L1, Adam 2e-4 (Isola 2017).

generator, discriminator = networks(256)
players = optimizers(generator, discriminator)
for source, image in batches:  # each n 3 h w, in [-1, 1]
    losses = step(generator, discriminator, players, source, image)

The layers are those of `zeuxis.nets`: the U-Net ends at 2 pixels, where the paper's goes on to 1. Each image is
normalised by itself, which is what the paper's batch norm does at its batch of one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam

L1 = 100.0


class UNet(nn.Module):
    """Images (n 3 size size) to images, over ever smaller ones; what is of one size is joined."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        depth = size.bit_length() - 2
        widths = [width * min(8, 2**i) for i in range(depth)]
        self.down = nn.ModuleList([nn.Conv2d(3, width, 4, 2, 1)])
        for i in range(1, depth - 1):
            convolution = nn.Conv2d(widths[i - 1], widths[i], 4, 2, 1, bias=False)
            self.down.append(nn.Sequential(nn.LeakyReLU(0.2), convolution, nn.InstanceNorm2d(widths[i])))
        self.down.append(nn.Sequential(nn.LeakyReLU(0.2), nn.Conv2d(widths[-2], widths[-1], 4, 2, 1)))
        self.up = nn.ModuleList()
        for i in range(depth - 1, 0, -1):
            before = widths[i] if i == depth - 1 else 2 * widths[i]
            doubling = nn.ConvTranspose2d(before, widths[i - 1], 4, 2, 1, bias=False)
            layers = [nn.ReLU(), doubling, nn.InstanceNorm2d(widths[i - 1])]
            self.up.append(nn.Sequential(*layers, nn.Dropout(0.5)) if i > depth - 4 else nn.Sequential(*layers))
        self.last = nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(2 * width, 3, 4, 2, 1), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for down in self.down:
            x = down(x)
            skips.append(x)
        for up, skip in zip(self.up, reversed(skips[:-1])):
            x = torch.cat([up(x), skip], 1)
        y: Tensor = self.last(x)
        return y


def patches(channels: int, width: int) -> nn.Sequential:
    """Images to scores, each of 70 by 70 pixels."""
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2, True)]
    for i, stride in enumerate((2, 2, 1)):
        before, after = width * 2**i, width * 2 ** (i + 1)
        layers += [nn.Conv2d(before, after, 4, stride, 1, bias=False), nn.InstanceNorm2d(after)]
        layers += [nn.LeakyReLU(0.2, True)]
    return nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, 1, 1))


def networks(size: int, width: int = 64) -> tuple[UNet, nn.Sequential]:
    """Generator, and discriminator of source and image one upon the other; sizes are powers of two, 16 to 256."""
    if not 16 <= size <= 256 or size & (size - 1):
        raise ValueError(f"size is {size}; the textbook's networks take a power of two, 16 to 256")
    generator, discriminator = UNet(size, width), patches(6, width)
    generator.apply(init)
    discriminator.apply(init)
    return generator, discriminator


def init(module: nn.Module) -> None:
    """Weights from N(0, 0.02)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def optimizers(generator: nn.Module, discriminator: nn.Module) -> tuple[Adam, Adam]:
    """Adam for the generator and for the discriminator."""
    return Adam(generator.parameters(), 2e-4, (0.5, 0.999)), Adam(discriminator.parameters(), 2e-4, (0.5, 0.999))


def step(
    generator: nn.Module, discriminator: nn.Module, players: tuple[Adam, Adam], source: Tensor, image: Tensor
) -> tuple[float, float]:
    """One step of both players; the losses of discriminator (halved, as in section 3.3) and generator."""
    generator_adam, discriminator_adam = players
    fake = generator(source)

    discriminator.requires_grad_(True)
    discriminator_adam.zero_grad()
    fake_loss = _loss(discriminator(torch.cat([source, fake.detach()], 1)), 0.0)
    real_loss = _loss(discriminator(torch.cat([source, image], 1)), 1.0)
    judged = (fake_loss + real_loss) / 2
    judged.backward()  # type: ignore[no-untyped-call]
    discriminator_adam.step()

    discriminator.requires_grad_(False)
    generator_adam.zero_grad()
    loss = _loss(discriminator(torch.cat([source, fake], 1)), 1.0) + L1 * F.l1_loss(fake, image)
    loss.backward()  # type: ignore[no-untyped-call]
    generator_adam.step()
    return float(judged.item()), float(loss.item())


def _loss(scores: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, target))
