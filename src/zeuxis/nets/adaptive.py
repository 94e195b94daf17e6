"""Augmentation of a discriminator's input by a policy, or adaptively (ADA; Karras 2020, https://arxiv.org/abs/2006.06676)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeuxis.game import Clock
from zeuxis.nets.augment import Augment, augment, random_symmetry, translation
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
MOVES = 6  # numbers of a label of `moved_at_random`
MOVED = 0.12  # probability of each transform there (Karras 2022, table 7)

LabelledAugment = Literal["none", "affine"]
HeldOut = Callable[[int, int], Tensor]  # a position and a number n to images (n c h w) that are never learned from


def augment_option() -> Any:
    """The option for the policy of an `Augmentation`."""
    meaning = (
        "augmentation before the discriminator; auto: translation, then turns, adapting to overfitting, under 10,000 images; "
        "ada: all of Karras 2020, adaptive; others: always on (Zhao 2020)"
    )
    return option("auto", meaning, group="losses")


def labelled_augment_option() -> Any:
    """The option for the labelled augmentation of `moved_at_random`."""
    meaning = "augmentation of the images: affine maps, told to the network as labels that samples lack (Karras 2022)"
    return option("none", meaning, group="losses", of_weights=True)


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


class Draw:
    """Random parameters for n images, each with probability p; 0, no change, otherwise."""

    def __init__(self, n: int, p: Tensor) -> None:
        self.n, self.p = n, p

    def _some(self, values: Tensor, p: Tensor | None = None) -> Tensor:
        hit = torch.rand(self.n, device=self.p.device) < (self.p if p is None else p)
        return values * hit.view(-1, *(1 for _ in values.shape[1:]))

    def normal(self, spread: float, *shape: int) -> Tensor:
        """From N(0, spread^2): n ..."""
        return self._some(torch.randn(self.n, *shape, device=self.p.device) * spread)

    def uniform(self, reach: float, *shape: int, p: Tensor | None = None) -> Tensor:
        """Between -reach and reach: n ..."""
        return self._some((torch.rand(self.n, *shape, device=self.p.device) * 2 - 1) * reach, p)

    def whole(self, below: int) -> Tensor:
        """Whole numbers 0 ... below - 1: n."""
        return self._some(torch.randint(below, (self.n,), device=self.p.device))


def geometry(n: int, size: int, p: Tensor) -> Tensor:
    """Random affine transforms (n 3 3) about the centre, in half widths of the square image.

    In this order: flip, rotation by 90 degrees, integer translation up to an eighth; isotropic scaling, rotation,
    anisotropic scaling, rotation, fractional translation. Each with probability p; strengths as in appendix B of the paper.
    """
    draw, either = Draw(n, p), 1 - (1 - p).sqrt()  # of two turns, so that one or both happen with probability p
    stretch = draw.normal(0.2)
    maps = [
        scaled(1.0 - 2 * draw.whole(2), torch.ones(n, device=p.device)),
        turned(draw.whole(4) * (math.pi / 2)),
        shifted((draw.uniform(0.125, 2) * size).round() / size),
        scaled(*2 * [draw.normal(0.2).exp2()]),
        turned(draw.uniform(math.pi, p=either)),
        scaled(stretch.exp2(), (-stretch).exp2()),
        turned(draw.uniform(math.pi, p=either)),
        shifted(draw.normal(0.125, 2)),
    ]
    return reduce(lambda done, each: each @ done, maps)


def colours(n: int, channels: int, p: Tensor) -> Tensor:
    """Random colour transforms (n c+1 c+1, homogeneous): brightness, contrast, luma flip,
    hue rotation (of three channels), saturation. Each with probability p; strengths as above."""
    draw = Draw(n, p)
    grey = torch.full((channels,), channels**-0.5, device=p.device)  # the axis of greys
    along, whole = torch.outer(grey, grey), torch.eye(channels, device=p.device)
    maps = [
        _affine(whole.expand(n, -1, -1), draw.normal(0.2)[:, None].expand(n, channels)),
        _affine(whole * draw.normal(0.5).exp2()[:, None, None]),
        _affine(whole - 2 * along * draw.whole(2)[:, None, None]),
        *([_affine(hue(draw.uniform(math.pi)))] if channels == 3 else []),
        _affine(along + (whole - along) * draw.normal(1.0).exp2()[:, None, None]),
    ]
    return reduce(lambda done, each: each @ done, maps)


def moved_at_random(image: Tensor, p: float = MOVED) -> tuple[Tensor, Tensor]:
    """Images (n c h w) under the transforms of `geometry`, and labels (n 6): the affine map of each less the identity.

    Non-leaking augmentation (Karras 2022, appendix F.2): a network with these labels draws unmoved images at label 0.
    """
    with torch.autocast(image.device.type, enabled=False):
        maps = geometry(len(image), image.shape[-1], torch.full((), p, device=image.device))
        moved = transformed(image.float(), maps)
    return moved, (maps - torch.eye(3, device=image.device))[:, :2].flatten(1)


def scaled(x: Tensor, y: Tensor) -> Tensor:
    """Scaling matrices (n 3 3) by these factors (n each)."""
    return _affine(torch.diag_embed(torch.stack([x, y], 1)))


def turned(angle: Tensor) -> Tensor:
    """Rotation matrices (n 3 3) by these angles (n), in radians from x towards y."""
    cos, sin = angle.cos(), angle.sin()
    return _affine(torch.stack([cos, -sin, sin, cos], 1).view(-1, 2, 2))


def shifted(by: Tensor) -> Tensor:
    """Translation matrices (n 3 3) by shifts (n 2: x, y) in widths of the image, which is 2 wide."""
    return _affine(torch.eye(2, device=by.device).expand(len(by), -1, -1), 2 * by)


def hue(angle: Tensor) -> Tensor:
    """Hue rotations (n 3 3) about the grey axis by these angles (n), in radians (Rodrigues)."""
    along = angle.new_full((3, 3), 1 / 3)
    # Constants are drawn up where the angles are: a copy from the host would wait for the device.
    whole = torch.eye(3, device=angle.device)
    across = (whole.roll(1, 0) - whole.roll(1, 1)) / 3**0.5
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    return cos * whole + sin * across + (1 - cos) * along


def transformed(image: Tensor, maps: Tensor) -> Tensor:
    """Images (n c h w, square) under affine transforms (n 3 3): reflection padding, bicubic interpolation."""
    back = torch.linalg.inv_ex(maps).inverse[:, :2]  # `inv` waits for the device to see whether one is singular
    grid = F.affine_grid(back, list(image.shape), align_corners=False)
    return F.grid_sample(image, grid, mode="bicubic", padding_mode="reflection", align_corners=False)


def recoloured(image: Tensor, maps: Tensor) -> Tensor:
    """Images (n c h w) under colour transforms (n c+1 c+1)."""
    turned_colours = torch.einsum("noc,nchw->nohw", maps[:, :-1, :-1], image)
    return turned_colours + maps[:, :-1, -1, None, None]


def _affine(matrix: Tensor, shift: Tensor | None = None) -> Tensor:
    """Homogeneous matrices (n d+1 d+1) from a matrix (n d d) and a translation (n d)."""
    n, d, _ = matrix.shape
    added = matrix.new_zeros(n, d) if shift is None else shift
    last = torch.eye(d + 1, dtype=matrix.dtype, device=matrix.device)[-1:].expand(n, 1, -1)
    return torch.cat([torch.cat([matrix, added[..., None]], 2), last], 1)
