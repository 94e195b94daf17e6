"""Evaluation of samples: against real images, against training images, and by the model's other capabilities."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zeuxis.inference import prepared
from zeuxis.io.images import from_uint8
from zeuxis.judging import warnings
from zeuxis.judging.capability_scores import capability_rows
from zeuxis.judging.real_scores import RealScores, real_scores
from zeuxis.judging.reference import ReferenceImages, share_facts
from zeuxis.judging.report import ClosestPair, Evaluation, ScoreRow, about_model
from zeuxis.metrics import distances, neighbours
from zeuxis.metrics.features import Extractor, pack_features
from zeuxis.model import Latent
from zeuxis.runtime.callbacks import StageCallback, in_stage, silent
from zeuxis.runtime.ranks import ALONE, Ranks

ScoredCallback = Callable[[Evaluation], None]

CLOSEST = 10  # pairs in the picture of the samples nearest to a training image
FEW = 1000  # images below which precision, recall, density and coverage depend on their number


@dataclass(frozen=True)
class FeatureSets:
    """Features (n d each) of the samples, the reference, and all training images searched; the scores of real images."""

    samples: Tensor
    reference: Tensor
    searched: Tensor
    real: RealScores


def evaluate_samples(
    model: Latent,
    images: ReferenceImages,
    extractor: Extractor,
    *,
    seed: int = 0,
    path_length: bool = True,
    progress: StageCallback = silent,
    scored: ScoredCallback | None = None,
    ranks: Ranks = ALONE,
) -> Evaluation:
    """All scores of a model, from as many samples as the reference has images, of the seeds from `seed` on.

    `scored` is told the evaluation as far as it has come, after each part. The samples are shared out over the processes
    `ranks`, all of which get the scores. `DataError` where there are too few images, or features that are not finite.
    """
    features = _feature_sets(model, images, extractor, seed, progress, ranks)
    rows = _fidelity_rows(features, extractor.name, progress)
    memorization, found = _memorization_rows(features)
    warned, closest = _warnings(features, images, memorization), _closest_pairs(model, images, found, seed)
    about = about_model(model, _facts(features, images, extractor, seed))
    parts = capability_rows(model, images, extractor, seed=seed, path_length=path_length, progress=progress)
    for more in itertools.chain([memorization], parts):
        rows = [*rows, *more]
        if scored:
            scored(Evaluation(about, rows, warned, closest))
    return Evaluation(about, rows, warned, closest)


def _facts(features: FeatureSets, images: ReferenceImages, extractor: Extractor, seed: int) -> dict[str, Any]:
    return {
        "against": images.describe(),
        "data": images.training.name,
        "held_out": images.held_out is not None,
        "samples": len(features.samples),
        "first_seed": seed,
        "features": extractor.name,
        "images_seen": extractor.sees,
        "dimensions": features.samples.shape[1],
        "training_images": len(images.training),
        "searched_for_copies": len(images.searched),
        **share_facts(images.hold_out),
    }


def sample_features(
    model: Latent,
    extractor: Extractor,
    count: int,
    *,
    seed: int = 0,
    progress: StageCallback = silent,
    ranks: Ranks = ALONE,
) -> Tensor:
    """Features (count d) of samples of the seeds `seed ... seed + count - 1`, shared out over the processes."""
    starts = range(0, count, extractor.batch)
    share = ranks.share(len(starts))
    mine = starts[share.start : share.stop]
    parts = []
    for done, start in enumerate(mine, 1):
        parts.append(extractor(model.sample(min(extractor.batch, count - start), seed=seed + start)))
        progress("samples", min(done * len(starts) // len(mine) * extractor.batch, count), count)
    own = torch.cat(parts) if parts else torch.empty(0)
    return ranks.joined(own, count, mine.start)


def _feature_sets(
    model: Latent, images: ReferenceImages, extractor: Extractor, seed: int, progress: StageCallback, ranks: Ranks
) -> FeatureSets:
    with ranks.one_then_the_others():
        listening = in_stage(progress, "features of real images")
        reference = pack_features(extractor, images.reference_pack, images.reference, progress=listening)
        listening = in_stage(progress, "features of training images")
        searched = pack_features(extractor, images.training, images.searched, progress=listening)
        baseline = searched[np.searchsorted(images.searched, images.train_baseline)]
        real = real_scores(reference, baseline, searched, held_out=images.held_out is not None, progress=progress)
    drawn = functools.partial(sample_features, prepared(model), extractor, len(images.reference), seed=seed)
    samples = drawn(progress=progress, ranks=ranks)
    return FeatureSets(samples, reference, searched, real)


def _fidelity_rows(features: FeatureSets, name: str, progress: StageCallback) -> list[ScoreRow]:
    """Scores of the samples against the reference, beside those of training images."""
    reference, samples, real = features.reference, features.samples, features.real
    progress("distances", 0, 3)
    fid = ScoreRow(f"FID[{name}]", distances.fid(reference, samples), real.of_baseline("FID"), "lower")
    progress("distances", 1, 3)
    kid = distances.kid(reference, samples, of_real=distances.KernelSums(real.pairs, real.own))
    rows = [fid, ScoreRow(f"KID[{name}]", kid, real.of_baseline("KID"), "lower")]
    progress("distances", 2, 3)
    fake = neighbours.fidelity(neighbours.Manifold(reference, real.radii), neighbours.manifold(samples))
    for word, score in zip(fake._fields, fake):
        rows.append(ScoreRow(f"{word}[{name}]", score, real.of_baseline(word), "higher"))
    progress("distances", 3, 3)
    return rows


def _memorization_rows(features: FeatureSets) -> tuple[list[ScoreRow], neighbours.Nearest]:
    """Nearest-neighbour distances of samples to training images, beside those of held-out images."""
    found = neighbours.nearest(features.samples, features.searched)
    memorization = neighbours.memorization(found.distance, features.real.unseen)
    rows = [
        ScoreRow("distance to nearest training image", memorization.samples, memorization.held_out.value),
        ScoreRow("memorization rate", memorization.rate, 0.01, "lower"),
    ]
    return rows, found


def _closest_pairs(model: Latent, images: ReferenceImages, found: neighbours.Nearest, seed: int) -> list[ClosestPair]:
    pairs = []
    for i in map(int, found.distance.argsort()[:CLOSEST]):
        training = from_uint8(images.training.rows(images.searched[[int(found.place[i])]]))[0]
        sample = prepared(model).sample(1, seed=seed + i)[0].float().cpu()
        pairs.append(ClosestPair(sample, training, float(found.distance[i])))
    return pairs


def _warnings(features: FeatureSets, images: ReferenceImages, memorization: list[ScoreRow]) -> list[str]:
    count, dimensions = features.samples.shape
    found = warnings.few_for_fid(count, dimensions)
    if count < FEW:
        found.append(f"precision, recall, density and coverage of {count:,} images depend on their number; use more")
    if images.held_out is None:
        found.append(warnings.NOTHING_HELD_OUT)
    if len(images.searched) < len(images.training):
        searched, all_of_them = f"{len(images.searched):,}", f"{len(images.training):,}"
        found.append(f"only {searched} of {all_of_them} training images were searched for memorized ones")
    rate = memorization[1].score
    if rate.low > 0.02:
        found.append(
            f"{rate.value:.0%} of the samples are nearer to a training image than 99 % of held-out images are: "
            "the model may memorize its training images; inspect the closest pairs"
        )
    return found
