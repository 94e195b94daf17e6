"""Scores of a model as it is trained: the two distances alone, quick enough to be asked often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zeuxis.judging.reference import Sets
from zeuxis.judging.report import Progress
from zeuxis.judging.translation import Trial, batches, by
from zeuxis.metrics import distances
from zeuxis.metrics.features import Extractor, pack_features
from zeuxis.model import Latent, Model, Translator


@dataclass(frozen=True)
class Watch:
    """A feature network, and the features (n d) of the real images that samples are compared with."""

    extractor: Extractor
    reference: Tensor
    trial: Trial | None = None  # what a model that translates is given

    @property
    def name(self) -> str:
        """The score by which one model is better than another: the lower."""
        return f"evaluation/FID[{self.extractor.name}]"

    def scores(self, model: Model) -> dict[str, float]:
        """FID and KID of as many samples as there are real images, of the seeds from 0; of some models there are none.

        Of a model that translates: of what it makes of the sources that belong to the real images.
        """
        samples = self._made(model)
        if samples is None:
            return {}
        if not bool(samples.isfinite().all()):
            return {}  # training itself will say so, and where
        kid = distances.kid(self.reference, samples).value
        return {self.name: distances.frechet(self.reference, samples), f"evaluation/KID[{self.extractor.name}]": kid}

    def _made(self, model: Model) -> Tensor | None:
        """Features (n d) of what a model makes."""
        if isinstance(model, Translator) and self.trial is not None:
            make = by(model)
            return torch.cat([self.extractor(make(given)) for given, _ in batches(self.trial.judge)])
        if not isinstance(model, Latent):
            return None
        count, batch = len(self.reference), self.extractor.batch
        starts = range(0, count, batch)
        return torch.cat([self.extractor(model.sample(min(batch, count - start), seed=start)) for start in starts])

    def best(self, rows: Sequence[Mapping[str, Any]], *, before: int) -> float | None:
        """The lowest FID in the rows of steps before this one; None where there is none."""
        found = [row[self.name] for row in rows if row.get(self.name) is not None and row.get("step", 0) < before]
        return min(found, default=None)


def describe(scores: Mapping[str, float]) -> str:
    """The scores in words, for a line of the log."""
    return ", ".join(f"{name.partition('/')[2]} {value:.4g}" for name, value in scores.items())


def watch(sets: Sets, extractor: Extractor, *, progress: Progress) -> Watch:
    """What is needed to score a model against the reference again and again."""
    return Watch(
        extractor,
        pack_features(extractor, sets.judge, sets.reference, progress=lambda *at: progress("features", *at)),
    )


def watch_translations(trial: Trial, extractor: Extractor) -> Watch:
    """What is needed to score what a model makes of the sources against the truths again and again."""
    return Watch(extractor, torch.cat([extractor(truth) for _, truth in batches(trial.judge)]), trial)
