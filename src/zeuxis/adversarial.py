"""GAN optimizers, losses and turns, gradient penalties and path length regularisation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from zeuxis.game import Clock
from zeuxis.nets.adaptive import Augmentation
from zeuxis.nets.freezing import trainable
from zeuxis.options import option


class GANLoss(NamedTuple):
    """A GAN loss: discriminator loss on real and on fake scores, generator loss, each a mean over scores (any shape);
    and the probability (n, in [0, 1]) of "real" for a score."""

    real: Callable[[Tensor], Tensor]
    fake: Callable[[Tensor], Tensor]
    adversarial: Callable[[Tensor], Tensor]
    probability: Callable[[Tensor], Tensor]


# Goodfellow 2014: D maximises log D(x) + log(1 - D(G(z))); the generator minimises -log D(G(z)), or, saturating,
# log(1 - D(G(z))). Scores are logits, so -log D(x) = softplus(-score).
_non_saturating = GANLoss(
    real=lambda score: F.softplus(-score).mean(),
    fake=lambda score: F.softplus(score).mean(),
    adversarial=lambda score: F.softplus(-score).mean(),
    probability=torch.sigmoid,
)
_saturating = _non_saturating._replace(adversarial=lambda score: -F.softplus(score).mean())

# Mao 2017, with a = 0, b = c = 1.
_least_squares = GANLoss(
    real=lambda score: (score - 1).square().mean(),
    fake=lambda score: score.square().mean(),
    adversarial=lambda score: (score - 1).square().mean(),
    probability=lambda score: score.clamp(0, 1),
)

# Lim 2017; beyond the margins at -1 and 1 a score is certain.
_hinge = GANLoss(
    real=lambda score: F.relu(1 - score).mean(),
    fake=lambda score: F.relu(1 + score).mean(),
    adversarial=lambda score: -score.mean(),
    probability=lambda score: (score.clamp(-1, 1) + 1) / 2,
)

GAN_LOSSES = {
    "non-saturating": _non_saturating,
    "saturating": _saturating,
    "least-squares": _least_squares,
    "hinge": _hinge,
}


def adam(
    players: Mapping[str, nn.Module], lr: float, betas: tuple[float, float] = (0.9, 0.999)
) -> dict[str, Optimizer]:
    """One Adam for each player, over the trainable parameters of its network (fused: one kernel for all of them)."""
    return {name: Adam(trainable(network), lr, betas, fused=True) for name, network in players.items()}


def r1_option(default: float, off: str = "off") -> Any:
    """The option for the weight of the R1 penalty; `off` says what 0 is."""
    meaning = f"weight (gamma) of the R1 gradient penalty on real images; 0: {off}"
    return option(default, meaning, low=0, group="losses")


def interval_option() -> Any:
    """The option for the interval of lazy regularisation, as `lazy_weight` takes it."""
    return option(
        16, "steps between penalties (lazy regularisation); the weight is multiplied by as many", low=1, group="losses"
    )


def lazy_weight(weight: float, interval: int, step: int) -> float:
    """The weight of a penalty under lazy regularisation (Karras 2020, section 3.1): `interval` times the weight at every
    `interval`-th step, 0 at the others."""
    return weight * interval if step % interval == 0 else 0.0


BEGIN = 2.0**-5  # scale of the R1 penalty at first, and the smallest one without a gain of details
DOUBLED = 2_000  # images in which the scale can double


def target_option() -> Any:
    """The option for the target of `AdaptiveR1`."""
    meaning = "adaptive R1: the penalty rises while D(real) - D(fake) exceeds this; 0: constant"
    return option(0.5, meaning, low=0, high=1, group="losses")


class AdaptiveR1(nn.Module):
    """The scale of the R1 penalty: small at first, it rises while the discriminator separates real from fake beyond the
    target, and falls below it. Where a faint texture is the only difference, the discriminator needs a steep gradient.

    A discriminator whose first layer has a `DetailConv2d` of that gain is steeper by it where details are: the least scale is
    smaller by its square, as the penalty is of squared slopes. The scale is a buffer, kept by a resume.
    """

    scale: Tensor

    def __init__(self, target: float, *, detail_gain: float = 1.0) -> None:
        super().__init__()
        self.target, self.least = target, BEGIN / detail_gain**2
        self.register_buffer("scale", torch.tensor(BEGIN if target else 1.0))

    @torch.no_grad()
    def update(self, gap: Tensor, images: int) -> None:
        """Update the scale at a rate per image: up where the gap D(real) - D(fake) exceeds the target, else down.
        Without a target the scale stays 1."""
        if not self.target:
            return
        # In float32, as half precision rounds what a small batch changes to nothing.
        self.scale.mul_(2.0 ** (torch.sign(gap.float() - self.target) * images / DOUBLED)).clamp_(self.least, 1.0)


def turns(
    loss: GANLoss,
    score: Callable[[Tensor], Tensor],
    real: Tensor,
    fake: Tensor,
    *,
    r1_weight: float = 0.0,
    adaptive_r1: AdaptiveR1 | None = None,
    augmentation: Augmentation | None = None,
    shown: Callable[[Tensor], Tensor] | None = None,
    together: bool = False,
    clock: Clock = Clock(),  # noqa: B008 (frozen)
) -> Iterator[tuple[str | None, dict[str, Tensor]]]:
    """The turns of one step (Goodfellow 2014, algorithm 1 with k = 1): report, discriminator, generator.

    `score` gives the discriminator's scores of images (n c h w); `fake` still carries the generator's gradient. With
    a weight the discriminator loss includes the R1 penalty, scaled by `adaptive_r1` if there is one. Both kinds of images
    pass through the augmentation first, which looks at the scores of this step, and at those of held-out images, which
    become what `score` takes by `shown`. A discriminator of each image by itself may see real and fake images `together`,
    as one batch: its weights are read once.
    """
    if augmentation is not None:
        real, fake = augmentation(real), augmentation(fake)
    real_score, fake_score = (scores_together if together else scores_apart)(score, real, fake.detach())
    prob_real, prob_fake = loss.probability(real_score), loss.probability(fake_score)
    report = {} if adaptive_r1 is None else {"discriminator/r1_scale": adaptive_r1.scale.clone()}
    report |= {} if augmentation is None else augmentation.report()
    yield None, {"discriminator/prob_real": prob_real, "discriminator/prob_fake": prob_fake, **report}
    gaps = None if augmentation is None else augmentation.score_gaps(score, (real_score, fake_score), clock, shown)
    terms = {"real": loss.real(real_score), "fake": loss.fake(fake_score)}
    if r1_weight > 0:
        terms["r1"] = r1_weight * r1(score, real) * (1.0 if adaptive_r1 is None else adaptive_r1.scale)
    yield "discriminator", terms
    if adaptive_r1 is not None:
        adaptive_r1.update(prob_real.mean() - prob_fake.mean(), len(real) * clock.micro_batches)
    yield "generator", {"adversarial": loss.adversarial(score(fake))}
    if augmentation is not None:
        augmentation.look(prob_real - 0.5, clock, gaps)


def scores_apart(score: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """The scores of real and of fake images (n c h w each), of two batches."""
    return score(real), score(fake)


def scores_together(
    score: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, *, parts: int = 1
) -> tuple[Tensor, Tensor]:
    """The same of one batch, in which so many parts of each alternate: the groups of `minibatch_deviation` with at most as
    many images are then those of two batches. Of two batches where the images cannot be parted."""
    if len(real) % parts or len(real) != len(fake):
        return scores_apart(score, real, fake)
    pairs = zip(real.chunk(parts), fake.chunk(parts))
    found = score(torch.cat([part for pair in pairs for part in pair])).chunk(2 * parts)
    return (found[0], found[1]) if parts == 1 else (torch.cat(found[::2]), torch.cat(found[1::2]))


def wasserstein(real: Tensor, fake: Tensor) -> Tensor:
    """The critic's estimate of the Wasserstein distance, from its scores (any shape): Arjovsky 2017, equation 2.

    Its supremum over all K-Lipschitz critics is K times the distance.
    """
    return real.mean() - fake.mean()


def critic_report(real: Tensor, fake: Tensor, augmentation: Augmentation) -> dict[str, Tensor]:
    """What is logged of a critic's scores (any shape), by their names in the metrics."""
    scores = {"critic/score_real": real, "critic/score_fake": fake}
    return {"critic/wasserstein": wasserstein(real, fake), **scores, **augmentation.report()}


def beyond_middle(real: Tensor, fake: Tensor) -> Tensor:
    """A critic's scores of real images, above the middle of its mean scores of real and fake images: a critic has no zero
    at which it takes an image for real."""
    return real - (real.mean() + fake.mean()) / 2


@torch.no_grad()
def clip_weights(critic: nn.Module, bound: float) -> None:
    """Clip the critic's trainable weights to [-bound, bound], in place: Arjovsky 2017, algorithm 1, line 7."""
    for weight in trainable(critic):
        weight.clamp_(-bound, bound)


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, *, one_sided: bool = False
) -> Tensor:
    """Mean squared distance from 1 of the norm of the score's gradient, at random points between real and fake images
    (n c h w): Gulrajani 2017, equation 3. One-sided, only norms above 1 count.

    The critic must be independent per image: batch norm would mix the gradients of different images. Under autocast it
    computes in bfloat16, where nothing underflows, as the norm is near 1: the penalty's gradient changes by about 1 %.
    """
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = torch.lerp(fake.detach().float(), real.detach().float(), share).requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(between).float().sum(), between, create_graph=True)
    excess = torch.linalg.vector_norm(gradient, dim=(1, 2, 3)) - 1
    return (F.relu(excess) if one_sided else excess).square().mean()


def r1(discriminator: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """Half the mean squared norm of the score's gradient at real images (n c h w): Mescheder 2018, equation 9.

    The score of an image is the mean over its patches.
    """
    real = real.detach().requires_grad_(True)
    with torch.autocast(real.device.type, enabled=False):  # squares of small gradients underflow in half precision
        score = discriminator(real.float()).reshape(len(real), -1).mean(1).sum()
        (gradient,) = torch.autograd.grad(score, real, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean() / 2


def path_lengths(synthesis: Callable[[Tensor], Tensor], w: Tensor) -> Tensor:
    """Path lengths |J^T y| (n) of w (n d): Karras 2020, equation 4; y is noise of norm 1 in each channel."""
    with torch.autocast(w.device.type, enabled=False):  # as for `r1`
        w = w.float() if w.requires_grad else w.float().requires_grad_(True)
        image = synthesis(w)
        noise = torch.randn_like(image) / math.sqrt(image[0, 0].numel())
        (gradient,) = torch.autograd.grad((image * noise).sum(), w, create_graph=True)
    lengths: Tensor = torch.linalg.vector_norm(gradient, dim=1)
    return lengths


class PathLength(nn.Module):
    """The mean path length, a in equation 4: an exponential moving average, kept in a buffer."""

    typical: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("typical", torch.zeros(()))

    def among(self, lengths: Tensor) -> Tensor:
        """The moving average updated by these lengths (n), without storing it; the first lengths initialise it."""
        mean = lengths.detach().mean()
        return torch.where(self.typical > 0, torch.lerp(self.typical, mean, 0.01), mean)
