"""Nearest-neighbour metrics: precision, recall, density, coverage, and memorization of training images."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from zeuxis.errors import DataError
from zeuxis.scores import Score, bootstrap_mean, bootstrap_median

K = 5  # neighbours that make the radius around an image, as in the reference implementation `prdc`
ROWS_AT_ONCE = 1000  # rows of a matrix of distances that are in memory at once


class Manifold(NamedTuple):
    """Features (n d) and their `K`-th nearest-neighbour distances (n): an estimate of the manifold by balls."""

    points: Tensor
    radii: Tensor


def manifold(features: Tensor, *, k: int = K) -> Manifold:
    """The balls around features (n d), with radii to the `k`-th nearest neighbour."""
    if len(features) <= k:
        raise DataError(f"{len(features)} images are too few for {k} neighbours each; at least {k + 1} are needed")
    # The nearest of all is the image itself.
    parts = [
        _distances(part, features).topk(k + 1, largest=False).values[:, -1]
        for part in torch.split(features, ROWS_AT_ONCE)
    ]
    return Manifold(features, torch.cat(parts))


def _distances(rows: Tensor, features: Tensor) -> Tensor:
    """The distances (m n) of rows (m d) from features (n d): as `torch.cdist`, without its copies of both."""
    return _squares(rows, features).add_(rows.square().sum(1)[:, None]).clamp_min_(0).sqrt_()


def _squares(rows: Tensor, features: Tensor) -> Tensor:
    """The squared distances, less what is the same all along a row: its own square."""
    return torch.addmm(features.square().sum(1)[None], rows, features.T, alpha=-2)


class Fidelity(NamedTuple):
    """Precision and density (fidelity), recall and coverage (diversity)."""

    precision: Score
    recall: Score
    density: Score
    coverage: Score


def fidelity(real: Manifold, fake: Manifold, *, k: int = K) -> Fidelity:
    """Precision and recall (Kynkaanniemi 2019), density and coverage (Naeem 2020, equations 2 and 3).

    Each is a mean over images, with the interval of that mean: the balls are treated as fixed.
    """
    inside = torch.zeros(len(fake.points), dtype=torch.int32)  # how many real balls hold each sample
    recalled, covered = [], []
    for points, radii in zip(torch.split(real.points, ROWS_AT_ONCE), torch.split(real.radii, ROWS_AT_ONCE)):
        distance = _distances(points, fake.points)
        # As bytes: a sum of truth values would make each one eight bytes first.
        inside += (distance < radii[:, None]).view(torch.uint8).sum(0, dtype=torch.int32)
        recalled.append((distance < fake.radii).any(1))
        covered.append(distance.amin(1) < radii)
    return Fidelity(
        precision=bootstrap_mean((inside > 0).float()),
        recall=bootstrap_mean(torch.cat(recalled).float()),
        density=bootstrap_mean(inside / k),
        coverage=bootstrap_mean(torch.cat(covered).float()),
    )


class Nearest(NamedTuple):
    """Nearest-neighbour distances (n) and indices (n)."""

    distance: Tensor
    place: Tensor


def nearest(features: Tensor, among: Tensor, *, selves: bool = False) -> Nearest:
    """The nearest of `among` (m d) for each of the features (n d); with `selves` the sets are equal, self excluded."""
    places = []
    for start in range(0, len(features), ROWS_AT_ONCE):
        distance = _squares(features[start : start + ROWS_AT_ONCE], among)
        if selves:
            distance[:, start : start + ROWS_AT_ONCE].fill_diagonal_(float("inf"))
        places.append(distance.argmin(1))
    index = torch.cat(places)
    # Anew from the pair: the matrix loses small distances in rounding, and a copy has the smallest.
    pairs = zip(torch.split(features, ROWS_AT_ONCE), torch.split(index, ROWS_AT_ONCE))
    exact = [(part.double() - among[chosen].double()).norm(dim=1) for part, chosen in pairs]
    return Nearest(torch.cat(exact), index)


def ranked(feature: Tensor, among: Tensor, *, count: int) -> Nearest:
    """The `count` nearest of `among` (m d) to one feature (d), the nearest first."""
    distance = torch.cdist(feature[None], among)[0]
    place = distance.topk(min(count, len(among)), largest=False).indices
    exact = (feature.double() - among[place].double()).norm(dim=1)  # as in `nearest`
    order = exact.argsort(stable=True)
    return Nearest(exact[order], place[order])


class Memorization(NamedTuple):
    """Median distances to the nearest training image, and the memorization rate of samples."""

    samples: Score
    held_out: Score
    rate: Score


def memorization(samples: Tensor, held_out: Tensor, *, share: float = 0.01) -> Memorization:
    """Memorization from distances to the nearest training image (n of samples, m of held-out images).

    `rate` is the share of samples below the `share` quantile of held-out distances: about `share` without
    memorization.
    """
    bound = torch.quantile(held_out.double(), share)
    return Memorization(
        bootstrap_median(samples), bootstrap_median(held_out), bootstrap_mean((samples.double() < bound).float())
    )
