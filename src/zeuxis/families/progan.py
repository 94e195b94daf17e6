"""ProGAN: progressive growing of both networks, from low to high resolution (Karras 2018)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from zeuxis import adversarial
from zeuxis.adversarial import GAN_LOSSES, adam, interval_option, lazy_weight, r1_option
from zeuxis.model import Batch, Clock, Latent, Turn, option
from zeuxis.nets.adaptive import Augmentation, ada_target_option, augment_option
from zeuxis.nets.augment import Augment
from zeuxis.nets.conv import pyramid, widths
from zeuxis.nets.equalised import EqualConv2d, EqualLinear, minibatch_deviation, pixel_norm
from zeuxis.nets.freezing import freeze, freeze_option
from zeuxis.nets.style import base_channels_option
from zeuxis.schedules import decay_option, decayed

ROOT = 2**0.5  # gain of a leaky ReLU, for unit variance
Map = Callable[[Tensor], Tensor]
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
        self.sizes = pyramid(size)
        counts = widths(len(self.sizes), width)[::-1]
        self.stem = EqualLinear(inputs, counts[0] * self.sizes[0] ** 2)
        self.doubled = nn.ModuleList(EqualConv2d(*pair, resample="nearest") for pair in zip(counts, counts[1:]))
        self.kept = nn.ModuleList(EqualConv2d(count, count) for count in counts)
        self.image = nn.ModuleList(EqualConv2d(count, channels, 1) for count in counts)

    def forward(self, z: Tensor, level: Tensor, top: int) -> Tensor:
        """Images of the stage `top`; during a fade-in, blended with those of the stage below."""
        x = self.stem(pixel_norm(z)).unflatten(1, (-1, self.sizes[0], self.sizes[0]))
        image = torch.zeros(1, 1, 1, 1, device=x.device)
        for stage, side in enumerate(self.sizes[: top + 1]):
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
        counts = widths(len(pyramid(size)), width)[::-1]
        self.image = nn.ModuleList(EqualConv2d(channels, count, 1) for count in counts)
        self.keep = nn.ModuleList(EqualConv2d(count, count) for count in counts[1:])
        self.halve = nn.ModuleList(EqualConv2d(*pair, resample="mean") for pair in zip(counts[1:], counts))
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
    base_channels: int = base_channels_option()
    images_per_stage: int = option(
        10_000, "images per fade-in and per stabilising phase", low=1, group="optimisation", of_weights=True
    )
    growth_start: int = option(0, "images that the growth counts as seen at step 0", low=0, group="optimisation")
    lr: float = option(0.01, "Adam learning rate of both networks (paper: 0.001)", low=0, high=1, group="optimisation")
    lr_decay_start: int = decay_option(100_000)
    beta2: float = option(0.99, "Adam beta2 (beta1 is 0)", low=0, high=0.9999, group="optimisation")
    loss: Literal["non-saturating", "wgan-gp"] = option("non-saturating", "wgan-gp: as in the paper", group="losses")
    r1_gamma: float = r1_option(1.0)
    r1_interval: int = interval_option()
    gp_weight: float = option(10.0, "weight (lambda) of the gradient penalty, for wgan-gp", low=0, group="losses")
    augment: Augment = augment_option()
    ada_target: float = ada_target_option()
    freeze_layers: int = freeze_option()

    training_only = ("discriminator", "augmented")
    bf16 = True

    def build(self) -> None:
        self.generator = Generator(self.size, self.channels, width=self.base_channels, inputs=self.latent_dim)
        self.discriminator = Discriminator(self.size, self.channels, width=self.base_channels)
        self.augmented = Augmentation(self.augment, target=self.ada_target)
        self.growth = Growth(self.images_per_stage, top=len(self.generator.sizes) - 1)
        stages = zip(*map(reversed, (self.discriminator.image, self.discriminator.keep, self.discriminator.halve)))
        freeze(map(nn.ModuleList, stages), self.freeze_layers)

    @property
    def starting_options(self) -> dict[str, Any]:
        return {**super().starting_options, "growth_start": int(self.growth.seen)}

    def optimizers(self) -> dict[str, Optimizer]:
        return adam({"discriminator": self.discriminator, "generator": self.generator}, self.lr, (0.0, self.beta2))

    def lr_scale(self, clock: Clock) -> float:
        return decayed(self.lr_decay_start, clock.images)

    def schedule_breakpoints(self, batch_size: int) -> list[Clock]:
        """Per resolution, the first steps of the fade-in and of the stabilising phase."""
        ends = [phase * self.images_per_stage - self.growth_start for phase in range(1, 2 * self.growth.top + 1)]
        fading = {end // batch_size + 1 for end in ends[::2]}
        alone = {math.ceil(end / batch_size) for end in ends[1::2]}
        return [Clock(step, step * batch_size) for step in sorted({0} | fading | alone) if step >= 0]

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        images = clock.images + self.growth_start
        level = self.growth.level(torch.tensor(images))  # on the host, so that layers without weight are skipped
        top = math.ceil(level)
        fade = float(level) - (top - 1)
        level = torch.full((), float(level), device=batch.image.device)  # filled there, not copied
        real = self.shown(batch.image, top, fade)
        fake = self.generator(torch.randn(len(real), self.latent_dim, device=real.device), level, top)
        score, shown = partial(self.discriminator, top=top, fade=fade), partial(self.shown, top=top, fade=fade)
        yield None, {"growth/stage": level}
        if self.loss == "wgan-gp":
            yield from self.criticism(score, real, fake, clock, shown)
        else:
            weight = lazy_weight(self.r1_gamma, self.r1_interval, clock.step)
            game = partial(adversarial.turns, GAN_LOSSES["non-saturating"], augmentation=self.augmented, shown=shown)
            yield from game(score, real, fake, r1_weight=weight, clock=clock)
        self.growth.seen.fill_(images)

    def criticism(self, score: Map, real: Tensor, fake: Tensor, clock: Clock, shown: Map) -> Iterator[Turn]:
        """The turns of the paper: WGAN-GP with n_critic = 1 and the drift penalty."""
        real, fake = self.augmented(real), self.augmented(fake)
        real_score, fake_score = adversarial.scores_together(score, real, fake.detach(), parts=4)
        yield None, adversarial.critic_report(real_score, fake_score, self.augmented)
        gaps = self.augmented.score_gaps(score, (real_score, fake_score), clock, shown)
        penalty = self.gp_weight * adversarial.gradient_penalty(score, real, fake)
        terms = {"penalty": penalty, "drift": DRIFT * real_score.float().square().mean()}
        yield "discriminator", {"real": -real_score.mean(), "fake": fake_score.mean(), **terms}
        yield "generator", {"adversarial": -score(fake).mean()}
        self.augmented.look(adversarial.beyond_middle(real_score, fake_score), clock, gaps)

    def shown(self, image: Tensor, top: int, fade: float = 1.0) -> Tensor:
        """Real images (n c h w) at a stage: pooled, and blended with their coarser version during a fade-in."""
        for _ in range(self.growth.top - top):
            image = halved(image)
        return image if fade >= 1 else torch.lerp(F.interpolate(halved(image), image.shape[2:]), image, fade)

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        # All stages, each by its weight: the graph must not depend on the value of a buffer (ONNX).
        images: Tensor = self.generator(z, self.growth.level(self.growth.seen), self.growth.top)
        return images.clamp(-1, 1)
