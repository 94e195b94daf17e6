"""A mapped latent that styles every layer of its generator, judged with adaptive augmentation (Karras 2020)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from zeuxis.adversarial import PAIRS, PathLength, adam, every_option, lazily, path_lengths, r1
from zeuxis.model import Batch, Clock, Styled, Turn, option
from zeuxis.nets.adaptive import Adaptive
from zeuxis.nets.style import Discriminator, Mapping, Synthesis
from zeuxis.schedules import decay_option, decayed

GAME = PAIRS["non-saturating"]


@dataclass(eq=False)
class StyleGAN2(Styled):
    """A mapping z -> w, a synthesis w -> image, and a discriminator that sees images augmented, as much as need be."""

    latent_dim: int = option(128, "numbers in z and in w", low=1, high=65536)
    width: int = option(16, "channels at the image's size; each halving doubles them, to 8 times", low=4, high=512)
    mapping_layers: int = option(4, "layers from z to w", low=1, high=32)
    lr: float = option(
        0.01,
        "learning rate of both players (Adam), the paper's being 0.0025; the mapping's is a hundredth",
        low=0,
        high=1,
    )
    decay_from: int = decay_option(100_000)
    beta2: float = option(
        0.99, "Adam's memory of the gradient's square (it has none of the gradient)", low=0, high=0.9999
    )
    r1: float = option(10.0, "weight of the R1 penalty on the discriminator's gradient at real images", low=0)
    r1_every: int = every_option()
    path: float = option(0.1, "weight of path length regularisation, the paper's being 1; 0 for none", low=0)
    path_every: int = every_option()
    mixing: float = option(0.9, "share of images learned with two styles, from some layer on the other", low=0, high=1)
    noise: bool = option(False, "add noise to the features, for detail that is no latent's")
    ada: float = option(
        0.6, "share of real images above those taken for fake that augmentation aims at; 0 for none", low=0, high=1
    )
    ada_images: int = option(500_000, "images in which the chance of augmentation can go from 0 to 1", low=1)
    truncation: float = option(
        1.0, "how far samples are from the mean w: below 1 more typical, less diverse", low=0, high=2, at_sampling=True
    )

    scaffolding = ("discriminator", "augmented", "lengths")
    batch_size = 16
    bf16 = True

    def build(self) -> None:
        self.mapping = Mapping(self.latent_dim, self.mapping_layers)
        self.synthesis = Synthesis(self.size, self.channels, width=self.width, style=self.latent_dim, noisy=self.noise)
        self.discriminator = Discriminator(self.size, self.channels, width=self.width)
        self.augmented = Adaptive(target=self.ada, images=self.ada_images)
        self.lengths = PathLength()

    def optimizers(self) -> dict[str, Optimizer]:
        generator = nn.ModuleList((self.mapping, self.synthesis))
        return adam({"discriminator": self.discriminator, "generator": generator}, self.lr, (0.0, self.beta2))

    def rate(self, clock: Clock) -> float:
        return decayed(self.decay_from, clock.images)

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        w = self.mapping(self.draw(batch.image, len(batch.image)))
        real, fake = self.augmented(batch.image), self.augmented(self.synthesis(self.mixed(w)))

        real_score, fake_score = self.discriminator(real), self.discriminator(fake.detach())
        yield None, {"verdict/real": GAME.verdict(real_score).mean(), "verdict/fake": GAME.verdict(fake_score).mean()}
        terms = {"real": GAME.real(real_score), "fake": GAME.fake(fake_score)}
        if weight := lazily(self.r1, self.r1_every, clock.step):
            terms["r1"] = weight * r1(self.discriminator, real)
        yield "discriminator", terms

        terms, typical = {"fool": GAME.fool(self.discriminator(fake))}, self.lengths.typical
        if weight := lazily(self.path_weight, self.path_every, clock.step):
            lengths = path_lengths(self.everywhere, self.mapping(self.draw(batch.image, -(-len(w) // 2))))
            typical = self.lengths.among(lengths)
            terms["path"] = weight * (lengths - typical).square().mean()
        yield "generator", terms
        yield None, {"augmentation/probability": self.augmented.probability, "path/length": typical}

        self.lengths.typical.copy_(typical)
        self.mapping.remember(w)
        self.augmented.look(real_score)

    def draw(self, like: Tensor, n: int) -> Tensor:
        """Latents z (n d) from the prior, where the images are."""
        return torch.randn(n, self.latent_dim, device=like.device)

    def mixed(self, w: Tensor) -> Tensor:
        """Styles (n styles d) of w (n d): a share of the images takes another's from a random layer on (Karras 2019)."""
        n, device = len(w), w.device
        start = torch.randint(1, self.styles, (n, 1), device=device)
        start = torch.where(torch.rand(n, 1, device=device) < self.mixing, start, self.styles)
        own = torch.arange(self.styles, device=device) < start  # n styles
        return torch.where(own[..., None], w[:, None], w.roll(1, 0)[:, None])

    def everywhere(self, w: Tensor) -> Tensor:
        """Images of w (n d), the style of every layer."""
        images: Tensor = self.synthesis(w[:, None].expand(-1, self.styles, -1))
        return images

    @property
    def path_weight(self) -> float:
        """Of path length regularisation, in proportion to the paper's: equation 5 of its appendix B."""
        return self.path * math.log(2) / (math.log(self.size) - math.log(2))

    @property
    def styles(self) -> int:
        return self.synthesis.styles

    def to_w(self, z: Tensor) -> Tensor:
        return torch.lerp(self.mapping.mean, self.mapping(z), self.truncation)

    def decode_w(self, w: Tensor) -> Tensor:
        images: Tensor = self.synthesis(w) if w.ndim == 3 else self.everywhere(w)
        return images.clamp(-1, 1)
