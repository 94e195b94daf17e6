"""Augmentation of a discriminator's input by a policy, or adaptively (ADA; Karras 2020, https://arxiv.org/abs/2006.06676)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from zeuxis.game import Clock
from zeuxis.nets.augment import Augment, augment, random_symmetry, translation
from zeuxis.nets.transforms import colours, geometry, recoloured, transformed
from zeuxis.options import option

EVERY = 4  # batches between updates of the probability (section 3.1)
HIGHEST = 0.8  # probability above which augmentations may show in samples (section 2.2)
# The same of each transform of `auto`. Up to 3/4, the bound for shifts by one pixel, translation loses no frequency of a
# distribution of positions, and a symmetry keeps 1 - p of what tells its eight ways apart: only images as they are match.
HIGHEST_EACH = 0.7
QUICKEST = 10_000  # images in which the probability can rise from 0 to 1, at the start
SHARE = 0.25  # the same, later, as a share of the images seen
# Training images from which on `auto` changes nothing. Of the papers' sets (Zhao 2020, Karras 2020), those of up to 10,000
# gain much and those of 50,000 little; in runs of minutes each of 10,000 images is seen some tens of times at most.
MANY_IMAGES = 10_000
SCORED_EVERY = 8  # steps between scores of held-out images, so that they cost about 1 % of the steps
GAP_DECAY = 0.75  # EMA decay of what they show

HeldOut = Callable[[int, int], Tensor]  # a position and a number n to images (n c h w) that are never learned from


def augment_option() -> Any:
    """The option for the policy of an `Augmentation`."""
    meaning = (
        "augmentation before the discriminator; auto: translation, then turns, adapting to overfitting, under 10,000 images; "
        "ada: all of Karras 2020, adaptive; others: always on (Zhao 2020)"
    )
    return option("auto", meaning, group="losses")


def ada_target_option() -> Any:
    """The option for the target of an adaptive `Augmentation`."""
    meaning = "target of the overfitting heuristic r_t of ada and auto (Karras 2020), half of it of r_v; 0: off"
    return option(0.6, meaning, low=0, high=1, group="losses")


class Augmentation(nn.Module):
    """Augmentation of real and generated images (n c h w) for a discriminator: by a fixed policy, or adaptively.

    An adaptive policy applies each transform with a probability p that follows an overfitting heuristic (Karras 2020,
    equation 1). `ada` has all transforms of that paper, and r_t = E[sign(D(real))]. `auto` has translation, symmetries of the
    square where that is not enough, and r_v, by held-out images, where `begin` gave it some; from 10,000 training images on,
    and before `begin`, it changes nothing. Its state is in buffers, kept by a resume.
    """

    probability: Tensor  # of each transform; of `auto` the sum over both
    signs: Tensor  # 3: since the last update, sum and number of sign(D(real)), and number of batches
    gaps: Tensor  # 2: running means of D(real) - D(held-out) and of D(real) - D(generated)

    def __init__(self, policy: Augment, *, target: float, images: int = 0) -> None:
        super().__init__()
        self.policy, self.target, self.images = policy, target, images
        self.held_out: HeldOut | None = None
        self._enough = self.automatic  # until it is told the number of images
        if self.adaptive:
            self.register_buffer("probability", torch.zeros(()))
            self.register_buffer("signs", torch.zeros(3))
        if self.automatic:
            self.register_buffer("gaps", torch.zeros(2))

    @property
    def automatic(self) -> bool:
        """Whether it looks at the number of training images and at held-out ones."""
        return self.policy == "auto"

    @property
    def adaptive(self) -> bool:
        """Whether the probability follows the discriminator."""
        return self.policy in ("auto", "ada")

    @property
    def _off(self) -> bool:
        return self.target == 0 or self._enough

    def begin(self, images: int, held_out: HeldOut | None) -> None:
        """Tell `auto` the number of training images, and where held-out ones are. Not saved: a resume tells it again."""
        if self.automatic:
            self._enough, self.held_out = images >= MANY_IMAGES, held_out

    def forward(self, image: Tensor) -> Tensor:
        if not self.adaptive:
            return augment(image, self.policy)
        # On a CPU the probability is known without waiting for a device.
        if self._off or (image.device.type == "cpu" and not self.probability):
            return image
        if self.automatic:
            move, turn = self._of_each()
            return random_symmetry([translation(image, p=move, mirror=True)], p=turn)[0]
        with torch.autocast(image.device.type, enabled=False):
            moved = transformed(image.float(), geometry(len(image), image.shape[-1], self.probability))
            return recoloured(moved, colours(len(image), image.shape[1], self.probability))

    @torch.no_grad()
    def score_gaps(
        self,
        score: Callable[[Tensor], Tensor],
        scores: tuple[Tensor, Tensor],
        clock: Clock,
        shown: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor | None:
        """D(real) - D(held-out) and D(real) - D(generated) (2), means of a batch, for `look`; None where they are not due.

        `score` gave the `scores` of real and of generated images. Held-out images become what it takes by `shown`, and are
        augmented as the others are.
        """
        if self._off or self.held_out is None or clock.step % SCORED_EVERY:
            return None
        real, fake = (each.float().mean() for each in scores)
        count = len(scores[0])
        images = self.held_out(clock.step // SCORED_EVERY * count, count)
        unseen = score(self(images if shown is None else shown(images)))
        return torch.stack((real - unseen.float().mean(), real - fake))

    @torch.no_grad()
    def look(self, scores: Tensor, clock: Clock, gaps: Tensor | None = None) -> None:
        """Record the discriminator's scores of real images, positive where it takes them for real, or what `score_gaps`
        found before its turn, and update the probability every few batches.

        It rises while the heuristic exceeds the target, else falls. Without a target it stays 0.
        """
        if not self.adaptive or self._off:
            return
        if self.held_out is None:
            self._look_at_signs(scores, clock)
        elif gaps is not None:
            self.gaps.lerp_(gaps, 1 - GAP_DECAY)
            self._move(self._r_v() - self.target / 2, scores.numel() * SCORED_EVERY, clock)

    def _look_at_signs(self, scores: Tensor, clock: Clock) -> None:
        seen = scores.float().sign().sum(), scores.new_full((), scores.numel()), scores.new_ones(())
        self.signs += torch.stack(seen)
        total, count, batches = self.signs.unbind()
        due = batches >= EVERY
        self._move(total / count - self.target, due * count, clock)
        self.signs.mul_(~due)

    def _r_v(self) -> Tensor:
        """0: held-out images score as training images do, 1: as generated ones do; 0 where those two score alike."""
        unseen, fake = self.gaps.unbind()
        return torch.where(fake > 0, unseen / fake, 0.0).clamp(0, 1)

    def _move(self, excess: Tensor, images: Tensor | float, clock: Clock) -> None:
        """Move the probability by the sign of the excess, and the images that a micro-batch saw since the last move."""
        step = torch.sign(excess) * images * clock.micro_batches / self.pace(clock.images)
        self.probability.copy_((self.probability + step).clamp(0, 2 * HIGHEST_EACH if self.automatic else HIGHEST))

    def pace(self, seen: int) -> float:
        """The images in which the probability can rise from 0 to 1: the paper's 500,000 are more than a short run has."""
        return (0 if self.automatic else self.images) or max(QUICKEST, SHARE * seen)

    def report(self) -> dict[str, Tensor]:
        """The probability by its name in the metrics, if it follows the discriminator, and r_v, if that is what it follows."""
        if not self.adaptive:
            return {}
        each = self._of_each() if self.automatic else (self.probability.clone(),)
        seen = {} if self.held_out is None else {"ada/r_v": self._r_v()}
        return dict(zip(("ada/p", "ada/p_symmetry"), each)) | seen

    def _of_each(self) -> tuple[Tensor, Tensor]:
        """The probabilities of translation and of a symmetry: the second rises where the first is at its highest."""
        return self.probability.clamp(max=HIGHEST_EACH), (self.probability - HIGHEST_EACH).clamp(min=0)
