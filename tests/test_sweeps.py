"""A sweep trains its grid once, whatever interrupts it; runs of several seeds are compared by their means."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import scipy.stats
from PIL import Image

from commandline import refused, typed
from waiting import PATIENCE, wait_for_file
from zeuxis import api, cli, families
from zeuxis.data import DataSpec
from zeuxis.errors import DivergedError, UsageError
from zeuxis.io import files
from zeuxis.judging.branches import forks_of
from zeuxis.judging.groups import seed_groups
from zeuxis.judging.records import RunRecord
from zeuxis.runtime.signals import Stopped
from zeuxis.scores import student_mean, student_quantile
from zeuxis.training import sweep_report, sweeps
from zeuxis.training.settings import TrainSettings
from zeuxis.training.sweeps import Grid, Sweep

DIGITS = DataSpec.parse("zeuxis:digits")
TINY = ["--size", "8", "--latent-dim", "4", "--chains", "4", "--batch-size", "4", "--threads", "1", "--device", "cpu"]
COMMAND = [
    "sweep",
    "rbm",
    "zeuxis:digits",
    "--seed",
    "0-1",
    "--lr",
    "0.1,0.2",
    "--steps",
    "6",
    "--checkpoint-every",
    "2",
    *TINY,
]


def silent(_: str) -> None:
    """No notes."""


def grid(out: Path, axes: dict[str, list[Any]], **changed: Any) -> Grid:
    plain: dict[str, Any] = {"steps": 4, "batch_size": 4, "threads": 1, "device": "cpu", "kernels": "standard"}
    settings = TrainSettings(out=str(out), **{**plain, **changed})
    return Grid(families.find("rbm"), DIGITS, axes, settings, {"size": 8, "latent_dim": 4, "chains": 4})


def weights(folder: Path) -> dict[str, str]:
    """SHA-256 of what each run of a sweep has learned, by the run's name without its number."""
    found = sorted(folder.glob("0*/model/model.safetensors"))
    return {path.parents[1].name.partition("-")[2]: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def test_every_combination_once_seeds_slowest(tmp_path: Path) -> None:
    members = grid(tmp_path, {"lr": [0.1, 0.2], "seed": [3, 4], "gibbs_steps": [1, 2]}).members()
    assert [member.title for member in members][:3] == [
        "seed 3, lr 0.1, gibbs_steps 1",
        "seed 3, lr 0.1, gibbs_steps 2",
        "seed 3, lr 0.2, gibbs_steps 1",
    ]
    assert len({member.name for member in members}) == len(members) == 8
    assert (members[-1].settings.seed, members[-1].options["lr"]) == (4, 0.2)
    long = grid(tmp_path, {"seed": [1, 2], "weight_decay": [1e-8, 1.25e-7], "sparsity_weight": [0.001, 0.002]})
    names = [member.name for member in long.members()]
    assert len(set(names)) == 8 and max(map(len, names)) <= 60


@pytest.mark.parametrize(
    ("axes", "changed", "told"),
    [
        ({"seed": [1, 1]}, {}, "--seed is .*; expected values, each named once"),
        ({"lr": [0.1, -1.0]}, {}, "--lr is -1.0; expected 0 to 10"),
        ({"no_such": [1, 2]}, {}, "rbm has no option 'no_such'"),
        ({"size": [8, 4]}, {}, "--size is 4"),
        ({"minutes": [1.0, 2.0]}, {}, "--minutes cannot be swept"),
        ({"seed": [0, 1]}, {"minutes": 3.0}, "use --steps or --cpu-minutes"),
        ({"out": ["a", "b"]}, {}, "--out cannot be swept"),
        ({"seed": list(range(1000)), "lr": [0.1, 0.2, 0.3]}, {}, "has 3,000 runs, more than 100; .* --max-runs 3000"),
    ],
)
def test_what_no_run_can_have_is_refused_before_the_first(
    tmp_path: Path, axes: dict[str, list[Any]], changed: dict[str, Any], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        sweeps.run_sweep(grid(tmp_path, axes, **changed), note=silent)
    assert not list(tmp_path.iterdir())


def test_a_sweep_goes_on_where_it_was_broken_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = grid(tmp_path / "whole", {"seed": [0, 1], "lr": [0.1, 0.2]})
    whole = sweeps.run_sweep(asked, note=silent)
    assert [entry.state for entry in whole.entries] == ["done"] * 4 and len(weights(asked.folder)) == 4
    broken, begun = grid(tmp_path / "broken", {"seed": [0, 1], "lr": [0.1, 0.2]}), list[str]()
    start = sweeps.start

    def stopped(settings: TrainSettings, *rest: Any, **given: Any) -> Path:
        begun.append(str(settings.name))
        path = start(settings, *rest, **given)
        if len(begun) == 2:  # when the run is done, and the index does not say so yet
            raise Stopped("ended by SIGINT, saved at step 4", 130)
        return path

    monkeypatch.setattr(sweeps, "start", stopped)
    with pytest.raises(Stopped, match="the same sweep command goes on with all of them") as stop:
        sweeps.run_sweep(broken, note=silent)
    assert stop.value.exit_code == 130
    index = json.loads((broken.folder / "sweep.json").read_text())
    assert [run["state"] for run in index["runs"]] == ["done", "training"]
    sweeps.run_sweep(broken, note=silent)
    assert begun == ["seed-0-lr-0.1", "seed-0-lr-0.2", "seed-1-lr-0.1", "seed-1-lr-0.2"], "no run begins twice"
    assert weights(broken.folder) == weights(asked.folder)
    sweeps.run_sweep(broken, note=lambda text: pytest.fail(f"nothing is left to do, but {text}"))


def test_a_run_that_came_before_its_entry_is_found(tmp_path: Path) -> None:
    asked = grid(tmp_path, {"seed": [0, 1]})
    sweep = sweeps.run_sweep(asked, note=silent)
    before = weights(asked.folder)
    (asked.folder / "sweep.json").unlink()
    found = Sweep.open(asked)
    assert [found.entry(member).state for member in asked.members()] == ["training", "training"]
    sweeps.run_sweep(asked, note=silent)
    assert weights(asked.folder) == before and len(list(asked.folder.glob("0*"))) == len(sweep.entries) == 2
    more = grid(tmp_path, {"seed": [0, 1, 2]})
    assert more.folder == asked.folder, "more seeds extend a sweep"
    notes: list[str] = []
    sweeps.run_sweep(more, note=notes.append)
    assert notes == ["run 3 of 3: seed 2"] and weights(more.folder).items() > before.items()


@pytest.mark.long
def test_kill_9_loses_nothing(tmp_path: Path) -> None:
    """The process is killed while its second run trains; the same command then ends as one that was never killed."""
    words = ["sweep", "rbm", "zeuxis:digits", "--seed", "0-1", "--steps", "240", "--checkpoint-every", "4", *TINY]
    code, _, error = typed(*words, "--out", str(tmp_path / "whole"), "--name", "s")
    assert code == 0, error
    again = [*words, "--out", str(tmp_path / "killed"), "--name", "s"]
    script = "import sys; from zeuxis import cli; sys.exit(cli.run(sys.argv[1:]))"
    env = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    process = subprocess.Popen([sys.executable, "-c", script, *again], env=env, stderr=subprocess.DEVNULL)
    folder = tmp_path / "killed" / "s"
    try:
        wait_for_file(folder / "00002-seed-1" / "checkpoints" / "step-00000008" / "manifest.json")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE)
    states = [run["state"] for run in json.loads((folder / "sweep.json").read_text())["runs"]]
    assert states == ["done", "training"]
    begun = hashlib.sha256((folder / "00001-seed-0" / "log.txt").read_bytes()).hexdigest()
    code, out, error = typed(*again)
    assert code == 0 and "run 2 of 2: seed 1" in error and "run 1 of 2" not in error, error
    assert weights(folder) == weights(tmp_path / "whole" / "s")
    assert hashlib.sha256((folder / "00001-seed-0" / "log.txt").read_bytes()).hexdigest() == begun, "it is skipped"
    assert "mean over seeds" in out and out.count("  done\n") == 2


def test_a_run_that_diverges_is_noted_and_the_next_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, start = grid(tmp_path, {"lr": [0.1, 0.2, 0.3]}), sweeps.start

    def diverging(settings: TrainSettings, family: Any, options: dict[str, Any], **given: Any) -> Path:
        path = start(settings, family, options, **given)
        if options["lr"] == 0.2:
            raise DivergedError("the gradient of rbm is nan at step 3; try a lower --lr")
        return path

    monkeypatch.setattr(sweeps, "start", diverging)
    found = sweep_report.report_on(sweeps.run_sweep(asked, note=silent))
    assert [row.state for row in found.rows] == ["done", "diverged", "done"]
    assert "the gradient of rbm is nan at step 3" in "\n".join(found.lines()) and not found.groups()
    notes: list[str] = []
    sweeps.run_sweep(asked, note=notes.append)
    assert not notes, "one that diverged would diverge again"
    files.discard(asked.folder / "00002-lr-0.2")
    monkeypatch.undo()
    sweeps.run_sweep(asked, note=notes.append)
    assert notes == ["run 2 of 3: lr 0.2"], "unless its folder is removed"


def test_two_of_the_same_sweep_do_not_run_at_once(tmp_path: Path) -> None:
    asked = grid(tmp_path, {"seed": [0, 1]})
    files.make_folder(asked.folder / ".sweep")
    with files.lock(asked.folder / ".sweep"), pytest.raises(UsageError, match="is in use by process"):
        sweeps.run_sweep(asked, note=silent)


def test_another_sweep_of_the_name_and_a_damaged_index_are_refused(tmp_path: Path) -> None:
    sweeps.run_sweep(grid(tmp_path, {"seed": [0, 1]}, name="mine", steps=1), note=silent)
    with pytest.raises(UsageError, match=r"mine is another sweep: its fixed is .*; choose another --name"):
        sweeps.run_sweep(grid(tmp_path, {"seed": [0, 1]}, name="mine", steps=2), note=silent)
    for text in ("{}", "[]", '{"about": 5, "runs": []}', '{"about": {"family": "rbm"}, "runs": [5]}'):
        (tmp_path / "mine" / "sweep.json").write_text(text)
        with pytest.raises(UsageError, match="is not what zeuxis sweep writes"):
            sweeps.run_sweep(grid(tmp_path, {"seed": [0, 1]}, name="mine", steps=1), note=silent)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_line_sweeps(here: Path) -> None:
    code, out, error = typed(*COMMAND, "--json")
    assert code == 0, error
    found = json.loads(out)
    assert [row["values"] for row in found["runs"]] == [
        {"seed": 0, "lr": 0.1},
        {"seed": 0, "lr": 0.2},
        {"seed": 1, "lr": 0.1},
        {"seed": 1, "lr": 0.2},
    ]
    assert [group["values"] for group in found["groups"]] == [{"lr": 0.1}, {"lr": 0.2}]
    loss = found["groups"][0]["scores"]["rbm/loss"]
    values = [found["runs"][i]["scores"]["rbm/loss"] for i in (0, 2)]
    assert loss["value"] == pytest.approx(sum(values) / 2)
    assert loss["high"] - loss["value"] == pytest.approx(12.706 * abs(values[0] - values[1]) / 2)
    code, out, _ = typed(*COMMAND, "--dry-run")
    assert code == 0 and out.count(": done\n") == 4 and "all that is not done: about 0.0 minutes" in out
    folder = found["folder"]
    code, out, error = typed("compare", folder, "--columns", "2", "--out", "both")
    assert code == 0, error
    assert (here / "both" / "comparison.png").is_file()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["rbm", "digits", "--lr", "0.1"], "no flag has several values"),
        (["rbm", "digits", "--lr", "0.1,x"], "--lr: 'x' is no number"),
        (["rbm", "digits", "--lr", "0.1,99"], "--lr is 99.0; expected 0 to 10"),
        (["rbm", "digits", "--seed", "4-1"], "--seed: '4-1' is no range of seeds"),
        (["rbm", "digits", "--method", "cd,pdc"], "--method is 'pdc'; choose one of pcd, cd"),
        (["rbm", "--seed", "0-4"], "name the family and the data before the flags"),
        (["--seed", "0-4"], "name the family and the data before the flags"),
        (["rbm", "digits", "--seed", "0-4999"], "has 5,000 runs, more than 100"),
        (["rbm", "digits", "--sed", "0-4"], "--sed"),
    ],
)
def test_a_wrong_command_line_is_refused(here: Path, words: list[str], told: str) -> None:
    assert told in refused("sweep", *words)
    assert not list(here.iterdir())


def test_a_dry_run_counts_the_minutes_and_writes_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def plan(settings: TrainSettings, family: Any, options: dict[str, Any], *, shape: Any) -> SimpleNamespace:
        asked.append(options)
        return SimpleNamespace(seconds=lambda steps: 0.5 * steps, steps=lambda seconds, core: 2 * seconds, device="cpu")

    monkeypatch.setattr(sweep_report, "plan_run", plan)
    words = ["sweep", "rbm", "zeuxis:digits", "--seed", "0-4", "--lr", "0,0.1,0.2", *TINY, "--dry-run"]
    code, out, error = typed(*words, "--steps", "600")
    assert code == 0, error
    assert "15 runs" in out and out.count("waiting, about 5.0 minutes") == 15
    assert out.endswith("all that is not done: about 75 minutes on cpu\n")
    assert len(asked) == 2, "runs that differ by seed, or by a number other than 0, take the same time"
    code, out, _ = typed(*words, "--cpu-minutes", "2")
    assert out.count("waiting, about 2.0 minutes") == 15
    assert not list(here.iterdir())


@pytest.mark.parametrize("freedom", [1, 2, 5, 30, 31, 40, 200])
def test_quantiles_of_student(freedom: int) -> None:
    assert student_quantile(freedom) == pytest.approx(scipy.stats.t.ppf(0.975, freedom), rel=5e-4)


def test_the_mean_over_seeds_has_students_interval() -> None:
    values = [3.0, 5.0, 4.5, 4.0]
    low, high = scipy.stats.t.interval(0.95, 3, loc=4.125, scale=scipy.stats.sem(values))
    found = student_mean(values)
    assert found.value == 4.125
    assert (found.low, found.high) == (pytest.approx(low, rel=1e-3), pytest.approx(high, rel=1e-3))
    assert math.isnan(student_mean([3.0]).low)


def record(seed: int | None, setting: str) -> RunRecord:
    return RunRecord(seed, setting)


def test_groups_are_of_runs_that_differ_by_the_seed_alone() -> None:
    names = ["00001-rbm-seed-0-lr-1", "00002-x", "00003-rbm-seed-1-lr-1", "00004-y", "00005-y"]
    records = [record(0, "a"), record(0, "b"), record(1, "a"), record(7, "c"), record(7, "c")]
    found = [(group.name, group.places) for group in seed_groups(names, records)]
    assert found == [("rbm-lr-1, 2 seeds", (0, 2)), ("00002-x", (1,)), ("00004-y", (3,)), ("00005-y", (4,))]
    assert [group.places for group in seed_groups(["a", "b"], [RunRecord(), RunRecord()])] == [(0,), (1,)]


def test_compare_shows_means_over_seeds(here: Path) -> None:
    code, _, error = typed(*COMMAND)
    assert code == 0, error
    runs = sorted(here.glob("runs/sweep-*/0*"))
    values = {}
    for run, value in zip(runs, (3.0, 10.0, 5.0, 20.0)):
        row = {
            "name": "FID[lite0]",
            "value": value,
            "low": value - 1,
            "high": value + 1,
            "real": 1.0,
            "better": "lower",
        }
        about = {"model": "rbm", "samples": 50, "data": "digits", "held_out": True, "features": "lite0"}
        (run / "evaluation.json").write_text(json.dumps({"about": about, "scores": [row], "warnings": []}))
        values[run.name] = value
    found = api.compare([runs[0].parent], columns=1)
    (head, line) = found.cells()
    assert head == ["score", "lr-0.1, 2 seeds", "lr-0.2, 2 seeds", "real images", "better"]
    assert line[1:3] == ["4.00 ± 12.7", "15.0 ± 63.5"]
    assert "Student's t over seeds" in "\n".join(found.lines()) and "Student" in found.to_html()
    table = list(csv.DictReader(found.to_csv().splitlines()))
    assert [row["run"] for row in table] == [*values, "lr-0.1, 2 seeds", "lr-0.2, 2 seeds"]
    assert float(table[-1]["low"]) == pytest.approx(15 - 12.706 * 5)
    alone = api.compare(runs[:2], columns=1)
    assert alone.cells()[0][1:3] == [run.name for run in runs[:2]] and "Student" not in "\n".join(alone.lines())


def test_branches_are_compared_from_their_fork_on() -> None:
    def rows(*values: float, first: int = 10) -> list[dict[str, float]]:
        return [{"step": first * (i + 1), "images": 8 * i, "d/loss": value} for i, value in enumerate(values)]

    parent = RunRecord(0, "a", rows=rows(9, 9, 2, 4, 8))
    branch = RunRecord(0, "b", "00001-x", 20, {"r1_gamma": 0.0}, rows(9, 9, 1, 2))
    other = RunRecord(0, "c", "00009-gone", 20, {}, rows(9, 9, 1, 2))
    (fork,) = forks_of(["00001-x", "00002-y", "00003-z"], [parent, branch, other])
    assert (fork.step, fork.last, fork.names) == (20, 40, ("00001-x", "00002-y"))
    lines = fork.lines()
    assert lines[0] == "00002-y is 00001-x from step 20 on, with r1_gamma 0.0"
    assert lines[1].startswith("from step 20 to 40")
    assert lines[-1].split() == ["d/loss", "3.00", "1.50"]
    assert [row["step"] for row in fork.past] == [10, 20]
    assert forks_of(["00001-x"], [parent]) == []


@pytest.fixture(scope="module")
def futures(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], tuple[Path, Path]]:
    """A run and a branch of it."""
    out = tmp_path_factory.mktemp("futures")
    plain: dict[str, Any] = {"steps": 8, "batch_size": 4, "threads": 1, "device": "cpu", "kernels": "standard"}
    plain |= {"checkpoint_every": 4, "log_every": 1, "size": 8, "latent_dim": 4, "chains": 4}
    run = api.train("rbm", DIGITS, out=str(out), **plain)
    branch = api.branch(run, at=4, lr=1.0)
    return lambda: (run.path, branch.path)


def test_compare_shows_a_branch_beside_its_parent(here: Path, futures: Callable[[], tuple[Path, Path]]) -> None:
    run, branch = futures()
    code, out, error = typed("compare", str(run), str(branch), "--columns", "2", "--out", "both")
    assert code == 0, error
    assert f"{branch.name} is {run.name} from step 4 on, with lr 1.0" in out
    assert "from step 4 to 8, means of metrics.jsonl:" in out and "rbm/loss" in out
    assert f"{branch.name} is {run.name}" in (here / "both" / "comparison.html").read_text()
    alone = api.compare([run, run], columns=2).picture()
    with Image.open(here / "both" / "comparison.png") as figure:
        assert figure.height > alone.height + 200, "the curves are below the samples"
