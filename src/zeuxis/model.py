"""The interface of generative models: options, networks, losses, and capabilities as types."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, get_type_hints

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from zeuxis import registry
from zeuxis.errors import UsageError
from zeuxis.game import Batch, Clock, Turn
from zeuxis.io import files
from zeuxis.io.paths import expanded
from zeuxis.io.pictures import Images
from zeuxis.io.weights import StoredPrecision, safetensors_of
from zeuxis.likelihood import HasLikelihood
from zeuxis.mixtures import Mixture, mix_latents
from zeuxis.notebook import SHOWN, ShowsImages, beside_sources
from zeuxis.options import Precision, ResizeMode, checked, checked_options, derived, numbered, option, options_of

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
    "derived",
    "option",
    "options_of",
]


@dataclass(eq=False)
class Model(ShowsImages, ABC):
    """A generative model: its fields are its options, its submodules its networks.

    A family is one final subclass. `build` makes the networks from the options; `optimizers` gives one optimizer
    per player; `losses` yields the turns of one step, each a player and its loss terms. A `yield` updates the player:
    compute later scores after it, with the new weights.
    """

    size: int = option(64, "height and width of the images, in pixels (named sets: their own)", low=8, high=1024)
    channels: int = option(3, "image channels: 1 greyscale, 3 RGB (named sets: their own)", low=1, high=4)

    class_names: tuple[str, ...] = field(init=False, default=(), repr=False)  # of labels, in their order, where known
    origin: Path | None = field(init=False, default=None, repr=False)  # the folder that it was loaded from
    inference_precision: Precision = field(init=False, default="auto", repr=False)  # of what it draws, once loaded
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
        """The learning-rate multiplier at this time; 1 by default."""
        return 1.0

    def schedule_breakpoints(self, batch_size: int) -> list[Clock]:
        """The start of each phase with another cost per step, for measurements; by default the first step only."""
        return [Clock()]

    def diagnostics(self) -> dict[str, Tensor]:
        """Diagnostic images (n c h w, in [-1, 1]) by name; each becomes a contact sheet beside the samples of a run."""
        return {}

    @property
    def needs(self) -> frozenset[str]:
        """The columns of `Batch` that the losses read; they may depend on the options."""
        return frozenset({"image"})

    @property
    def options(self) -> dict[str, Any]:
        """The options by name, as plain values."""
        return {f.name: getattr(self, f.name) for f in options_of(type(self))}

    @property
    def starting_options(self) -> dict[str, Any]:
        """The options that a new run has from this model if it starts from its weights (`option(of_weights=True)`)."""
        return {f.name: getattr(self, f.name) for f in options_of(type(self)) if f.metadata.get("of_weights")}

    def adjust(self, options: Mapping[str, Any]) -> None:
        """Set sampling options (in place); `UsageError` for any other option."""
        free = {f.name: f for f in options_of(type(self), at_sampling=True)}
        for name in options.keys() - free.keys():
            some = f"choose from {', '.join(free)}" if free else "it has no sampling options"
            raise UsageError(f"{name} of {self.family()} cannot be changed at sampling; {some}")
        for name, value in numbered(free, options, self.class_names).items():
            setattr(self, name, checked(free[name], get_type_hints(type(self))[name], value))

    @classmethod
    def family(cls) -> str:
        """The name of the family: `dcgan`, that of an entry point, or `my_module:MyModel`."""
        return registry.name_of(cls) or registry.address(cls)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.parameters()).device

    def drop_training_only(self) -> Model:
        """Remove the training_only submodules (in place); the model still samples, encodes and saves."""
        for name in [name for name in self.training_only if hasattr(self, name)]:
            delattr(self, name)
        return self

    def save(self, path: str | Path, *, precision: StoredPrecision = "fp32") -> None:
        """Write the folder that `zeuxis.load` reads, training_only left out; fp16 halves it, and is read as float32."""
        folder = Path(expanded(str(path)))
        every = self.state_dict().items()
        weights = {name: value for name, value in every if name.split(".")[0] not in self.training_only}
        data = safetensors_of(weights, precision)
        files.make_folder(folder)
        files.write_file(folder / "model.safetensors", data)
        # The description goes last: a folder that has one is whole.
        known = {"classes": self.class_names} if self.class_names else {}
        about = {"family": self.family(), "options": self.options, **known}
        files.write_file(folder / "config.json", json.dumps(about, indent=2).encode())


@dataclass(eq=False)
class Latent(Model):
    """A model with a latent space: a prior to draw from and a decoder to images."""

    latent_dim: int = option(100, "dimension of the latent space", low=1, high=65536)

    mixture: ClassVar[Mixture] = "norm"  # how weights of a mixture are scaled: "norm" for a Gaussian prior, else "sum"

    @property
    def decode_nfe(self) -> int:
        """Network function evaluations (NFE) of `decode`; evaluations use fewer images where it is high."""
        return 1

    @property
    def label_classes(self) -> int:
        """Classes that `decode` conditions on, as labels from 0 on; 0: it is unconditional."""
        return 0

    def prior(self, seeds: Sequence[int]) -> Tensor:
        """Latents for the seeds (n latent_dim), drawn on the CPU so that a seed means one latent on every device."""
        rows = [torch.randn(self.latent_dim, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return torch.stack(rows).to(self.device)

    def mix(self, latents: Tensor, weights: Tensor) -> Tensor:
        """Mixtures (n ...) of latents (n k ...), with weights (n k) that are scaled so that the prior keeps its mean."""
        return mix_latents(latents, weights, self.mixture)

    @abstractmethod
    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Images (n c h w, in [-1, 1]) for latents (n ...)."""

    @torch.no_grad()
    def sample(self, n: int = 1, *, seed: int = 0, batch_size: int = 64) -> Tensor:
        """Images (n c h w, in [-1, 1]) for the seeds `seed ... seed + n - 1`; image i depends on its seed alone."""
        seeds = range(seed, seed + n)
        return torch.cat([self.decode(self.prior(seeds[i : i + batch_size])) for i in range(0, n, batch_size)])

    def notebook_images(self) -> Images | None:
        return Images(self.sample(SHOWN).cpu())


class StyleBased(Latent):
    """A style-based model: a mapping network from z to w, and a synthesis network with a style w per layer.

    The space w is less entangled than z and interpolates linearly; layers can mix styles of images (arXiv:1812.04948).
    """

    @property
    @abstractmethod
    def styles(self) -> int:
        """The number of layers with a style."""

    @abstractmethod
    def mapping(self, z: Tensor) -> Tensor:
        """Styles w (n d) for latents z (n ...)."""

    @abstractmethod
    def synthesize(self, w: Tensor) -> Tensor:
        """Images (n c h w, in [-1, 1]) for styles w: one for all layers (n d), or one per layer (n styles d)."""

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return self.synthesize(self.mapping(z))


class Encoder(Latent):
    """A latent model with an encoder."""

    @property
    def encode_nfe(self) -> int:
        """Network function evaluations (NFE) of `encode`."""
        return 1

    @abstractmethod
    def encode(self, image: Tensor) -> Tensor:
        """Latents for images (n c h w, in [-1, 1])."""


@dataclass(eq=False)
class Translator(Model):
    """An image-to-image model."""

    source_channels: int = option(3, "channels of the source images: 1 greyscale, 3 RGB", low=1, high=4)

    directions: ClassVar[tuple[str, ...]] = ("forward",)
    paired: ClassVar[bool] = True  # each source belongs to its image; else they are two unrelated sets
    degradation: ClassVar[str | None] = None  # how sources are made of single images, if nobody says
    sources: Callable[[Translator, int], Tensor] | None = field(init=False, default=None, repr=False)  # n to be shown

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"image", "source"})

    @property
    def source_size(self) -> int:
        """Height and width of the training sources."""
        return self.size

    def in_channels(self, direction: str = "forward") -> int:
        """Input channels in a direction."""
        return self.source_channels if direction == self.directions[0] else self.channels

    @property
    def stochastic(self) -> bool:
        """Whether translations also depend on a seed."""
        return False

    @abstractmethod
    def translate(self, source: Tensor, direction: str = "forward", seed: int = 0) -> Tensor:
        """Translations (n c h w, in [-1, 1]) of sources of any height and width; if stochastic, seeded from `seed` on."""

    def notebook_images(self) -> Images | None:
        return beside_sources(self.sources(self, SHOWN // 2), self.translate, self.device) if self.sources else None


@dataclass(eq=False)
class SuperResolution(Translator):
    """A super-resolution model: images `scale` times as high and as wide as their sources."""

    scale: Literal[2, 4] = option(4, "upscaling factor")

    degradation = "small"
    resize_mode = "tiles"

    @property
    def source_size(self) -> int:
        return self.size // self.scale

    @property
    @abstractmethod
    def receptive_radius(self) -> int:
        """The radius of the receptive field in source pixels: the overlap of tiles."""
