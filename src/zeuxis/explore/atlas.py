"""The atlas: an endless plane of latents with a seed at each lattice point, and mixtures of four seeds between them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from zeuxis.explore.spaces import Space


def seed_at(x: int, y: int) -> int:
    """The seed at a lattice point: 0 in the middle, the others in a square spiral around it, none left out."""
    ring = max(abs(x), abs(y))
    if ring == 0:
        return 0
    start, side = (2 * ring - 1) ** 2, 2 * ring
    if x == ring and y > -ring:  # along the right side, from its corner at (ring, ring) on, y falling
        return start + ring - y
    if y == -ring and x > -ring:
        return start + side + ring - x
    if x == -ring and y < ring:
        return start + 2 * side + y + ring
    return start + 3 * side + x + ring


def place_of(seed: int) -> tuple[int, int]:
    """The lattice point of a seed (at least 0): the inverse of `seed_at`."""
    if seed == 0:
        return 0, 0
    ring = (math.isqrt(seed) + 1) // 2
    side = 2 * ring
    leg, done = divmod(seed - (2 * ring - 1) ** 2, side)
    return [(ring, ring - done), (ring - done, -ring), (-ring, done - ring), (done - ring, ring)][leg]


def corners_at(x: float, y: float) -> list[tuple[int, float]]:
    """The four seeds around a place, and their bilinear weights: 1 and three times 0 at a lattice point."""
    left, top = math.floor(x), math.floor(y)
    u, v = x - left, y - top
    shares = ((0, 0, (1 - u) * (1 - v)), (1, 0, u * (1 - v)), (0, 1, (1 - u) * v), (1, 1, u * v))
    return [(seed_at(left + dx, top + dy), share) for dx, dy, share in shares]


def atlas_latents(space: Space, places: Sequence[tuple[float, float]]) -> Tensor:
    """The latents (n ...) at places (x, y): those of seeds, and between them mixtures as the space mixes."""
    corners = [corners_at(x, y) for x, y in places]
    seeds = sorted({seed for around in corners for seed, _ in around})
    latents, row = space.prior(seeds), {seed: i for i, seed in enumerate(seeds)}
    chosen = torch.tensor([[row[seed] for seed, _ in around] for around in corners], device=latents.device)
    weights = torch.tensor([[share for _, share in around] for around in corners], dtype=torch.float64)
    return space.mix(latents[chosen], weights)
