"""Distances between two sets of features, each with an interval: Frechet (FID) and kernel (KID)."""

from __future__ import annotations

import math
from collections.abc import Iterator
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
        whole, *lesser = (between(*pair) for pair in zip(_grouped_moments(x), _grouped_moments(y)))
        return jackknife(whole, lesser)
    pairs = zip(groups(len(x)), groups(len(y)))
    return jackknife(frechet(x, y), [frechet(_without(x, a), _without(y, b)) for a, b in pairs])


def _without(x: Tensor, group: slice) -> Tensor:
    return torch.cat([x[: group.start], x[group.stop :]])


def _grouped_moments(x: Tensor) -> Iterator[Moments]:
    """The moments of all, then those without each group: each feature is multiplied with the others once."""
    x_mean = x.mean(0)
    centred = x - x_mean  # sums of squares lose nothing where the mean is near 0
    parts = [centred[group] for group in groups(len(x))]
    squares = [part.T @ part for part in parts]
    every = torch.stack(squares).sum(0)
    yield Moments(x_mean, every / (len(x) - 1))
    for part, own in zip(parts, squares):
        left = len(x) - len(part)
        mean = -part.sum(0) / left  # the sum of all is 0
        covariance = (every - own - left * torch.outer(mean, mean)) / (left - 1)
        yield Moments(mean + x_mean, covariance)


class KernelSums(NamedTuple):
    """The kernel of the pairs within a set: summed over each two groups (10 10), and over the pairs of one image (10)."""

    pairs: Tensor
    own: Tensor


def kernel_sums(features: Tensor) -> KernelSums:
    """What `kid` needs of a set (n d) by itself, to be kept where it is compared with several."""
    x = shuffled(features)
    return KernelSums(_summed_kernel(x, x), _own_kernel(x))


def kid(real: Tensor, fake: Tensor, *, of_real: KernelSums | None = None) -> Score:
    """The squared maximum mean discrepancy of features (n d, m d), unbiased, with the kernel (x'y / d + 1)^3.

    (Binkowski 2018, https://arxiv.org/abs/1801.01401, equation 4, over all images.) It can fall below 0, and is 0 on
    expectation for two sets of one distribution, at any size. The interval is a jackknife over tenths of both. `of_real` is
    `kernel_sums(real)`, where it is known.
    """
    _check(real, fake)
    x, y = shuffled(real), shuffled(fake)
    across, one, other = _summed_kernel(x, y), of_real or kernel_sums(real), kernel_sums(fake)
    sizes = _lengths(x), _lengths(y)

    def of(keep: Tensor) -> float:
        """The estimate from the groups with weight 1."""
        n, m = float(keep @ sizes[0]), float(keep @ sizes[1])
        same_x, same_y = (keep @ sums.pairs @ keep - keep @ sums.own for sums in (one, other))
        return float(same_x / (n * (n - 1)) + same_y / (m * (m - 1)) - 2 * (keep @ across @ keep) / (n * m))

    every = torch.ones(JACKKNIFE_GROUPS, dtype=torch.float64)
    return jackknife(of(every), [of(every - each) for each in torch.eye(JACKKNIFE_GROUPS, dtype=torch.float64)])


def _summed_kernel(x: Tensor, y: Tensor) -> Tensor:
    """The kernel summed over each pair of groups, in float64; of a set with itself each pair is taken once."""
    sums = torch.zeros(JACKKNIFE_GROUPS, JACKKNIFE_GROUPS, dtype=torch.float64)
    for i, a in enumerate(groups(len(x))):
        for j, b in enumerate(groups(len(y))):
            sums[i, j] = sums[j, i] if x is y and j < i else _kernel(x[a], y[b])
    return sums


def _kernel(x: Tensor, y: Tensor) -> float:
    return float((x @ y.T).div_(x.shape[1]).add_(1).pow_(3).sum(dtype=torch.float64))


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
