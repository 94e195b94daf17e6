"""Exploring latent space: paths between latents, arithmetic with attributes, and the figures that show them."""

from zeuxis.explore.arithmetic import (
    ArithmeticScore,
    Outcome,
    Pictures,
    from_seeds,
    latent_arithmetic,
    pictures,
    score_arithmetic,
)
from zeuxis.explore.atlas import atlas_latents, corners_at, place_of, seed_at
from zeuxis.explore.candidates import Candidates, ReadsAttributes, candidates, encoded, reencoded, sampled
from zeuxis.explore.equation import Equation, solve_equation
from zeuxis.explore.examples import examples, is_picture
from zeuxis.explore.expression import Term, Vocabulary, parse_terms, target, vocabulary
from zeuxis.explore.figures import arithmetic_figure, interpolation_figure, mixing_figure, path_strip
from zeuxis.explore.inversion import invert_by_descent
from zeuxis.explore.mixing import LayerGroup, mix_styles, mixed, third
from zeuxis.explore.paths import PathKind, interpolate_latents, linear, loop, slerp
from zeuxis.explore.spaces import Space, SpaceName, StyleSpace, path_in

__all__ = [
    "ArithmeticScore",
    "Candidates",
    "Equation",
    "LayerGroup",
    "Outcome",
    "PathKind",
    "Pictures",
    "ReadsAttributes",
    "Space",
    "SpaceName",
    "StyleSpace",
    "Term",
    "Vocabulary",
    "arithmetic_figure",
    "atlas_latents",
    "candidates",
    "corners_at",
    "encoded",
    "examples",
    "from_seeds",
    "interpolate_latents",
    "interpolation_figure",
    "invert_by_descent",
    "is_picture",
    "latent_arithmetic",
    "linear",
    "loop",
    "mix_styles",
    "mixed",
    "mixing_figure",
    "parse_terms",
    "path_in",
    "path_strip",
    "pictures",
    "place_of",
    "reencoded",
    "sampled",
    "score_arithmetic",
    "seed_at",
    "slerp",
    "solve_equation",
    "target",
    "third",
    "vocabulary",
]
