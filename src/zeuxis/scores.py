"""Scores with 95 % intervals: the jackknife over groups of images, and the bootstrap of a mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

JACKKNIFE_GROUPS = 10
RESAMPLES = 2000
Better = Literal["lower", "higher", ""]  # which direction of a score is better; "": neither
_STUDENT = 2.262  # the 97.5 % quantile of Student's t with JACKKNIFE_GROUPS - 1 degrees of freedom


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
    half = _STUDENT * math.sqrt((len(left_out) - 1) * float(np.var(left_out)))
    return Score(value, value - half, value + half)


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
    return features[torch.randperm(len(features), generator=torch.Generator().manual_seed(seed))]
