"""Markov chains of a restricted Boltzmann machine: Gibbs sampling, annealing, parallel tempering; and their noise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from zeuxis.nets.boltzmann import Machine, Noise, draw


class Chance:
    """Noise of one generator, or of torch's own, which training seeds at every step."""

    def __init__(self, generator: torch.Generator | None = None) -> None:
        self.generator = generator

    def uniform(self, like: Tensor) -> Tensor:
        return torch.rand(like.shape, generator=self.generator, dtype=like.dtype, device=like.device)

    def normal(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self.generator, dtype=like.dtype, device=like.device)


class Streams:
    """Noise on the CPU, a stream for each seed; rows of one seed stand together, and depend on no other seed."""

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


def gibbs(machine: Machine, hidden: Tensor, *, steps: int, noise: Noise) -> Tensor:
    """Visible units (n d) after `steps` draws of them, with draws of the hidden units between, from hidden ones (n k)."""
    visible = machine.draw_visible(machine.visible_input(hidden), noise)
    for _ in range(steps - 1):
        hidden = draw(machine.hidden_input(visible), noise)
        visible = machine.draw_visible(machine.visible_input(hidden), noise)
    return visible


def base_draws(machine: Machine, count: int, *, noise: Noise) -> Tensor:
    """Visible units (count d) of the machine at beta 0, where all are independent."""
    return machine.draw_visible(machine.base.expand(count, -1), noise)


def annealed(machine: Machine, betas: Sequence[float], *, count: int, noise: Noise) -> Tensor:
    """Visible units (count d) of chains that begin at beta 0 and take one step at each of the betas (Neal 2001)."""
    visible = base_draws(machine, count, noise=noise)
    for beta in betas:
        hidden = draw(beta * machine.hidden_input(visible), noise)
        visible = machine.draw_visible(machine.visible_input(hidden, beta), noise)
    return visible


def tempered(machine: Machine, betas: Sequence[float], visible: Tensor, *, steps: int, noise: Noise) -> Tensor:
    """Visible units (n d) after `steps` of parallel tempering: a replica at each of the betas (the last is 1), all
    started at `visible` (n * betas d, those of one chain together), and neighbours swapped with the chance that keeps
    their joint distribution (Desjardins 2010, equation 6)."""
    copies = len(betas)
    count = len(visible) // copies
    beta = torch.tensor(betas).to(visible).repeat(count)[:, None]
    for step in range(steps):
        hidden = draw(beta * machine.hidden_input(visible), noise)
        visible = machine.draw_visible(machine.visible_input(hidden, beta), noise)
        visible = _swapped(machine, visible.view(count, copies, -1), beta[:copies], first=step % 2, noise=noise)
    return visible.view(count, copies, -1)[:, -1]


def _swapped(machine: Machine, visible: Tensor, beta: Tensor, *, first: int, noise: Noise) -> Tensor:
    """The replicas (n copies d, returned as n * copies d), pairs of neighbours from the `first` on swapped by chance."""
    count, copies, _ = visible.shape
    places = torch.arange(copies)
    partner = _partners(copies, first)
    flat = visible.flatten(0, 1)
    inputs = machine.hidden_input(flat)
    here = machine.free_energy(flat, beta.repeat(count, 1), inputs=inputs)
    there = machine.free_energy(flat, beta[partner].repeat(count, 1), inputs=inputs)
    gain = (here - there).view(count, copies)
    gain = gain + gain[:, partner]  # what both ends of a pair win by the swap
    lower = torch.minimum(partner, places)  # one number decides for both
    swap = noise.uniform(gain)[:, lower] < gain.exp()
    taken = torch.where(swap, partner, places)
    return visible.gather(1, taken[..., None].expand_as(visible)).flatten(0, 1)


def _partners(copies: int, first: int) -> Tensor:
    """For each place its neighbour's, where places from `first` on are taken two by two; its own where one is left over."""
    partner = torch.arange(copies)
    last = copies - (copies - first) % 2
    partner[first:last] = partner[first:last].view(-1, 2).flip(1).flatten()
    return partner
