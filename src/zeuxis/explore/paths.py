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
    """The straight mixture `weight * z1 + (1 - weight) * z2` (n ...); `weight` is a number, or one per sample (n)."""
    w = _per_sample(weight, z1)
    return w * z1 + (1 - w) * z2


def slerp(z1: Tensor, z2: Tensor, weight: float | Tensor) -> Tensor:
    """The spherical mixture of z1 and z2 (n ...), z1 at weight 1 and z2 at weight 0, in equal angles (White 2016).

    A Gaussian latent of d numbers lies close to the sphere of radius sqrt(d), and the straight line between two of
    them passes far inside it, where the decoder has never been. So the direction turns by an angle in proportion to
    `weight`, and the norm goes straight from one to the other: it is kept where both are equal. Parallel latents
    change in norm alone; opposite ones turn through a fixed perpendicular; a zero latent has no direction, and the
    line is straight.
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
    """Rows of mixtures from z1 (rows ...) to z2: rows columns ...; the first column is z1, the last z2, exactly."""
    if columns < 2:
        raise UsageError(f"columns is {columns}; an interpolation needs at least 2, its two ends")
    if z1.shape != z2.shape:
        raise UsageError(f"the two ends have shapes {tuple(z1.shape)} and {tuple(z2.shape)}; they must be equal")
    mix = mixture(path)
    steps = [mix(z1, z2, weight) for weight in weights(columns)]
    return torch.stack([z1, *steps[1:-1], z2], dim=1)


def weights(columns: int) -> list[float]:
    """The lecture's lambda in each column, from 1 (z1) down to 0 (z2)."""
    return [1 - i / (columns - 1) for i in range(columns)]


def loop(latents: Tensor, frames: int, *, path: PathKind = "slerp", pace: LoopPace = "eased") -> Tensor:
    """Latents of an animation (frames ...) through all the given ones (n ...) and back to the first.

    The frame after the last would be the first again, so the animation repeats without a stop. `eased` spends the
    same time on each leg and slows down at every given latent, for the eye to rest on; `constant` moves at one speed.
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
    """For each frame (frames), the leg it falls in and the share of that leg that is done."""
    ends = durations.double().cumsum(0)
    if ends[-1] == 0:  # every latent is the same
        return torch.zeros(frames, dtype=torch.long), torch.zeros(frames)
    time = torch.arange(frames, dtype=torch.float64) / frames * ends[-1]
    legs = torch.searchsorted(ends, time, right=True).clamp(max=len(durations) - 1)
    starts = ends - durations
    return legs, ((time - starts[legs]) / durations[legs].clamp(min=1e-12)).clamp(0, 1).float()


def _lengths(z1: Tensor, z2: Tensor, path: PathKind) -> Tensor:
    """How far it is from z1 to z2 (n ...): n, along the path (an arc's length is taken in 16 chords)."""
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
    """Vectors (n d) brought to norm 1; zero stays zero."""
    norms: Tensor = vectors.norm(dim=1, keepdim=True)
    return vectors / norms.where(norms > 0, torch.ones_like(norms))


def _per_sample(weight: float | Tensor, z: Tensor) -> Tensor:
    """The weight in a shape that multiplies z (n ...)."""
    w = torch.as_tensor(weight, dtype=torch.promote_types(z.dtype, torch.float32), device=z.device)
    return w.reshape(-1, *(1 for _ in z.shape[1:])).expand(len(z), *(1 for _ in z.shape[1:]))
