"""Pictures to start from or to end at, by what a person types: a file, a data set, or what images of one show."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from zeuxis.data import DataSpec, Pack
from zeuxis.data.batches import permutation
from zeuxis.errors import UsageError
from zeuxis.explore.expression import parse_terms, vocabulary
from zeuxis.io import images
from zeuxis.io.paths import expanded
from zeuxis.runtime.callbacks import ProgressCallback


def examples(
    text: str,
    seeds: Sequence[int],
    *,
    size: int,
    channels: int,
    order: int = 0,
    progress: ProgressCallback | None = None,
) -> Tensor:
    """Images (n c h w, in [-1, 1]), one for each seed, of what `text` names.

    `me.png` is that picture for every seed; `mnist` or a folder any of its images; `mnist:9`, `fashion-mnist/test:boot`,
    `avatars:smiling woman`, `birds:robin` those that show this. Seeds give different images while there are enough;
    `order` gives them in another order. `UsageError` where there is no such thing.
    """
    text = expanded(text)
    if is_picture(text):
        return images.read(text, size=size, channels=channels).expand(len(seeds), -1, -1, -1)
    data, what = _parts(text)
    pack = DataSpec.parse(data).open(size, channels, progress=progress)
    places = _showing(pack, what) if what else np.arange(len(pack))
    shuffled = places[permutation(len(places), seed=order, epoch=0)]
    return images.from_uint8(pack.rows(shuffled[[seed % len(places) for seed in seeds]]))


def is_picture(text: str) -> bool:
    """Whether a text names one picture: a file, and no zip or IDX file to choose from."""
    try:
        with images.open_regular(text) as file:
            return images.looks_like_image(file.read(16))
    except (images.Unusable, OSError, ValueError):
        return False  # what it is then is said where it is opened as data


def _parts(text: str) -> tuple[str, str]:
    """The data, and what its images are to show ("" for any of them)."""
    if ":" not in text or os.path.isdir(text):  # noqa: PTH112  (answers for any text)
        return text, ""
    data, _, what = text.rpartition(":")
    return data, what.strip()


def _showing(pack: Pack, what: str) -> images.Array:
    """The places of the images that show what the words say."""
    terms = parse_terms(what, vocabulary(pack.attributes, pack.classes))
    if len(terms) != 1 or terms[0].weight != 1:
        raise UsageError(
            f"{what!r} is an expression; name what one picture shows, as in mnist:9 or avatars:smiling woman"
        )
    labels = torch.from_numpy(np.array(pack.labels))
    fits = torch.ones(len(labels), dtype=torch.bool)
    for index, present in terms[0].wanted.items():
        shows = labels[:, index] > 0 if labels.ndim > 1 else labels == index
        fits &= shows if present else ~shows
    if not bool(fits.any()):
        raise UsageError(f"none of the {len(labels):,} images of {pack.name} is labelled as {what!r}; ask for another")
    return fits.nonzero().flatten().numpy()
