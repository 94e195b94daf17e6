"""StyleGAN2: a style-based generator with adaptive discriminator augmentation (Karras 2020)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from zeuxis.adversarial import (
    GAN_LOSSES,
    PathLength,
    adam,
    interval_option,
    lazy_weight,
    path_lengths,
    r1,
    r1_option,
)
from zeuxis.model import Batch, Clock, StyleBased, Turn, option
from zeuxis.nets.adaptive import Augmentation, ada_target_option, augment_option
from zeuxis.nets.augment import Augment
from zeuxis.nets.freezing import freeze, freeze_option
from zeuxis.nets.style import Discriminator, Mapping, Synthesis, base_channels_option
from zeuxis.schedules import decay_option, decayed

GAME = GAN_LOSSES["non-saturating"]


@dataclass(eq=False)
class StyleGAN2(StyleBased):
    """A mapping network z -> w, a synthesis network w -> image, and a discriminator with ADA."""

    latent_dim: int = option(128, "dimension of z and w", low=1, high=65536)
    base_channels: int = base_channels_option()
    mapping_layers: int = option(4, "layers of the mapping network", low=1, high=32)
    lr: float = option(
        0.01,
        "Adam learning rate of both networks (paper: 0.0025); a hundredth for the mapping network",
        low=0,
        high=1,
        group="optimisation",
    )
    lr_decay_start: int = decay_option(100_000)
    beta2: float = option(0.99, "Adam beta2 (beta1 is 0)", low=0, high=0.9999, group="optimisation")
    r1_gamma: float = r1_option(10.0)
    r1_interval: int = interval_option()
    path_length_weight: float = option(
        0.1, "path length regularisation, relative to the paper's weight; 0: off", low=0, group="losses"
    )
    path_length_interval: int = interval_option()
    style_mixing_prob: float = option(0.9, "style mixing probability in training", low=0, high=1, group="losses")
    noise_injection: bool = option(False, "add noise to the feature maps of the synthesis network")
    augment: Augment = augment_option()
    ada_target: float = ada_target_option()
    ada_images: int = option(
        500_000,
        "images in which the probability of ada can rise from 0 to 1; 0: a quarter of those seen, as in auto",
        low=0,
        group="losses",
    )
    freeze_layers: int = freeze_option()
    truncation: float = option(
        1.0, "truncation psi: below 1 samples are closer to the mean w, less diverse", low=0, high=2, at_sampling=True
    )

    training_only = ("discriminator", "augmented", "lengths")
    batch_size = 16
    bf16 = True

    def build(self) -> None:
        self.mapping_network = Mapping(self.latent_dim, self.mapping_layers)
        self.synthesis = Synthesis(
            self.size,
            self.channels,
            width=self.base_channels,
            style=self.latent_dim,
            noise_injection=self.noise_injection,
        )
        self.discriminator = Discriminator(self.size, self.channels, width=self.base_channels)
        self.augmented = Augmentation(self.augment, target=self.ada_target, images=self.ada_images)
        self.lengths = PathLength()
        freeze(self.discriminator.from_image, self.freeze_layers)

    def optimizers(self) -> dict[str, Optimizer]:
        generator = nn.ModuleList((self.mapping_network, self.synthesis))
        return adam({"discriminator": self.discriminator, "generator": generator}, self.lr, (0.0, self.beta2))

    def lr_scale(self, clock: Clock) -> float:
        return decayed(self.lr_decay_start, clock.images)

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        w = self.mapping_network(self.draw(batch.image, len(batch.image)))
        real, fake = self.augmented(batch.image), self.augmented(self.synthesis(self.mixed(w)))

        real_score, fake_score = self.discriminator(real), self.discriminator(fake.detach())
        yield (
            None,
            {
                "discriminator/prob_real": GAME.probability(real_score),
                "discriminator/prob_fake": GAME.probability(fake_score),
            },
        )
        gaps = self.augmented.score_gaps(self.discriminator, (real_score, fake_score), clock)
        terms = {"real": GAME.real(real_score), "fake": GAME.fake(fake_score)}
        if weight := lazy_weight(self.r1_gamma, self.r1_interval, clock.step):
            terms["r1"] = weight * r1(self.discriminator, real)
        yield "discriminator", terms

        terms, typical = {"adversarial": GAME.adversarial(self.discriminator(fake))}, self.lengths.typical
        if weight := lazy_weight(self.path_weight, self.path_length_interval, clock.step):
            lengths = path_lengths(self.everywhere, self.mapping_network(self.draw(batch.image, -(-len(w) // 2))))
            typical = self.lengths.among(lengths)
            terms["path"] = weight * (lengths - typical).square().mean()
        yield "generator", terms
        yield None, {"path/length": typical, **self.augmented.report()}

        self.lengths.typical.copy_(typical)
        self.mapping_network.remember(w)
        self.augmented.look(real_score, clock, gaps)

    def draw(self, like: Tensor, n: int) -> Tensor:
        """Latents z (n d) from the prior, on the device of the images."""
        return torch.randn(n, self.latent_dim, device=like.device)

    def mixed(self, w: Tensor) -> Tensor:
        """Styles (n styles d) of w (n d), with style mixing from a random layer on (Karras 2019)."""
        n, device = len(w), w.device
        start = torch.randint(1, self.styles, (n, 1), device=device)
        start = torch.where(torch.rand(n, 1, device=device) < self.style_mixing_prob, start, self.styles)
        own = torch.arange(self.styles, device=device) < start  # n styles
        return torch.where(own[..., None], w[:, None], w.roll(1, 0)[:, None])

    def everywhere(self, w: Tensor) -> Tensor:
        """Images of w (n d), the same style in every layer."""
        images: Tensor = self.synthesis(w[:, None].expand(-1, self.styles, -1))
        return images

    @property
    def path_weight(self) -> float:
        """The weight of path length regularisation, relative to that of the paper (equation 5, appendix B)."""
        return self.path_length_weight * math.log(2) / (math.log(self.size) - math.log(2))

    @property
    def styles(self) -> int:
        return self.synthesis.styles

    def mapping(self, z: Tensor) -> Tensor:
        return torch.lerp(self.mapping_network.mean, self.mapping_network(z), self.truncation)

    def synthesize(self, w: Tensor) -> Tensor:
        images: Tensor = self.synthesis(w) if w.ndim == 3 else self.everywhere(w)
        return images.clamp(-1, 1)
