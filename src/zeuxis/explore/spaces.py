"""The spaces in which latents can be walked, added and mixed: z, which every latent model has, and w, which styles do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from zeuxis.capabilities import latent, style_based
from zeuxis.explore.paths import PathKind
from zeuxis.model import Encoder, Model, StyleBased

SpaceName = Literal["z", "w"]
_BATCH = 64  # images decoded or encoded at once


class Space(Protocol):
    """Latents for seeds, and images for latents: a `Latent` is one, its z."""

    @property
    def device(self) -> torch.device: ...
    def prior(self, seeds: Sequence[int]) -> Tensor: ...
    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor: ...


@dataclass(frozen=True)
class StyleSpace:
    """A styled model's w (n d), taken for the latents: where it is more even, and paths are straight."""

    model: StyleBased

    @property
    def device(self) -> torch.device:
        return self.model.device

    @torch.no_grad()
    def prior(self, seeds: Sequence[int]) -> Tensor:
        """The styles of the seeds' latents (n d)."""
        return self.model.mapping(self.model.prior(seeds))

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Images (n c h w, in [-1, 1]) for styles."""
        return self.model.synthesize(z)


def path_in(space: SpaceName) -> PathKind:
    """How latents are joined there: round a Gaussian's sphere in z, straight in w, where there is none."""
    return "slerp" if space == "z" else "linear"


def space_of(model: Model, name: SpaceName) -> Space:
    """The model's latents, z or w; `UsageError` where it has none such."""
    return latent(model) if name == "z" else StyleSpace(style_based(model))


@torch.no_grad()
def decode_latents(model: Model | Space, z: Tensor) -> Tensor:
    """Images (n c h w) for latents (n ...) of a model, or of one of its spaces, a batch at a time, on the CPU."""
    able = latent(model) if isinstance(model, Model) else model
    return torch.cat([able.decode(part.to(able.device)).cpu() for part in torch.split(z, _BATCH)])


@torch.no_grad()
def encode_images(model: Encoder, images: Tensor | Iterable[Tensor]) -> Tensor:
    """Latents (n ..., on the CPU) of images (n c h w, in [-1, 1]), or of batches of them."""
    batches = torch.split(images, _BATCH) if isinstance(images, Tensor) else images
    return torch.cat([model.encode(batch.to(model.device)).cpu() for batch in batches])
