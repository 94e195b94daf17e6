"""Scores on the page: those of a run over time, its evaluation, and the training pictures nearest to a latent."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from page_client import floats, opened, serving
from test_page_runs import CONFIG, answers
from zeuxis.errors import UsageError
from zeuxis.families import find
from zeuxis.judging.reference import choose_reference
from zeuxis.metrics import extractors, features
from zeuxis.metrics.features import Extractor, pack_features
from zeuxis.metrics.neighbours import nearest, ranked
from zeuxis.storage import RunFolder
from zeuxis.web import evaluation
from zeuxis.web.requests import BadRequest, Request
from zeuxis.web.served import Served, open_served

COUNT = 50


class Eyes:
    """A feature network that counts what it sees."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        self.seen += len(values)
        return torch.nn.functional.adaptive_avg_pool2d(values, 4)[:, 0].flatten(1)


@pytest.fixture
def eyes(monkeypatch: pytest.MonkeyPatch) -> Eyes:
    found = Eyes()
    extractor = Extractor("eyes", f"eyes {id(found)}", lambda values: values, found)
    monkeypatch.setattr(extractors, "find_extractor", lambda name, *, device: extractor)
    return found


@pytest.fixture
def served(tmp_path: Path) -> Served:
    """A model in the folder of a run on fifty pictures."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(COUNT):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (16, 16, 3), np.uint8)).save(pictures / f"{i:02}.png")
    run = RunFolder.create(tmp_path / "runs", "a", {**CONFIG, "family": "gan", "data": str(pictures)})
    torch.manual_seed(0)
    find("gan")(size=16, channels=3, latent_dim=8, hidden_dim=8).save(run.model_path)
    return open_served(run.path, device="cpu")


def ask(operation: Any, served: Any, payload: bytes = b"", **fields: Any) -> Iterator[Any]:
    return answers(operation(served, None, Request("", 0, "lane", fields, payload)))


def report_of(served: Served) -> dict[str, Any]:
    (reply,) = ask(evaluation.answer_history, served)
    json.dumps(reply.fields, allow_nan=False)
    return dict(reply.fields)


def test_scores_over_time(served: Served) -> None:
    assert served.run
    assert report_of(served) == {"series": [], "report": None}
    name = "evaluation/FID[lite0]"
    for step in (10, 20, 30):
        ends = {f"{name} low": step - 1.0, f"{name} high": step + 1.0, f"{name} real": 4.0} if step > 10 else {}
        served.run.append_metrics({"step": step, "images": 8 * step, name: float(step), **ends})
        served.run.append_metrics({"step": step + 1, "images": 8 * step, "generator/loss": 1.0})
    (series,) = report_of(served)["series"]
    assert series["name"] == "FID[lite0]" and series["steps"] == [10, 20, 30] and series["values"] == [10, 20, 30]
    assert series["low"] == [None, 19, 29] and series["high"] == [None, 21, 31] and series["real"] == [None, 4, 4]


SCORE = {"name": "precision[lite0]", "value": 0.5, "low": 0.4, "high": 0.6, "real": 0.9, "better": "higher"}


def test_the_report_of_an_evaluation(served: Served) -> None:
    assert served.run
    about = {"model": "gan", "samples": 200, "against": "x", "odd": [1], "inf": 1.5}
    values = {"about": about, "scores": [SCORE, {**SCORE, "low": None}], "warnings": ["few"]}
    (served.run.path / "evaluation.json").write_text(json.dumps(values))
    report = report_of(served)["report"]
    assert report["scores"] == [SCORE, {**SCORE, "low": None}] and report["warnings"] == ["few"]
    assert report["in_words"] == []
    assert report["about"] == {"model": "gan", "samples": 200, "against": "x", "inf": 1.5}


@pytest.mark.parametrize(
    "text", ["", "[]", '{"scores": 1}', '{"about": {}, "scores": [{}], "warnings": []}', " " * (2 << 20)]
)
def test_an_odd_evaluation_is_none(served: Served, text: str) -> None:
    assert served.run
    (served.run.path / "evaluation.json").write_text(text)
    assert report_of(served)["report"] is None


def test_an_evaluation_that_is_a_link_is_none(served: Served, tmp_path: Path) -> None:
    assert served.run
    (tmp_path / "mine.json").write_text(json.dumps({"about": {}, "scores": [SCORE], "warnings": []}))
    (served.run.path / "evaluation.json").symlink_to(tmp_path / "mine.json")
    assert report_of(served)["report"] is None


def test_the_nearest_training_pictures(served: Served, eyes: Eyes) -> None:
    z = torch.randn(1, 8)
    *progress, found = ask(evaluation.answer_nearest, served, floats(z.numpy()), n=1)
    assert [reply.fields["done_of"] for reply in progress] == [[0, 0], [16, 50], [32, 50], [48, 50], [50, 50]]
    assert found.fields["searched"] == found.fields["images"] == COUNT and found.fields["features"] == "eyes"
    search = evaluation.training_features(served)
    own = search.extractor(served.drawn_by.decode(z))
    wanted = (search.features.double() - own.double()).norm(dim=1)  # type: ignore[union-attr]
    assert found.fields["distances"] == pytest.approx(wanted.sort().values[:6].tolist())
    assert np.array_equal(found.pictures, search.pack.rows(search.searched[wanted.argsort()[:6].numpy()]))
    seen = eyes.seen
    (again,) = list(ask(evaluation.answer_nearest, served, floats(z.numpy()), n=1))[1:]
    assert again.fields == found.fields and eyes.seen == seen + 1  # the features of the training pictures are kept


def test_two_who_ask_at_once_share_the_work(served: Served, eyes: Eyes) -> None:
    steps = [ask(evaluation.answer_nearest, served, floats(torch.randn(1, 8).numpy()), n=1) for _ in range(2)]
    found: list[Any] = []
    while steps:
        steps = [each for each in steps if (reply := next(each, None)) is not None and not found.append(reply)]  # type: ignore[func-returns-value]
    assert sum("distances" in reply.fields for reply in found) == 2
    assert eyes.seen == COUNT + 2


def test_who_fails_leaves_the_next_a_beginning(served: Served, eyes: Eyes, monkeypatch: pytest.MonkeyPatch) -> None:
    payload = floats(torch.randn(1, 8).numpy())

    def fails(values: torch.Tensor) -> torch.Tensor:
        raise UsageError("no features today")

    search = evaluation.training_features(served)
    with monkeypatch.context() as patch:
        patch.setattr(Extractor, "__call__", lambda self, images: fails(images))
        with pytest.raises(UsageError, match="no features today"):
            list(ask(evaluation.answer_nearest, served, payload, n=1))
    assert search.features is None
    *_, found = ask(evaluation.answer_nearest, served, payload, n=1)
    assert len(found.fields["distances"]) == 6


def test_features_are_those_that_evaluate_keeps(served: Served, eyes: Eyes) -> None:
    """The same pictures in the same order, so that the cache of one serves the other."""
    assert served.data
    chosen = choose_reference(served.data, count=25, size=16, channels=3)
    search = evaluation.training_features(served)
    assert np.array_equal(chosen.searched, search.searched)
    kept = pack_features(search.extractor, chosen.training, chosen.searched)
    seen = eyes.seen
    *_, found = ask(evaluation.answer_nearest, served, floats(torch.randn(1, 8).numpy()), n=1)
    assert eyes.seen == seen + 1 and torch.equal(search.features, kept) and found.pictures is not None  # type: ignore[arg-type]


def test_pictures_that_have_gone_are_said_in_a_sentence(served: Served, eyes: Eyes, tmp_path: Path) -> None:
    (tmp_path / "pictures").rename(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="pictures"):
        list(ask(evaluation.answer_nearest, served, floats(torch.randn(1, 8).numpy()), n=1))


@pytest.mark.parametrize("payload", [b"", b"x", floats([[0.0] * 7]), floats([[0.0] * 8] * 2), floats([[math.nan] * 8])])
def test_the_payload_is_one_latent(served: Served, payload: bytes) -> None:
    with pytest.raises(BadRequest):
        list(ask(evaluation.answer_nearest, served, payload))


def test_a_model_without_a_run_has_no_scores(tmp_path: Path) -> None:
    find("gan")(size=16, channels=3, latent_dim=8, hidden_dim=8).save(tmp_path / "model")
    alone = open_served(tmp_path / "model", device="cpu")
    with pytest.raises(UsageError, match="comes from no run"):
        list(ask(evaluation.answer_history, alone))
    with pytest.raises(UsageError, match="does not say what it was trained on"):
        list(ask(evaluation.answer_nearest, alone, floats([[0.0] * 8]), n=1))


def test_over_the_socket(served: Served, eyes: Eyes) -> None:
    with serving(served) as link, opened(link) as page:
        *progress, found = page.stream("evaluate.nearest", floats([[0.5] * 8]), lane="nearest", n=1)
        assert progress[-1].fields["done_of"] == [50, 50] and found.pictures.shape == (6, 16, 16, 3)
        assert page.ask("evaluate.history", lane="scores").fields["series"] == []
        stream = page.stream("run.follow", lane="run")
        assert next(stream).fields["step"] == 0
        assert served.run
        served.run.append_metrics({"step": 4, "images": 32, "a": 1.0})
        told = next(stream)
        assert told.fields["step"] == 4 and told.numbers.tolist() == [[1.0]] and not told.fields["done"]
        assert page.ask("run.state", lane="run").fields["steps"] == [4]  # a newer request in its lane ends the stream


def test_ranked_is_nearest_first() -> None:
    many = torch.randn(100, 8, generator=torch.Generator().manual_seed(0))
    found = ranked(many[3] + 0.01, many, count=5)
    assert found.place[0] == 3 == nearest(many[3:4] + 0.01, many).place[0]
    assert found.distance[0] == nearest(many[3:4] + 0.01, many).distance[0]
    assert (
        found.distance.tolist() == sorted(found.distance.tolist())
        and len(ranked(many[0], many[:2], count=5).place) == 2
    )


def test_features_in_steps_are_those_at_once(served: Served, eyes: Eyes) -> None:
    search = evaluation.training_features(served)
    steps = features.feature_steps(search.extractor, search.pack, search.searched)
    done: list[int] = []
    while True:
        try:
            done.append(next(steps))
        except StopIteration as end:
            stepped = end.value
            break
    told: list[tuple[int, int]] = []
    again = pack_features(search.extractor, search.pack, search.searched, progress=lambda *pair: told.append(pair))
    assert done == [16, 32, 48, 50] and torch.equal(stepped, again) and told == []  # the second came from the cache
