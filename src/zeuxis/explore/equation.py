"""The result of latent arithmetic, and its figure."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from zeuxis.data import Pack
from zeuxis.explore.arithmetic import ArithmeticScore, Outcome, Pictures, latent_arithmetic, pictures, score_arithmetic
from zeuxis.explore.candidates import ReadsAttributes, candidates
from zeuxis.explore.expression import parse_terms, vocabulary
from zeuxis.explore.figures import arithmetic_figure
from zeuxis.explore.spaces import Space
from zeuxis.io.pictures import Figure
from zeuxis.runtime.ranks import ALONE, Ranks


@dataclass(frozen=True, eq=False, repr=False)
class Equation(Figure):
    """The result of arithmetic: latents (`outcome`), images (`pictures`), and success rate (`score`, if requested)."""

    outcome: Outcome
    pictures: Pictures
    score: ArithmeticScore | None = None

    def __repr__(self) -> str:
        signs = {1.0: "+ ", -1.0: "- "}
        terms = [signs.get(pick.weight, f"{pick.weight:+g} ") + pick.text for pick in self.outcome.picks]
        return f"Equation: {' '.join(terms).removeprefix('+ ')}"

    def pil(self) -> Image.Image:
        """The figure: examples of each term above their average, and the neighbourhood of the result."""
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


def solve_equation(
    space: Space,
    expression: str,
    pack: Pack,
    reader: ReadsAttributes,
    *,
    average: int,
    seed: int,
    triples: int,
    length: float | None,
    ranks: Ranks = ALONE,
) -> Equation:
    """An expression of attributes, with so many examples per term; scored over `triples`, if any.

    The candidates are shared out over the processes `ranks`.
    """
    words = vocabulary(pack.attributes, pack.classes)
    terms = parse_terms(expression, words)
    among = candidates(space, pack, reader=reader, terms=terms, ranks=ranks)
    outcome = latent_arithmetic(space, terms, candidates=among, average=average, seed=seed, length=length)
    rated = None
    if triples:
        rated = score_arithmetic(
            space,
            terms,
            words=words,
            candidates=among,
            reader=reader,
            average=average,
            triples=triples,
            seed=seed,
            length=length,
        )
    return Equation(outcome, pictures(space, outcome), rated)
