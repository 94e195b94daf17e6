"""Scores with 95 % intervals: the jackknife over groups of images, and the bootstrap of a mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

JACKKNIFE_GROUPS = 10
RESAMPLES = 2000
Better = Literal["lower", "higher", ""]  # which direction of a score is better; "": neither
# The 97.5 % quantiles of Student's t with 1, 2, 3 ... degrees of freedom.
_STUDENT = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)


class Score(NamedTuple):
    """A value and its 95 % interval; the ends are NaN where the sample is too small."""

    value: float
    low: float = math.nan
    high: float = math.nan


def groups(count: int) -> list[slice]:
    """`count` images in `JACKKNIFE_GROUPS` consecutive groups of nearly equal size."""
    edges = [count * i // JACKKNIFE_GROUPS for i in range(JACKKNIFE_GROUPS + 1)]
    return [slice(start, end) for start, end in zip(edges[:-1], edges[1:])]


def jackknife(value: float, left_out: Sequence[float]) -> Score:
    """The interval of a statistic from its values with one group of images left out (Efron and Stein 1981).

    Groups of two independent sets are left out in pairs: effects and variances add. The bootstrap is unsuitable here:
    duplicate images increase a distance such as FID, and its interval could miss the value.
    """
    half = student_quantile(JACKKNIFE_GROUPS - 1) * math.sqrt((len(left_out) - 1) * float(np.var(left_out)))
    return Score(value, value - half, value + half)


def student_quantile(freedom: int) -> float:
    """The 97.5 % quantile of Student's t; beyond 30 degrees of freedom by its expansion (Abramowitz and Stegun 26.7.5)."""
    if freedom <= len(_STUDENT):
        return _STUDENT[freedom - 1]
    z = 1.959964
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def student_mean(values: Sequence[float]) -> Score:
    """The mean of a few independent values, such as of training runs by their seeds, and its interval by Student's t."""
    mean, count = float(np.mean(values)), len(values)
    if count < 2:
        return Score(mean)
    half = student_quantile(count - 1) * float(np.std(values, ddof=1)) / math.sqrt(count)
    return Score(mean, mean - half, mean + half)


def bootstrap_mean(values: Tensor, *, seed: int = 0) -> Score:
    """The mean of values (n), and its interval from `RESAMPLES` bootstrap resamples (Efron 1979)."""
    return _bootstrap(values, np.mean, seed)


def bootstrap_median(values: Tensor, *, seed: int = 0) -> Score:
    """The median of values (n), and its interval from bootstrap resamples."""
    return _bootstrap(values, np.median, seed)


def bootstrap_log_mean(values: Tensor, *, seed: int = 0) -> Score:
    """The log of the mean of exp(values) (n), and its interval from bootstrap resamples."""
    return _bootstrap(values, _log_mean_exp, seed)


def _log_mean_exp(numbers: np.ndarray[Any, Any]) -> float:
    most = numbers.max()
    return float(most + np.log(np.exp(numbers - most).mean()))


def _bootstrap(values: Tensor, statistic: object, seed: int) -> Score:
    numbers = values.double().numpy()
    assert callable(statistic)
    if len(numbers) < 2:
        return Score(float(statistic(numbers)))
    rng = np.random.default_rng(seed)
    drawn = [statistic(numbers[rng.integers(0, len(numbers), len(numbers))]) for _ in range(RESAMPLES)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Score(float(statistic(numbers)), float(low), float(high))


def difference(values: Score, subtracted: Score) -> Score:
    """The first minus the second, with independent errors; a score without an interval is exact."""
    value = values.value - subtracted.value
    if math.isnan(subtracted.low):
        return Score(value, values.low - subtracted.value, values.high - subtracted.value)
    low = math.hypot(values.value - values.low, subtracted.high - subtracted.value)
    high = math.hypot(values.high - values.value, subtracted.value - subtracted.low)
    return Score(value, value - low, value + high)


def shuffled(features: Tensor, *, seed: int = 0) -> Tensor:
    """The rows in random order, for comparable groups."""
    import torch  # only here: a list of runs reads scores, and needs none

    return features[torch.randperm(len(features), generator=torch.Generator().manual_seed(seed))]
