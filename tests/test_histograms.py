"""The discriminator's answers to each image are recorded as histograms, of every family that has one and of no other."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from test_conformance import build
from zeuxis.errors import UsageError
from zeuxis.model import Clock
from zeuxis.storage import RunFolder
from zeuxis.testing.case import NoiseImages
from zeuxis.training import histograms
from zeuxis.training.engine import Values, train, train_step

BOTH = {f"discriminator/prob_{kind}" for kind in ("real", "fake")}
CRITIC = {f"critic/score_{kind}" for kind in ("real", "fake")}
TWO = {f"discriminators/prob_{kind} {name}" for kind in ("real", "fake") for name in ("image", "source")}
RECORDED: dict[str, set[str]] = {
    "gan": BOTH,
    "dcgan": BOTH,
    "progan": BOTH,
    "stylegan2": BOTH,
    "pix2pix": BOTH,
    "srgan": BOTH,
    "cyclegan": TWO,
    "wgan": CRITIC,
    "wgan_gp": CRITIC,
    "vae": set(),
    "rbm": set(),
    "diffusion": set(),
}


def recorded(name: str, **options: Any) -> dict[str, Any]:
    """The histograms of a family's third step, of eight images."""
    model = build(name, **options)
    for progress in train(model, NoiseImages(model), steps=3, batch_size=8, seed=0, micro_batches=2):
        state = progress.state
        assert all(value.ndim == 0 for value in progress.report.values())
    return histograms.of(state.values)


@pytest.mark.parametrize("name", RECORDED)
def test_counts_are_those_of_the_batch(name: str) -> None:
    found = recorded(name)
    assert found.keys() == RECORDED[name]
    assert histograms.checked_rows(json.loads(json.dumps(found))) == found
    for term, row in found.items():
        patches, left = divmod(sum(row["counts"]), 8)
        assert left == 0 and (patches == 1 or name in ("pix2pix", "cyclegan")), (term, row)
        if "prob_" in term:
            assert (row["low"], row["high"]) == (0.0, 1.0)


def test_a_critic_of_progan_has_no_probabilities() -> None:
    found = recorded("progan", loss="wgan-gp")
    assert found.keys() == CRITIC
    real, fake = found["critic/score_real"], found["critic/score_fake"]
    assert (real["low"], real["high"]) == (fake["low"], fake["high"])  # one axis for both
    counts = [real["counts"], fake["counts"]]
    assert any(row[0] for row in counts) and any(row[-1] for row in counts)  # the range is that of the scores


def test_the_report_has_the_mean_of_the_values() -> None:
    model, values = build("dcgan"), Values()
    report = train_step(model, model.optimizers(), NoiseImages(model).batch(0, 8), Clock(), values=values)
    (answers,) = values["discriminator/prob_real"]
    assert len(answers) == 8 and not answers.requires_grad
    assert report["discriminator/prob_real"].item() == answers.mean().item()


def test_ranges() -> None:
    inf = math.inf
    values = {
        "d/prob_real": [torch.tensor([0.0, 0.5, 1.0]), torch.tensor([[1.5, -2.0], [math.nan, 0.99]])],
        "c/score_real": [torch.tensor([-3.0, inf, 1.0])],
        "c/score_fake": [torch.tensor([5.0, -inf])],
        "e/score": [torch.full((4,), 7.0)],
        "f/score": [torch.tensor([math.nan])],
        "g/score": [torch.tensor([-3e38, 3e38])],
    }
    found = histograms.of(values)
    assert found.keys() == values.keys() - {"f/score"}
    real = found["d/prob_real"]
    assert (real["low"], real["high"], sum(real["counts"])) == (0.0, 1.0, 6)
    assert (real["counts"][0], real["counts"][20], real["counts"][-1]) == (2, 1, 3)
    assert [(found[name]["low"], found[name]["high"]) for name in ("c/score_real", "c/score_fake")] == [(-3.0, 5.0)] * 2
    assert (found["e/score"]["low"], found["e/score"]["high"]) == (6.5, 7.5)
    assert sum(found["g/score"]["counts"]) == 2
    assert histograms.of({}) == {}


ROW = {"low": 0.0, "high": 1.0, "counts": [0] * histograms.BINS}


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {"a": None},
        {"a": {**ROW, "low": 0}},
        {"a": {**ROW, "low": 1.0}},
        {"a": {**ROW, "high": math.nan}},
        {"a": {**ROW, "counts": [0]}},
        {"a": {**ROW, "counts": [0.5] * histograms.BINS}},
        {"a": {**ROW, "counts": [-1] * histograms.BINS}},
        {"a": {**ROW, "counts": [True] * histograms.BINS}},
        {"a": {**ROW, "more": 1}},
        {str(i): ROW for i in range(1000)},
    ],
)
def test_other_things_are_no_histograms(value: Any) -> None:
    assert histograms.checked_rows({"a": ROW}) == {"a": ROW}
    with pytest.raises(ValueError, match="histograms is"):
        histograms.checked_rows(value)


def test_rows_are_appended_and_truncated_beside_those_of_metrics(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, "a", {})
    for step in (1, 2, 5):
        run.append_histograms({"step": step, "d/prob_real": ROW})
        run.append_metrics({"step": step})
    path = run.path / "histograms.jsonl"
    with path.open("a") as file:
        file.write('{"step": 6, "d/prob_')
    run.truncate_metrics(2)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2]
    assert [row["step"] for row in run.metrics()] == [1, 2]


def test_a_link_in_its_place_is_not_written_through(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "runs", "a", {})
    (tmp_path / "mine").write_text("mine")
    (run.path / "histograms.jsonl").symlink_to(tmp_path / "mine")
    with pytest.raises(UsageError, match="symbolic link"):
        run.append_histograms({"step": 1})
    (run.path / "histograms.jsonl").unlink()
    (run.path / "histograms.jsonl").hardlink_to(tmp_path / "mine")
    with pytest.raises(UsageError, match="hard link"):
        RunFolder.open(run.path)
    assert (tmp_path / "mine").read_text() == "mine"
