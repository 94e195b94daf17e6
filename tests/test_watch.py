"""Training that is scored as it goes: the rows have the scores, model/ the best, and a resumed run the same bits."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zeuxis import families, loading
from zeuxis.data import DataSpec
from zeuxis.errors import DataError
from zeuxis.judging.periodic import PeriodicEvaluation
from zeuxis.metrics import extractors
from zeuxis.metrics.features import Extractor
from zeuxis.runtime.progress import Lines
from zeuxis.runtime.ranks import Ranks
from zeuxis.storage import RunFolder
from zeuxis.training import runs
from zeuxis.training.settings import TrainSettings

OPTIONS = {"size": 8, "channels": 1, "hidden_dim": 8, "latent_dim": 4}
NAME = "evaluation/FID[eyes]"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Forty images, and a network that sees them in 16 numbers."""
    eyes = Extractor(
        "eyes", "eyes 1", lambda x: torch.nn.functional.adaptive_avg_pool2d(x, 4), lambda x: x[:, 0].flatten(1)
    )
    monkeypatch.setattr(extractors, "find_extractor", lambda name, *, device: eyes)
    rng = np.random.default_rng(0)
    folder = tmp_path / "data"
    folder.mkdir()
    for i in range(40):
        Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(folder / f"{i}.png")
    return str(folder)


def settings(out: Path, steps: int, every: int = 2) -> TrainSettings:
    return TrainSettings(
        steps=steps,
        batch_size=4,
        checkpoint_every=3,
        sample_every=100,
        log_every=4,
        evaluate_every=every,
        out=str(out),
        ema_half_life=10,
        threads=1,
    )


def train(out: Path, data: str, steps: int) -> RunFolder:
    told = Lines(io.StringIO())
    return RunFolder(
        runs.start(settings(out, steps), families.find("gan"), OPTIONS, data=DataSpec.parse(data), display=told)
    )


def test_model_is_the_best_and_rows_have_the_scores(tmp_path: Path, data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = iter([9.0, 5.0, 7.0, 5.0, 6.0])
    seen: list[dict[str, torch.Tensor]] = []

    def scores(self: PeriodicEvaluation, model: torch.nn.Module, ranks: Ranks) -> dict[str, float]:
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return {NAME: next(given)}

    monkeypatch.setattr(PeriodicEvaluation, "scores", scores)
    run = train(tmp_path / "runs", data, 10)
    rows = {row["step"]: row[NAME] for row in run.metrics() if NAME in row}
    assert rows == {2: 9.0, 4: 5.0, 6: 7.0, 8: 5.0, 10: 6.0}
    model = loading.load_model(run.path)
    kept = model.state_dict()
    assert all(torch.equal(value, seen[1][name]) for name, value in kept.items())
    assert any(not torch.equal(value, seen[3][name]) for name, value in kept.items())
    log = (run.path / "log.txt").read_text()
    assert log.count("the best so far") == 2 and "step 4: FID[eyes] 5, the best so far" in log
    checkpoint = run.load_checkpoint()
    assert checkpoint is not None and checkpoint.step == 10  # the last goes on from here


def test_a_resumed_run_is_scored_alike(tmp_path: Path, data: str) -> None:
    whole = train(tmp_path / "whole", data, 9)
    stopped = train(tmp_path / "stopped", data, 5)
    runs.resume_run(stopped.path, steps=9, display=Lines(io.StringIO()))
    rows = [[row for row in run.metrics() if NAME in row] for run in (whole, stopped)]
    assert rows[0] == rows[1] and len(rows[0]) == 4 and len({row[NAME] for row in rows[0]}) > 1
    assert all(row[f"{NAME} low"] < row[NAME] < row[f"{NAME} high"] for row in rows[0])
    assert len({row[f"{NAME} real"] for row in rows[0]}) == 1 and rows[0][0][f"{NAME} real"] < rows[0][0][NAME]
    log = (whole.path / "log.txt").read_text()
    assert re.search(r"step 8: FID\[eyes\] \S+ \(\S+ to \S+\), KID", log) and "] real" not in log
    models = [(run.path / "model" / "model.safetensors").read_bytes() for run in (whole, stopped)]
    assert models[0] == models[1]


def test_scores_change_no_bit_of_the_training(tmp_path: Path, data: str) -> None:
    told = Lines(io.StringIO())
    plain = runs.start(
        settings(tmp_path / "a", 6, every=0), families.find("gan"), OPTIONS, data=DataSpec.parse(data), display=told
    )
    scored = train(tmp_path / "b", data, 6).path
    weights = [(run / "checkpoints" / "step-00000006" / "average.safetensors") for run in (plain, scored)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert not any(NAME in row for row in RunFolder(plain).metrics())


def test_too_few_images_to_score_are_refused_before_there_is_a_run(tmp_path: Path, data: str) -> None:
    for path in sorted(Path(data).iterdir())[30:]:
        path.unlink()
    with pytest.raises(DataError, match="15 images to compare with"):
        train(tmp_path / "runs", data, 2)
    assert not list((tmp_path / "runs").glob("*-*"))
