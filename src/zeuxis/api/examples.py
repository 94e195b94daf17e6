"""Something to translate: the example sources that come with a translator, or held-out ones of its training data."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from zeuxis import loading
from zeuxis.api.models import Family
from zeuxis.capabilities import translate, translator
from zeuxis.errors import UsageError
from zeuxis.io import files, images
from zeuxis.io.sheets import beside
from zeuxis.judging.translation import source_examples
from zeuxis.model import Model, Translator

SOURCES = "sources.png"  # in a model's folder: square sources side by side, without gaps
_EXAMPLES, _PER_ROW = 16, 4
_MOST_BYTES = 1 << 24


def example_sources(model: str | Path, n: int = _EXAMPLES, *, family: Family = None) -> Tensor:
    """At most n sources (n c h w, in [-1, 1]) for a translator, which is named as for `zeuxis.load`.

    They come with the model, or are held-out sources of its training data. `UsageError` where the model is no translator,
    or has neither.
    """
    folder = loading.find_model(model)
    able = translator(loading.load_model(folder, family=family))
    if (folder / SOURCES).is_file():
        return _in_strip(folder / SOURCES, able)[:n]
    if (data := loading.data_of(folder)) is None:
        raise UsageError(f"{model} has no example sources; give an image, or a folder of images")
    return source_examples(able, data.with_source(able.degradation), n)


def _in_strip(path: Path, model: Translator) -> Tensor:
    """The sources of a strip; `UsageError` where it is none."""
    try:
        data = files.read_bytes(path, max_bytes=_MOST_BYTES, follow=False)
        strip = images.from_uint8(images.decode_whole(data, model.in_channels())[None])
    except images.Unusable as error:
        raise UsageError(f"{path}: {error}; give an image, or a folder of images") from None
    count = strip.shape[-1] // strip.shape[-2]
    if not count:
        raise UsageError(f"{path} is higher than wide; give an image, or a folder of images")
    return torch.cat(strip[..., : count * strip.shape[-2]].chunk(count, dim=-1))


def source_strip(sources: Tensor) -> bytes:
    """The PNG file of sources (n c h w) side by side, as `example_sources` reads it."""
    return images.png(images.sheet(sources, columns=len(sources), gap=0))


def translated_examples(
    model: Model, sources: Tensor, *, direction: str = "forward", seed: int | None = None
) -> Image.Image:
    """A sheet of the sources (n c h w), each beside its translation."""
    pairs = beside(sources, translate(model, sources, direction=direction, seed=seed))
    return images.sheet(pairs.flatten(0, 1), columns=2 * min(_PER_ROW, len(sources)))
