"""Smoothing of noisy curves by a Gaussian kernel."""

from __future__ import annotations

import numpy as np

from zeuxis.charts.axes import Numbers

UNSMOOTHED = 24  # values that are few enough to be shown as they are
_GRID = 2048  # places at which the values are interpolated first: an uneven spacing then gives no steps
_POINTS = 256  # of a smoothed curve


def smoothed(x: Numbers, y: Numbers, width: float) -> tuple[Numbers, Numbers]:
    """Values y at ascending places x, convolved with a Gaussian of standard deviation `width` (in units of x).

    A centred kernel does not lag behind the values, as a running average does. Few values, or a width of 0, stay.
    """
    if width <= 0 or len(x) <= UNSMOOTHED or x[-1] <= x[0]:
        return x, y
    grid = np.linspace(x[0], x[-1], _GRID)
    spread = width / (grid[1] - grid[0])
    reach = min(_GRID - 1, int(np.ceil(4 * spread)))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(spread, 1e-9)) ** 2)
    total = np.convolve(np.interp(grid, x, y), kernel, "same")
    weight = np.convolve(np.ones(_GRID), kernel, "same")  # at the ends half of the kernel is outside
    chosen = np.linspace(0, _GRID - 1, _POINTS).astype(int)
    return grid[chosen], (total / weight)[chosen]
