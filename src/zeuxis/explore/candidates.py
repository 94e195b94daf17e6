"""Latents with known attributes, and the selection of each term's examples among them."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from zeuxis.errors import UsageError
from zeuxis.explore.expression import Term, base
from zeuxis.explore.readings import batch_steps, kept_steps, pictures_key
from zeuxis.explore.spaces import Space, decode_latents, drawn_by, encode_images
from zeuxis.io.images import from_uint8
from zeuxis.metrics.attributes import AttributeReader, Labelled
from zeuxis.metrics.features import digest
from zeuxis.model import Encoder
from zeuxis.runtime.ranks import ALONE, Ranks
from zeuxis.runtime.steps import finished

_BATCH = 128  # images decoded at once
CANDIDATES = 4096  # candidates, where one call of the networks encodes or draws one
ENCODER_CALLS = 24_000  # of them, where an image takes many to be encoded
LEAST_CANDIDATES = 512  # candidates even then: of the rarer attributes some must be there


Indices = np.ndarray[Any, Any]


class ReadsAttributes(Protocol):
    """An attribute classifier of images (n c h w): probabilities n k."""

    def read(self, images: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Candidates:
    """Candidate latents (on the CPU), the attributes of their images, and their origins."""

    latents: Tensor  # m ...
    labels: Tensor  # m k: probabilities, or labels in {0, 1}
    origins: Tensor  # m: the seed each was drawn from, or the index of the image it was encoded from
    source: str = "seed"  # what `origins` are: "seed" or "image"

    def __len__(self) -> int:
        return len(self.latents)

    @property
    def length(self) -> float:
        """The norm of a typical latent: the root of the mean squared norm (sqrt(d) for a Gaussian prior)."""
        return float(self.latents.flatten(1).square().sum(1).mean().sqrt())

    @property
    def spread(self) -> Tensor:
        """The standard deviation of each number of a latent (...)."""
        return self.latents.std(0)

    def matching(self, wanted: dict[int, bool], confidence: float) -> Tensor:
        """The indices of candidates with the wanted attributes, each with at least this probability."""
        return _shows(self.labels, wanted, confidence).nonzero().flatten()


def _shows(labels: Tensor, wanted: dict[int, bool], confidence: float) -> Tensor:
    """The rows of labels (n k: probabilities, or in {0, 1}) with all wanted attributes."""
    fits = torch.ones(len(labels), dtype=torch.bool)
    for index, present in wanted.items():
        value = labels[:, index]
        fits &= (value if present else 1 - value) >= confidence
    return fits


def reencoded(model: Encoder, latents: Tensor, times: int) -> Tensor:
    """Images (n c h w, on the CPU) for latents, re-encoded so many times: closer to the training images."""
    images = decode_latents(model, latents)
    for _ in range(times):
        images = decode_latents(model, encode_images(model, images))
    return images


def sampled(model: Space, reader: ReadsAttributes, *, seeds: Sequence[int]) -> Candidates:
    """A model's samples of these seeds, with their attributes by the classifier."""
    return finished(_sampled(model, reader, seeds))


def encoded(
    model: Encoder, pack: Labelled, *, terms: Sequence[Term] = (), count: int | None = None, seed: int = 0
) -> Candidates:
    """Encoded labelled images of a pack, at most `count`, selected by the seed; the default `count` is quick.

    Images that match each term are as many as images selected at random, where there are enough.
    """
    return finished(_encoded(model, pack, terms, count, seed))


@torch.no_grad()
def _sampled(
    model: Space, reader: ReadsAttributes, seeds: Sequence[int], ranks: Ranks = ALONE
) -> Generator[tuple[int, int], None, Candidates]:
    parts = [model.prior(seeds[start : start + _BATCH]) for start in range(0, len(seeds), _BATCH)]
    key = None
    if isinstance(reader, AttributeReader) and (content := pictures_key(model)):
        key = ["attributes", content, digest(reader.network.state_dict()), list(seeds)]
    drawing = drawn_by(model)
    steps = batch_steps(parts, lambda z: reader.read(drawing.decode(z)), ranks)
    labels = yield from kept_steps(key, len(seeds), steps, ranks)
    return Candidates(torch.cat(parts).cpu(), labels, torch.tensor(list(seeds)))


@torch.no_grad()
def _encoded(
    model: Encoder, pack: Labelled, terms: Sequence[Term], count: int | None, seed: int, ranks: Ranks = ALONE
) -> Generator[tuple[int, int], None, Candidates]:
    count = max(LEAST_CANDIDATES, min(CANDIDATES, ENCODER_CALLS // model.encode_nfe)) if count is None else count
    if pack.labels is None:
        raise UsageError("the images have no attributes or classes; give a data set that has labels")
    labels = torch.from_numpy(np.array(pack.labels))
    known = labels.float() if labels.ndim > 1 else torch.nn.functional.one_hot(labels.long(), len(pack.classes)).float()
    chosen = np.sort(_some(known, terms, count, np.random.default_rng(seed).permutation(len(pack))))
    content = pictures_key(model)
    key = content and ["encoded", content, pack.fingerprint, chosen.tolist()]
    parts = [chosen[start : start + _BATCH] for start in range(0, len(chosen), _BATCH)]
    steps = batch_steps(parts, lambda part: encode_images(model, [from_uint8(pack.rows(part))]), ranks)
    latents = yield from kept_steps(key, len(chosen), steps, ranks)
    return Candidates(latents, known[chosen], torch.from_numpy(chosen), source="image")


def _some(labels: Tensor, terms: Sequence[Term], count: int, order: Indices) -> Indices:
    """At most `count` indices of images with these labels (n k), first in `order`, balanced over the terms."""
    share = count // (len(terms) + 1)
    places = torch.from_numpy(order)
    first = [places[_shows(labels[places], term.wanted, 0.5)][:share] for term in terms]
    return np.array(list(dict.fromkeys(torch.cat([*first, places]).tolist()))[:count])


def candidates(
    model: Space,
    pack: Labelled,
    *,
    reader: ReadsAttributes,
    terms: Sequence[Term] = (),
    count: int | None = None,
    seed: int = 0,
    ranks: Ranks = ALONE,
) -> Candidates:
    """A model's candidates: encoded labelled images where it has an encoder, otherwise its classified samples.

    They are shared out over the processes `ranks`, all of which get them.
    """
    return finished(candidate_steps(model, pack, reader=reader, terms=terms, count=count, seed=seed, ranks=ranks))


def candidate_steps(
    model: Space,
    pack: Labelled,
    *,
    reader: ReadsAttributes | None,
    terms: Sequence[Term] = (),
    count: int | None = None,
    seed: int = 0,
    ranks: Ranks = ALONE,
) -> Generator[tuple[int, int], None, Candidates]:
    """As `candidates`, batch by batch: yields how many there are, and of how many. An encoder needs no `reader`."""
    if isinstance(model, Encoder):
        return _encoded(model, pack, terms, count, seed, ranks)
    if reader is None:
        raise UsageError("samples have no labels; give a classifier that reads their attributes")
    return _sampled(model, reader, range(seed, seed + (CANDIDATES if count is None else count)), ranks)


def choose_examples(
    terms: Sequence[Term],
    among: Candidates,
    *,
    count: int,
    seed: int = 0,
    balance: bool = True,
    confidence: float = 0.9,
) -> list[Tensor]:
    """For each term, the indices (count) of random candidates with its attributes.

    With `balance` the i-th examples of subtracted terms are matched: they differ in the named attributes alone, and
    the others cancel. The base term of the result is not matched: men matched to women would look like women.
    `UsageError` for a term that matches nothing.
    """
    random = torch.Generator().manual_seed(seed)
    pools = [_pool(term, among, confidence) for term in terms]
    paired = _paired(terms) if balance else []
    named = {index for place in paired for index in terms[place].wanted}
    others = [index for index in range(among.labels.shape[1]) if index not in named]
    if not paired or not others:
        return [_draw(pool, count, random) for pool in pools]
    found = dict(zip(paired, _alike([pools[place] for place in paired], among.labels[:, others], count, random)))
    return [found[place] if place in found else _draw(pool, count, random) for place, pool in enumerate(pools)]


def _paired(terms: Sequence[Term]) -> list[int]:
    """The places of the terms whose weights come to zero, once the one that the result starts from is left out."""
    start = base(terms)
    rest = [place for place in range(len(terms)) if place != start]
    if len(rest) > 1 and abs(sum(terms[place].weight for place in rest)) < 1e-6:
        return rest
    return list(range(len(terms))) if len(terms) > 1 else []


def _alike(pools: list[Tensor], others: Tensor, count: int, random: torch.Generator) -> list[Tensor]:
    """Choices (count) from each pool of candidates, the i-th of all alike in the other attributes (m k)."""
    anchors, found = _counterparts([others[pool].round() for pool in pools], count, random)
    return [*(pool[at] for pool, at in zip(pools, found)), pools[-1][anchors]]


def _counterparts(profiles: list[Tensor], count: int, random: torch.Generator) -> tuple[Tensor, list[Tensor]]:
    """Places in the last pool (count) and their counterparts in each other pool, alike in profile (m k each)."""
    tried = _draw(torch.arange(len(profiles[-1])), 4 * count, random)
    apart = [torch.cdist(profiles[-1][tried], profile, p=1) for profile in profiles[:-1]]
    mismatch = torch.stack([distance.min(1).values for distance in apart]).sum(0)
    kept = mismatch.argsort(stable=True)[:count]  # in random order among equals
    return tried[kept], [_nearest(distance[kept], random) for distance in apart]


def _nearest(apart: Tensor, random: torch.Generator) -> Tensor:
    """For each row of distances (n m) the nearest column, at random among equals, one column as rarely as possible."""
    noise = torch.rand(apart.shape[1], generator=random) * 0.5
    used = torch.zeros(apart.shape[1])
    nearest = []
    for row in apart:
        at = int((row + noise + used).argmin())
        # Half a mismatch: a second use is better than a counterpart that differs, worse than a fresh one that does not.
        used[at] += 0.5
        nearest.append(at)
    return torch.tensor(nearest)


def _pool(term: Term, among: Candidates, confidence: float) -> Tensor:
    pool = among.matching(term.wanted, confidence)
    if not len(pool):
        raise UsageError(
            f"none of {len(among)} {'samples is classified' if among.source == 'seed' else 'images is labelled'} "
            f"as {term.text!r}; choose attributes that occur in the data, or more candidates"
        )
    return pool


def _draw(pool: Tensor, count: int, random: torch.Generator) -> Tensor:
    """`count` of the pool in random order, each as rarely as possible."""
    rounds = math.ceil(count / len(pool))
    return torch.cat([pool[torch.randperm(len(pool), generator=random)] for _ in range(rounds)])[:count]
