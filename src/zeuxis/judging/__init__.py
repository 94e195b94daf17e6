"""Judging a model: its samples against real images, against its training images, and what its family can be asked more."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

import zeuxis
from zeuxis.io.images import from_uint8
from zeuxis.judging import abilities
from zeuxis.judging.report import Evaluation, Pair, Progress, Row
from zeuxis.judging.sets import Sets
from zeuxis.metrics import distances, neighbours
from zeuxis.metrics.features import Extractor, digest, pack_features
from zeuxis.model import Latent

GAN_LOSSES = 10  # samples in the picture of the closest
FEW = 1000  # images below which neighbours say little


@dataclass(frozen=True)
class Looks:
    """Features (n d each) of the samples, of the reference, of as many training images, and of all that are searched."""

    samples: Tensor
    reference: Tensor
    twin: Tensor
    searched: Tensor


def evaluate(
    model: Latent, sets: Sets, extractor: Extractor, *, seed: int = 0, progress: Progress | None = None
) -> Evaluation:
    """All that can be said of a model: as many samples as the reference has images, of the seeds from `seed`.

    `DataError` where there are too few images, or features that are not finite.
    """
    tell = progress or (lambda what, done, total: None)
    looks = _look(model, sets, extractor, seed, tell)
    rows = _fidelity(looks, extractor.name, tell)
    memory, found = _memory(looks, sets)
    closest = found.distance.argsort()[:GAN_LOSSES]
    real = from_uint8(sets.training.rows(sets.searched[found.place[closest].numpy()]))
    pairs = [Pair(_sample(model, seed + int(i)), each, float(found.distance[i])) for i, each in zip(closest, real)]
    more = abilities.rows(model, sets, extractor, seed=seed, tell=tell)
    about = {
        "model": model.family(),
        "weights": digest(model.state_dict()),
        "against": sets.describe(),
        "data": sets.training.name,
        "held_out": sets.held_out is not None,
        "samples": len(looks.samples),
        "first_seed": seed,
        "features": extractor.name,
        "images_seen": extractor.sees,
        "dimensions": looks.samples.shape[1],
        "training_images": len(sets.training),
        "searched_for_copies": len(sets.searched),
        "zeuxis": zeuxis.__version__,
    }
    return Evaluation(about, [*rows, *memory, *more], _warnings(looks, sets, memory), pairs)


def _look(model: Latent, sets: Sets, extractor: Extractor, seed: int, tell: Progress) -> Looks:
    reference = pack_features(
        extractor, sets.judge, sets.reference, progress=lambda *done: tell("features of real images", *done)
    )
    searched = pack_features(
        extractor, sets.training, sets.searched, progress=lambda *done: tell("features of training images", *done)
    )
    twin = searched[np.searchsorted(sets.searched, sets.twin)]
    parts, count, batch = [], len(sets.reference), extractor.batch
    for start in range(0, count, batch):
        parts.append(extractor(model.sample(min(batch, count - start), seed=seed + start)))
        tell("samples", min(start + batch, count), count)
    return Looks(torch.cat(parts), reference, twin, searched)


def _sample(model: Latent, seed: int) -> Tensor:
    return model.sample(1, seed=seed)[0].float().cpu()


def _fidelity(looks: Looks, name: str, tell: Progress) -> list[Row]:
    """The samples against the reference, and the twin against it too."""
    tell("distances", 0, 3)
    rows = [
        Row(
            f"FID[{name}]",
            distances.fid(looks.reference, looks.samples),
            distances.frechet(looks.reference, looks.twin),
            "lower",
        )
    ]
    tell("distances", 1, 3)
    kid, real_kid = (distances.kid(looks.reference, other) for other in (looks.samples, looks.twin))
    rows.append(Row(f"KID[{name}]", kid, real_kid.value, "lower"))
    tell("distances", 2, 3)
    real = neighbours.manifold(looks.reference)
    fake, twin = (neighbours.fidelity(real, neighbours.manifold(other)) for other in (looks.samples, looks.twin))
    rows += [Row(f"{word}[{name}]", getattr(fake, word), getattr(twin, word).value, "higher") for word in fake._fields]
    tell("distances", 3, 3)
    return rows


def _memory(looks: Looks, sets: Sets) -> tuple[list[Row], neighbours.Nearest]:
    """How near the samples are to training images, beside images that the model has not seen."""
    found = neighbours.nearest(looks.samples, looks.searched)
    if sets.held_out is not None:
        unseen = neighbours.nearest(looks.reference, looks.searched)
    else:
        unseen = neighbours.nearest(looks.searched, looks.searched, selves=True)
    memory = neighbours.memory(found.distance, unseen.distance)
    rows = [
        Row("distance to nearest training image", memory.samples, memory.held_out.value),
        Row("copies (share of samples)", memory.copies, 0.01, "lower"),
    ]
    return rows, found


def _warnings(looks: Looks, sets: Sets, memory: list[Row]) -> list[str]:
    count, dimensions = looks.samples.shape
    found = []
    if count < 2 * dimensions:
        found.append(
            f"{count:,} images are few for {dimensions:,} features: FID is too high by much, for real images too; "
            f"compare it only with that of as many images, or judge by more than {2 * dimensions:,}"
        )
    if count < FEW:
        found.append(
            f"precision, recall, density and coverage of {count:,} images depend on their number; judge by more"
        )
    if sets.held_out is None:
        found.append("nothing is held out, so no score tells a good model from one that learned its images by heart")
    if len(sets.searched) < len(sets.training):
        found.append(f"only {len(sets.searched):,} of {len(sets.training):,} training images were searched for copies")
    copies = memory[1].score
    if copies.low > 0.02:
        found.append(
            f"{copies.value:.0%} of the samples are nearer to a training image than 99 % of unseen images are: "
            "it may be learning by heart; look at the closest pairs"
        )
    return found
