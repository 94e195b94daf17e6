"""Distances between two sets of features, each with an interval: Frechet (FID) and kernel (KID)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from zeuxis.errors import DataError
from zeuxis.scores import JACKKNIFE_GROUPS, Score, groups, jackknife, shuffled

LEAST_FOR_FID = 20  # images: below this no distance of sets is worked out


class Moments(NamedTuple):
    """Mean (d) and unbiased covariance (d d) of features, in float64."""

    mean: Tensor
    covariance: Tensor


def moments(features: Tensor) -> Moments:
    """Mean and covariance of features (n d)."""
    x = features.double()
    centred = x - x.mean(0)
    return Moments(x.mean(0), centred.T @ centred / (len(x) - 1))


def frechet(real: Tensor, fake: Tensor) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^1/2) of features (n d, m d) (Dowson and Landau 1982; Heusel 2017, equation 6)."""
    x, y = real.double(), fake.double()
    if min(len(x), len(y)) > x.shape[1]:
        return between(moments(x), moments(y))
    # Fewer images than dimensions: the covariances are singular, but with C1 = A'A and C2 = B'B the trace of the root is
    # the sum of the singular values of A B', which is small and exact.
    a, b = ((z - z.mean(0)) / math.sqrt(len(z) - 1) for z in (x, y))
    root = torch.linalg.svdvals(a @ b.T).sum()
    spread = a.square().sum() + b.square().sum()
    return float((x.mean(0) - y.mean(0)).square().sum() + spread - 2 * root)


def between(one: Moments, other: Moments) -> float:
    """The Frechet distance of Gaussians with these moments.

    With C1 = L L', C1 C2 has the eigenvalues of the symmetric L' C2 L: no matrix square root is needed.
    """
    factor, failed = torch.linalg.cholesky_ex(one.covariance)
    if failed:  # singular: a feature that never changes, or two that are one
        values, vectors = torch.linalg.eigh(one.covariance)
        factor = vectors * values.clamp(min=0).sqrt()
    squares = torch.linalg.eigvalsh(factor.T @ other.covariance @ factor)
    spread = one.covariance.trace() + other.covariance.trace()
    return float((one.mean - other.mean).square().sum() + spread - 2 * squares.clamp(min=0).sqrt().sum())


def fid(real: Tensor, fake: Tensor) -> Score:
    """The Frechet distance of features (n d, m d), with a jackknife interval over tenths of both."""
    _check(real, fake)
    x, y = (shuffled(z).double() for z in (real, fake))
    if min(len(x), len(y)) * 9 // 10 > x.shape[1]:
        return jackknife(frechet(x, y), [between(*pair) for pair in zip(_lesser(x), _lesser(y))])
    pairs = zip(groups(len(x)), groups(len(y)))
    return jackknife(frechet(x, y), [frechet(_without(x, a), _without(y, b)) for a, b in pairs])


def _without(x: Tensor, group: slice) -> Tensor:
    return torch.cat([x[: group.start], x[group.stop :]])


def _lesser(x: Tensor) -> list[Moments]:
    """The moments without each group, from those of all: one pass over the features."""
    x_mean = x.mean(0)
    centred = x - x_mean  # sums of squares lose nothing where the mean is near 0
    squares, found = centred.T @ centred, []
    for group in groups(len(x)):
        part = centred[group]
        left = len(x) - len(part)
        mean = -part.sum(0) / left  # the sum of all is 0
        covariance = (squares - part.T @ part - left * torch.outer(mean, mean)) / (left - 1)
        found.append(Moments(mean + x_mean, covariance))
    return found


def kid(real: Tensor, fake: Tensor) -> Score:
    """The squared maximum mean discrepancy of features (n d, m d), unbiased, with the kernel (x'y / d + 1)^3.

    (Binkowski 2018, https://arxiv.org/abs/1801.01401, equation 4, over all images.) It can fall below 0, and is 0 on
    expectation for two sets of one distribution, at any size. The interval is a jackknife over tenths of both.
    """
    _check(real, fake)
    x, y = shuffled(real), shuffled(fake)
    sums = _kernel_sums(x, x), _kernel_sums(x, y), _kernel_sums(y, y)
    own, sizes = (_own_kernel(x), _own_kernel(y)), (_lengths(x), _lengths(y))

    def of(keep: Tensor) -> float:
        """The estimate from the groups with weight 1."""
        n, m = float(keep @ sizes[0]), float(keep @ sizes[1])
        same_x, same_y = keep @ sums[0] @ keep - keep @ own[0], keep @ sums[2] @ keep - keep @ own[1]
        return float(same_x / (n * (n - 1)) + same_y / (m * (m - 1)) - 2 * (keep @ sums[1] @ keep) / (n * m))

    every = torch.ones(JACKKNIFE_GROUPS, dtype=torch.float64)
    return jackknife(of(every), [of(every - each) for each in torch.eye(JACKKNIFE_GROUPS, dtype=torch.float64)])


def _kernel_sums(x: Tensor, y: Tensor) -> Tensor:
    """The kernel summed over each pair of groups, in float64."""
    rows = [[_kernel(x[a], y[b]) for b in groups(len(y))] for a in groups(len(x))]
    return torch.tensor(rows, dtype=torch.float64)


def _kernel(x: Tensor, y: Tensor) -> float:
    return float((x @ y.T / x.shape[1] + 1).pow(3).sum(dtype=torch.float64))


def _own_kernel(x: Tensor) -> Tensor:
    """The kernel of each image with itself, summed over each group."""
    values = (x.square().sum(1) / x.shape[1] + 1).pow(3).double()
    return torch.stack([values[group].sum() for group in groups(len(x))])


def _lengths(x: Tensor) -> Tensor:
    return torch.tensor([group.stop - group.start for group in groups(len(x))], dtype=torch.float64)


def _check(real: Tensor, fake: Tensor) -> None:
    if min(len(real), len(fake)) < LEAST_FOR_FID:
        raise DataError(
            f"{len(real)} and {len(fake)} images are too few to compare; at least {LEAST_FOR_FID} are needed"
        )
    if not (torch.isfinite(real).all() and torch.isfinite(fake).all()):
        raise DataError("some features are not finite; check the model's images and the feature network")
