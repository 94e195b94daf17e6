"""Checks of a model's capabilities, with errors that name the families that have them; translation."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from zeuxis import families, registry
from zeuxis.errors import UsageError
from zeuxis.io.tiling import enlarged, photograph
from zeuxis.mechanisms import Denoising, GibbsSampling, HasPosterior
from zeuxis.model import Encoder, Latent, Model, StyleBased, SuperResolution, Translator

BATCH = 64  # images decoded at once
# What a family can be asked to do, and the types of models that can be.
ABILITIES: dict[str, tuple[type[Any], ...]] = {
    "train": (Model,),
    "exact resume": (Model,),
    "sample": (Latent,),
    "interpolate": (Latent,),
    "arithmetic": (Latent,),
    "encode": (Encoder,),
    "translate": (Translator,),
    "evaluate": (Latent, Translator),
    "explore": (Latent, Translator),
    "save and load": (Model,),
}


def matrix() -> dict[str, dict[str, bool]]:
    """Whether each family can do what `ABILITIES` names, by family; families of packages that cannot be imported are omitted."""
    found: dict[str, type[Model]] = {}
    for name in families.names():
        with contextlib.suppress(UsageError):
            found[name] = families.find(name)
    return {name: {word: issubclass(kind, types) for word, types in ABILITIES.items()} for name, kind in found.items()}


def latent(model: Model) -> Latent:
    """The model, if it has a latent space; `UsageError` otherwise."""
    if isinstance(model, Translator):
        raise _unable(model, "has no latent space, but zeuxis translate; these families have one", Latent)
    if not isinstance(model, Latent):
        raise _unable(model, "has no latent space; these families have one", Latent)
    return model


def encoder(model: Model) -> Encoder:
    """The model, if it has an encoder; `UsageError` otherwise."""
    if not isinstance(model, Encoder):
        raise _unable(model, "cannot encode images; these families can", Encoder)
    return model


def style_based(model: Model) -> StyleBased:
    """The model, if it is style-based; `UsageError` otherwise."""
    if not isinstance(model, StyleBased):
        raise _unable(model, "has no styles and no space w; these families have", StyleBased)
    return model


def translator(model: Model) -> Translator:
    """The model, if it is image-to-image; `UsageError` otherwise."""
    if not isinstance(model, Translator):
        raise _unable(model, "cannot translate images; these families can", Translator)
    return model


def denoising_model(model: Model) -> Denoising:
    """The model, if it denoises step by step; `UsageError` otherwise."""
    if not isinstance(model, Denoising):
        raise _unable(model, "has no denoiser; these families have one", Denoising)
    return model


def posterior_model(model: Model) -> HasPosterior:
    """The model, if its encoder gives a posterior; `UsageError` otherwise."""
    if not isinstance(model, HasPosterior):
        raise _unable(model, "has no posterior; these families have one", HasPosterior)
    return model


def gibbs_model(model: Model) -> GibbsSampling:
    """The model, if it is a Boltzmann machine; `UsageError` otherwise."""
    if not isinstance(model, GibbsSampling):
        raise _unable(model, "has no Gibbs sampling; these families have it", GibbsSampling)
    return model


@torch.no_grad()
def translated(model: Model, image: Tensor, *, direction: str = "forward", seed: int | None = None) -> Tensor:
    """Translations of images (n c h w, in [-1, 1]) of any height and width, on the CPU.

    A stochastic model (pix2pix: dropout) uses `seed` (default 0) for the first image, the next seed for the next.
    Super-resolution runs tile by tile on large images.
    `UsageError` where the model is no translator, or is deterministic and given a seed, or direction or channels are
    wrong.
    """
    able = translator(model)
    if direction not in able.directions:
        raise UsageError(f"{model.family()} has no direction {direction!r}; choose from {', '.join(able.directions)}")
    if image.shape[1] != able.in_channels(direction):
        raise UsageError(f"the images have {image.shape[1]} channels; {direction} takes {able.in_channels(direction)}")
    if seed is not None and not able.stochastic:
        raise UsageError(f"{model.family()} is deterministic here; leave out the seed")
    if isinstance(able, SuperResolution):
        return enlarged(able, image)
    first, parts = seed or 0, enumerate(torch.split(image, BATCH))
    return torch.cat([able.translate(part.to(model.device), direction, first + i * BATCH).cpu() for i, part in parts])


def enlarged_photograph(model: Model, image: Image.Image) -> Image.Image:
    """The upscaled image (L, RGB, or RGBa: premultiplied alpha); grey stays grey, alpha is upscaled separately.

    `UsageError` where the model does no super-resolution.
    """
    return photograph(super_resolution(model), image)


def super_resolution(model: Model) -> SuperResolution:
    """The model, if it does super-resolution; `UsageError` otherwise."""
    if not isinstance(model, SuperResolution):
        raise _unable(model, "cannot do super-resolution; these families can", SuperResolution)
    return model


def _unable(model: Model, what: str, capability: type[Any]) -> UsageError:
    """The error of a model without a capability, and of what is no model, such as a run's number or folder."""
    if not isinstance(model, Model):
        return UsageError(f"{str(model)[:80]!r} is no model; load one first, as in: model = zeuxis.load(1)")
    return UsageError(f"{model.family()} {what}: {_able(capability)}")


def _able(capability: type[Any]) -> str:
    """The families of Zeuxis with a capability, by name: an error must not import the packages of others."""
    return ", ".join(name for name in registry.built_in() if issubclass(families.find(name), capability))
