"""Which real images a model is judged by: those held out where there are any, and as many of those it was trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zeuxis.data import DataSpec, Pack
from zeuxis.data.listing import OnProgress
from zeuxis.errors import DataError
from zeuxis.io.images import Array
from zeuxis.metrics.distances import FEWEST

MOST_TRAINING = 20_000  # training images that are searched for copies


@dataclass(frozen=True)
class Sets:
    """Places in packs (ascending): the `reference` that samples are compared with; the `twin`, as many real images that
    are compared in the samples' stead; the training images that are `searched` for copies."""

    training: Pack
    held_out: Pack | None
    reference: Array  # in `held_out`, or in `training` where nothing is held out
    twin: Array  # in `training`
    searched: Array  # in `training`; holds `twin`

    @property
    def judge(self) -> Pack:
        """Where the reference is."""
        return self.training if self.held_out is None else self.held_out

    def describe(self) -> str:
        """What the samples are compared with, in words."""
        if self.held_out is not None:
            return f"{len(self.reference):,} held-out images of {self.held_out.name}"
        return (
            f"{len(self.reference):,} of the training images of {self.training.name} themselves: nothing is held out, so "
            "a model that has learned its images by heart would score best"
        )


def choose(
    data: DataSpec, *, count: int, size: int, channels: int, seed: int = 0, progress: OnProgress | None = None
) -> Sets:
    """At most `count` images each, from `data`; `DataError` where there are too few."""
    own, unseen = data.held_out(count) or (data, None)
    training = own.open(size, channels, progress=progress)
    held_out = unseen.open(size, channels, progress=progress) if unseen else None
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(training))
    if held_out is not None:
        take = min(count, len(held_out), len(training))
        reference, twin = rng.permutation(len(held_out))[:take], order[:take]
    else:
        take = min(count, len(training) // 2)
        reference, twin = order[take : 2 * take], order[:take]
    if take < FEWEST:
        there = len(training), 0 if held_out is None else len(held_out)
        raise DataError(
            f"{data} gives {take} images to compare with ({there[0]} to train on, {there[1]} held out); "
            f"at least {FEWEST} are needed"
        )
    return Sets(training, held_out, np.sort(reference), np.sort(twin), np.sort(order[: max(take, MOST_TRAINING)]))
