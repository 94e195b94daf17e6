"""What arithmetic with latents gave, and the lecture's figure of it."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from zeuxis.explore.arithmetic import Outcome, Pictures, Score
from zeuxis.explore.figures import arithmetic_figure


@dataclass(frozen=True)
class Equation:
    """What arithmetic gave: latents (`outcome`), images (`pictures`), and how often it works (`score`, if asked)."""

    outcome: Outcome
    pictures: Pictures
    score: Score | None = None

    def figure(self) -> Image.Image:
        """The lecture's figure: samples of each term, their average under them, the result's neighbourhood."""
        picks = self.outcome.picks
        titles, weights = [pick.text for pick in picks], [pick.weight for pick in picks]
        averaged = max(len(pick.origins) for pick in picks)
        shown = max(len(examples) for examples in self.pictures.examples)
        return arithmetic_figure(
            self.pictures.examples,
            self.pictures.averages,
            self.pictures.neighbourhood,
            titles=titles,
            weights=weights,
            average=averaged if averaged > shown else None,
        )
