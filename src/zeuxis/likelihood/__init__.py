"""How likely images are under a model: the capability of a family, and estimators that families share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from torch import Generator, Tensor

from zeuxis.runtime.callbacks import StageCallback, silent
from zeuxis.scores import Better, Score

__all__ = ["HasLikelihood", "LikelihoodScore", "Likelihoods", "StageCallback", "silent"]


class LikelihoodScore(NamedTuple):
    """An estimate or bound of the likelihood with its 95 % interval, and which direction is better ("": neither)."""

    score: Score
    better: Better = "higher"


Likelihoods = dict[str, LikelihoodScore]  # by names that end with the unit, such as "log-likelihood (nats/image)"


class HasLikelihood(ABC):
    """The capability of a model to score how likely images are; a family derives from it beside `Latent` or `Encoder`."""

    likelihood_images: ClassVar[int | None] = None  # how many images are scored at most; None: all

    @abstractmethod
    def likelihood_scores(self, images: Tensor, generator: Generator, progress: StageCallback = silent) -> Likelihoods:
        """Scores of 8-bit images (n c h w, in [-1, 1], on the CPU); all randomness comes from `generator`, on the CPU."""
