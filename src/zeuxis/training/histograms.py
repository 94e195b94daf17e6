"""Histograms of terms reported for each image: the discriminator's answers to real and to generated images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zeuxis.escaping import quote

BINS = 40
PROBABILITY = "prob_"  # begins the name of a term between 0 and 1
_MOST = 64  # histograms of a row


def of(values: Mapping[str, Sequence[Tensor]]) -> dict[str, Any]:
    """A histogram of each term `player/term` by name, as plain values: its range `low`, `high`, and `counts` in equal bins.

    The range of a probability is 0 to 1; other terms (logits, a critic's scores) of one player share that of their values.
    Waits for the device. The counts add up to the finite values: an image has several where the discriminator sees patches.
    """
    found = {name: _finite(parts) for name, parts in values.items()}
    ranges = _ranges(found)
    return {name: _histogram(numbers, *ranges[name]) for name, numbers in found.items() if len(numbers)}


def checked_rows(value: Any) -> dict[str, Any]:
    """Histograms as `of` gives them, from a file; `ValueError` where it is something else."""
    if not isinstance(value, dict) or len(value) > _MOST or not all(map(_is_histogram, value.values())):
        raise ValueError(f"histograms is {quote(value)}, expected a range and {BINS} counts for each name")
    return value


def _is_histogram(value: Any) -> bool:
    if not isinstance(value, dict) or value.keys() != {"low", "high", "counts"}:
        return False
    low, high, counts = value["low"], value["high"], value["counts"]
    if not (type(low) is float and type(high) is float and low < high and isinstance(counts, list)):
        return False
    return len(counts) == BINS and all(type(count) is int and 0 <= count < 1 << 53 for count in counts)


def _finite(parts: Sequence[Tensor]) -> np.ndarray[Any, Any]:
    numbers = torch.cat([part.detach().float().flatten() for part in parts]).cpu().numpy()
    return np.asarray(numbers[np.isfinite(numbers)])


def _ranges(found: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, tuple[float, float]]:
    """The range of each term's histogram."""
    shared: dict[str, list[float]] = defaultdict(list)
    for name, numbers in found.items():
        if len(numbers) and not _is_probability(name):
            shared[_player(name)] += [float(numbers.min()), float(numbers.max())]
    wide = {player: _widened(min(ends), max(ends)) for player, ends in shared.items()}
    return {name: (0.0, 1.0) if _is_probability(name) else wide.get(_player(name), (0.0, 1.0)) for name in found}


def _widened(low: float, high: float) -> tuple[float, float]:
    """The range itself, or one around its only value."""
    half = 0.0 if low < high else max(0.5, abs(low) / 1000)
    return low - half, high + half


def _histogram(numbers: np.ndarray[Any, Any], low: float, high: float) -> dict[str, Any]:
    counts, _ = np.histogram(numbers.astype(np.float64).clip(low, high), BINS, (low, high))
    return {"low": low, "high": high, "counts": counts.tolist()}


def _player(name: str) -> str:
    return name.rpartition("/")[0]


def _is_probability(name: str) -> bool:
    return name.rpartition("/")[2].startswith(PROBABILITY)
