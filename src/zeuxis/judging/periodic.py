"""Periodic evaluation during training: FID and KID only, cheap enough to repeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zeuxis.judging.measurements import Measurements
from zeuxis.judging.reference import ReferenceImages
from zeuxis.judging.samples import sample_features
from zeuxis.judging.translation import PairedTestSet, pair_batches, share_of, translating
from zeuxis.metrics import distances
from zeuxis.metrics.features import Extractor, pack_features
from zeuxis.model import Latent, Model, Translator
from zeuxis.runtime.callbacks import StageCallback, in_stage
from zeuxis.runtime.ranks import ALONE, Ranks
from zeuxis.scores import Score


@dataclass(frozen=True)
class PeriodicEvaluation:
    """A feature network, and the features (n d) of the reference images."""

    extractor: Extractor
    reference: Tensor
    pairs: PairedTestSet | None = None  # whose sources a model translates
    real: float | None = None  # the FID of as many training images

    @classmethod
    def of_samples(
        cls, images: ReferenceImages, extractor: Extractor, *, progress: StageCallback
    ) -> PeriodicEvaluation:
        """For a latent model: its samples are compared with the reference."""
        listening = in_stage(progress, "features of real images")
        reference = pack_features(extractor, images.reference_pack, images.reference, progress=listening)
        listening = in_stage(progress, "features of training images")
        baseline = pack_features(extractor, images.training, images.train_baseline, progress=listening)
        return cls(extractor, reference, real=distances.frechet(reference, baseline))

    @classmethod
    def of_translations(cls, pairs: PairedTestSet, extractor: Extractor) -> PeriodicEvaluation:
        """For a translator: its translations of the sources are compared with the targets."""
        targets = (target for _, target in pair_batches(pairs.test, share_of(pairs.test, ALONE)))
        return cls(extractor, torch.cat([extractor(target) for target in targets]), pairs)

    @property
    def name(self) -> str:
        """The name of the score that selects the best model; lower is better."""
        return f"evaluation/FID[{self.extractor.name}]"

    def scores(self, model: Model, ranks: Ranks = ALONE) -> dict[str, float]:
        """FID and KID of as many samples as there are real images, of the seeds from 0 on, or of the translations.

        Each with the ends of its 95 % interval (`low`, `high`), FID with that of training images (`real`). Empty for a
        model of another kind, or where features are not finite. Samples are shared out over the processes `ranks`, all
        of which get the scores.
        """
        made = self._features(model, ranks)
        if made is None:
            return {}
        if not bool(made.isfinite().all()):
            return {}  # training itself will say so, and where
        fid, kid = distances.fid(self.reference, made), distances.kid(self.reference, made)
        real = {} if self.real is None else {f"{self.name} real": self.real}
        return {**_with_ends(self.name, fid), **real, **_with_ends(f"evaluation/KID[{self.extractor.name}]", kid)}

    def best(self, rows: Sequence[Mapping[str, Any]], *, before: int) -> float | None:
        """The lowest FID in the rows of steps before this one; None where there is none."""
        found = [row[self.name] for row in rows if row.get(self.name) is not None and row.get("step", 0) < before]
        return min(found, default=None)

    def _features(self, model: Model, ranks: Ranks) -> Tensor | None:
        """Features (n d) of the model's samples or translations."""
        if isinstance(model, Translator) and self.pairs is not None:
            mine, made = share_of(self.pairs.test, ranks), Measurements()
            translate = translating(model, seen=mine.start)
            for source, _ in pair_batches(self.pairs.test, mine):
                made.add(self.extractor(translate(source)), {})
            return torch.cat(made.gathered(ranks).features)
        if not isinstance(model, Latent):
            return None
        return sample_features(model, self.extractor, len(self.reference), ranks=ranks)


def describe_scores(scores: Mapping[str, float]) -> str:
    """The scores as text for a line of the log, each with its interval."""
    found = {name: value for name, value in scores.items() if name.endswith("]")}
    return ", ".join(f"{name.partition('/')[2]} {value:.4g}{_interval(name, scores)}" for name, value in found.items())


def _interval(name: str, scores: Mapping[str, float]) -> str:
    low, high = scores.get(f"{name} low"), scores.get(f"{name} high")
    return "" if low is None or high is None else f" ({low:.4g} to {high:.4g})"


def _with_ends(name: str, score: Score) -> dict[str, float]:
    return {name: score.value, f"{name} low": score.low, f"{name} high": score.high}
