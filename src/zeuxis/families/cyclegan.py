"""CycleGAN: unpaired image-to-image translation with cycle consistency (Zhu 2017)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from zeuxis.adversarial import GAN_LOSSES, adam
from zeuxis.model import Batch, Clock, Translator, Turn, option
from zeuxis.nets.augment import JitterMode, jitter, jitter_mode_option, jitter_scale_option
from zeuxis.nets.conv import Upsampling, textbook_init, upsampling_option
from zeuxis.nets.image_pool import ImagePool
from zeuxis.nets.norm import Norm
from zeuxis.nets.patch import Field, Patch
from zeuxis.nets.resnet import ResNet

_PAIR = GAN_LOSSES["least-squares"]
_MAKES = {"forward": "image", "back": "source"}


@dataclass(eq=False)
class CycleGAN(Translator):
    """Two generators, each the inverse of the other, and one PatchGAN discriminator per domain."""

    base_channels: int = option(
        16, "base channels at full resolution, doubled at each downsampling (paper: 64)", low=4, high=512
    )
    blocks: int = option(4, "residual blocks of each generator (paper: 6 at 128 pixels, 9 at 256)", low=1, high=64)
    upsampling: Upsampling = upsampling_option()
    receptive_field: Field = option(70, "receptive field of the PatchGAN discriminators, in pixels")
    norm: Norm = option("instance", "normalisation in all networks")
    cycle_weight: float = option(10.0, "weight (lambda) of the cycle-consistency loss", low=0, group="losses")
    identity_weight: float = option(
        0.5, "weight of the identity loss, relative to --cycle-weight; needs equal channels", low=0, group="losses"
    )
    pool_size: int = option(
        50, "size of the image pool shown to the discriminators; 0: off", low=0, high=10_000, group="losses"
    )
    jitter_scale: float = jitter_scale_option()
    jitter_mode: JitterMode = jitter_mode_option()
    lr: float = option(2e-4, "Adam learning rate of all networks", low=0, high=1, group="optimisation")
    beta1: float = option(0.5, "Adam beta1", low=0, high=0.999, group="optimisation")

    training_only = ("discriminators", "pools")
    sharded = ("pools.image.images", "pools.source.images")
    directions = ("forward", "back")
    paired = False
    batch_size = 4
    bf16 = True

    def build(self) -> None:
        source, image = self.source_channels, self.channels
        # Networks by their output domain, or the domain that they discriminate: images, or sources.
        self.generators = nn.ModuleDict(
            {"image": self._generator(source, image), "source": self._generator(image, source)}
        )
        judges = {"image": image, "source": source}
        self.discriminators = nn.ModuleDict(
            {
                name: Patch(
                    channels, width=self.base_channels, field=self.receptive_field, norm=self.norm, size=self.size
                )
                for name, channels in judges.items()
            }
        )
        self.pools = nn.ModuleDict(
            {name: ImagePool(self.pool_size, (channels, self.size, self.size)) for name, channels in judges.items()}
        )
        textbook_init(self.generators)
        textbook_init(self.discriminators)

    def _generator(self, inputs: int, outputs: int) -> ResNet:
        return ResNet(
            inputs, outputs, width=self.base_channels, blocks=self.blocks, norm=self.norm, upsampling=self.upsampling
        )

    def optimizers(self) -> dict[str, Optimizer]:
        players = {"generators": self.generators, "discriminators": self.discriminators}
        return adam(players, self.lr, (self.beta1, 0.999))

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        """Equations 1 to 3 of the paper, and the identity loss of its section 5.2; the generators move first."""
        assert batch.source is not None
        (source,), (image,) = (
            jitter((each,), self.jitter_scale, self.jitter_mode) for each in (batch.source, batch.image)
        )
        forward, back = self.generators["image"], self.generators["source"]
        made, kept = self._translations(source, image)
        terms = {
            f"adversarial {name}": _PAIR.adversarial(self.discriminators[name](fake)) for name, fake in made.items()
        }
        terms["cycle"] = self.cycle_weight * (
            _distance(back(made["image"]), source) + _distance(forward(made["source"]), image)
        )
        if kept:
            changed = _distance(kept["image"], image) + _distance(kept["source"], source)
            terms["identity"] = self.cycle_weight * self.identity_weight * changed
        yield "generators", terms

        made = {name: fake.detach() for name, fake in made.items()}
        drawn = {name: self._pool(name).draw(fake) for name, fake in made.items()}
        terms, report = {}, {}
        for name, real in (("image", image), ("source", source)):
            real_score, fake_score = self._each(self.discriminators[name], (real, drawn[name][0]))
            terms[f"real {name}"], terms[f"fake {name}"] = _PAIR.real(real_score), _PAIR.fake(fake_score)
            report[f"discriminators/prob_real {name}"] = _PAIR.probability(real_score)
            report[f"discriminators/prob_fake {name}"] = _PAIR.probability(fake_score)
        yield None, report
        yield "discriminators", terms
        for name, fake in made.items():
            self._pool(name).keep(fake, drawn[name][1])

    def _translations(self, source: Tensor, image: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Both translations, by the domain of the output; and what each generator makes of its output domain, where the
        identity loss asks for it."""
        identity = bool(self.identity_weight) and self.channels == self.source_channels
        given = {"image": (source, image), "source": (image, source)}
        found = {
            name: self._each(self.generators[name], ends if identity else ends[:1]) for name, ends in given.items()
        }
        made = {name: outputs[0] for name, outputs in found.items()}
        return made, {name: outputs[1] for name, outputs in found.items()} if identity else {}

    def _each(self, network: nn.Module, images: Sequence[Tensor]) -> Sequence[Tensor]:
        """What a network makes of each of these batches (n c h w): of all as one, which reads its weights once, unless its
        norm would mix them."""
        if self.norm == "batch":
            return [network(each) for each in images]
        together: Tensor = network(torch.cat(tuple(images)))
        return torch.split(together, [len(each) for each in images])

    def _pool(self, name: str) -> ImagePool:
        pool = self.pools[name]
        assert isinstance(pool, ImagePool)
        return pool

    def translate(self, source: Tensor, direction: str = "forward", seed: int = 0) -> Tensor:
        image: Tensor = self.generators[_MAKES[direction]](source)
        return image


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).abs().mean()
