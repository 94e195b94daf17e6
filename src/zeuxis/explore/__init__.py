"""Exploring latent space: paths between latents, arithmetic with attributes, and the figures that show them."""

from zeuxis.explore.arithmetic import Outcome, Pictures, Score, arithmetic, by_hand, pictures, score
from zeuxis.explore.candidates import Candidates, Reader, candidates, encoded, reencoded, sampled
from zeuxis.explore.equation import Equation, solved
from zeuxis.explore.examples import examples, is_picture
from zeuxis.explore.expression import Term, Vocabulary, parse, target, vocabulary
from zeuxis.explore.figures import arithmetic_figure, interpolation_figure, mixing_figure, path_strip
from zeuxis.explore.inversion import invert
from zeuxis.explore.mixing import Layers, mix, mixed, third
from zeuxis.explore.paths import interpolate, linear, loop, slerp
from zeuxis.explore.spaces import Space, SpaceName, StyleSpace, path_in

__all__ = [
    "Candidates",
    "Equation",
    "Layers",
    "Outcome",
    "Pictures",
    "Reader",
    "Score",
    "Space",
    "SpaceName",
    "StyleSpace",
    "Term",
    "Vocabulary",
    "arithmetic",
    "arithmetic_figure",
    "by_hand",
    "candidates",
    "encoded",
    "examples",
    "interpolate",
    "interpolation_figure",
    "invert",
    "is_picture",
    "linear",
    "loop",
    "mix",
    "mixed",
    "mixing_figure",
    "parse",
    "path_in",
    "path_strip",
    "pictures",
    "reencoded",
    "sampled",
    "score",
    "slerp",
    "solved",
    "target",
    "third",
    "vocabulary",
]
