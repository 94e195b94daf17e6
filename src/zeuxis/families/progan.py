"""ProGAN: progressive growing of both networks, from low to high resolution (Karras 2018)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from zeuxis import adversarial
from zeuxis.adversarial import GAN_LOSSES, adam, interval_option, lazy_weight
from zeuxis.model import Batch, Clock, Latent, Turn, option
from zeuxis.nets.adaptive import Augmentation, ada_target_option, augment_option
from zeuxis.nets.augment import Augment
from zeuxis.nets.conv import pyramid
from zeuxis.nets.equalised import EqualConv2d, EqualLinear, minibatch_deviation, pixel_norm
from zeuxis.nets.style import widths
from zeuxis.schedules import decay_option, decayed

ROOT = 2**0.5  # gain of a leaky ReLU, for unit variance
DRIFT = 1e-3  # drift penalty of the critic (Karras 2018, appendix A.1)


class Growth(nn.Module):
    """The growth stage, fractional during a fade-in: a function of the images seen.

    The images seen are a buffer, as sampling needs them.
    """

    seen: Tensor

    def __init__(self, stage: int, top: int) -> None:
        super().__init__()
        self.images_per_stage, self.top = stage, top
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def level(self, images: Tensor) -> Tensor:
        """The stage after so many images: the first stabilises, each later one fades in, then stabilises as long."""
        rounds = (images - self.images_per_stage).clamp(min=0) / (2 * self.images_per_stage)
        fading = (2 * (rounds - rounds.floor())).clamp(max=1)
        return (rounds.floor() + fading).clamp(max=self.top)


def halved(image: Tensor) -> Tensor:
    """Images (n c h w) at half their size, by 2 x 2 average pooling."""
    return F.avg_pool2d(image, 2)


class Generator(nn.Module):
    """Latents (n d) to images (n c h w): a 4 to 7 pixel grid, upsampled by stages with a to-RGB layer each."""

    def __init__(self, size: int, channels: int, *, width: int, inputs: int) -> None:
        super().__init__()
        self.sizes, counts = pyramid(size), widths(size, width)
        self.stem = EqualLinear(inputs, counts[0] * self.sizes[0] ** 2)
        self.doubled = nn.ModuleList(EqualConv2d(*pair, resample="nearest") for pair in zip(counts, counts[1:]))
        self.kept = nn.ModuleList(EqualConv2d(count, count) for count in counts)
        self.image = nn.ModuleList(EqualConv2d(count, channels, 1) for count in counts)

    def forward(self, z: Tensor, level: Tensor, top: int) -> Tensor:
        """Images of the stage `top`; during a fade-in, blended with those of the stage below."""
        x = self.stem(pixel_norm(z)).unflatten(1, (-1, self.sizes[0], self.sizes[0]))
        image = torch.zeros(1, 1, 1, 1, device=x.device)
        for stage in range(top + 1):
            side = self.sizes[stage]
            x = self.doubled[stage - 1](x, odd=side % 2 == 1, gain=ROOT) if stage else x * ROOT
            x = pixel_norm(F.leaky_relu(x, 0.2))
            x = pixel_norm(F.leaky_relu(self.kept[stage](x, gain=ROOT), 0.2))
            share = (1 - (level - stage).abs()).clamp(min=0)
            image = F.interpolate(image, (side, side)) + share * self.image[stage](x).float()
        return image


class Discriminator(nn.Module):
    """Images (n c h w) of any stage to scores (n 1): downsampled by stages, then minibatch standard deviation."""

    def __init__(self, size: int, channels: int, *, width: int) -> None:
        super().__init__()
        counts = widths(size, width)
        self.image = nn.ModuleList(EqualConv2d(channels, count, 1) for count in counts)
        self.keep = nn.ModuleList(EqualConv2d(count, count) for count in counts[1:])
        self.halve = nn.ModuleList(
            EqualConv2d(after, before, resample="mean") for before, after in zip(counts, counts[1:])
        )
        self.last = EqualConv2d(counts[0] + 1, counts[0])
        self.dense = EqualLinear(counts[0] * pyramid(size)[0] ** 2, counts[0])
        self.score = EqualLinear(counts[0], 1)

    def forward(self, image: Tensor, top: int, fade: float = 1.0) -> Tensor:
        """Scores by the stages up to `top`, which is blended in by `fade`."""
        x = self._seen(image, top)
        for stage in reversed(range(top)):
            x = F.leaky_relu(self.keep[stage](x, gain=ROOT), 0.2)
            x = F.leaky_relu(self.halve[stage](x, gain=ROOT), 0.2)
            if stage == top - 1 and fade < 1:  # the newest stage is blended with the downsampled image
                x = torch.lerp(self._seen(halved(image), stage).float(), x.float(), fade)
        x = F.leaky_relu(self.last(minibatch_deviation(x), gain=ROOT), 0.2)
        x = F.leaky_relu(self.dense(x.flatten(1)), 0.2) * ROOT
        scores: Tensor = self.score(x)
        return scores

    def _seen(self, image: Tensor, stage: int) -> Tensor:
        return F.leaky_relu(self.image[stage](image, gain=ROOT), 0.2)


@dataclass(eq=False)
class ProGAN(Latent):
    """A generator and a discriminator grown together, from 4 to 7 pixels to full resolution."""

    latent_dim: int = option(128, "dimension of the latent space", low=1, high=65536)
    base_channels: int = option(
        16, "base channels at full resolution, doubled at each downsampling up to 8 times", low=4, high=512
    )
    images_per_stage: int = option(
        10_000, "images per fade-in and per stabilising phase of each resolution", low=1, group="optimisation"
    )
    lr: float = option(0.01, "Adam learning rate of both networks (paper: 0.001)", low=0, high=1, group="optimisation")
    lr_decay_start: int = decay_option(100_000)
    beta2: float = option(0.99, "Adam beta2 (beta1 is 0)", low=0, high=0.9999, group="optimisation")
    loss: Literal["non-saturating", "wgan-gp"] = option(
        "non-saturating", "non-saturating with R1, or wgan-gp as in the paper", group="losses"
    )
    r1_gamma: float = option(
        1.0, "weight (gamma) of the R1 gradient penalty on real images; 0: off", low=0, group="losses"
    )
    r1_interval: int = interval_option()
    gp_weight: float = option(10.0, "weight (lambda) of the gradient penalty, for wgan-gp", low=0, group="losses")
    augment: Augment = augment_option()
    ada_target: float = ada_target_option()

    training_only = ("discriminator", "augmented")
    bf16 = True

    def build(self) -> None:
        self.generator = Generator(self.size, self.channels, width=self.base_channels, inputs=self.latent_dim)
        self.discriminator = Discriminator(self.size, self.channels, width=self.base_channels)
        self.augmented = Augmentation(self.augment, target=self.ada_target)
        self.growth = Growth(self.images_per_stage, top=len(self.generator.sizes) - 1)

    def optimizers(self) -> dict[str, Optimizer]:
        players = {"discriminator": self.discriminator, "generator": self.generator}
        return adam(players, self.lr, (0.0, self.beta2))

    def lr_scale(self, clock: Clock) -> float:
        return decayed(self.lr_decay_start, clock.images)

    def schedule_breakpoints(self, batch_size: int) -> list[Clock]:
        """Per resolution, the first steps of the fade-in and of the stabilising phase."""
        sizes = range(1, self.growth.top + 1)
        fading = {(2 * size - 1) * self.images_per_stage // batch_size + 1 for size in sizes}
        alone = {math.ceil(2 * size * self.images_per_stage / batch_size) for size in sizes}
        return [Clock(step, step * batch_size) for step in sorted({0} | fading | alone)]

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        level = self.growth.level(torch.tensor(clock.images))  # on the host, so that layers without weight are skipped
        top = math.ceil(level)
        fade = float(level) - (top - 1)
        level = torch.full((), float(level), device=batch.image.device)  # filled there, not copied
        real = self.shown(batch.image, top, fade)
        fake = self.generator(torch.randn(len(real), self.latent_dim, device=real.device), level, top)
        score = partial(self.discriminator, top=top, fade=fade)
        yield None, {"growth/stage": level}
        if self.loss == "wgan-gp":
            yield from self.criticism(score, real, fake, clock)
        else:
            weight = lazy_weight(self.r1_gamma, self.r1_interval, clock.step)
            game = partial(adversarial.turns, GAN_LOSSES["non-saturating"], augmentation=self.augmented)
            yield from game(score, real, fake, r1_weight=weight, seen=clock.images)
        self.growth.seen.fill_(clock.images)

    def criticism(self, score: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, clock: Clock) -> Iterator[Turn]:
        """The turns of the paper: WGAN-GP with n_critic = 1 and the drift penalty."""
        real, fake = self.augmented(real), self.augmented(fake)
        real_score, fake_score = score(real), score(fake.detach())
        yield None, adversarial.critic_report(real_score, fake_score, self.augmented)
        penalty = self.gp_weight * adversarial.gradient_penalty(score, real, fake)
        terms = {"penalty": penalty, "drift": DRIFT * real_score.float().square().mean()}
        yield "discriminator", {"real": -real_score.mean(), "fake": fake_score.mean(), **terms}
        yield "generator", {"adversarial": -score(fake).mean()}
        self.augmented.look(adversarial.beyond_middle(real_score, fake_score), clock.images)

    def shown(self, image: Tensor, top: int, fade: float = 1.0) -> Tensor:
        """Real images (n c h w) at a stage: pooled, and blended with their coarser version during a fade-in."""
        for _ in range(self.growth.top - top):
            image = halved(image)
        if fade >= 1:
            return image
        return torch.lerp(F.interpolate(halved(image), image.shape[2:]), image, fade)

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        # All stages, each by its weight: the graph must not depend on the value of a buffer (ONNX).
        images: Tensor = self.generator(z, self.growth.level(self.growth.seen), self.growth.top)
        return images.clamp(-1, 1)
