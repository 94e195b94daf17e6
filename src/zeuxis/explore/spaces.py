"""The latent spaces for interpolation, arithmetic and mixing: z of every latent model, w of style-based ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor

from zeuxis.capabilities import latent, style_based
from zeuxis.explore.paths import PathKind
from zeuxis.inference import prepared
from zeuxis.mixtures import Mixture, mix_latents
from zeuxis.model import Encoder, Latent, Model, StyleBased

SpaceName = Literal["z", "w"]
_BATCH = 64  # images decoded or encoded at once


class Space(Protocol):
    """A latent space: latents for seeds, and images for latents. A `Latent` model is its own space z."""

    @property
    def mixture(self) -> Mixture: ...
    @property
    def device(self) -> torch.device: ...
    def prior(self, seeds: Sequence[int]) -> Tensor: ...
    def mix(self, latents: Tensor, weights: Tensor) -> Tensor: ...
    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor: ...


@dataclass(frozen=True)
class StyleSpace:
    """The space w (n d) of a style-based model: less entangled than z, with straight paths."""

    model: StyleBased

    mixture: ClassVar[Mixture] = "sum"

    @property
    def device(self) -> torch.device:
        return self.model.device

    @torch.no_grad()
    def prior(self, seeds: Sequence[int]) -> Tensor:
        """The styles of the seeds' latents (n d)."""
        return self.model.mapping(self.model.prior(seeds))

    def mix(self, latents: Tensor, weights: Tensor) -> Tensor:
        """Weighted averages (n d) of styles (n k d), with weights (n k)."""
        return mix_latents(latents, weights, self.mixture)

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Images (n c h w, in [-1, 1]) for styles."""
        return self.model.synthesize(z)


def path_in(space: SpaceName) -> PathKind:
    """The default interpolation: spherical in the Gaussian z, linear in w."""
    return "slerp" if space == "z" else "linear"


def space_of(model: Model, name: SpaceName) -> Space:
    """The model's latent space z or w; `UsageError` where it has none."""
    return latent(model) if name == "z" else StyleSpace(style_based(model))


def drawn_by(space: Space) -> Space:
    """The same space, prepared to draw fast."""
    if isinstance(space, StyleSpace):
        quick = prepared(space.model)
        return StyleSpace(quick) if isinstance(quick, StyleBased) else space
    return prepared(space) if isinstance(space, Latent) else space


@torch.no_grad()
def decode_latents(model: Model | Space, z: Tensor) -> Tensor:
    """Images (n c h w, on the CPU) for latents (n ...) of a model or a space, decoded in batches."""
    able = drawn_by(latent(model) if isinstance(model, Model) else model)
    return torch.cat([able.decode(part.to(able.device)).cpu() for part in torch.split(z, _BATCH)])


@torch.no_grad()
def encode_images(model: Encoder, images: Tensor | Iterable[Tensor]) -> Tensor:
    """Latents (n ..., on the CPU) of images (n c h w, in [-1, 1]), or of their batches."""
    batches = torch.split(images, _BATCH) if isinstance(images, Tensor) else images
    return torch.cat([model.encode(batch.to(model.device)).cpu() for batch in batches])
