"""Source and target images by name: a file, a data set, or the images of a class or attribute in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from zeuxis.data import DataSpec, Pack
from zeuxis.data.order import permutation
from zeuxis.data.spelling import PREFIX, is_there, named_set
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
    """Images (n c h w, in [-1, 1]), one per seed, of the source `text`.

    `me.png`: that image for every seed. `mnist` or a folder: any image. `mnist:9`, `fashion-mnist/test:boot`,
    `avatars:smiling woman`, `birds:robin`: images of that class or those attributes. Seeds give distinct images while
    there are enough; `order` seeds their permutation. `UsageError` where nothing matches.
    """
    text = expanded(text)
    if is_picture(text):
        named_set(text)  # a file without an ending may have the name of a set
        return images.read_square(text, size=size, channels=channels).expand(len(seeds), -1, -1, -1)
    data, what = _parts(text)
    pack = DataSpec.parse(data).open(size, channels, progress=progress)
    places = _showing(pack, what) if what else np.arange(len(pack))
    shuffled = places[permutation(len(places), seed=order, epoch=0)]
    return images.from_uint8(pack.rows(shuffled[[seed % len(places) for seed in seeds]]))


def is_picture(text: str) -> bool:
    """Whether a text names one image file, other than a zip or IDX file."""
    try:
        with images.open_regular(text) as file:
            return images.looks_like_image(file.read(16))
    except (images.Unusable, OSError, ValueError):
        return False  # what it is then is said where it is opened as data


def _parts(text: str) -> tuple[str, str]:
    """The data, and the class or attributes of its images ("" for any)."""
    plain = text.removeprefix(PREFIX)
    if ":" not in plain or is_there(text):
        return text, ""
    data, _, what = plain.rpartition(":")
    return text.removesuffix(plain) + data, what.strip()


def _showing(pack: Pack, what: str) -> images.Array:
    """The indices of the images with the class or attributes of the words."""
    terms = parse_terms(what, vocabulary(pack.attributes, pack.classes))
    if len(terms) != 1 or terms[0].weight != 1:
        raise UsageError(
            f"{what!r} is an expression; name a class or attributes, as in mnist:9 or avatars:smiling woman"
        )
    labels = torch.from_numpy(np.array(pack.labels))
    fits = torch.ones(len(labels), dtype=torch.bool)
    for index, present in terms[0].wanted.items():
        shows = labels[:, index] > 0 if labels.ndim > 1 else labels == index
        fits &= shows if present else ~shows
    if not bool(fits.any()):
        raise UsageError(f"none of the {len(labels):,} images of {pack.name} is labelled as {what!r}; choose another")
    return fits.nonzero().flatten().numpy()
