"""What a generative model is: options, networks, a game of losses, and what it can do (its capabilities are types)."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, get_type_hints

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from zeuxis.errors import UsageError
from zeuxis.io import files
from zeuxis.likelihood import HasLikelihood
from zeuxis.options import ResizeMode, checked, checked_options, derived, option, options_of

__all__ = [
    "Batch",
    "Clock",
    "Encoder",
    "HasLikelihood",
    "Latent",
    "Model",
    "StyleBased",
    "SuperResolution",
    "Translator",
    "Turn",
    "UsesFeatures",
    "derived",
    "option",
    "options_of",
]


class Batch(NamedTuple):
    """What a model learns from; `Model.needs` names the columns it reads."""

    image: Tensor  # n c h w, in [-1, 1]: what it should make
    source: Tensor | None = None  # n c h w: what it is given (translation, super-resolution)
    label: Tensor | None = None  # n, a class; or n k, attributes in {0, 1}


@dataclass(frozen=True)
class Clock:
    """Time as training knows it: steps done, and images seen."""

    step: int = 0
    images: int = 0


# A player and its loss as named terms. The player None learns nothing: its terms are only reported.
Turn = tuple[str | None, dict[str, Tensor]]


@dataclass(eq=False)
class Model(nn.Module, ABC):
    """A generative model: its fields are its options, its submodules its networks, `losses` its game.

    A family is one final subclass. `build` makes the networks from the options; `optimizers` gives one optimizer
    per player; `losses` yields the turns of one step, each a player and its loss terms. After a `yield` the player
    has moved, so a score that is used later must be computed later.
    """

    size: int = option(64, "height and width of the images, in pixels (named sets: their own)", low=8, high=1024)
    channels: int = option(3, "image channels: 1 greyscale, 3 RGB (named sets: their own)", low=1, high=4)

    needs: ClassVar[frozenset[str]] = frozenset({"image"})
    training_only: ClassVar[tuple[str, ...]] = ()  # submodules that only training uses
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}  # other defaults of options, by name: "paper"
    resize_mode: ClassVar[ResizeMode] = "crop"  # how a person's own photographs become squares, if nobody says
    batch_size: ClassVar[int] = 32  # what this family trains well with
    ema_half_life: ClassVar[int] = 10_000  # of the average of its weights, in images
    bf16: ClassVar[bool] = False  # whether it was measured to lose nothing when trained in that format

    def __post_init__(self) -> None:
        nn.Module.__init__(self)
        for name, value in checked_options(self):
            setattr(self, name, value)
        self.build()

    @abstractmethod
    def build(self) -> None:
        """Make the networks."""

    @abstractmethod
    def optimizers(self) -> dict[str, Optimizer]:
        """One optimizer per player."""

    @abstractmethod
    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        """The turns of one training step."""

    def lr_scale(self, clock: Clock) -> float:
        """What the learning rates are multiplied by at this time: constant, unless a family says otherwise."""
        return 1.0

    def schedule_breakpoints(self, batch_size: int) -> list[Clock]:
        """The times from which a step is other work than before, and is measured anew: the first, unless a family says more."""
        return [Clock()]

    def diagnostics(self) -> dict[str, Tensor]:
        """Pictures that show what is inside (n c h w, in [-1, 1]), by name: each is drawn beside the samples of a run."""
        return {}

    @property
    def options(self) -> dict[str, Any]:
        """The options by name, as plain values."""
        return {f.name: getattr(self, f.name) for f in options_of(type(self))}

    def adjust(self, options: Mapping[str, Any]) -> None:
        """Give options that do not change the networks other values (in place); `UsageError` for any that may not be."""
        hints = get_type_hints(type(self))
        free = {f.name: f for f in options_of(type(self), at_sampling=True)}
        for name in options.keys() - free.keys():
            some = f"it takes {', '.join(free)}" if free else "it has none that could"
            raise UsageError(f"{name} of {self.family()} cannot be changed when it is sampled; {some}")
        for name, value in options.items():
            setattr(self, name, checked(free[name], hints[name], value))

    @classmethod
    def family(cls) -> str:
        """The name that finds this class again: `dcgan`, or `my_module:MyModel` outside the package."""
        package, _, name = cls.__module__.rpartition(".")
        return name if package == "zeuxis.families" else f"{cls.__module__}:{cls.__qualname__}"

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def drop_training_only(self) -> Model:
        """Remove what only training uses (in place); the model can still be sampled, encoded with, saved."""
        for name in self.training_only:
            if hasattr(self, name):
                delattr(self, name)
        return self

    def save(self, path: str | Path) -> None:
        """Write the folder that `zeuxis.load` reads: `config.json` and `model.safetensors`, training_only left out."""
        folder = Path(path)
        weights = {
            name: value.detach().cpu().contiguous()
            for name, value in self.state_dict().items()
            if name.split(".")[0] not in self.training_only
        }
        config = {"family": self.family(), "options": self.options}
        files.make_folder(folder)
        files.write_file(folder / "model.safetensors", safetensors.torch.save(weights))
        # The description goes last: a folder that has one is whole.
        files.write_file(folder / "config.json", json.dumps(config, indent=2).encode())


@dataclass(eq=False)
class Latent(Model):
    """A model with a latent space: a prior to draw from and a decoder to images."""

    latent_dim: int = option(100, "dimension of the latent space", low=1, high=65536)

    @property
    def decode_nfe(self) -> int:
        """How often `decode` runs the networks: who asks for many images may ask for fewer where that is often."""
        return 1

    def prior(self, seeds: Sequence[int]) -> Tensor:
        """Latents for the seeds (n latent_dim), drawn on the CPU so that a seed means one latent on every device."""
        rows = [torch.randn(self.latent_dim, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return torch.stack(rows).to(self.device)

    @abstractmethod
    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Images (n c h w, in [-1, 1]) for latents (n ...)."""

    @torch.no_grad()
    def sample(self, n: int = 1, *, seed: int = 0, batch_size: int = 64) -> Tensor:
        """Images (n c h w, in [-1, 1]) for the seeds `seed ... seed + n - 1`; image i depends on its seed alone."""
        seeds = range(seed, seed + n)
        parts = [self.decode(self.prior(seeds[i : i + batch_size])) for i in range(0, n, batch_size)]
        return torch.cat(parts)


class StyleBased(Latent):
    """A model that maps z to a second latent space w, one of which each layer of its synthesis takes as its style.

    In w images change more evenly than in z, paths are straight, and layers can take the styles of different images
    (Karras 2019, https://arxiv.org/abs/1812.04948).
    """

    @property
    @abstractmethod
    def styles(self) -> int:
        """How many layers take a style."""

    @abstractmethod
    def mapping(self, z: Tensor) -> Tensor:
        """Styles w (n d) for latents z (n ...)."""

    @abstractmethod
    def synthesize(self, w: Tensor) -> Tensor:
        """Images (n c h w, in [-1, 1]) for styles w: of all layers (n d), or of each its own (n styles d)."""

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return self.synthesize(self.mapping(z))


class Encoder(Latent):
    """A model that also finds the latent of an image."""

    @property
    def encode_nfe(self) -> int:
        """How often `encode` runs the networks."""
        return 1

    @abstractmethod
    def encode(self, image: Tensor) -> Tensor:
        """Latents for images (n c h w, in [-1, 1])."""


@dataclass(eq=False)
class Translator(Model):
    """A model from images to images."""

    source_channels: int = option(3, "channels of the source images: 1 greyscale, 3 RGB", low=1, high=4)

    needs = frozenset({"image", "source"})
    directions: ClassVar[tuple[str, ...]] = ("forward",)
    paired: ClassVar[bool] = True  # each source belongs to its image; else they are two unrelated sets
    degradation: ClassVar[str | None] = None  # how sources are made of single images, if nobody says

    @property
    def source_size(self) -> int:
        """Height and width of the sources it learns from."""
        return self.size

    def in_channels(self, direction: str = "forward") -> int:
        """Channels of the images that are translated in a direction."""
        return self.source_channels if direction == self.directions[0] else self.channels

    @property
    def stochastic(self) -> bool:
        """Whether what it makes depends on a seed, too."""
        return False

    @abstractmethod
    def translate(self, source: Tensor, direction: str = "forward", seed: int = 0) -> Tensor:
        """Images (n c h w, in [-1, 1]) made from sources of any height and width; where noisy, of the seeds from this one on."""


@dataclass(eq=False)
class SuperResolution(Translator):
    """A model that makes images larger: `scale` times as high and as wide as their sources."""

    scale: Literal[2, 4] = option(4, "upscaling factor")

    degradation = "small"
    resize_mode = "tiles"

    @property
    def source_size(self) -> int:
        return self.size // self.scale

    @property
    @abstractmethod
    def receptive_radius(self) -> int:
        """Pixels of a source, to each side, that what is made of one of them depends on: how far tiles must overlap."""


# Images (n c h w, in [-1, 1]) and a block to that block's features (n d h' w').
Features = Callable[[Tensor, int], Tensor]


class UsesFeatures(Model):
    """A model that learns by the features of a frozen network, which is lent to it and no part of it: neither its
    parameters nor what is saved of it know the network."""

    feature_network: Features | None = None

    @property
    def feature_weights(self) -> str:
        """The user's own file of the network's weights; empty for those that are published in a package."""
        return ""

    @property
    @abstractmethod
    def needs_features(self) -> bool:
        """Whether it has anything to look at with its options."""

    def see(self, image: Tensor, block: int) -> Tensor:
        """The features (n d h' w') of images at the end of a block; `UsageError` where nobody has lent it the network."""
        if self.feature_network is None:
            raise UsageError(f"{self.family()} learns by a feature network: lend it one, model.eyes = ...")
        return self.feature_network(image, block)
