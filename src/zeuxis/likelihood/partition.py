"""The partition function Z of a restricted Boltzmann machine: exactly, and by annealed importance sampling (AIS)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from zeuxis.errors import UsageError
from zeuxis.likelihood import Likelihoods, LikelihoodScore
from zeuxis.nets.boltzmann import Machine, Noise, draw
from zeuxis.runtime.callbacks import ProgressCallback, StageCallback, in_stage, silent
from zeuxis.samplers import base_draws
from zeuxis.scores import Score, bootstrap_log_mean, bootstrap_mean, difference

MOST_HIDDEN = 20  # units whose 2^20 states are counted
CHAINS = 100  # of annealed importance sampling, and images that reverse ones start from
TEMPERATURES = 5000  # that each passes through
_BLOCK = 4096  # states of hidden units counted at a time


@torch.no_grad()
def machine_scores(
    machine: Machine,
    visible: Tensor,
    log_volume: float,
    *,
    noise: Noise,
    progress: StageCallback = silent,
) -> Likelihoods:
    """log Z in nats, and the mean log-likelihood of images in nats/image: exact for few hidden units, else by AIS.

    `visible` (n d) are the images as visible units; `log_volume` is added to the log-likelihood of each.
    """
    heights = bootstrap_mean(log_volume - machine.free_energy(visible).double())
    if len(machine.hidden_bias) <= MOST_HIDDEN:
        exact = Score(exact_log_partition(machine))
        return {
            "log Z, counted (nats)": LikelihoodScore(exact, ""),
            "log-likelihood, counted (nats/image)": LikelihoodScore(difference(heights, exact)),
        }
    betas, some = inverse_temperatures(TEMPERATURES), torch.linspace(0, len(visible) - 1, min(CHAINS, len(visible)))
    forward = forward_weights(machine, betas, chains=CHAINS, noise=noise, progress=in_stage(progress, "log Z by AIS"))
    reverse = reverse_weights(
        machine, betas, visible[some.long()], noise=noise, progress=in_stage(progress, "log Z by reverse AIS")
    )
    log_z = bootstrap_log_mean(forward)
    # Weights differ little between images, free energies much: so all images count for the one, some for the other.
    return {
        "log Z by AIS (nats)": LikelihoodScore(log_z, ""),
        "log-likelihood by AIS (nats/image)": LikelihoodScore(difference(heights, log_z)),
        "log-likelihood by reverse AIS (nats/image)": LikelihoodScore(difference(heights, bootstrap_mean(reverse))),
    }


def inverse_temperatures(count: int) -> list[float]:
    """Inverse temperatures from 0 to 1 in `count` steps, the closer the nearer to 1, where the model has its modes."""
    return [1 - (1 - i / count) ** 2 for i in range(count + 1)]


@torch.no_grad()
def exact_log_partition(machine: Machine) -> float:
    """log Z in nats, by summing over all states of at most 20 hidden units."""
    plain, units = machine.plain(torch.float64), len(machine.hidden_bias)
    if units > MOST_HIDDEN:
        raise UsageError(f"{units} hidden units have too many states to count; use at most {MOST_HIDDEN}")
    places = torch.arange(units)
    blocks = []
    for first in range(0, 2**units, _BLOCK):
        number = torch.arange(first, min(first + _BLOCK, 2**units))
        hidden = (number[:, None] >> places & 1).double()
        blocks.append(-plain.hidden_free_energy(hidden))
    return float(torch.cat(blocks).logsumexp(0))


@torch.no_grad()
def forward_weights(
    machine: Machine, betas: Sequence[float], *, chains: int, noise: Noise, progress: ProgressCallback | None = None
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
    machine: Machine, betas: Sequence[float], visible: Tensor, *, noise: Noise, progress: ProgressCallback | None = None
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
