"""Sampling: noise levels and samplers of diffusion, Markov chains of energy-based models, and noise sources."""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from zeuxis.nets.boltzmann import Machine, Noise, draw

# Noisy images (n ...) and noise levels, standard deviations (n), to denoised images (n ...): E[image | noisy].
Denoiser = Callable[[Tensor, Tensor], Tensor]


class Chance:
    """Noise from one generator, or from torch's global one, which training seeds at every step."""

    def __init__(self, generator: torch.Generator | None = None) -> None:
        self.generator = generator

    def uniform(self, like: Tensor) -> Tensor:
        return torch.rand(like.shape, generator=self.generator, dtype=like.dtype, device=like.device)

    def normal(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self.generator, dtype=like.dtype, device=like.device)


class Streams:
    """Noise on the CPU, an independent stream per seed; the rows of one seed are consecutive."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def uniform(self, like: Tensor) -> Tensor:
        shape = self._share(like)
        return torch.cat([torch.rand(shape, generator=each, dtype=like.dtype) for each in self._generators])

    def normal(self, like: Tensor) -> Tensor:
        shape = self._share(like)
        return torch.cat([torch.randn(shape, generator=each, dtype=like.dtype) for each in self._generators])

    def _share(self, like: Tensor) -> tuple[int, ...]:
        return len(like) // len(self._generators), *like.shape[1:]


def karras_sigmas(steps: int, low: float, high: float, *, rho: float = 7.0) -> list[float]:
    """Noise levels (steps + 1) from high to low, then 0, denser at low levels (Karras 2022, equation 5)."""
    places = [i / max(steps - 1, 1) for i in range(steps)]
    return [(high ** (1 / rho) + place * (low ** (1 / rho) - high ** (1 / rho))) ** rho for place in places] + [0.0]


def scaled_levels(sigmas: Sequence[float], scale: float, high: float) -> list[float]:
    """The noise that is left where a denoiser is told the levels `sigmas`, and the score counts `scale` times.

    The ODE is then dx / dsigma = scale (x - denoise(x, sigma)) / sigma. In level = high (sigma / high)^scale it is that of
    scale 1, so every sampler solves it by these levels and the denoiser of `scaled_score`.
    """
    return [high * (sigma / high) ** scale for sigma in sigmas] if scale != 1 else list(sigmas)


def scaled_score(denoise: Denoiser, scale: float, high: float) -> Denoiser:
    """The denoiser for `scaled_levels`: where the scale is above 1 it is told more noise than is left."""
    return denoise if scale == 1 else lambda x, level: denoise(x, high * (level / high) ** (1 / scale))


class DenoisingStep(NamedTuple):
    """A step of sampling: noisy images x (n ...) at a noise level, and the denoised images expected there (n ...)."""

    sigma: float
    x: Tensor
    denoised: Tensor


def euler_steps(denoise: Denoiser, x: Tensor, sigmas: Sequence[float]) -> Iterator[DenoisingStep]:
    """Euler's method for the probability-flow ODE, from images (n ...) at level sigmas[0] to sigmas[-1], down or up.

    The ODE is dx / dsigma = (x - denoise(x, sigma)) / sigma (Karras 2022, equation 1). As all iterators here it yields
    a moment per level before the step from it; the last has the result, unevaluated: it is its own expectation.
    """
    for here, there in pairwise(sigmas):
        clean = denoised(denoise, x, here)
        yield DenoisingStep(here, x, clean)
        x = x + (there - here) * ((x - clean) / here)
    yield DenoisingStep(sigmas[-1], x, x)


def heun_steps(denoise: Denoiser, x: Tensor, sigmas: Sequence[float]) -> Iterator[DenoisingStep]:
    """Heun's second-order method for the same ODE (Karras 2022, algorithm 1): two network evaluations per step."""
    for here, there in pairwise(sigmas):
        clean = denoised(denoise, x, here)
        yield DenoisingStep(here, x, clean)
        first = (x - clean) / here
        reached = x + (there - here) * first
        x = x + (there - here) * (first + slope(denoise, reached, there)) / 2 if there else reached
    yield DenoisingStep(sigmas[-1], x, x)


def dpm_solver_steps(denoise: Denoiser, x: Tensor, sigmas: Sequence[float]) -> Iterator[DenoisingStep]:
    """DPM-Solver++ 2M for the same ODE (Lu 2022, algorithm 2): second order at one network evaluation per step."""
    before, last = None, 0.0
    for here, there in pairwise(sigmas):
        clean = ahead = denoised(denoise, x, here)
        yield DenoisingStep(here, x, clean)
        width = math.log(here / there) if there else math.inf
        if before is not None and there:
            ahead = clean + (clean - before) * width / (2 * last)
        x = ahead + there / here * (x - ahead)
        before, last = clean, width
    yield DenoisingStep(sigmas[-1], x, x)


def ddim_steps(
    denoise: Denoiser, x: Tensor, sigmas: Sequence[float], *, eta: float = 0.0, noise: Noise | None = None
) -> Iterator[DenoisingStep]:
    """DDIM (Song 2021, equation 12) in x / alpha, with stochasticity `eta`.

    At eta 0 each step is that of `euler`. By default noise is a function of x, image by image.
    """
    fresh = noise or (Streams([seed_of(row) for row in x]) if eta else None)
    for here, there in pairwise(sigmas):
        clean = denoised(denoise, x, here)
        yield DenoisingStep(here, x, clean)
        new = eta * there * math.sqrt(max(0.0, 1 - (there / here) ** 2))
        x = clean + math.sqrt(there**2 - new**2) / here * (x - clean)
        x = x + new * fresh.normal(x).to(x) if fresh else x
    yield DenoisingStep(sigmas[-1], x, x)


def ddpm_steps(
    denoise: Denoiser, x: Tensor, sigmas: Sequence[float], *, noise: Noise | None = None
) -> Iterator[DenoisingStep]:
    """Ancestral sampling (Ho 2020, algorithm 2), with the full variance of the posterior at every step."""
    return ddim_steps(denoise, x, sigmas, eta=1.0, noise=noise)


def euler(denoise: Denoiser, x: Tensor, sigmas: Sequence[float]) -> Tensor:
    """The images (n ...) at the end of `euler_steps`."""
    return result(euler_steps(denoise, x, sigmas))


def heun(denoise: Denoiser, x: Tensor, sigmas: Sequence[float]) -> Tensor:
    """The images (n ...) at the end of `heun_steps`."""
    return result(heun_steps(denoise, x, sigmas))


def dpm_solver(denoise: Denoiser, x: Tensor, sigmas: Sequence[float]) -> Tensor:
    """The images (n ...) at the end of `dpm_solver_steps`."""
    return result(dpm_solver_steps(denoise, x, sigmas))


def ddim(
    denoise: Denoiser, x: Tensor, sigmas: Sequence[float], *, eta: float = 0.0, noise: Noise | None = None
) -> Tensor:
    """The images (n ...) at the end of `ddim_steps`."""
    return result(ddim_steps(denoise, x, sigmas, eta=eta, noise=noise))


def ddpm(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], *, noise: Noise | None = None) -> Tensor:
    """The images (n ...) at the end of `ddpm_steps`."""
    return result(ddpm_steps(denoise, x, sigmas, noise=noise))


def result(moments: Iterable[DenoisingStep]) -> Tensor:
    """The images (n ...) of the last moment."""
    return deque(moments, maxlen=1)[0].x


# The samplers by name: as iterators over their moments, and as functions to the result.
STEPPERS: dict[str, Callable[[Denoiser, Tensor, Sequence[float]], Iterator[DenoisingStep]]] = {
    "heun": heun_steps,
    "euler": euler_steps,
    "ddim": ddim_steps,
    "ddpm": ddpm_steps,
    "dpm++2m": dpm_solver_steps,
}
SAMPLERS: dict[str, Callable[[Denoiser, Tensor, Sequence[float]], Tensor]] = {
    "heun": heun,
    "euler": euler,
    "ddim": ddim,
    "ddpm": ddpm,
    "dpm++2m": dpm_solver,
}


def denoised(denoise: Denoiser, x: Tensor, sigma: float) -> Tensor:
    """The denoised images (n ...) of x at one common noise level."""
    return denoise(x, x.new_full(x.shape[:1], sigma))  # not `len`: an exported file takes any number of images


def slope(denoise: Denoiser, x: Tensor, sigma: float) -> Tensor:
    """The slope dx / dsigma (n ...) of the probability-flow ODE at x."""
    return (x - denoised(denoise, x, sigma)) / sigma


def seed_of(row: Tensor) -> int:
    """A 63-bit seed, hashed from the values."""
    content = row.detach().to("cpu", torch.float32).contiguous().numpy().tobytes()
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little") >> 1


def gibbs(machine: Machine, hidden: Tensor, *, steps: int, noise: Noise) -> Tensor:
    """Visible units (n d) after `steps` of block Gibbs sampling from hidden units (n k)."""
    return next(islice(gibbs_steps(machine, hidden, noise=noise), steps - 1, None)).visible


class GibbsState(NamedTuple):
    """A state of a Markov chain: visible units (n d) and the hidden units (n k) that they were drawn from."""

    visible: Tensor
    hidden: Tensor


class Clamp(NamedTuple):
    """Visible units that are held fixed: which (n d, bool), and their values (n d)."""

    held: Tensor
    values: Tensor


def gibbs_steps(
    machine: Machine, hidden: Tensor, *, noise: Noise, beta: float = 1.0, clamp: Clamp | None = None
) -> Iterator[GibbsState]:
    """The endless states of block Gibbs sampling from hidden units (n k), at an inverse temperature.

    With a clamp the others are drawn from their distribution given the held units: completion.
    """
    while True:
        visible = machine.draw_visible(machine.visible_input(hidden, beta), noise)
        if clamp:
            visible = torch.where(clamp.held, clamp.values, visible)
        yield GibbsState(visible, hidden)
        hidden = draw(beta * machine.hidden_input(visible), noise)


def base_draws(machine: Machine, count: int, *, noise: Noise) -> Tensor:
    """Visible units (count d) of the RBM at beta 0, where all are independent."""
    return machine.draw_visible(machine.base.expand(count, -1), noise)


def annealed(machine: Machine, betas: Sequence[float], *, count: int, noise: Noise) -> Tensor:
    """Visible units (count d) by annealing: from beta 0, one Gibbs step at each of the betas (Neal 2001)."""
    visible = base_draws(machine, count, noise=noise)
    for beta in betas:
        hidden = draw(beta * machine.hidden_input(visible), noise)
        visible = machine.draw_visible(machine.visible_input(hidden, beta), noise)
    return visible


def tempered(machine: Machine, betas: Sequence[float], visible: Tensor, *, steps: int, noise: Noise) -> Tensor:
    """Visible units (n d) after `steps` of parallel tempering (Desjardins 2010, equation 6).

    One replica per beta (the last is 1) starts at `visible` (n * betas d, the replicas of a chain consecutive).
    Neighbours swap by the Metropolis acceptance probability, which preserves their joint distribution.
    """
    copies = len(betas)
    count = len(visible) // copies
    beta = torch.tensor(betas).to(visible).repeat(count)[:, None]
    for step in range(steps):
        hidden = draw(beta * machine.hidden_input(visible), noise)
        visible = machine.draw_visible(machine.visible_input(hidden, beta), noise)
        visible = _swapped(machine, visible.view(count, copies, -1), beta[:copies], first=step % 2, noise=noise)
    return visible.view(count, copies, -1)[:, -1]


def _swapped(machine: Machine, visible: Tensor, beta: Tensor, *, first: int, noise: Noise) -> Tensor:
    """The replicas (n copies d, returned as n * copies d) after random swaps of neighbours from the `first` on."""
    count, copies, _ = visible.shape
    places = torch.arange(copies)
    partner = _partners(copies, first)
    flat = visible.flatten(0, 1)
    inputs = machine.hidden_input(flat)
    here = machine.free_energy(flat, beta.repeat(count, 1), inputs=inputs)
    there = machine.free_energy(flat, beta[partner].repeat(count, 1), inputs=inputs)
    gain = (here - there).view(count, copies)
    gain = gain + gain[:, partner]  # log acceptance ratio of a swap
    lower = torch.minimum(partner, places)  # one uniform number for both
    swap = noise.uniform(gain)[:, lower] < gain.exp()
    taken = torch.where(swap, partner, places)
    return visible.gather(1, taken[..., None].expand_as(visible)).flatten(0, 1)


def _partners(copies: int, first: int) -> Tensor:
    """The swap partner of each replica, paired from `first` on; an unpaired replica is its own."""
    partner = torch.arange(copies)
    last = copies - (copies - first) % 2
    partner[first:last] = partner[first:last].view(-1, 2).flip(1).flatten()
    return partner
