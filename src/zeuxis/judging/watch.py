"""Scores of a model as it is trained: the two distances alone, quick enough to be asked often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zeuxis.judging import Progress
from zeuxis.judging.sets import Sets
from zeuxis.metrics import distances
from zeuxis.metrics.features import Extractor, pack_features
from zeuxis.model import Latent, Model


@dataclass(frozen=True)
class Watch:
    """A feature network, and the features (n d) of the real images that samples are compared with."""

    extractor: Extractor
    reference: Tensor

    @property
    def name(self) -> str:
        """The score by which one model is better than another: the lower."""
        return f"evaluation/FID[{self.extractor.name}]"

    def scores(self, model: Model) -> dict[str, float]:
        """FID and KID of as many samples as there are real images, of the seeds from 0; of some models there are none."""
        if not isinstance(model, Latent):
            return {}
        count, batch = len(self.reference), self.extractor.batch
        starts = range(0, count, batch)
        parts = [self.extractor(model.sample(min(batch, count - start), seed=start)) for start in starts]
        samples = torch.cat(parts)
        if not bool(samples.isfinite().all()):
            return {}  # training itself will say so, and where
        kid = distances.kid(self.reference, samples).value
        return {self.name: distances.frechet(self.reference, samples), f"evaluation/KID[{self.extractor.name}]": kid}

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
