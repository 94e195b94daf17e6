"""Axes of charts: linear or logarithmic ranges with round ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Numbers = np.ndarray[Any, Any]

_LOG_FROM = 30.0  # positive values whose ratio reaches this are drawn on a logarithmic axis
_HEADROOM = 0.06  # of the range, beyond the values at both ends
_TINY, _HUGE = 1e-30, 1e30  # values nearer to 0 count as 0, and no value is further from it
_SUFFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True)
class Axis:
    """The range of an axis, on a linear or a logarithmic scale; `low` is less than `high`, and positive where `log`."""

    low: float
    high: float
    log: bool = False

    def places(self, values: Numbers | Sequence[float]) -> Numbers:
        """Where values stand: 0 at the low end, 1 at the high end, beyond both outside."""
        low, high = (math.log(end) if self.log else end for end in (self.low, self.high))
        return (self.scaled(values) - low) / (high - low)

    def scaled(self, values: Numbers | Sequence[float]) -> Numbers:
        """Values, or their logarithms: in these the scale is even."""
        numbers = np.asarray(values, np.float64)
        return np.log(np.maximum(numbers, 1e-300)) if self.log else numbers

    def unscaled(self, numbers: Numbers) -> Numbers:
        """Values again, of what `scaled` gave."""
        return np.exp(numbers) if self.log else numbers

    def ticks(self, most: int) -> list[float]:
        """Round values within the range, as many as possible up to `most`."""
        if self.log:
            found = [_decades(self.low, self.high, chosen) for chosen in ((1, 2, 5), (1, 3), (1,))]
            found += [found[-1][:: 1 + len(found[-1]) // most]]
            fitting = [ticks for ticks in found if 2 <= len(ticks) <= most]
            return fitting[0] if fitting else Axis(self.low, self.high).ticks(most)
        return _even(self.low, self.high, most)


def axis_of(values: Numbers, *, whole: bool = True) -> Axis:
    """An axis for values, some of which may be NaN: logarithmic where they span orders; unless `whole`, without outliers."""
    known = values[np.isfinite(values)]
    if not len(known):
        return Axis(0.0, 1.0)
    low, high = (float(end) for end in (np.quantile(known, [0.01, 0.99]) if not whole else (known.min(), known.max())))
    if low > 0 and high / low >= _LOG_FROM:
        room = (high / low) ** _HEADROOM
        return Axis(low / room, high * room, log=True)
    room = _HEADROOM * (high - low) or max(abs(high) * _HEADROOM, _TINY)
    return Axis(low - room, high + room)


def bounded_values(values: Numbers) -> Numbers:
    """Values that an axis can have: what a diverged run wrote may be beyond them."""
    return np.where(np.abs(values) < _TINY, 0.0, np.clip(values, -_HUGE, _HUGE))


def tick_text(value: float) -> str:
    """A tick's value as text: 20k, 0.05, 1e-5."""
    for unit, suffix in _SUFFIXES:
        if abs(value) >= (10_000 if unit == 1e3 else unit):
            return f"{value / unit:.4g}{suffix}"
    text = f"{value:.4g}"
    mantissa, sign, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if sign else text


def value_text(value: float) -> str:
    """A value to about three digits: 0.0523, 12.3, 1,169."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.3g}"


def _decades(low: float, high: float, chosen: Sequence[int]) -> list[float]:
    """The multiples of powers of ten between two positive ends."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [digit * 10.0**power for power in powers for digit in chosen]
    return [tick for tick in ticks if low <= tick <= high]


def _even(low: float, high: float, most: int) -> list[float]:
    """The multiples of a round number between two ends."""
    magnitude = 10.0 ** math.floor(math.log10((high - low) / most))
    for factor in (1, 2, 2.5, 5, 10, 20):
        step = factor * magnitude
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first + 1 <= most:
            break
    return [n * step for n in range(first, last + 1)]
