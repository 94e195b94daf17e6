"""Training from Python: options by name, a run as an object, callbacks that watch and end it; resuming stays exact."""

from __future__ import annotations

import hashlib
import inspect
import io
import math
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from PIL import Image

import toys
import zeuxis
from zeuxis import api
from zeuxis.training import state
from zeuxis.training.settings import TrainSettings

SMALL: dict[str, Any] = {
    "size": 8,
    "hidden_dim": 8,
    "latent_dim": 4,
    "batch_size": 4,
    "log_every": 5,
    "sample_every": 6,
    "checkpoint_every": 4,
    "threads": 1,
    "device": "cpu",
    "kernels": "standard",
}
STEPS = 12


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def train(**changed: Any) -> zeuxis.Run:
    return zeuxis.train("gan", "digits", **{"steps": STEPS, **SMALL, **changed})


def digests(run: zeuxis.Run) -> dict[str, str]:
    """SHA-256 of what a run must end with, however it came there."""
    kept = [run.path / "metrics.jsonl", run.path / "model" / "model.safetensors", run.path / "samples" / "00000012.png"]
    kept += sorted(run.path.glob(f"checkpoints/step-{STEPS:08d}/*"))
    assert len(kept) >= 8
    return {path.relative_to(run.path).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}


def log(run: zeuxis.Run) -> str:
    return (run.path / "log.txt").read_text()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zeuxis.Run]:
    """A run that nothing has stopped."""
    yield train(out=tmp_path_factory.mktemp("whole") / "runs")


def test_options_and_settings_are_given_by_name(tmp_path: Path) -> None:
    run = train(steps=np.int64(2), latent_dim=np.int32(3), r1_gamma=np.float32(0.5), out=Path("a") / "runs", name="x")
    assert run.path == tmp_path / "a" / "runs" / "00001-x"
    assert run.config["options"]["latent_dim"] == 3 and run.config["options"]["r1_gamma"] == 0.5
    assert run.config["settings"]["batch_size"] == 4 and run.config["settings"]["steps"] == 2
    assert run.config["settings"]["out"] == str(Path("a") / "runs")
    again = train(steps=1, init_from=run, latent_dim=3, r1_gamma=0.5)
    assert again.config["settings"]["init_from"] == str(run.path / "model")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"latnt_dim": 4}, "gan has no option 'latnt_dim'; did you mean latent_dim?"),
        ({"batchsize": 4}, "gan has no option 'batchsize'; did you mean batch_size?"),
        ({"zzz": 4}, "and those of zeuxis.TrainSettings"),
        ({"latent_dim": "4"}, "--latent-dim is '4'; expected int"),
        ({"latent_dim": True}, "--latent-dim is True; expected int"),
        ({"steps": 0}, "--steps is 0; expected 1 to"),
        ({"steps": 2.0}, "--steps is 2.0; expected int"),
        ({"callbacks": len}, "callbacks is <built-in function len>; expected a list of functions"),
        ({"callbacks": [3]}, "callbacks has 3; expected functions of one argument, a Progress"),
    ],
)
def test_what_is_wrong_is_said_in_a_line_before_there_is_a_run(given: dict[str, Any], told: str) -> None:
    with pytest.raises(zeuxis.UsageError) as caught:
        zeuxis.train("gan", "digits", **given)
    assert told in str(caught.value) and "\n" not in str(caught.value)
    assert not Path("runs").exists()


def test_help_lists_the_settings() -> None:
    for function in (zeuxis.train, api.dry_run):
        parameters = inspect.signature(function).parameters
        assert {f.name: f.default for f in fields(TrainSettings)}.items() <= {
            name: each.default for name, each in parameters.items()
        }.items()
        assert list(parameters)[-1] == "options"


def test_a_plan_takes_what_training_takes() -> None:
    plan = api.dry_run("gan", "digits", steps=10, **SMALL)
    assert plan.options["latent_dim"] == 4 and plan.batch_size == 4 and plan.seconds(10) > 0
    with pytest.raises(zeuxis.UsageError, match="did you mean hidden_dim"):
        api.dry_run("gan", hiden_dim=4)
    assert not Path("runs").exists()


def test_metrics_are_columns_that_pandas_takes(whole: zeuxis.Run) -> None:
    table = pandas.DataFrame(whole.metrics)
    assert list(table.columns[:2]) == ["step", "images"] and list(table["step"]) == [1, 2, 5, 6, 10, 12]
    assert (table["images"] == 4 * table["step"]).all() and table["images"].dtype.kind == "i"
    assert math.isnan(table["generator/loss"][3])  # a sheet was due there, and no row of losses
    assert {len(column) for column in whole.metrics.values()} == {6}
    assert whole.step == 12


def test_a_run_shows_its_newest_sheet_and_itself(whole: zeuxis.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    newest = whole.path / "samples" / "00000012.png"
    assert whole.sheet is not None
    with Image.open(newest) as kept:
        assert kept.convert("RGB").tobytes() == whole.sheet.tobytes()
    shown = whole._repr_png_()
    assert shown is not None
    with Image.open(io.BytesIO(shown)) as picture:
        curves, scale = whole.curves(), 7  # of the sheet, 82 pixels wide
        assert picture.size == (curves.width, scale * whole.sheet.height + curves.height)
        above = picture.crop((0, 0, scale * whole.sheet.width, scale * whole.sheet.height))
        assert above.resize(whole.sheet.size, 0).tobytes() == whole.sheet.tobytes()
        below = picture.crop((0, scale * whole.sheet.height, *picture.size))
        assert below.tobytes() == curves.tobytes() == zeuxis.curves(whole).tobytes()
    monkeypatch.chdir(whole.path.parent)
    assert str(whole) == whole.path.name and repr(whole) == f"Run {whole.path.name}: gan on digits, step 12 of 12, done"
    monkeypatch.chdir(whole.path / "samples")
    assert str(whole) == os.fspath(whole) == str(whole.path)


def test_a_run_is_opened_by_number_name_and_folder(tmp_path: Path) -> None:
    run = train(steps=2, name="faces")
    for given in (1, "1", "00001", "faces", "runs/00001-faces", run.path, run):
        assert zeuxis.Run(given).path == run.path == tmp_path / "runs" / "00001-faces"
    with pytest.raises(zeuxis.UsageError, match="there is no run '7'; runs/ has 00001-faces"):
        zeuxis.Run(7)


def test_its_model_is_what_load_gives_and_follows_the_run() -> None:
    run = train(steps=4)
    first = run.model
    assert run.model is first
    expected = zeuxis.sample(zeuxis.load(run, device="cpu"), 3, seed=5)
    assert torch.equal(run.samples(3, seed=5).tensor, expected.tensor)
    assert run.resume(steps=8) is run
    assert run.model is not first and run.step == 8
    before, now = first.state_dict(), run.model.state_dict()
    assert any(not torch.equal(before[name], value) for name, value in now.items())
    with pytest.raises(zeuxis.UsageError, match="the run is at step 8, beyond 3"):
        zeuxis.resume(run, steps=3)


def test_a_run_without_a_model_says_so() -> None:
    def fail(progress: zeuxis.Progress) -> None:
        raise RuntimeError("at once")

    with pytest.raises(RuntimeError):
        train(callbacks=[fail])
    run = zeuxis.Run(1)
    (run.path / "model" / "config.json").unlink()
    with pytest.raises(zeuxis.UsageError, match="has no model yet"):
        _ = run.model


def test_a_family_of_ones_own_is_trusted_by_its_run() -> None:
    run = zeuxis.train(toys.Sound, "digits", steps=2, batch_size=4, size=8, channels=1, threads=1, device="cpu")
    assert isinstance(run.model, toys.Sound)
    assert isinstance(run.resume(steps=4).model, toys.Sound)
    with pytest.raises(zeuxis.UsageError, match="if you trust it"):
        _ = zeuxis.Run(1).model
    assert isinstance(zeuxis.resume(1, steps=5, family=toys.Sound).model, toys.Sound)


def test_a_callback_is_told_of_every_step() -> None:
    seen: list[zeuxis.Progress] = []
    losses: dict[int, dict[str, float]] = {}
    means: dict[int, dict[str, float]] = {}
    average: dict[str, torch.Tensor] = {}

    def watch(progress: zeuxis.Progress) -> None:
        seen.append(progress)
        losses[progress.step], means[progress.step] = progress.losses, progress.means
        average.update({name: value.clone() for name, value in progress.model.state_dict().items()})

    run = train(callbacks=[watch], log_every=4)
    assert [each.step for each in seen] == [*range(1, STEPS + 1)] and [each.images for each in seen][:3] == [4, 8, 12]
    assert all(one.seconds < other.seconds for one, other in zip(seen, seen[1:]))
    rows = {row["step"]: row for row in pandas.DataFrame(run.metrics).to_dict("records")}
    assert means[8] == {name: rows[8][name] for name in means[8]} and "generator/loss" in means[8]
    after = [losses[step]["generator/loss"] for step in (5, 6, 7, 8)]
    assert means[8]["generator/loss"] == pytest.approx(sum(after) / 4) and means[6] != means[8]
    assert means[6]["generator/loss"] == pytest.approx(sum(after[:2]) / 2)
    model = run.model.state_dict()
    assert model.keys() == average.keys() and all(torch.equal(average[name], value) for name, value in model.items())


def test_nothing_is_read_from_the_device_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    read = state.State.means

    def means(self: state.State) -> dict[str, float]:
        asked.append(self.clock.step)
        return read(self)

    monkeypatch.setattr(state.State, "means", means)
    train(steps=6, log_every=100, sample_every=100, checkpoint_every=100, callbacks=[lambda progress: None])
    assert asked == [1, 2, 5]  # the rows
    asked.clear()
    train(steps=4, log_every=100, sample_every=100, callbacks=[lambda progress: progress.means and None])
    assert asked == [1, 1, 2, 2, 3, 4]


def stop_at(step: int, how: str) -> Any:
    def stopping(progress: zeuxis.Progress) -> Any:
        if progress.step != step:
            return None
        if how == "error":
            raise zeuxis.StopTraining("the loss is flat")
        return np.bool_(True) if how == "numpy" else True

    return stopping


@pytest.mark.parametrize(
    ("how", "step"), [("true", 1), ("true", 5), ("true", 6), ("true", 7), ("error", 8), ("numpy", 11)]
)
def test_a_stopped_run_is_saved_and_goes_on_exactly(whole: zeuxis.Run, step: int, how: str) -> None:
    run = train(callbacks=[stop_at(step, how)])
    reason = "stopping: the loss is flat" if how == "error" else "stopping"
    told = f"stopped by the callback {reason}, saved at step {step}; resume with: zeuxis resume runs/00001-gan-digits"
    assert told in log(run) and run.state == "stopped"
    assert run.path.joinpath("checkpoints", f"step-{step:08d}").is_dir()
    assert run.sheet is not None and (run.path / "samples" / f"{step:08d}.png").exists()
    assert digests(run.resume(callbacks=[lambda progress: progress.losses])) == digests(whole)


def test_nothing_but_true_ends_a_run(whole: zeuxis.Run) -> None:
    told: list[object] = []
    answers: list[Any] = [1, "yes", [0.5], {"loss": 1.0}, torch.ones(()), False, None]
    run = train(callbacks=[lambda progress, answer=answer: told.append(answer) or answer for answer in answers])
    assert "done at step 12" in log(run) and len(told) == 12 * len(answers)
    assert digests(run) == digests(whole)


def test_all_callbacks_are_told_of_the_last_step() -> None:
    told: list[int] = []
    run = train(callbacks=[stop_at(3, "error"), lambda progress: told.append(progress.step), stop_at(3, "true")])
    assert told == [1, 2, 3] and "the callback stopping: the loss is flat, saved" in log(run)


def test_a_run_that_has_taken_its_steps_is_done_whatever_a_callback_says(whole: zeuxis.Run) -> None:
    run = train(callbacks=[stop_at(12, "true")])
    assert "done at step 12" in log(run) and digests(run) == digests(whole)


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("by zero"),
        zeuxis.UsageError("of its own"),
        zeuxis.DivergedError("of its own"),
        torch.OutOfMemoryError("in its model"),
        MemoryError("in its table"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_callback_that_fails_ends_the_run_and_loses_nothing(whole: zeuxis.Run, error: Exception) -> None:
    def failing(progress: zeuxis.Progress) -> None:
        if progress.step == 6:
            raise error

    with pytest.raises(type(error)) as caught:
        train(callbacks=[failing])
    assert caught.value is error and caught.value.__cause__ is None
    told = f"ended by {type(error).__name__} in a callback, saved at step 6; resume with: zeuxis resume runs/00001-gan"
    assert error.__notes__[-1].startswith(told)
    run = zeuxis.Run(1)
    assert f"{told}-digits: {error}" in log(run) and run.state == "failed"
    assert digests(run.resume()) == digests(whole)


def test_a_callback_that_fails_where_nothing_can_be_saved(whole: zeuxis.Run) -> None:
    def full(*given: object, **named: object) -> None:
        raise zeuxis.DiskFullError("no room")

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyError, match="mine") as caught:

        def failing(progress: zeuxis.Progress) -> None:
            if progress.step == 7:
                patch.setattr("zeuxis.storage.RunFolder.save_checkpoint", full)
                raise KeyError("mine")

        train(callbacks=[failing])
    assert "the newest checkpoint is step 4" in caught.value.__notes__[-1]
    assert digests(zeuxis.Run(1).resume()) == digests(whole)


def test_ctrl_c_in_a_callback_saves_where_it_is(whole: zeuxis.Run) -> None:
    def pressed(progress: zeuxis.Progress) -> None:
        if progress.step == 7:
            os.kill(os.getpid(), signal.SIGINT)
            threading.Event().wait(60)  # as long as a callback may take: the signal does not wait for its end

    with pytest.raises(zeuxis.Stopped, match="ended by SIGINT, saved at step 7") as caught:
        train(callbacks=[pressed])
    assert caught.value.exit_code == 130
    assert digests(zeuxis.Run(1).resume()) == digests(whole)


def test_a_thread_trains_and_its_callback_ends_it(whole: zeuxis.Run) -> None:
    """Where Python delivers no signals: as in a server, or under a notebook's widgets."""
    before = signal.getsignal(signal.SIGINT)
    wanted, found, stepped = threading.Event(), list[zeuxis.Run](), threading.Event()

    def watch(progress: zeuxis.Progress) -> bool:
        stepped.set()
        wanted.wait(60)
        return True

    thread = threading.Thread(target=lambda: found.append(train(callbacks=[watch])))
    thread.start()
    assert stepped.wait(60)
    wanted.set()
    thread.join(60)
    (run,) = found
    assert "stopped by the callback watch, saved at step 1" in log(run)
    assert signal.getsignal(signal.SIGINT) is before
    assert digests(run.resume()) == digests(whole)
