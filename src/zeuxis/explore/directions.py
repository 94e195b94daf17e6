"""Directions of latent space: attribute directions (Radford 2015; Shen 2020) and unsupervised ones.

Every direction is a step (...) in the shape of a latent. An attribute direction of strength 1 takes images without
the attribute to the typical image with it. An unsupervised one has the length of the latents' standard deviation.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeuxis.errors import UsageError
from zeuxis.explore.arithmetic import to_norm
from zeuxis.explore.candidates import Candidates, choose_examples
from zeuxis.explore.expression import Term, Vocabulary, word
from zeuxis.explore.readings import batch_steps, kept_steps, pictures_key
from zeuxis.explore.spaces import Space, decode_latents
from zeuxis.metrics.features import Extractor
from zeuxis.model import Model
from zeuxis.runtime.ranks import ALONE, Ranks
from zeuxis.runtime.steps import finished

Supervised = Literal["means", "boundary"]
Unsupervised = Literal["components", "factors"]

RIDGE = 1e-3  # of the regressions, beside standardised latents
DIFFERENCE = 0.03  # of the differences of a Jacobian, in root mean squares of the latent
_BATCH = 64  # images decoded in one step
MOST_PROBED, PROBES = 1024, 128  # numbers of a latent that are each probed; random directions where there are more


@dataclass(frozen=True)
class Direction:
    """A step (...) in latent space, and its name."""

    name: str
    step: Tensor


def towards(
    index: int, among: Candidates, words: Vocabulary, *, method: Supervised = "means", seed: int = 0
) -> Direction:
    """The step that adds an attribute to images without it.

    `means` is the difference between the average latents with and without it, over examples matched in the other
    attributes (Radford 2015). `boundary` is the normal of the separating hyperplane (Shen 2020), scaled to cross it as
    far as `means` does.
    """
    name = word(index, True, words)
    terms = [Term(1.0, {index: True}, name), Term(-1.0, {index: False}, word(index, False, words))]
    most = min(len(among.matching(term.wanted, 0.5)) for term in terms)
    count = max(1, min(1000, most))
    pools = choose_examples(terms, among, count=count, seed=seed, confidence=min(0.9, _surest(among, terms)))
    apart = among.latents[pools[0]].mean(0) - among.latents[pools[1]].mean(0)
    if method == "means":
        return Direction(name, apart)
    normal = _boundary(among.latents.flatten(1), among.labels[:, index])
    return Direction(name, _as_far(normal, apart.flatten()).view_as(apart))


def components(
    space: Space, extractor: Callable[[Tensor], Tensor], *, count: int = 5, seeds: Sequence[int], ranks: Ranks = ALONE
) -> list[Direction]:
    """The principal components of image features, each as the latent step that produces it.

    PCA of the features of the seeds' images, then least squares from component scores to latents (Harkonen 2020,
    section 2.1, with the generator's own features). The images are shared out over the processes `ranks`.
    """
    return finished(component_steps(space, extractor, count=count, seeds=seeds, ranks=ranks))


def component_steps(
    space: Space, extractor: Callable[[Tensor], Tensor], *, count: int, seeds: Sequence[int], ranks: Ranks = ALONE
) -> Generator[tuple[int, int], None, list[Direction]]:
    """As `components`, batch by batch: yields how many samples have features, and of how many."""
    if len(seeds) <= count:
        raise UsageError(f"{len(seeds)} samples have no {count} components; give more samples")
    z, key = space.prior(seeds).cpu(), None
    if isinstance(extractor, Extractor) and extractor.key and (content := pictures_key(space)):
        key = ["features", content, extractor.key, list(seeds)]
    steps = batch_steps(torch.split(z, _BATCH), lambda part: extractor(decode_latents(space, part)), ranks)
    found = yield from kept_steps(key, len(z), steps, ranks)
    features = found.double()
    _, _, axes = torch.linalg.svd(features - features.mean(0), full_matrices=False)
    places = (features - features.mean(0)) @ axes[:count].T  # n count
    places = places / places.std(0)
    flat = z.flatten(1).double()
    moves = torch.linalg.lstsq(places, flat - flat.mean(0)).solution  # count d
    scaled = moves / moves.norm(dim=1, keepdim=True) * flat.std(0).mean() * 3
    return [Direction(f"component {i + 1}", row.float().reshape(z.shape[1:])) for i, row in enumerate(scaled.unbind())]


def factors(model: Model, space: Space, *, count: int = 5) -> list[Direction]:
    """Closed-form factorization: the leading right singular vectors of the stacked weights of all layers that take the
    latent (SeFa: Shen 2021, equation 5; in w those of every style).

    `UsageError` where no linear layer takes the latent.
    """
    weights = torch.cat([layer.weight.detach().cpu().double() for layer in _first(model, space)])
    _, _, axes = torch.linalg.svd(weights, full_matrices=False)
    spread = space.prior(range(256)).flatten(1).std(0).mean().cpu()
    return [Direction(f"factor {i + 1}", (row * spread * 3).float()) for i, row in enumerate(axes[:count].unbind())]


def local_components(space: Space, z: Tensor, *, count: int = 8) -> list[Direction]:
    """The directions in which the picture of one latent (...) changes most: orthonormal steps (...), the strongest first.

    They are the leading right singular vectors of the decoder's Jacobian (Ramesh 2018), by central differences along
    each number of the latent, or along 128 random directions where it has over 1,024. The same latent always gives
    the same steps.
    """
    return finished(local_steps(space, z, count=count))


def local_steps(space: Space, z: Tensor, *, count: int = 8) -> Generator[tuple[int, int], None, list[Direction]]:
    """As `local_components`, batch by batch: yields how many differences are known, and of how many."""
    flat = z.detach().flatten().cpu().double()
    probes = _probes(len(flat))  # m d
    reach, parts = DIFFERENCE * max(float(flat.square().mean().sqrt()), 1e-3), []
    for part in torch.split(probes, _BATCH):
        ends = [_small(decode_latents(space, _at(z, flat + sign * reach * part))) for sign in (1, -1)]
        parts.append((ends[0] - ends[1]).flatten(1).double())
        yield min(len(parts) * _BATCH, len(probes)), len(probes)
    change = torch.cat(parts)  # m pixels
    _, axes = torch.linalg.eigh(change @ change.T)  # in ascending order
    steps = axes.flip(1)[:, :count].T @ probes
    largest = steps.gather(1, steps.abs().argmax(1, keepdim=True))
    signed = (steps * largest.sign()).float()  # of a singular vector only the line is known
    return [Direction(f"local {i + 1}", row.reshape(z.shape)) for i, row in enumerate(signed.unbind())]


def moved(latents: Tensor, steps: Sequence[tuple[float, Direction]], strength: float, *, keep: bool = True) -> Tensor:
    """Latents (n ...) after weighted steps; with `keep` each rescaled to its own norm, as Gaussian latents need."""
    done = latents
    for weight, direction in steps:
        done = done + strength * weight * direction.step.to(latents)
    if not keep:
        return done
    norms = latents.flatten(1).norm(dim=1).reshape(-1, *(1 for _ in latents.shape[1:]))
    kept: Tensor = to_norm(done, 1.0) * norms
    return kept


def _probes(size: int) -> Tensor:
    """Orthonormal directions (m d) of a latent with so many numbers."""
    if size <= MOST_PROBED:
        return torch.eye(size, dtype=torch.float64)
    noise = torch.randn(size, PROBES, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    basis: Tensor = torch.linalg.qr(noise).Q
    return basis.T


def _at(like: Tensor, rows: Tensor) -> Tensor:
    return rows.to(like.dtype).reshape(-1, *like.shape)


def _small(images: Tensor) -> Tensor:
    """Images of at most 64 pixels a side: finer detail changes no direction, but fills the memory."""
    side = min(images.shape[-1], 64)
    small: Tensor = F.adaptive_avg_pool2d(images, side)
    return small


def _surest(among: Candidates, terms: Sequence[Term]) -> float:
    """A confidence threshold at which every term still has examples."""
    return min(
        float((among.labels[:, i] if on else 1 - among.labels[:, i]).max()) for t in terms for i, on in t.wanted.items()
    )


def _boundary(latents: Tensor, labels: Tensor) -> Tensor:
    """The normal (d) of the hyperplane by logistic regression on latents (m d) and labels (m) in [0, 1]."""
    mean, spread = latents.double().mean(0), latents.double().std(0).clamp(min=1e-6)
    x = torch.cat([(latents.double() - mean) / spread, torch.ones(len(latents), 1, dtype=torch.float64)], 1)
    y, slopes = labels.double(), torch.zeros(x.shape[1], dtype=torch.float64)
    weight = RIDGE * len(x) * torch.eye(x.shape[1], dtype=torch.float64)
    for _ in range(30):  # Newton's steps; the penalty keeps separable data finite
        p = (x @ slopes).sigmoid()
        hessian = (x.T * (p * (1 - p))) @ x + weight
        step = torch.linalg.solve(hessian, x.T @ (y - p) - weight @ slopes)
        slopes = slopes + step
        if float(step.abs().max()) < 1e-8:
            break
    return slopes[:-1] / spread


def _as_far(normal: Tensor, apart: Tensor) -> Tensor:
    """The projection of `apart` (d) onto `normal` (d)."""
    unit = (normal / normal.norm().clamp(min=1e-12)).to(apart)
    step: Tensor = unit * (unit @ apart)
    return step


def _first(model: Model, space: Space) -> list[nn.Linear]:
    """The linear layers with the latents as their input."""
    z, found = space.prior([0]), list[nn.Linear]()

    def look(layer: nn.Module, inputs: tuple[Tensor, ...], _: object) -> None:
        if isinstance(layer, nn.Linear) and inputs and inputs[0].shape == z.shape and torch.equal(inputs[0], z):
            found.append(layer)

    hooks = [layer.register_forward_hook(look) for layer in model.modules()]
    try:
        with torch.no_grad():
            space.decode(z)
    finally:
        for hook in hooks:
            hook.remove()
    if not found:
        raise UsageError(f"{model.family()} has no linear layer that takes the latent; ask for --method components")
    return found
