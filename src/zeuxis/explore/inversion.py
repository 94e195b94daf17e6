"""Inversion of an image without an encoder, by gradient descent on its latent (Zhu 2016, section 3.2)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from zeuxis.errors import UsageError
from zeuxis.explore.spaces import Space, decode_latents
from zeuxis.runtime.callbacks import ProgressCallback

# Of truths (n c h w) what says how far images (n c h w) are from them: n. That must have a gradient.
Distance = Callable[[Tensor], Callable[[Tensor], Tensor]]
# Of latents (n ...) and their images how far they are from what is looked for: n.
Far = Callable[[Tensor, Tensor], Tensor]

DRAWN = 2048  # samples among which the initial latents are chosen
COARSE = 16  # pixels: what samples are compared with the pictures at
TOGETHER = 64  # latents that move at once


@dataclass(frozen=True)
class Search:
    """Settings of the optimisation; bench/results/inversion.md gives the reasons of the defaults."""

    steps: int = 300  # of gradient descent, a third of them with the perceptual distance
    restarts: int = 8  # initial latents per image
    lr: float = 0.1  # largest step of each number of a latent (Adam)
    perceptual: float = 0.2  # weight of the perceptual distance, beside the mean squared error
    prior: float = 1e-3  # weight of the mean squared number of a latent, in deviations of the prior's


def invert_by_descent(
    model: Space,
    images: Tensor,
    *,
    distance: Distance,
    how: Search | None = None,
    seed: int = 0,
    begin: Tensor | None = None,
    progress: ProgressCallback | None = None,
) -> Tensor:
    """Latents (n ..., on the CPU) of images (n c h w, in [-1, 1]), by minimising the reconstruction error.

    Per image, the nearest of 2,048 samples are initial latents for descent on the MSE; the best continues with
    `distance` added. A prior term keeps latents in the region of training. With `begin` (n ...) each image has that
    one initial latent.
    """
    how = how or Search()
    if how.steps < 1 or how.restarts < 1:
        raise UsageError(f"inversion has {how.steps} steps and {how.restarts} restarts; give at least 1 of each")
    drawn = model.prior(range(seed, seed + DRAWN))
    restarts = _nearest(model, images, drawn, how.restarts) if begin is None else begin[:, None]
    length = max(1, TOGETHER // restarts.shape[1])
    chunks = list(zip(torch.split(images, length), torch.split(restarts, length)))
    found = []
    for place, (truth, start) in enumerate(chunks):
        tick = _share(progress, place, len(chunks), how.steps)
        given = start.to(model.device), truth.to(model.device), drawn
        found.append(_descend(model, *given, distance=distance, how=how, tick=tick))
    return torch.cat(found)


def _nearest(model: Space, images: Tensor, drawn: Tensor, restarts: int) -> Tensor:
    """The latents (of m ...) with images nearest to each target: n restarts ..."""
    looks = _coarse(decode_latents(model, drawn))
    return drawn[torch.cdist(_coarse(images.to(looks)), looks).topk(restarts, largest=False).indices]


def _descend(
    model: Space,
    restarts: Tensor,
    truth: Tensor,
    drawn: Tensor,
    *,
    distance: Distance,
    how: Search,
    tick: Callable[[], None],
) -> Tensor:
    """The latents (n ...) of images (n c h w), from initial latents (n restarts ...)."""
    centre, spread = drawn.mean(0), drawn.std(0).clamp(min=1e-6)

    def squared(wanted: Tensor) -> Far:
        return lambda z, image: _error(image, wanted) + how.prior * _deviation(z, centre, spread)

    def seen(wanted: Tensor) -> Far:
        far, apart = squared(wanted), distance(wanted)
        return lambda z, image: far(z, image) + how.perceptual * apart(image)

    last, many = how.steps // 3, restarts.shape[1]
    every = truth.repeat_interleave(many, 0)
    tried = _move(model, restarts.flatten(0, 1), squared(every), steps=how.steps - last, lr=how.lr, tick=tick)
    errors = _error(decode_latents(model, tried).to(every), every).view(-1, many)
    best = tried[errors.argmin(1) + many * torch.arange(len(truth), device=tried.device)]
    return _move(model, best, seen(truth), steps=last, lr=how.lr / 2, tick=tick).cpu()


def _move(
    model: Space,
    start: Tensor,
    far: Far,
    *,
    steps: int,
    lr: float,
    tick: Callable[[], None],
) -> Tensor:
    """Latents (n ...) after so many steps of Adam, each optimised independently."""
    z = start.detach().clone().requires_grad_()
    adam = torch.optim.Adam([z], lr)
    for step in range(steps):
        for group in adam.param_groups:
            group["lr"] = lr * min(1.0, 0.05 + math.cos(math.pi / 2 * step / steps))
        loss = far(z, model.decode(z)).sum()
        (z.grad,) = torch.autograd.grad(loss, z)
        adam.step()
        tick()
    return z.detach()


def _coarse(images: Tensor) -> Tensor:
    """Images (n c h w), downsampled and flattened (n d)."""
    small = F.adaptive_avg_pool2d(images, COARSE) if images.shape[-1] > COARSE else images
    return small.flatten(1)


def _error(images: Tensor, truth: Tensor) -> Tensor:
    """The mean squared error of images (n c h w each): n."""
    return (images - truth).square().flatten(1).mean(1)


def _deviation(z: Tensor, centre: Tensor, spread: Tensor) -> Tensor:
    """The mean squared standardised value of latents (n ...) under the prior: n."""
    return ((z - centre) / spread).square().flatten(1).mean(1)


def _share(progress: ProgressCallback | None, place: int, places: int, steps: int) -> Callable[[], None]:
    """What a chunk calls after each step."""
    done = place * steps

    def tick() -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, places * steps)

    return tick
