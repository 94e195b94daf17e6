"""A bounded, evenly spaced choice of the training pictures of what is served, opened once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from torch import Tensor

from zeuxis.data import Pack
from zeuxis.errors import UsageError
from zeuxis.io.images import from_uint8
from zeuxis.web.served import Served

MOST_PICTURES = 2000  # pictures
_LISTS = 12  # attributes that pictures are told apart by, at most
_OPENED: WeakKeyDictionary[Served, TrainingPictures] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class TrainingPictures:
    """Pictures (n h w c, uint8), and what is known of each: a class, or attributes."""

    pixels: np.ndarray[Any, Any]
    labels: list[list[int]]  # by name of the grouping, the group of each picture
    groupings: list[dict[str, Any]]  # each a name and the names of its groups

    def __len__(self) -> int:
        return len(self.pixels)

    def images(self, start: int, end: int) -> Tensor:
        """Some of the pictures as images (n c h w, in [-1, 1])."""
        return from_uint8(self.pixels[start:end])


def training_pictures(served: Served) -> TrainingPictures:
    """At most 2,000 of the pictures that the model learned from; `UsageError` where its data is not known."""
    if served.data is None:
        raise UsageError(
            f"{served.name} is no run with data, so its training pictures are not known; open a run instead"
        )
    if served not in _OPENED:
        _OPENED[served] = _chosen(served.data.open(served.model.size, served.model.channels))
    return _OPENED[served]


def _chosen(pack: Pack) -> TrainingPictures:
    count = min(MOST_PICTURES, len(pack))
    places = np.arange(count) * len(pack) // count
    pixels = pack.rows(places)
    if pack.labels is None:
        return TrainingPictures(pixels, [], [])
    labels = np.asarray(pack.labels)[places].astype(int)
    if labels.ndim == 1:
        names = pack.classes or [str(label) for label in range(int(labels.max()) + 1)]
        return TrainingPictures(pixels, [labels.tolist()], [{"name": "class", "groups": names}])
    known = [(i, each) for i, each in enumerate(pack.attributes)][:_LISTS]
    return TrainingPictures(
        pixels,
        [labels[:, i].tolist() for i, _ in known],
        [{"name": each.name, "groups": [each.opposite or f"not {each.name}", each.name]} for _, each in known],
    )
