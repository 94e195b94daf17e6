"""What `evaluate` says in words: on the study of photographs of food, where single numbers had praised dither."""

from __future__ import annotations

import pytest

from zeuxis.judging.report import Evaluation, ScoreRow
from zeuxis.judging.verdict import flattering, verdict
from zeuxis.scores import Score

ABOUT = {
    "samples": 271,
    "model": "dcgan",
    "against": "held out",
    "dimensions": 1280,
    "features": "lite0",
    "images_seen": "",
}


def rows(fid: float, precision: float, recall: float, memorized: float = 0.0, density: float = 1.39) -> list[ScoreRow]:
    def near(value: float) -> Score:
        return Score(value, value * 0.9, value * 1.1)

    return [
        ScoreRow("FID[lite0]", near(fid), 399.0, "lower"),
        ScoreRow("precision[lite0]", near(precision), 0.8, "higher"),
        ScoreRow("recall[lite0]", near(recall), 0.8, "higher"),
        ScoreRow("density[lite0]", near(density), 1.0, "higher"),
        ScoreRow("memorization rate", near(memorized), 0.01, "lower"),
    ]


def words(found: list[ScoreRow]) -> list[str]:
    return verdict({row.name: row for row in found})


@pytest.mark.parametrize(
    ("scores", "start"),
    [
        ((872, 0.76, 0.02), "textures or one kind"),
        ((692, 0.60, 0.24), "whole, but few kinds"),
        ((420, 0.78, 0.75), "near to real images"),
        ((900, 0.78, 0.75), "good and diverse, not yet"),
        ((700, 0.20, 0.60), "diverse, but not clean"),
        ((900, 0.20, 0.20), "some are good"),
        ((2000, 0.05, 0.01), "not yet images"),
    ],
)
def test_what_the_scores_say_together(scores: tuple[float, float, float], start: str) -> None:
    assert words(rows(*scores))[0].startswith(start)


def test_copies_are_named_whatever_else_is_good() -> None:
    said = words(rows(420, 0.78, 0.75, memorized=0.2))
    assert said[-1].startswith("learned by heart: 20% of the samples")
    assert len(words(rows(420, 0.78, 0.75, memorized=0.015))) == 1


def test_precision_and_density_never_look_good_alone() -> None:
    """In the table as in the words; beside a good recall they stand as they are."""
    crowded = Evaluation(ABOUT, rows(872, 0.76, 0.02))
    marked = [line.split()[0] for line in crowded.lines() if line.endswith("higher; see recall")]
    assert marked == ["precision[lite0]", "density[lite0]"]
    assert "in words: precision and density look good here" in "\n".join(crowded.lines())
    one = Evaluation(ABOUT, rows(872, 0.76, 0.02, density=0.2))
    assert "in words: precision looks good here" in "\n".join(one.lines())
    assert [line.split()[0] for line in one.lines() if "see recall" in line] == ["precision[lite0]"]
    good = Evaluation(ABOUT, rows(420, 0.78, 0.75))
    assert not flattering({row.name: row for row in good.rows}) and "see recall" not in "\n".join(good.lines())


def test_nothing_is_said_of_scores_without_real_images() -> None:
    found = [ScoreRow("PSNR (dB)", Score(20.0, 19.0, 21.0), None, "higher")]
    assert words(found) == [] and Evaluation(ABOUT, found).values()["in_words"] == []
