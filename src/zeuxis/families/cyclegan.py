"""Two domains from unpaired images: each becomes the other, and back again what it was (Zhu 2017)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn
from torch.optim import Optimizer

from zeuxis.adversarial import PAIRS, Pool, adam
from zeuxis.model import Batch, Clock, Translator, Turn, option
from zeuxis.nets.augment import Enlarge, jitter
from zeuxis.nets.conv import Upsampling, textbook_init
from zeuxis.nets.norm import Norm
from zeuxis.nets.patch import Field, Patch
from zeuxis.nets.resnet import ResNet

_PAIR = PAIRS["least-squares"]
_MAKES = {"forward": "image", "back": "source"}


@dataclass(eq=False)
class CycleGAN(Translator):
    """Two generators that undo each other, and for each domain a discriminator."""

    width: int = option(16, "channels next to the image (the paper: 64)", low=4, high=512)
    blocks: int = option(4, "residual blocks of a generator (the paper: 6 at 128 pixels, 9 at 256)", low=1, high=64)
    upsampling: Upsampling = option("nearest", "how generators double: neighbours and a convolution, or transposed")
    patch: Field = option(70, "pixels that one score of a discriminator sees")
    norm: Norm = option("instance", "normalisation in all networks")
    cycle: float = option(10.0, "weight of coming back to the image", low=0)
    identity: float = option(
        0.5,
        "weight, relative to the cycle's, of leaving alone what is of the domain already (same channels only)",
        low=0,
    )
    pool: int = option(50, "made images that are kept to be judged again; 0: none", low=0, high=10_000)
    jitter: float = option(1.117, "images are enlarged by this and cropped back at random; 1: never", low=1, high=2)
    enlarge: Enlarge = option("padding", "how: mirrored at the edges, or resized, which blurs them")
    lr: float = option(2e-4, "learning rate of both players (Adam)", low=0, high=1)
    beta1: float = option(0.5, "Adam's memory of the gradient", low=0, high=0.999)

    scaffolding = ("discriminators", "pools")
    directions = ("forward", "back")
    paired = False
    batch_size = 4
    bf16 = True

    def build(self) -> None:
        source, image = self.source_channels, self.channels
        # Each network by what it makes, or judges: images, or sources.
        self.generators = nn.ModuleDict(
            {"image": self._generator(source, image), "source": self._generator(image, source)}
        )
        judges = {"image": image, "source": source}
        self.discriminators = nn.ModuleDict(
            {
                name: Patch(channels, width=self.width, field=self.patch, norm=self.norm, size=self.size)
                for name, channels in judges.items()
            }
        )
        self.pools = nn.ModuleDict(
            {name: Pool(self.pool, (channels, self.size, self.size)) for name, channels in judges.items()}
        )
        textbook_init(self.generators)
        textbook_init(self.discriminators)

    def _generator(self, inputs: int, outputs: int) -> ResNet:
        return ResNet(inputs, outputs, width=self.width, blocks=self.blocks, norm=self.norm, upsampling=self.upsampling)

    def optimizers(self) -> dict[str, Optimizer]:
        players = {"generators": self.generators, "discriminators": self.discriminators}
        return adam(players, self.lr, (self.beta1, 0.999))

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        """Equations 1 to 3 of the paper, and the identity loss of its section 5.2; the generators move first."""
        assert batch.source is not None
        (source,), (image,) = (jitter((each,), self.jitter, self.enlarge) for each in (batch.source, batch.image))
        forward, back = self.generators["image"], self.generators["source"]
        made = {"image": forward(source), "source": back(image)}
        terms = {f"fool {name}": _PAIR.fool(self.discriminators[name](fake)) for name, fake in made.items()}
        terms["cycle"] = self.cycle * (
            _distance(back(made["image"]), source) + _distance(forward(made["source"]), image)
        )
        if self.identity and self.channels == self.source_channels:
            kept = _distance(forward(image), image) + _distance(back(source), source)
            terms["identity"] = self.cycle * self.identity * kept
        yield "generators", terms

        made = {name: fake.detach() for name, fake in made.items()}
        drawn = {name: self._pool(name).draw(fake) for name, fake in made.items()}
        terms = {}
        for name, real in (("image", image), ("source", source)):
            judge = self.discriminators[name]
            terms[f"real {name}"], terms[f"fake {name}"] = _PAIR.real(judge(real)), _PAIR.fake(judge(drawn[name][0]))
        yield "discriminators", terms
        for name, fake in made.items():
            self._pool(name).keep(fake, drawn[name][1])

    def _pool(self, name: str) -> Pool:
        pool = self.pools[name]
        assert isinstance(pool, Pool)
        return pool

    def translate(self, source: Tensor, direction: str = "forward", seed: int = 0) -> Tensor:
        image: Tensor = self.generators[_MAKES[direction]](source)
        return image


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).abs().mean()
