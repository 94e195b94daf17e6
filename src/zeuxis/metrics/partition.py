"""How likely images are under a restricted Boltzmann machine: its log Z exactly, and by annealed importance sampling."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from zeuxis.errors import UsageError
from zeuxis.metrics.resampling import Score
from zeuxis.nets.boltzmann import Machine, Noise, draw
from zeuxis.samplers import base_draws

MOST_HIDDEN = 20  # units whose 2^20 states are counted
_BLOCK = 4096  # of them at a time

Progress = Callable[[int, int], None]  # temperatures done, and of how many


def inverse_temperatures(count: int) -> list[float]:
    """Inverse temperatures from 0 to 1 in `count` steps, the closer the nearer to 1, where the model has its modes."""
    return [1 - (1 - i / count) ** 2 for i in range(count + 1)]


@torch.no_grad()
def exact_log_partition(machine: Machine) -> float:
    """log Z in nats, by counting all states of at most 20 hidden units."""
    plain, units = machine.plain(torch.float64), len(machine.hidden_bias)
    if units > MOST_HIDDEN:
        raise UsageError(f"{units} hidden units have too many states to count; at most {MOST_HIDDEN} can be")
    places = torch.arange(units)
    blocks = []
    for first in range(0, 2**units, _BLOCK):
        number = torch.arange(first, min(first + _BLOCK, 2**units))
        hidden = (number[:, None] >> places & 1).double()
        blocks.append(-plain.hidden_free_energy(hidden))
    return float(torch.cat(blocks).logsumexp(0))


@torch.no_grad()
def forward_weights(
    machine: Machine, betas: Sequence[float], *, chains: int, noise: Noise, progress: Progress | None = None
) -> Tensor:
    """log of unbiased estimates of Z (chains, float64), each by one chain from beta 0 to 1 (Neal 2001).

    The log of their mean is too low more often than too high: a lower bound of log Z, the nearer the more betas.
    """
    visible = base_draws(machine, chains, noise=noise)
    found = machine.base_log_partition().double().expand(chains).clone()
    for done, (before, after) in enumerate(zip(betas[:-1], betas[1:]), 1):
        inputs = machine.hidden_input(visible)
        found += _step(machine, visible, inputs, before, after)
        hidden = draw(after * inputs, noise)
        visible = machine.draw_visible(machine.visible_input(hidden, after), noise)
        if progress:
            progress(done, len(betas) - 1)
    return found


@torch.no_grad()
def reverse_weights(
    machine: Machine, betas: Sequence[float], visible: Tensor, *, noise: Noise, progress: Progress | None = None
) -> Tensor:
    """The other way, from given visible units (n d) at beta 1 down to 0: (n, float64), whose mean bounds log Z from above.

    So it does exactly where they are draws of the model (Grosse 2015). From an image x, -F(x) - weight is the log of
    an unbiased estimate of the chance that annealing from beta 0 ends at x: on average a lower bound of its log
    (Burda 2015, section 4).
    """
    found = machine.base_log_partition().double().expand(len(visible)).clone()
    for done, (before, after) in enumerate(zip(betas[-2::-1], betas[:0:-1]), 1):
        hidden = draw(after * machine.hidden_input(visible), noise)
        visible = machine.draw_visible(machine.visible_input(hidden, after), noise)
        found += _step(machine, visible, machine.hidden_input(visible), before, after)
        if progress:
            progress(done, len(betas) - 1)
    return found


def _step(machine: Machine, visible: Tensor, inputs: Tensor, before: float, after: float) -> Tensor:
    """log p*_after(v) - log p*_before(v), in float64: thousands of small terms are summed."""
    energies = [machine.free_energy(visible, beta, inputs=inputs) for beta in (before, after)]
    return (energies[0] - energies[1]).double()


def difference(values: Score, subtracted: Score) -> Score:
    """The first minus the second, their errors being independent; one without an interval is known exactly."""
    value = values.value - subtracted.value
    if math.isnan(subtracted.low):
        return Score(value, values.low - subtracted.value, values.high - subtracted.value)
    low = math.hypot(values.value - values.low, subtracted.high - subtracted.value)
    high = math.hypot(values.high - values.value, subtracted.value - subtracted.low)
    return Score(value, value - low, value + high)
