"""The game of two adversaries: optimizers, pairs of losses on scores, turns, penalties on a discriminator, a pool."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from zeuxis.options import option


class Pair(NamedTuple):
    """The two sides of a game, each a mean over scores (any shape): what the discriminator pays on real and on
    fake images, what the generator pays to fool it, and the verdict (n, in [0, 1]) that a score stands for."""

    real: Callable[[Tensor], Tensor]
    fake: Callable[[Tensor], Tensor]
    fool: Callable[[Tensor], Tensor]
    verdict: Callable[[Tensor], Tensor]


# Goodfellow 2014: D maximises log D(x) + log(1 - D(G(z))); the generator minimises -log D(G(z)), or, saturating,
# log(1 - D(G(z))). Scores are logits, so -log D(x) = softplus(-score).
_non_saturating = Pair(
    real=lambda score: F.softplus(-score).mean(),
    fake=lambda score: F.softplus(score).mean(),
    fool=lambda score: F.softplus(-score).mean(),
    verdict=torch.sigmoid,
)
_saturating = _non_saturating._replace(fool=lambda score: -F.softplus(score).mean())

# Mao 2017, with a = 0, b = c = 1.
_least_squares = Pair(
    real=lambda score: (score - 1).square().mean(),
    fake=lambda score: score.square().mean(),
    fool=lambda score: (score - 1).square().mean(),
    verdict=lambda score: score.clamp(0, 1),
)

# Lim 2017; the margins at -1 and 1 are the certain verdicts.
_hinge = Pair(
    real=lambda score: F.relu(1 - score).mean(),
    fake=lambda score: F.relu(1 + score).mean(),
    fool=lambda score: -score.mean(),
    verdict=lambda score: (score.clamp(-1, 1) + 1) / 2,
)

PAIRS = {"non-saturating": _non_saturating, "saturating": _saturating, "least-squares": _least_squares, "hinge": _hinge}


def adam(
    players: Mapping[str, nn.Module], lr: float, betas: tuple[float, float] = (0.9, 0.999)
) -> dict[str, Optimizer]:
    """One Adam for each player, over all parameters of its network (fused: one kernel for all of them)."""
    return {name: Adam(network.parameters(), lr, betas, fused=True) for name, network in players.items()}


def every_option() -> Any:
    """The option that says how seldom a penalty is paid, for `lazily`."""
    return option(16, "steps between two penalties (each counts as many times)", low=1)


def lazily(weight: float, every: int, step: int) -> float:
    """A penalty's weight at a step where it is paid every so many steps, each time for all of them (Karras 2020, section
    3.1), and 0 at the others."""
    return weight * every if step % every == 0 else 0.0


LEAST = 2.0**-5  # share of the R1 penalty
DOUBLED = 2_000  # images in which the share can double


def aim_option() -> Any:
    """The option that says what a `Restraint` aims at."""
    meaning = "R1 counts in full only where verdicts on real and fake are further apart than this; 0: always"
    return option(0.5, meaning, low=0, high=1)


class Restraint(nn.Module):
    """The share of the R1 penalty that the discriminator pays: little to begin with, more while it tells real from fake
    with ease, less again while it does not, for what sets them apart may be a texture so faint that only a steep
    slope finds it.

    The share is a buffer: a run that is resumed goes on with it.
    """

    share: Tensor

    def __init__(self, aim: float) -> None:
        super().__init__()
        self.aim = aim
        self.register_buffer("share", torch.tensor(LEAST if aim else 1.0))

    @torch.no_grad()
    def look(self, apart: Tensor, images: int) -> None:
        """Note how far apart the mean verdicts on so many real and fake images are: above the aim the share rises; without
        an aim all is paid, always."""
        if not self.aim:
            return
        # In float32, as half precision rounds what a small batch changes to nothing.
        self.share.mul_(2.0 ** (torch.sign(apart.float() - self.aim) * images / DOUBLED)).clamp_(LEAST, 1.0)


def turns(
    pair: Pair,
    score: Callable[[Tensor], Tensor],
    real: Tensor,
    fake: Tensor,
    *,
    r1_weight: float = 0.0,
    restraint: Restraint | None = None,
) -> Iterator[tuple[str | None, dict[str, Tensor]]]:
    """The turns of one step of the game (Goodfellow 2014, algorithm 1 with k = 1): verdicts, discriminator, generator.

    `score` gives the discriminator's scores of images (n c h w); `fake` still carries the generator's gradient. With
    a weight the discriminator also pays the R1 penalty, of which `restraint`, if there is one, decides the share.
    """
    real_score, fake_score = score(real), score(fake.detach())
    verdicts = {"verdict/real": pair.verdict(real_score).mean(), "verdict/fake": pair.verdict(fake_score).mean()}
    yield None, verdicts if restraint is None else verdicts | {"restraint/share": restraint.share.clone()}

    terms = {"real": pair.real(real_score), "fake": pair.fake(fake_score)}
    if r1_weight > 0:
        terms["r1"] = r1_weight * r1(score, real) * (1.0 if restraint is None else restraint.share)
    yield "discriminator", terms
    if restraint is not None:
        restraint.look(verdicts["verdict/real"] - verdicts["verdict/fake"], len(real))
    yield "generator", {"fool": pair.fool(score(fake))}


def distance(real: Tensor, fake: Tensor) -> Tensor:
    """How far apart a critic holds real and fake images, given their scores (any shape): Arjovsky 2017, equation 2.

    At its highest over all critics whose slope is at most K, it is K times the Wasserstein distance.
    """
    return real.mean() - fake.mean()


@torch.no_grad()
def clip(critic: nn.Module, bound: float) -> None:
    """Bring each of the critic's weights back into [-bound, bound], in place: Arjovsky 2017, algorithm 1, line 7."""
    for weight in critic.parameters():
        weight.clamp_(-bound, bound)


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, *, one_sided: bool = False
) -> Tensor:
    """Mean squared distance from 1 of the norm of the score's gradient, at random points between real and fake images
    (n c h w): Gulrajani 2017, equation 3. One-sided, only norms above 1 count.

    The critic must score each image by itself: a batch norm would mix the gradients of different images.
    """
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = torch.lerp(fake.detach().float(), real.detach().float(), share).requires_grad_(True)
    with torch.autocast(real.device.type, enabled=False):  # as for `r1`
        (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    excess = torch.linalg.vector_norm(gradient, dim=(1, 2, 3)) - 1
    return (F.relu(excess) if one_sided else excess).square().mean()


def r1(discriminator: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """Half the mean squared norm of the score's gradient at real images (n c h w): Mescheder 2018, equation 9.

    The score of an image is the mean of those of its patches, where it has several.
    """
    real = real.detach().requires_grad_(True)
    with torch.autocast(real.device.type, enabled=False):  # squares of small gradients underflow in half precision
        score = discriminator(real.float()).reshape(len(real), -1).mean(1).sum()
        (gradient,) = torch.autograd.grad(score, real, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean() / 2


def path_lengths(synthesis: Callable[[Tensor], Tensor], w: Tensor) -> Tensor:
    """How far images move for a small step of w (n d), in random directions of images: |J^T y| of Karras 2020, equation
    4 (n), y being noise of norm 1 in each channel."""
    with torch.autocast(w.device.type, enabled=False):  # as for `r1`
        w = w.float() if w.requires_grad else w.float().requires_grad_(True)
        image = synthesis(w)
        noise = torch.randn_like(image) / math.sqrt(image[0, 0].numel())
        (gradient,) = torch.autograd.grad((image * noise).sum(), w, create_graph=True)
    lengths: Tensor = torch.linalg.vector_norm(gradient, dim=1)
    return lengths


class PathLength(nn.Module):
    """The typical path length, a in equation 4: the mean over those seen, the late ones counting more; a buffer, as it
    is a run's memory."""

    typical: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("typical", torch.zeros(()))

    def among(self, lengths: Tensor) -> Tensor:
        """The typical length, these (n) counted in; nothing is kept yet. The first are taken as they are."""
        mean = lengths.detach().mean()
        return torch.where(self.typical > 0, torch.lerp(self.typical, mean, 0.01), mean)


class Pool(nn.Module):
    """Images that a generator made earlier, so that a discriminator does not forget them (Shrivastava 2017, section 2.3).

    The pool is a buffer: a run that is resumed goes on with the same one.
    """

    images: Tensor  # size c h w
    filled: Tensor  # how many of them are there

    def __init__(self, size: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.register_buffer("images", torch.zeros(size, *shape))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))

    def draw(self, made: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """What the discriminator is shown (n c h w) for images just made, and what `keep` needs: slots in the pool, and
        which of them get a new image.

        While there is room all are shown, and get a slot; later each is, at even odds, exchanged for an older one.
        """
        size = len(self.images)
        new = made[:size]  # no more than all of the pool are exchanged at once
        # All on the images' own device and of fixed shapes, so that an accelerator is never waited for.
        at = self.filled + torch.arange(len(new), device=made.device)
        fresh = at < size
        there = torch.arange(size, device=made.device) < self.filled
        olds = torch.rand(size, device=made.device).where(there, 2.0).argsort()  # those that are there come first
        slots = at.where(fresh, olds[(at - size).clamp(min=0)])
        old = ~fresh & (torch.rand(len(new), device=made.device) < 0.5)
        kept = self.images[slots].to(made.dtype)
        return torch.cat((kept.where(old[:, None, None, None], new), made[size:])), (slots, old | fresh)

    def keep(self, made: Tensor, places: tuple[Tensor, Tensor]) -> None:
        """Put the images into the slots that `draw` gave them."""
        slots, given = places
        if not len(slots):
            return
        new = made[: len(slots)].float().where(given[:, None, None, None], self.images[slots])
        self.images.index_copy_(0, slots, new)
        self.filled.copy_(torch.maximum(self.filled, slots.max() + 1))
