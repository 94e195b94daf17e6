"""Inversion of an image without an encoder, by gradient descent on its latent (Zhu 2016, section 3.2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

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
TOGETHER = 64  # latents that move, or are decoded, at once


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
    restarts = begin[:, None] if begin is not None else list(nearest_samples(model, images, drawn, how.restarts))[-1]
    length = max(1, TOGETHER // restarts.shape[1])
    chunks = list(zip(torch.split(images, length), torch.split(restarts, length)))
    found = []
    for place, (truth, start) in enumerate(chunks):
        iterates = descend(model, truth, start, drawn, distance=distance, how=how)
        found.append(_last(iterates, progress, place * how.steps, len(chunks) * how.steps))
    return torch.cat(found)


class Iterate(NamedTuple):
    """Steps of descent done, and of each image the best latent of now (n ...) and what it decodes to (n c h w)."""

    done: int
    latents: Tensor
    images: Tensor


def nearest_samples(
    model: Space, images: Tensor, drawn: Tensor, count: int, *, together: int = TOGETHER
) -> Iterator[Tensor]:
    """The latents (n count ...) among those drawn (m ...) whose images are nearest to each image (n c h w).

    They are yielded each time that `together` of those drawn have been decoded; at first there may be fewer of them.
    """
    wanted, looks = _coarse(images.cpu()), torch.empty(0)
    for part in torch.split(drawn, together):
        made = _coarse(decode_latents(model, part))
        looks = torch.cat([looks, made]) if len(looks) else made
        chosen = torch.cdist(wanted, looks).topk(min(count, len(looks)), largest=False).indices
        yield drawn[chosen.to(drawn.device)]


def descend(
    model: Space, images: Tensor, restarts: Tensor, drawn: Tensor, *, distance: Distance, how: Search
) -> Iterator[Iterate]:
    """The descent from initial latents (n restarts ...) to images (n c h w), iterate by iterate; the last has the answer.

    Latents `drawn` (m ...) from the prior say where it lies.
    """
    truth, restarts = images.to(model.device), restarts.to(model.device)
    centre, spread = drawn.mean(0), drawn.std(0).clamp(min=1e-6)

    def squared(wanted: Tensor) -> Far:
        return lambda z, image: _error(image, wanted) + how.prior * _deviation(z, centre, spread)

    def seen(wanted: Tensor) -> Far:
        far, apart = squared(wanted), distance(wanted)
        return lambda z, image: far(z, image) + how.perceptual * apart(image)

    last, many = how.steps // 3, restarts.shape[1]
    every, rows = truth.repeat_interleave(many, 0), many * torch.arange(len(truth), device=truth.device)
    first = _move(model, restarts.flatten(0, 1), squared(every), steps=how.steps - last, lr=how.lr)
    for done, (z, made) in enumerate(first):
        best = _error(made, every).view(-1, many).argmin(1) + rows
        yield Iterate(done, z[best], made[best])
    second = _move(model, z[best], seen(truth), steps=last, lr=how.lr / 2)
    for done, (z, made) in enumerate(second, how.steps - last):
        yield Iterate(done, z, made)


def _move(model: Space, start: Tensor, far: Far, *, steps: int, lr: float) -> Iterator[tuple[Tensor, Tensor]]:
    """Latents (n ...) and their images before each step of Adam and after the last; each is optimised independently."""
    z = start.detach().clone().requires_grad_()
    adam = torch.optim.Adam([z], lr)
    for step in range(steps):
        for group in adam.param_groups:
            group["lr"] = lr * min(1.0, 0.05 + math.cos(math.pi / 2 * step / steps))
        with torch.enable_grad():  # whoever asks for the next iterate may have turned gradients off
            made = model.decode(z)
            (z.grad,) = torch.autograd.grad(far(z, made).sum(), z)
        yield z.detach().clone(), made.detach()
        adam.step()
    with torch.no_grad():
        made = model.decode(z)
    yield z.detach(), made


def _last(iterates: Iterator[Iterate], progress: ProgressCallback | None, before: int, total: int) -> Tensor:
    """The latents (n ..., on the CPU) of the last iterate; each step is told."""
    told = 0
    for iterate in iterates:
        if progress and iterate.done > told:
            told = iterate.done
            progress(before + told, total)
    return iterate.latents.cpu()


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
