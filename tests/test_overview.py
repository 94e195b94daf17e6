"""Runs at a glance: how each stands, the table, the curves that a run keeps; broken folders and runs under way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import zeuxis
from commandline import refused, typed
from zeuxis.errors import DivergedError, UsageError
from zeuxis.storage import RunFolder
from zeuxis.training import curves, standing
from zeuxis.training.log_file import log_lines, seconds_trained
from zeuxis.training.settings import TrainSettings
from zeuxis.training.standing import state_of

CONFIG = {
    "family": "dcgan",
    "data": "zeuxis:digits",
    "options": {"size": 16, "channels": 1, "lr": 0.1},
    "settings": {**vars(TrainSettings(steps=100))},
    "fingerprint": "",
    "images": 500,
    "versions": {},
}
FID = "evaluation/FID[lite0]"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


@pytest.fixture
def run(folder: Path) -> RunFolder:
    return RunFolder.create(folder, "a", CONFIG)


def row(run: RunFolder, step: int, **values: float) -> None:
    run.append_metrics({"step": step, "images": 8 * step, **{name.replace("__", "/"): v for name, v in values.items()}})


def write_log(run: RunFolder, *lines: str) -> None:
    (run.path / "log.txt").write_text("".join(f"2026-01-01 {line}\n" for line in lines))


BEGAN, STEP = "10:00:00  began: dcgan on digits", "10:01:00  step 50  a 1"
RESUMED = "11:00:00  resumed at step 50: dcgan on digits"
STOPPED = "10:02:00  ended by SIGINT, saved at step 60; resume with: zeuxis resume runs/00001-a"


@pytest.mark.parametrize(
    ("lines", "state"),
    [
        ([], "stopped"),
        ([BEGAN], "stopped"),
        ([BEGAN, STEP], "stopped"),  # killed
        ([BEGAN, STEP, STOPPED], "stopped"),
        ([BEGAN, STEP, "10:02:00  done at step 60: runs/00001-a/model"], "done"),  # by its minutes: 60 of 100 steps
        ([BEGAN, STEP, "10:02:00  done at step 100: x", RESUMED], "stopped"),
        ([BEGAN, STEP, "10:02:00  done at step 100: x", RESUMED, STOPPED], "stopped"),
        ([BEGAN, STEP, "10:02:00  failed: RuntimeError: x"], "failed"),
        ([BEGAN, STEP, "10:02:00  failed: RuntimeError: x", RESUMED, "11:02:00  done at step 100: x"], "done"),
        (
            [BEGAN, STEP, "10:02:00  the loss is nan at step 51; x; no checkpoint was due yet, nothing was saved"],
            "failed",
        ),
        ([BEGAN, STEP, "10:02:00  the loss is nan; resuming it would diverge again: start a new run"], "failed"),
        ([BEGAN, STEP, "10:02:00  out of memory at step 51; use a smaller --batch-size"], "failed"),
        ([BEGAN, STEP, "10:02:00  x could not be written: No space left on device; it needs 1 MB"], "failed"),
        ([BEGAN, STEP, "10:02:00  warning: collapse: done at step 3"], "stopped"),
        (["nonsense"], "stopped"),
    ],
)
def test_how_a_run_stands_by_its_log(run: RunFolder, lines: list[str], state: str) -> None:
    write_log(run, *lines)
    assert state_of(run) == state
    with run.lock():
        assert state_of(run) == "training"
    assert state_of(run) == state


def test_a_run_without_its_log_is_done_if_its_last_checkpoint_is(run: RunFolder) -> None:
    from zeuxis.training import config

    recipe = config.read_recipe(CONFIG)
    (run.path / "checkpoints" / "step-00000099").mkdir()
    assert state_of(run, recipe) == "stopped"
    (run.path / "checkpoints" / "step-00000100").mkdir()
    assert state_of(run, recipe) == "done" and state_of(run) == "stopped"


def test_minutes_are_those_between_beginnings_and_ends(run: RunFolder) -> None:
    write_log(run, BEGAN, STEP, STOPPED, RESUMED, "11:00:30  step 70  a 1", "nonsense")
    assert seconds_trained([*log_lines(run.path / "log.txt")]) == 120 + 30
    assert seconds_trained([]) == 0
    (run.path / "log.txt").unlink()
    assert [*log_lines(run.path / "log.txt")] == []


def test_errors_are_logged_and_signals_are_not(run: RunFolder) -> None:
    from zeuxis.runtime.signals import Stopped

    with pytest.raises(ZeroDivisionError), standing.failures_logged(run):
        run.log("began: x")
        _ = 1 / 0
    assert state_of(run) == "failed"
    run.log("resumed at step 0: x")
    with pytest.raises(Stopped), standing.failures_logged(run):
        raise Stopped("ended", 130)
    assert state_of(run) == "stopped"


def test_a_run_at_a_glance(run: RunFolder, folder: Path) -> None:
    write_log(run, BEGAN, STEP, STOPPED)
    row(run, 1, discriminator__loss=2.0, discriminator__real=1.0, generator__loss=3.0)
    row(run, 50, discriminator__loss=1.0, discriminator__real=0.5, generator__loss=4.0)
    row(run, 60, **{FID: 70.0, f"{FID} low": 60.0, f"{FID} high": 80.0})
    row(run, 61, **{FID: 90.0})
    for step in (9, 50, 7):
        Image.new("L", (8, 8)).save(run.sheet_path(step))
    (run.path / "samples" / "odd.png").write_bytes(b"")
    (found,) = zeuxis.runs(folder)
    assert (found.number, found.name, found.family, found.data) == (1, "a", "dcgan", "digits")
    assert (found.size, found.channels, found.state, found.problem) == (16, 1, "stopped", "")
    assert (found.step, found.steps, found.minutes) == (61, 100, 2.0)
    assert found.losses == {"discriminator": 1.0, "generator": 4.0}
    assert found.fid is not None and found.fid.measured_by == "training"
    assert (found.fid.value, found.fid.low, found.fid.high, found.fid.features) == (70.0, 60.0, 80.0, "lite0")
    assert found.sheet == run.sheet_path(50)
    assert zeuxis.runs(run.path) == [found]


def evaluation(value: float) -> str:
    score = {"name": "FID[lite0]", "value": value, "low": None, "high": value + 1, "real": None, "better": "lower"}
    return json.dumps({"about": {"features": "lite0"}, "scores": [score], "warnings": []})


def test_an_evaluation_counts_until_the_run_goes_on(run: RunFolder, folder: Path) -> None:
    write_log(run, BEGAN, STEP, STOPPED)
    row(run, 60, **{FID: 70.0})
    path = run.path / "evaluation.json"
    path.write_text(evaluation(55.0))
    (found,) = zeuxis.runs(folder)
    assert found.fid is not None
    assert (found.fid.value, found.fid.low, found.fid.high, found.fid.measured_by) == (55.0, None, 56.0, "evaluate")
    os.utime(path, (0, 0))
    assert [each.fid.value for each in zeuxis.runs(folder) if each.fid] == [70.0]
    path.write_text("{}")
    assert [each.fid.value for each in zeuxis.runs(folder) if each.fid] == [70.0]


def test_a_run_under_way_counts_its_minutes_up_to_now(run: RunFolder, folder: Path) -> None:
    run.log("began: dcgan on digits")
    text = (run.path / "log.txt").read_text()
    then = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() - 600))
    (run.path / "log.txt").write_text(then + text[19:])
    assert zeuxis.runs(folder)[0].minutes == 0
    with run.lock():
        (found,) = zeuxis.runs(folder)
    assert found.state == "training" and found.minutes >= 10


@pytest.fixture
def broken(run: RunFolder, folder: Path, tmp_path: Path) -> Iterator[Path]:
    """A whole run, and folders that are none, each in another way."""
    for number, name in enumerate(("empty", "yaml", "setting", "link", "metrics"), start=2):
        (folder / f"{number:05}-{name}").mkdir()
    (folder / "00003-yaml" / "config.yaml").write_text("{")
    (folder / "00004-setting" / "config.yaml").write_text("family: 1\ndata: x\n")
    (folder / "00005-link" / "elsewhere").symlink_to(tmp_path)
    (folder / "00005-link" / "config.yaml").write_bytes((run.path / "config.yaml").read_bytes())
    (folder / "00006-metrics" / "config.yaml").write_bytes((run.path / "config.yaml").read_bytes())
    (folder / "00006-metrics" / "metrics.jsonl").mkdir()
    (folder / "notes").mkdir()
    (folder / ".hidden").mkdir()
    (folder / "file.txt").write_text("")
    yield folder


def test_broken_folders_are_named_with_what_is_wrong(broken: Path) -> None:
    found = {run.name: run for run in zeuxis.runs(broken)}
    assert [*found] == ["a", "empty", "yaml", "setting", "link", "metrics"]
    assert {name: run.state for name, run in found.items() if run.state != "broken"} == {"a": "stopped"}
    for name, problem in {
        "empty": "config.yaml",
        "yaml": "config.yaml",
        "setting": "family: 1, expected str",
        "link": "symbolic link",
        "metrics": "not a regular file",
    }.items():
        assert problem in found[name].problem and "\n" not in found[name].problem


def test_the_table_and_its_json(broken: Path) -> None:
    code, out, err = typed("runs")
    assert (code, err) == (0, "")
    head, first, *others = out.splitlines()
    assert head.split()[:5] == ["run", "name", "family", "data", "size"]
    assert first.split()[:5] == ["1", "a", "dcgan", "digits", "16"] and "stopped" in first
    assert len(others) == 5 and all(line.startswith("broken: ") for line in others)
    code, out, _ = typed("runs", str(broken), "--json")
    values = json.loads(out)
    assert code == 0 and [each["state"] for each in values] == ["stopped", *["broken"] * 5]
    assert values[0]["steps"] == 100 and values[0]["path"] == str(broken / "00001-a")


def test_the_table_is_folded_where_the_terminal_is_narrow(run: RunFolder, folder: Path) -> None:
    Image.new("L", (8, 8)).save(run.sheet_path(5))
    found = zeuxis.runs(folder)
    wide, narrow = found.lines(width=300), found.lines(width=60)
    assert len(wide) == 2 and wide == found.lines() == repr(found).splitlines()
    assert len(narrow) == 4 and narrow[3].strip() == str(run.sheet_path(5))


def test_a_notebook_shows_the_runs_as_a_table(broken: Path) -> None:
    shown = zeuxis.runs(broken)._repr_html_()
    assert shown.count("<tr>") == 2 and shown.count("<p>broken: ") == 5
    evil = RunFolder.create(broken, "evil", {**CONFIG, "data": "./<b>x"})
    assert "<b>" not in zeuxis.runs(evil.path)._repr_html_() and "&lt;b&gt;x" in zeuxis.runs(evil.path)._repr_html_()
    assert zeuxis.runs(broken / "notes")._repr_html_() == repr(zeuxis.runs(broken / "notes")) == "no runs"


def test_where_there_are_no_runs(folder: Path) -> None:
    assert zeuxis.runs() == []
    code, out, err = typed("runs")
    assert (code, out) == (0, "") and "there are no runs in runs; begin one with: zeuxis train" in err
    assert json.loads(typed("runs", "--json")[1]) == []
    assert "there is no folder nowhere" in refused("runs", "nowhere")
    folder.write_text("")
    assert "there is no folder runs" in refused("runs")


def test_curves_of_runs(run: RunFolder, folder: Path) -> None:
    other = RunFolder.create(folder, "b", CONFIG)
    for step in range(1, 40):
        row(run, step, vae__loss=3.0, vae__kl=1.0 / step, vae__reconstruction=2.0)
    assert "no row of metrics yet" in refused("curves", "2")
    assert "give one or more" in refused("curves")
    assert "expected a .png" in refused("curves", "1", "--out", "a.jpg")
    assert "expected 0 to 1" in refused("curves", "1", "--smoothing", "2")
    assert "there is no run '3'" in refused("curves", "1", "3")
    code, out, err = typed("curves", "1", "--out", "deep/one.png")
    assert (code, err) == (0, "") and out == f"wrote {Path('deep/one.png')}\n"
    with Image.open("deep/one.png") as written:
        assert written.tobytes() == zeuxis.curves(1).tobytes() == zeuxis.curves(run.path).tobytes()
    row(other, 50, vae__loss=3.0)
    both = zeuxis.curves("a", other.path)
    assert both.tobytes() != zeuxis.curves("a").tobytes()
    assert zeuxis.curves("a", "a").tobytes() == zeuxis.curves("a").tobytes()
    with pytest.raises(UsageError, match="no runs to draw"):
        zeuxis.curves()


def test_listing_runs_imports_no_torch(run: RunFolder) -> None:
    """It would take ten times as long. Kernels that were chosen, and scores, are read all the same."""
    chosen = {"1x2 to 1x3 by 3x2": "standard blas standard"}
    other = RunFolder.create(run.path.parent, "b", {**CONFIG, "chosen_kernels": chosen})
    row(other, 50, vae__loss=3.0)
    scores = [{"name": "FID[lite0]", "value": 9.5, "low": 9.0, "high": 10.0, "real": 1.0, "better": "lower"}]
    text = json.dumps({"about": {}, "scores": scores, "warnings": []})
    (other.path / "evaluation.json").write_text(text, encoding="utf-8")
    code = "import sys; from zeuxis.cli import run; print(run(['runs', 'runs']), 'torch' in sys.modules)"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 False"
    assert "9.50" in done.stdout and "broken" not in done.stdout


def kept(run: RunFolder) -> bytes:
    with Image.open(run.path / "curves.png") as picture:
        return picture.tobytes()


QUICK: dict[str, Any] = {"batch_size": 8, "base_channels": 4, "kernels": "standard", "device": "cpu"}


def test_a_run_keeps_its_curves(folder: Path) -> None:
    run = RunFolder(zeuxis.train("vae", "digits", steps=4, sample_every=2, log_every=1, **QUICK).path)
    assert kept(run) == zeuxis.curves(1).tobytes()
    assert state_of(run) == "done" and zeuxis.runs()[0].step == 4
    before = kept(run)
    zeuxis.resume(1, steps=6)
    assert kept(run) == zeuxis.curves(1).tobytes() != before


def weights(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((run / "checkpoints" / "step-00000003").iterdir())}


def test_drawing_curves_changes_no_bit_of_a_run_and_ends_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = zeuxis.train("vae", "digits", steps=3, sample_every=1, log_every=1, **QUICK).path

    def fails(*_: Any) -> None:
        raise RuntimeError("no font")

    monkeypatch.setattr(curves, "curves_figure", fails)
    undrawn = zeuxis.train("vae", "digits", steps=3, sample_every=1, log_every=1, **QUICK).path
    assert weights(drawn) == weights(undrawn)
    assert not (undrawn / "curves.png").exists()
    assert "curves.png could not be drawn: no font" in (undrawn / "log.txt").read_text()
    assert [run.state for run in zeuxis.runs()] == ["done", "done"]


def test_a_run_that_diverges_has_failed_and_one_that_its_minutes_ended_is_done(folder: Path) -> None:
    with pytest.raises(DivergedError):  # the loss is infinite in float32
        zeuxis.train("vae", "digits", steps=200, beta=1e38, kl_warmup=0, **QUICK)
    zeuxis.train("vae", "digits", minutes=1e-9, **QUICK)
    assert [run.state for run in zeuxis.runs()] == ["failed", "done"]
    assert zeuxis.runs()[1].steps is None
