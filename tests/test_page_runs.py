"""A run on the page: its files are read as they grow, in bounded parts, and what is odd in them harms nobody."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zeuxis.errors import UsageError
from zeuxis.io import files
from zeuxis.storage import RunFolder
from zeuxis.training.histograms import BINS
from zeuxis.training.settings import TrainSettings
from zeuxis.web import growing, run_files, runs
from zeuxis.web.growing import GrowingLines, Sheets, Thinned
from zeuxis.web.requests import BadRequest, Reply, Request
from zeuxis.web.run_files import RunFiles

SETTINGS = {**vars(TrainSettings(steps=100))}
CONFIG = {
    "family": "dcgan",
    "data": "zeuxis:digits",
    "options": {"lr": 0.1, "r1_gamma": 1.0},
    "settings": SETTINGS,
    "fingerprint": "",
    "images": 500,
    "versions": {},
}


def histogram(at: int, low: float = 0.0, high: float = 1.0) -> dict[str, Any]:
    return {"low": low, "high": high, "counts": [8 if i == at else 0 for i in range(BINS)]}


def sheet(run: RunFolder, step: int, kind: str = "samples", size: tuple[int, int] = (10, 10)) -> None:
    path = run.sheet_path(step, kind)
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", size, (step % 256, 0, 0)).save(path)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "runs", "a", CONFIG)


def answers(steps: Iterator[Any]) -> Iterator[Reply]:
    for step in steps:
        if isinstance(step, Reply):
            yield step
        elif step is not None:
            return


class Follower:
    """A client that follows a run, with its files looked at when it is asked to."""

    def __init__(self, run: RunFolder) -> None:
        served: Any = Hashable(run)
        self.steps = runs.answer_follow(served, None, Request("run.follow", 0, "run", {}))  # type: ignore[arg-type]

    def look(self) -> list[Reply]:
        return [*answers(self.steps)]


class Hashable:
    def __init__(self, run: RunFolder | None) -> None:
        self.run, self.name = run, "a"


def state(run: RunFolder) -> tuple[dict[str, Any], Any]:
    (reply,) = answers(runs.answer_state(Hashable(run), None, Request("run.state", 0, "run", {})))  # type: ignore[arg-type]
    json.dumps(reply.fields, allow_nan=False)
    return dict(reply.fields), reply.numbers


def one(operation: Any, run: RunFolder | None, **fields: Any) -> Reply:
    (reply,) = answers(operation(Hashable(run), None, Request("", 0, "run", fields)))
    json.dumps(reply.fields, allow_nan=False)
    return reply


def test_a_run_without_a_row(run: RunFolder) -> None:
    fields, numbers = state(run)
    assert fields["step"] == 0 and fields["sheets"] == {} and fields["warnings"] == [] and not fields["live"]
    assert fields["run"] == {"data": "digits", "images": 500, "steps": 100, "minutes": None}
    assert numbers.shape == (0, 0) and fields["left"] is None
    assert one(runs.answer_answers, run, step=5).fields == {"step": None, "histograms": {}}
    assert one(runs.answer_game, run).numbers.shape == (0, 0, BINS)  # type: ignore[union-attr]


def test_rows_sheets_and_answers(run: RunFolder) -> None:
    for step in (1, 2, 5):
        run.append_metrics(
            {"step": step, "images": 8 * step, "a/loss": step / 2, **({"b": math.nan} if step == 2 else {"b": 1})}
        )
        run.append_histograms(
            {"step": step, "images": 8 * step, "d/prob_real": histogram(step), "d/prob_fake": histogram(0)}
        )
    sheet(run, 5)
    sheet(run, 2)
    sheet(run, 5, "reconstructions")
    fields, numbers = state(run)
    assert (fields["names"], fields["steps"], fields["step"], fields["images"]) == (["a/loss", "b"], [1, 2, 5], 5, 40)
    assert np.array_equal(numbers, np.array([[0.5, 1], [1, math.nan], [2.5, 1]], np.float32), equal_nan=True)
    assert fields["sheets"] == {"samples": [2, 5], "reconstructions": [5]} and fields["answers"] == [1, 2, 5]
    for asked, found in ((0, 1), (1, 1), (4, 2), (99, 5)):
        told = one(runs.answer_answers, run, step=asked).fields
        assert told["step"] == found and told["histograms"]["d/prob_real"] == histogram(found)
    game = one(runs.answer_game, run)
    assert game.fields["steps"] == [1, 2, 5] and game.fields["names"] == ["d/prob_real", "d/prob_fake"]
    assert game.numbers.shape == (3, 2, BINS) and np.all(np.asarray(game.numbers).sum(2) == 1)  # type: ignore[union-attr]
    picture = one(runs.answer_sheet, run, step=5)
    assert picture.pictures.shape == (1, 10, 10, 3) and picture.pictures[0, 0, 0, 0] == 5  # type: ignore[union-attr,index]
    with pytest.raises(UsageError, match="no sheet 'samples' of step 3"):
        one(runs.answer_sheet, run, step=3)


def test_a_follower_is_told_what_is_new(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    follower = Follower(run)
    (first,) = follower.look()
    assert first.fields["steps"] == [] and follower.look() == []
    run.append_metrics({"step": 1, "images": 8, "a": 1.0})
    (second,) = follower.look()
    assert (second.fields["start"], second.fields["steps"]) == (0, [1])
    run.append_metrics({"step": 2, "images": 16, "a": 2.0, "late": 3.0})
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "images": 24, "a"')
    (third,) = follower.look()
    assert (third.fields["start"], third.fields["steps"], third.fields["names"]) == (1, [2], ["a", "late"])
    assert follower.look() == []
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write(": 4.0}\n")
    assert follower.look()[0].fields["steps"] == [3]
    sheet(run, 3)
    assert follower.look()[0].fields["sheets"] == {"samples": [3]}
    run.truncate_metrics(1)  # as a resume does
    run.append_metrics({"step": 2, "images": 16, "a": 5.0})
    (again,) = follower.look()
    assert (again.fields["start"], again.fields["steps"]) == (0, [1, 2]) and again.numbers[1, 0] == 5.0  # type: ignore[index]


def test_a_run_that_trains_is_live_and_is_told_again(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_files, "_STALE", 0.0)
    monkeypatch.setattr(runs, "_TOLD", 0.0)
    follower = Follower(run)
    assert not follower.look()[0].fields["live"]
    with run.lock():
        assert follower.look()[0].fields["live"]
        assert follower.look()[0].fields["live"]  # pace and time left change though no file does
    assert not follower.look()[0].fields["live"]
    assert follower.look() == []


def test_the_page_says_how_a_run_stands(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_files, "_STALE", 0.0)
    assert state(run)[0]["state"] == "stopped"
    run.append_metrics({"step": 60, "images": 480, "a": 1.0})
    for line, word in (
        ("began: x", "stopped"),
        ("done at step 60: x", "done"),  # of 100 steps, by its minutes
        ("resumed at step 60: x", "stopped"),
        ("failed: RuntimeError: x", "failed"),
    ):
        run.log(line)
        assert state(run)[0]["state"] == word
        with run.lock():
            assert state(run)[0]["state"] == "training"


def test_pace_and_time_left_come_from_the_log(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_files, "_STALE", 0.0)
    run.append_metrics({"step": 20, "images": 160, "a": 1.0})
    lines = ["11:59:00  resumed at step 0: x", "12:00:00  step 10  a 1", "nonsense", "12:00:05  step 20  a 1"]
    (run.path / "log.txt").write_text("".join(f"2026-01-01 {line}\n" for line in lines))
    with run.lock():
        fields, _ = state(run)
    assert fields["speed"] == pytest.approx(16.0)  # 10 steps of 8 images in 5 s
    assert fields["left"] == pytest.approx(80 * 8 / 16)
    (run.path / "log.txt").write_text("2026-13-99 99:99:99  step 10  a\n2026-01-01 12:00:00  step 20  a\n")
    assert state(run)[0]["speed"] is None


def test_warnings_of_the_newest_rows(run: RunFolder) -> None:
    for step in range(1, 7):
        answer = {"discriminator/prob_real": 0.99, "discriminator/prob_fake": 0.01}
        run.append_metrics({"step": step, "images": 10_000 * step, **answer})
    (warning,) = state(run)[0]["warnings"]
    assert warning.startswith("discriminator has won") and "--r1-gamma (now 1.0)" in warning


ODD_ROWS = [
    "[]",
    "null",
    "{",
    '{"step": 1}',
    '{"step": "1", "images": 8}',
    '{"step": -1, "images": 8}',
    '{"step": 1e3, "images": 8}',
    '{"step": 1, "images": 8, "a": [1]}',
    '{"step": 1, "images": 8, "a": "x"}',
    '{"step": 1, "images": 8, "a": true}',
    '{"step": 1, "images": 8, "a": NaN}',
    '{"step": 99999999999999, "images": 8}',
    '{"step": 1, "images": 8, "a": ' + "9" * 400 + "}",
    '{"step": 1, "step": 2, "images": 8}',
    "[" * 10_000,
    '{"step": 1, "images": 8, "a": ' + " " * growing.LONGEST + "1}",
    '{"step": 1, "images": 8, "a": ' + " " * (3 * growing.PART) + "1}",
    "\0" * 100,
    "",
]


@pytest.mark.parametrize("line", ODD_ROWS, ids=range(len(ODD_ROWS)))
def test_an_odd_row_is_passed_over(run: RunFolder, line: str) -> None:
    good = '{"step": %d, "images": 8, "a": 1.5}'
    text = "\n".join([good % 1, line, good % 2, ""])
    (run.path / "metrics.jsonl").write_text(text)
    (run.path / "histograms.jsonl").write_text(text)
    fields, numbers = state(run)
    assert fields["steps"] == [1, 2] and numbers.tolist() == [[1.5], [1.5]]
    assert one(runs.answer_answers, run, step=1).fields["histograms"] == {}
    one(runs.answer_game, run)


def test_a_huge_file_is_read_in_parts_and_thinned(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 50_000
    with (run.path / "metrics.jsonl").open("w") as file:
        for step in range(1, count + 1):
            score = f', "evaluation/FID[lite0]": {step}' if step % 10_000 == 0 else ""
            file.write(f'{{"step": {step}, "images": {8 * step}, "a/loss": {step / 2}{score}}}\n')
    read, sizes = GrowingLines._read, list[int]()
    monkeypatch.setattr(GrowingLines, "_read", lambda self: (sizes.append(len(found := read(self))), found)[1])
    files_of = RunFiles(run)
    steps = 0
    while files_of.read():
        steps += 1
    assert max(sizes) <= growing.PART and steps > 2
    rows = files_of.metrics.rows
    assert growing.MOST_ROWS / 2 < len(rows) <= growing.MOST_ROWS and rows[0]["step"] == 1
    assert rows[-1]["step"] > count - 64 and files_of.newest[-1]["step"] == count
    assert [row["step"] for row in files_of.evaluations.rows] == [
        10_000,
        20_000,
        30_000,
        40_000,
        50_000,
    ]  # all are kept


def test_thousands_of_names_are_not_taken_in(run: RunFolder) -> None:
    row = {"step": 1, "images": 8, **{f"n{i}": 1.0 for i in range(1000)}, "x" * 1000: 1.0}
    (run.path / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    fields, numbers = state(run)
    assert len(fields["names"]) == 96 == numbers.shape[1]


def test_followers_start_anew_where_rows_were_thinned(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    follower = Follower(run)
    follower.look()
    told: list[int] = []
    for part in range(5):
        with (run.path / "metrics.jsonl").open("a") as file:
            for step in range(1000 * part + 1, 1000 * part + 1001):
                file.write(f'{{"step": {step}, "images": {step}}}\n')
        for reply in follower.look():
            told[reply.fields["start"] :] = reply.fields["steps"]
        assert told == sorted(set(told)) and len(told) <= growing.MOST_ROWS
    assert told[0] == 1 and told[-1] > 4990


@pytest.mark.parametrize("name", ["metrics.jsonl", "histograms.jsonl", "log.txt", "samples", "config.yaml", ".lock"])
@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_nothing_leads_out_of_a_run(run: RunFolder, tmp_path: Path, name: str, kind: str) -> None:
    """Whoever made the run's folder: a link in it is an error or passed over, and a FIFO keeps nobody waiting."""
    secret = tmp_path / "secret"
    if name == "samples":
        secret.mkdir()
        Image.new("RGB", (4, 4)).save(secret / "00000005.png")
        (run.path / name).rmdir()
    else:
        secret.write_text('{"step": 7, "images": 7, "secret": 7}\n2026-01-01 00:00:00  step 7 x\n')
        (run.path / name).unlink(missing_ok=True)
    if kind == "link":
        (run.path / name).symlink_to(secret)
    else:
        os.mkfifo(run.path / name)
    with contextlib.suppress(UsageError):
        fields, _ = state(run)
        assert "secret" not in fields["names"] and fields["sheets"] == {} and fields["answers"] == []
        assert fields["speed"] is None and not fields["live"]
    with pytest.raises(UsageError):
        one(runs.answer_sheet, run, step=5)


def test_a_sheet_that_is_a_link_or_no_picture(run: RunFolder, tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "mine.png")
    run.sheet_path(5).symlink_to(tmp_path / "mine.png")
    run.sheet_path(6).write_bytes(b"no picture")
    run.sheet_path(7).write_bytes(b"\x89PNG\r\n\x1a\n")
    for step, reason in ((5, "symbolic link"), (6, "00000006.png"), (7, "00000007.png")):
        with pytest.raises(UsageError, match=reason):
            one(runs.answer_sheet, run, step=step)


def test_a_large_sheet_is_reduced(run: RunFolder) -> None:
    sheet(run, 5, size=(4000, 2000))
    reply = one(runs.answer_sheet, run, step=5)
    assert reply.pictures.shape == (1, 800, 1600, 3)  # type: ignore[union-attr]
    assert (reply.fields["width"], reply.fields["height"]) == (4000, 2000)


@pytest.mark.parametrize("kind", ["../samples", "checkpoints", "model", ".", "a/b", "samples\0", "ß", "con fig"])
def test_kinds_are_names_of_folders_with_sheets(run: RunFolder, kind: str) -> None:
    (run.path / "model").mkdir()
    for place in ("model", "checkpoints"):
        Image.new("RGB", (4, 4)).save(run.path / place / "00000005.png")
    assert Sheets(run.path).steps() == {}
    with pytest.raises(UsageError, match="no sheet"):
        one(runs.answer_sheet, run, step=5, kind=kind)


@pytest.mark.parametrize("operation", [runs.answer_sheet, runs.answer_answers])
@pytest.mark.parametrize("step", [None, -1, 1.0, "5", True, 10**13, [5], {}])
def test_a_step_is_a_whole_number(run: RunFolder, operation: Any, step: Any) -> None:
    with pytest.raises(BadRequest):
        one(operation, run, step=step)


def test_without_a_run() -> None:
    for operation in (runs.answer_state, runs.answer_sheet, runs.answer_answers, runs.answer_game):
        with pytest.raises(UsageError, match="comes from no run"):
            one(operation, None, step=5)


def test_a_run_whose_config_is_odd(run: RunFolder) -> None:
    for text in ("[]", "a: b", "settings: 5\nfamily: 7", "{" * 100, "\0"):
        (run.path / "config.yaml").write_text(text)
        fields, _ = state(run)
        assert fields["run"] is None and fields["left"] is None


def test_thinned_keeps_the_first_and_an_even_spread() -> None:
    thin: Thinned[int] = Thinned(8)
    for i in range(100):
        thin.add(i)
    gaps = np.diff(thin.rows)
    assert thin.rows[0] == 0 and len(set(gaps)) == 1 and len(thin.rows) <= 8 and thin.epoch == 4


def test_lines_of_a_file_that_is_replaced_begin_anew(tmp_path: Path) -> None:
    path = tmp_path / "f"
    lines = GrowingLines(path)
    assert lines.more() == []
    path.write_bytes(b"a\nb\nc")
    assert lines.more() == [(0, b"a"), (2, b"b")] and lines.more() == []
    files.write_file(path, b"a longer one\nd\n")
    assert lines.more() == [(0, b"a longer one"), (13, b"d")] and lines.begun == 2
    assert lines.at(13) == b"d\n"
    path.write_bytes(b"x\n")
    assert lines.more() == [(0, b"x")] and lines.begun == 3
