"""Failure modes of a training run and their remedies, detected from its rows of metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

WARM_UP = 20_000  # images before any check: early samples have little diversity, and the discriminator leads
WON_REAL, WON_FAKE = 0.95, 0.05  # mean probabilities beyond which the discriminator is saturated
WINDOW = 5  # rows of metrics in succession that must agree
# Diversity of samples, that of real images being 1: a VAE, whose samples are soft, has 0.4 to 0.5, a good GAN 0.8 to 1.2.
COLLAPSED = 0.25
ACTIVE, KL = 0.05, 0.5  # share of active units, and KL in nats per image, below which a posterior has collapsed

Row = Mapping[str, float]

# What to change, most effective first; an option that a family lacks is passed over.
_ADVICE = {
    "collapse": {
        "r1_gamma": "raise --r1-gamma (now {value})",
        "n_critic": "raise --n-critic (now {value})",
        "augment": "try --augment (now {value}) if there are few images",
        "lr": "lower --lr (now {value})",
    },
    "discriminator has won": {
        "augment": "set --augment (now {value})",
        "r1_gamma": "raise --r1-gamma (now {value})",
        "lr": "lower --lr (now {value})",
    },
    "posterior collapse": {
        "beta": "lower --beta (now {value})",
        "kl_warmup": "raise --kl-warmup (now {value})",
        "lr": "lower --lr (now {value})",
    },
}


@dataclass(frozen=True)
class Finding:
    """A warning: its name, and one line for the user."""

    name: str
    message: str


def diversity(images: Tensor) -> float:
    """Mean distance between two of the images (n c h w), as root mean square over the pixels; n >= 2."""
    flat = images.detach().flatten(1).cpu().double()
    # Per pixel over all pairs: mean |x - y|^2 = 2 n / (n - 1) variance; the mean of roots needs the pairs themselves.
    return float(torch.pdist(flat).mean() / flat.shape[1] ** 0.5)


def findings(rows: Sequence[Row], options: Mapping[str, object]) -> list[Finding]:
    """The findings in the rows of metrics (oldest first) of a run."""
    if not rows or rows[-1].get("images", 0) < WARM_UP:
        return []
    return [Finding(name, f"{name}: {seen}; {advice(name, options)}") for name, seen in _seen(rows)]


def _seen(rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    real, fake = _last(rows, "discriminator/prob_real", WINDOW), _last(rows, "discriminator/prob_fake", WINDOW)
    if len(real) == WINDOW and min(real) > WON_REAL and max(fake, default=1.0) < WON_FAKE:
        yield (
            "discriminator has won",
            f"D(real) is {real[-1]:.2f} and D(fake) {fake[-1]:.2f}, so the generator gets little gradient",
        )
    spread = _last(rows, "samples/diversity", 1)
    if spread and spread[0] < COLLAPSED:
        yield "collapse", f"the diversity of the samples is only {spread[0]:.2f} times that of real images"
    yield from _posterior(rows)


def _posterior(rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    active, kl = _last(rows, "latent/active_units", WINDOW), _last(rows, "latent/kl", WINDOW)
    if len(active) == WINDOW and max(active) < ACTIVE:
        yield (
            "posterior collapse",
            f"only {active[-1]:.0%} of the latent units are active, so all reconstructions look alike",
        )
    elif len(kl) == WINDOW and max(kl) < KL:
        yield "posterior collapse", f"the KL is {kl[-1]:.2f} nats per image, so all reconstructions look alike"


def _last(rows: Sequence[Row], name: str, n: int) -> list[float]:
    """The last `n` values of that name, oldest first."""
    return [row[name] for row in rows if name in row][-n:]


def advice(name: str, options: Mapping[str, object]) -> str:
    """The remedy for a finding, given the options of the family."""
    steps = [text.format(value=options[flag]) for flag, text in _ADVICE[name].items() if flag in options]
    return ", or ".join(steps[:2]) or "try another --seed or a smaller model"


def news(found: Sequence[Finding], reported: Mapping[str, int], step: int, *, every: int) -> list[Finding]:
    """The findings that were not reported (name -> step) within the last `every` steps."""
    return [finding for finding in found if step - reported.get(finding.name, -every) >= every]
