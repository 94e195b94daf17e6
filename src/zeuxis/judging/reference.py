"""The reference images: held out where there are any; and as many training images as a baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from zeuxis.data import DataSpec, Pack
from zeuxis.data.holding_out import HoldOut
from zeuxis.data.order import MOST_SORTED, permuted
from zeuxis.errors import DataError
from zeuxis.io.images import Array
from zeuxis.metrics.distances import LEAST_FOR_FID
from zeuxis.runtime.callbacks import ProgressCallback

MOST_TRAINING = 20_000  # training images that are searched for memorized ones
MORE_HELD_OUT = "train with a larger --hold-out, or on more images"


def share_in_words(hold_out: HoldOut | None) -> str:
    """Which share of the user's own images is held out, after their name; "" where none is."""
    return "" if hold_out is None else f" ({hold_out}: never learned from)"


def share_facts(hold_out: HoldOut | None) -> dict[str, Any]:
    """The same as a fact of an evaluation; nothing where none is."""
    return {} if hold_out is None else {"hold_out": hold_out.share}


@dataclass(frozen=True)
class ReferenceImages:
    """Places in packs, ascending.

    Samples and the `train_baseline`, as many training images, are compared with the `reference`. Memorization is
    measured by the nearest neighbours among the training images `searched`.
    """

    training: Pack
    held_out: Pack | None
    reference: Array  # in `held_out`, or in `training` where nothing is held out
    train_baseline: Array  # in `training`
    searched: Array  # in `training`; holds `train_baseline`
    hold_out: HoldOut | None = None  # where a share was held out

    @property
    def reference_pack(self) -> Pack:
        """The pack that the places of the reference are in."""
        return self.training if self.held_out is None else self.held_out

    def describe(self) -> str:
        """The reference in words."""
        if self.held_out is not None:
            return f"{len(self.reference):,} held-out images of {self.held_out.name}{share_in_words(self.hold_out)}"
        return (
            f"{len(self.reference):,} of the training images of {self.training.name} themselves: nothing is held out, so "
            "a model that memorized its training images would score best"
        )


def searched_places(images: int, *, least: int = 0, seed: int = 0) -> Array:
    """The places of the training images that are searched for memorized ones: at most 20,000, or `least`; ascending."""
    return np.sort(_drawn(np.random.default_rng(seed), images, max(least, MOST_TRAINING)))


def _drawn(rng: np.random.Generator, images: int, count: int) -> Array:
    """The first of the places of so many images in a random order; of millions no others are drawn."""
    if images <= MOST_SORTED:
        return rng.permutation(images)[:count]
    return permuted(np.arange(min(count, images)), images, seed=int(rng.integers(1 << 62)), epoch=0)


def choose_reference(
    data: DataSpec, *, count: int, size: int, channels: int, seed: int = 0, progress: ProgressCallback | None = None
) -> ReferenceImages:
    """At most `count` reference images, and as many training images; `DataError` where there are too few."""
    own, unseen = data.held_out(count) or (data, None)
    training = own.open(size, channels, progress=progress)
    held_out = unseen.open(size, channels, progress=progress) if unseen else None
    rng = np.random.default_rng(seed)
    order = _drawn(rng, len(training), 2 * count)
    if held_out is not None:
        take = min(count, len(held_out), len(training))
        reference, baseline = _drawn(rng, len(held_out), take), order[:take]
    else:
        take = min(count, len(training) // 2)
        reference, baseline = order[take : 2 * take], order[:take]
    if take < LEAST_FOR_FID:
        there = len(training), 0 if held_out is None else len(held_out)
        raise DataError(
            f"{data} gives {take} images to compare with ({there[0]} to train on, {there[1]} held out); "
            f"at least {LEAST_FOR_FID} are needed{f'; {MORE_HELD_OUT}' if data.hold_out else ''}"
        )
    searched = searched_places(len(training), least=take, seed=seed)
    return ReferenceImages(training, held_out, np.sort(reference), np.sort(baseline), searched, data.hold_out)
