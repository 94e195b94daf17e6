"""Paths through latent space: linear and spherical interpolation (White 2016), and loops for animations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from zeuxis.errors import UsageError

PathKind = Literal["slerp", "linear"]
LoopPace = Literal["eased", "constant"]


def linear(z1: Tensor, z2: Tensor, weight: float | Tensor) -> Tensor:
    """Linear interpolation `weight * z1 + (1 - weight) * z2` (n ...); `weight` is a number, or one per sample (n)."""
    w = _per_sample(weight, z1)
    return w * z1 + (1 - w) * z2


def slerp(z1: Tensor, z2: Tensor, weight: float | Tensor) -> Tensor:
    """Spherical interpolation (slerp) of z1 and z2 (n ...), z1 at weight 1 and z2 at weight 0 (White 2016).

    A Gaussian latent of dimension d lies close to the sphere of radius sqrt(d). The straight line between two of them
    passes far inside it, where the decoder was never trained. Slerp rotates the direction by an angle proportional to
    `weight` and interpolates the norm linearly. Parallel latents change in norm alone; opposite ones rotate through a
    fixed perpendicular; from a zero latent, which has no direction, interpolation is linear.
    """
    w = _per_sample(weight, z1)
    kind = torch.promote_types(z1.dtype, torch.float32)
    a, b = z1.to(kind).flatten(1), z2.to(kind).flatten(1)
    length_a, length_b = a.norm(dim=1, keepdim=True), b.norm(dim=1, keepdim=True)
    flat = w.to(kind).reshape(-1, 1)
    start, turn, angle = _plane(_unit(a), _unit(b))
    turned = (1 - flat) * angle
    round_path = (flat * length_a + (1 - flat) * length_b) * (turned.cos() * start + turned.sin() * turn)
    straight = (length_a == 0) | (length_b == 0)
    mixed = torch.where(straight, flat * a + (1 - flat) * b, round_path)
    # The ends are given exactly, not up to rounding: a figure's first column is the user's own latent.
    mixed = torch.where(flat == 1, a, torch.where(flat == 0, b, mixed))
    return mixed.reshape(-1, *z1.shape[1:]).to(z1.dtype)


def interpolate_latents(z1: Tensor, z2: Tensor, columns: int, *, path: PathKind = "slerp") -> Tensor:
    """Rows of interpolations from z1 (rows ...) to z2: rows columns ...; the first column is z1, the last z2, exactly."""
    if columns < 2:
        raise UsageError(f"columns is {columns}; an interpolation needs at least 2, its two ends")
    if z1.shape != z2.shape:
        raise UsageError(f"the two ends have shapes {tuple(z1.shape)} and {tuple(z2.shape)}; they must be equal")
    mix = mixture(path)
    steps = [mix(z1, z2, weight) for weight in weights(columns)]
    return torch.stack([z1, *steps[1:-1], z2], dim=1)


def weights(columns: int) -> list[float]:
    """The weight lambda of each column, from 1 (z1) down to 0 (z2)."""
    return [1 - i / (columns - 1) for i in range(columns)]


def loop(latents: Tensor, frames: int, *, path: PathKind = "slerp", pace: LoopPace = "eased") -> Tensor:
    """Latents of a looped animation (frames ...) through all key latents (n ...) and back to the first.

    The first frame follows the last without a repeat. `eased` gives each segment the same number of frames and slows
    down at every key latent; `constant` moves at constant speed.
    """
    if len(latents) < 2 or frames < 1:
        raise UsageError(f"a loop has {frames} frames and {len(latents)} latents; it needs 1 and 2 or more")
    ends = latents.roll(-1, dims=0)
    legs, done = _timetable(_lengths(latents, ends, path) if pace == "constant" else torch.ones(len(latents)), frames)
    if pace == "eased":
        done = done * done * (3 - 2 * done)
    at = legs.to(latents.device)
    return mixture(path)(latents[at], ends[at], (1 - done).to(latents))


def mixture(path: PathKind) -> Callable[[Tensor, Tensor, float | Tensor], Tensor]:
    """The function of a path's name."""
    if path not in ("slerp", "linear"):
        raise UsageError(f"the path is {path!r}; choose slerp or linear")
    return slerp if path == "slerp" else linear


def _timetable(durations: Tensor, frames: int) -> tuple[Tensor, Tensor]:
    """For each frame (frames), its segment and the fraction of that segment."""
    ends = durations.double().cumsum(0)
    if ends[-1] == 0:  # every latent is the same
        return torch.zeros(frames, dtype=torch.long), torch.zeros(frames)
    time = torch.arange(frames, dtype=torch.float64) / frames * ends[-1]
    legs = torch.searchsorted(ends, time, right=True).clamp(max=len(durations) - 1)
    starts = ends - durations
    return legs, ((time - starts[legs]) / durations[legs].clamp(min=1e-12)).clamp(0, 1).float()


def _lengths(z1: Tensor, z2: Tensor, path: PathKind) -> Tensor:
    """The path length from z1 to z2 (n ...): n (an arc as 16 chords)."""
    mix = mixture(path)
    points = torch.stack([mix(z1, z2, i / 16) for i in range(17)]).flatten(2).float()
    chords: Tensor = points.diff(dim=0).norm(dim=2)
    return chords.sum(0).cpu()


def _plane(u1: Tensor, u2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For unit vectors (n d): the first, the perpendicular to it towards the second, and their angle (n 1)."""
    cosine = (u1 * u2).sum(1, keepdim=True)
    across = u2 - cosine * u1
    sine = across.norm(dim=1, keepdim=True)
    # Opposite vectors span no plane; any perpendicular serves, so take that nearest the axis u1 leans on least.
    axis = torch.nn.functional.one_hot(u1.abs().argmin(1), u1.shape[1]).to(u1)
    other = axis - (axis * u1).sum(1, keepdim=True) * u1
    across = torch.where(sine > 1e-5, across, other)
    return u1, _unit(across), torch.atan2(sine, cosine)


def _unit(vectors: Tensor) -> Tensor:
    """Vectors (n d) normalised to norm 1; zero stays zero."""
    norms: Tensor = vectors.norm(dim=1, keepdim=True)
    return vectors / norms.where(norms > 0, torch.ones_like(norms))


def _per_sample(weight: float | Tensor, z: Tensor) -> Tensor:
    """The weight, broadcast over z (n ...)."""
    w = torch.as_tensor(weight, dtype=torch.promote_types(z.dtype, torch.float32), device=z.device)
    return w.reshape(-1, *(1 for _ in z.shape[1:])).expand(len(z), *(1 for _ in z.shape[1:]))
