"""Something to translate: the example sources that come with a translator, or sources of its data."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from zeuxis import loading
from zeuxis.capabilities import translated
from zeuxis.errors import UsageError
from zeuxis.io import files, images
from zeuxis.io.pictures import Images
from zeuxis.io.sheets import beside
from zeuxis.judging.training_data import selected
from zeuxis.judging.translation import sources_of
from zeuxis.model import Translator

SOURCES = "sources.png"  # in a model's folder: square sources side by side, without gaps
EXAMPLE_COUNT = 16
_PER_ROW = 4
_MOST_BYTES = 1 << 24


def own_sources(model: Translator, count: int) -> Tensor:
    """Sources (at most count c h w) of a loaded model: those that came with it, else held-out ones of its data, else any.

    `UsageError` where nothing came with it and its data are not known.
    """
    if model.origin is not None and (model.origin / SOURCES).is_file():
        return _in_strip(model.origin / SOURCES, model)[:count]
    data = loading.data_of(model.origin) if model.origin is not None else None
    if model.origin is None or data is None:
        raise UsageError(f"{model.family()} does not say what it was trained on; give the pictures to translate")
    chosen = selected(model.origin, data)
    parted = chosen.with_source(model.degradation).held_out(count)
    return sources_of(model, parted[1] if parted else chosen, count)


def _in_strip(path: Path, model: Translator) -> Tensor:
    """The sources of a strip; `UsageError` where it is none."""
    try:
        data = files.read_bytes(path, max_bytes=_MOST_BYTES, follow=False)
        strip = images.from_uint8(images.decode_whole(data, model.in_channels())[None])
    except images.Unusable as error:
        raise UsageError(f"{path}: {error}; give the pictures to translate") from None
    count = strip.shape[-1] // strip.shape[-2]
    if not count:
        raise UsageError(f"{path} is higher than wide; give the pictures to translate")
    return torch.cat(strip[..., : count * strip.shape[-2]].chunk(count, dim=-1))


def source_strip(sources: Tensor) -> bytes:
    """The PNG file of sources (n c h w) side by side, which `own_sources` reads."""
    return images.png(images.sheet(sources, columns=len(sources), gap=0))


def translated_examples(model: Translator, sources: Tensor, *, seed: int | None = None) -> Images:
    """Translations of sources (n c h w), drawn as a sheet of the sources, each beside its translation."""
    return Images(translated(model, sources, direction=model.directions[0], seed=seed), partial(_pairs, sources))


def _pairs(sources: Tensor, made: Tensor) -> Image.Image:
    return images.sheet(beside(sources, made).flatten(0, 1), columns=2 * min(_PER_ROW, len(sources)))
