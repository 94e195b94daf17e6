"""A training run meets what runs meet: a stop, a kill, a full disk, a number that is not finite; nothing of it may show."""

from __future__ import annotations

import errno
import hashlib
import io
import itertools
import json
import os
import queue
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from release import RELEASE, long_but
from waiting import PATIENCE, wait_for_file
from zeuxis import families, registry, storage
from zeuxis.data import DataSpec, Pack
from zeuxis.data.checked import CheckedImages
from zeuxis.data.listing import Shape
from zeuxis.data.pairs import Pairs
from zeuxis.errors import DataError, DiskFullError, DivergedError, UsageError, ZeuxisError
from zeuxis.io import files
from zeuxis.model import Batch, Clock, Latent, Model, Translator, Turn, option, options_of
from zeuxis.runtime import device, signals
from zeuxis.runtime.progress import Lines, Tick
from zeuxis.storage import models
from zeuxis.testing.case import NoiseImages
from zeuxis.training import budget, contact_sheets, dry_run, engine, loop, run_data, runs, stepping, ticker
from zeuxis.training.dry_run import Pace
from zeuxis.training.settings import TrainSettings

STEPS = 12


@dataclass(eq=False)
class Toy(Latent):
    """A game of two linear players, with a term that comes every third step and a counter."""

    size: int = option(8, "pixels", low=8)
    channels: int = option(1, "channels")
    latent_dim: int = option(4, "numbers in the latent vector", low=1)
    lr: float = option(0.01, "learning rate")

    training_only = ("critic",)
    batch_size = 4
    ema_half_life = 2000

    def build(self) -> None:
        self.maker = nn.Sequential(nn.Linear(self.latent_dim, self.size**2), nn.BatchNorm1d(self.size**2))
        self.critic = nn.Linear(self.size**2, 1)

    def optimizers(self) -> dict[str, Optimizer]:
        return {name: Adam(getattr(self, name).parameters(), self.lr) for name in ("critic", "maker")}

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        real = batch.image
        fake = self.decode(torch.randn(len(real), self.latent_dim))
        scores = self.critic(real.flatten(1))
        score = scores.mean()
        yield (
            None,
            {
                "discriminator/prob_real": scores.detach().sigmoid(),
                "discriminator/prob_fake": scores.detach().neg().sigmoid(),
            },
        )
        terms = {"gap": self.critic(fake.detach().flatten(1)).mean() - score}
        if clock.step % 3 == 0:
            terms["size"] = sum((p.square().sum() for p in self.critic.parameters()), torch.zeros(()))
        yield "critic", terms
        yield "maker", {"fool": -self.critic(fake.flatten(1)).mean()}

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return torch.tanh(self.maker(z)).unflatten(1, (self.channels, self.size, self.size))


def blobs(folder: Path, size: int, channels: int, *, count: int = 40) -> Pack:
    """A pack of soft discs."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size]
    centre, width = draw.uniform(0.1 * size, 0.9 * size, (count, 2, 1, 1)), draw.uniform(1, size / 3, (count, 1, 1))
    grey = np.exp(-((x - centre[:, 0]) ** 2 + (y - centre[:, 1]) ** 2) / (2 * width**2))
    pixels = (255 * grey[..., None] * draw.uniform(0.3, 1, (count, 1, 1, channels))).astype(np.uint8)
    digest = hashlib.sha256(pixels).hexdigest()
    return Pack(folder, "blobs", CheckedImages(pixels), None, [], [], [], digest, Shape(size, channels))


def open_blobs(spec: DataSpec, model: Model, *, progress: Callable[[int, int], None]) -> Pack | Pairs:
    """Stands for `open_data`."""
    progress(1, 1)
    folder, count = Path(str(spec).rpartition(" ")[2]), spec.max_images or 40

    def pack(size: int, channels: int) -> Pack:
        return blobs(folder / f"{size}x{channels}", size, channels, count=count)

    if not isinstance(model, Translator):
        return pack(model.size, model.channels)
    both = pack(model.source_size, model.source_channels), pack(model.size, model.channels)
    return Pairs("blobs", *both, (np.arange(count), np.arange(count)), model.paired)


def settings(out: Path, **changed: Any) -> TrainSettings:
    plain = {"steps": STEPS, "checkpoint_every": 4, "sample_every": 6, "log_every": 5, "threads": 1, "device": "cpu"}
    return TrainSettings(out=str(out), **{**plain, **changed})


def only_run(out: Path) -> Path:
    (run,) = out.glob("0*")
    return run


def digests(run: Path) -> dict[str, str]:
    """SHA-256 of what a run must end with, whatever happened to it on its way."""
    kept = [run / "metrics.jsonl", run / "histograms.jsonl", run / "model" / "model.safetensors", run / "reals.png"]
    kept += [*run.glob(f"checkpoints/step-{STEPS:08d}/*"), *(run / "samples" / f"{n:08d}.png" for n in (6, 12))]
    assert len(kept) >= 12, kept
    return {str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}


@pytest.fixture(autouse=True)
def _blobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_data, "open_data", open_blobs)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return DataSpec.parse(tmp_path_factory.mktemp("blobs"))


@pytest.fixture
def quiet() -> Lines:
    return Lines(open(os.devnull, "w"), every=1e9)  # noqa: PTH123


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory: pytest.TempPathFactory, data: DataSpec) -> dict[str, str]:
    """What a run that nothing happens to ends with."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_data, "open_data", open_blobs)
        out = tmp_path_factory.mktemp("reference")
        return digests(runs.start(settings(out), Toy, {}, data=data))


def test_a_named_set_trains_at_its_own_size_unless_told(
    tmp_path: Path, quiet: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where open_blobs leaves its files
    run = runs.start(
        settings(tmp_path / "a", steps=1), Toy, {}, data=DataSpec.parse("fashion-mnist/test"), display=quiet
    )
    assert models.read_model_folder(run / "model")[0]["options"]["size"] == 28
    run = runs.start(
        settings(tmp_path / "b", steps=1), Toy, {"size": 16}, data=DataSpec.parse("zeuxis:fashion-mnist"), display=quiet
    )
    assert models.read_model_folder(run / "model")[0]["options"]["size"] == 16


def test_run_folder_holds_what_the_design_says(tmp_path: Path, data: DataSpec, quiet: Lines) -> None:
    run = runs.start(settings(tmp_path, name="my run"), Toy, {"lr": 0.02}, data=data, display=quiet)
    assert run == tmp_path / "00001-my-run"
    config = storage.RunFolder.open(run).config
    assert config["family"] == "test_runs:Toy"
    assert config["options"] == {"size": 8, "channels": 1, "latent_dim": 4, "lr": 0.02}
    assert config["settings"]["batch_size"] == 4
    assert config["settings"]["ema_half_life"] == 2000
    assert config["settings"]["steps"] == STEPS
    assert config["versions"]["torch"] == torch.__version__
    rows = storage.RunFolder.open(run).metrics()
    assert [row["step"] for row in rows] == [1, 2, 5, 6, 10, 12]
    assert rows[2]["images"] == 20
    assert "critic/size" in rows[2]
    assert 0 < rows[3]["samples/diversity"] < 10
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["step-00000008", "step-00000012"]
    assert sorted(path.name for path in (run / "samples").iterdir()) == ["00000006.png", "00000012.png"]
    assert "12 steps (48 images seen) on 40 images" in (run / "model" / "README.md").read_text()
    assert "done at step 12" in (run / "log.txt").read_text()
    weights = files.read_tensors(run / "model" / "model.safetensors")
    assert not [name for name in weights if name.startswith("critic")]


def test_row_is_the_mean_of_its_interval(tmp_path: Path, data: DataSpec, quiet: Lines) -> None:
    every = runs.start(settings(tmp_path / "a", log_every=1), Toy, {}, data=data, display=quiet)
    some = runs.start(settings(tmp_path / "b", log_every=5), Toy, {}, data=data, display=quiet)
    each = {row["step"]: row["maker/fool"] for row in storage.RunFolder.open(every).metrics()}
    row = next(row for row in storage.RunFolder.open(some).metrics() if row["step"] == 5)
    assert row["maker/fool"] == pytest.approx((each[3] + each[4] + each[5]) / 3, rel=1e-12)


@pytest.mark.parametrize("cut", range(1, STEPS))
def test_resumed_at_any_step_ends_with_the_same_bits(
    tmp_path: Path, data: DataSpec, quiet: Lines, never_stopped: dict[str, str], cut: int
) -> None:
    run = runs.start(settings(tmp_path, steps=cut), Toy, {}, data=data, display=quiet)
    runs.resume_run(run, steps=STEPS, family=Toy, display=quiet)
    assert digests(run) == never_stopped


@pytest.mark.parametrize("name", long_but("dcgan", "diffusion", "rbm", "stylegan2", "vae", among=registry.built_in()))
def test_families_resume_bit_for_bit(tmp_path: Path, data: DataSpec, quiet: Lines, name: str) -> None:
    """Weights, average, optimizers and rows; the cuts come before and after what begins in a run: a stage, a loss, a warm-up."""
    family = families.find(name)
    options = {key: 4 if key == "base_channels" else value for key, value in small(family).items()}

    def state(run: Path) -> dict[str, str]:
        newest = storage.RunFolder.open(run).checkpoints()[-1]
        kept = [run / "metrics.jsonl", *run.glob("histograms.jsonl"), *newest.iterdir()]
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}

    asked = settings(tmp_path, steps=21, batch_size=8, sample_every=100, checkpoint_every=100)
    straight = runs.start(asked, family, options, data=data, display=quiet)
    cuts = (3, 7, 17) if not RELEASE else range(1, 21)
    for cut in cuts:
        stopped = runs.start(
            settings(tmp_path, steps=cut, batch_size=8, sample_every=100, checkpoint_every=100),
            family,
            options,
            data=data,
            display=quiet,
        )
        runs.resume_run(stopped, steps=21, display=quiet)
        assert state(stopped) == state(straight)
    assert {"model.safetensors", "average.safetensors", "metrics.jsonl", "state.json"} < state(straight).keys()
    assert sum(file.startswith("optimizer-") for file in state(straight)) == len(family(**options).optimizers())


def test_a_run_moves_to_another_device(
    tmp_path: Path, data: DataSpec, never_stopped: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    told = io.StringIO()
    run = runs.start(settings(tmp_path, steps=5), Toy, {}, data=data, display=Lines(told))
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("device: cpu", "device: cuda"))  # as if it had begun on a GPU
    with pytest.raises(UsageError, match="--device is cuda, and torch .* finds none here"):
        runs.resume_run(run, steps=STEPS, family=Toy, display=Lines(told))
    runs.resume_run(run, steps=STEPS, family=Toy, device="auto", display=Lines(told))
    assert "the run moves from cuda to cpu: from here on its bits are not those" in told.getvalue()
    assert "device: cpu" in config.read_text()
    assert digests(run) == never_stopped


def test_resuming_takes_the_kernels_that_the_run_began_with(
    tmp_path: Path, data: DataSpec, quiet: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = {"4x64 to 4x1 by 1x64": "blas standard blas"}
    monkeypatch.setattr(engine, "choose_kernels", lambda *_, **__: chosen)
    whole = runs.start(settings(tmp_path / "whole"), Toy, {}, data=data, display=quiet)
    short = runs.start(settings(tmp_path / "short", steps=5), Toy, {}, data=data, display=quiet)
    plain = runs.start(settings(tmp_path / "plain", kernels="standard"), Toy, {}, data=data, display=quiet)
    monkeypatch.setattr(engine, "choose_kernels", lambda *_, **__: pytest.fail("measured again"))
    used: list[dict[str, str]] = []
    using = engine.Using
    monkeypatch.setattr(engine, "Using", lambda table: (used.append(table), using(table))[1])
    runs.resume_run(short, steps=STEPS, family=Toy, display=quiet)
    assert used == [chosen] * (STEPS - 5)
    assert storage.RunFolder.open(short).config["chosen_kernels"] == chosen
    assert storage.RunFolder.open(plain).config["chosen_kernels"] == {}
    weights = [files.read_tensors(run / "model" / "model.safetensors") for run in (whole, short)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_kernels_are_measured_in_the_format_that_trains(
    tmp_path: Path, data: DataSpec, quiet: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []
    chosen = {"4x64 to 4x1 by 1x64, bf16": "blas standard blas"}
    monkeypatch.setattr(engine, "choose_kernels", lambda *_, precision, **__: (measured.append(precision), chosen)[1])
    monkeypatch.setattr(device, "_cpu_has_bf16", lambda: True)
    run = runs.start(settings(tmp_path, steps=1, precision="bf16"), Toy, {}, data=data, display=quiet)
    assert measured == ["bf16"]
    assert storage.RunFolder.open(run).config["chosen_kernels"] == chosen
    runs.resume_run(run, steps=2, family=Toy, display=quiet)
    assert measured == ["bf16"]


def test_another_table_of_kernels_than_that_of_the_checkpoint_is_said(
    tmp_path: Path, data: DataSpec, quiet: Lines, capsys: pytest.CaptureFixture[str]
) -> None:
    run = runs.start(settings(tmp_path, steps=5), Toy, {}, data=data, display=quiet)
    found = storage.RunFolder.open(run)
    runs.resume_run(run, steps=6, family=Toy, display=Lines(sys.stdout))
    assert "chosen_kernels" not in capsys.readouterr().out
    found.write_config({**found.config, "chosen_kernels": {"4x64 to 4x1 by 1x64": "blas standard blas"}})
    runs.resume_run(run, steps=7, family=Toy, display=Lines(sys.stdout))
    assert "chosen_kernels of config.yaml are not those of the checkpoint" in capsys.readouterr().out
    for hostile in ({"a": 5}, {"a": "standard blas"}, {5: "blas blas blas"}, ["blas"], "blas", {"a": "x " * 5000}):
        found.write_config({**found.config, "chosen_kernels": hostile})
        with pytest.raises(UsageError, match="restore") as refusal:
            runs.resume_run(run, steps=8, family=Toy, display=quiet)
        assert len(str(refusal.value)) < 500


def test_what_is_inside_is_drawn_beside_the_samples(tmp_path: Path, data: DataSpec, quiet: Lines) -> None:
    asked = settings(tmp_path, steps=12, batch_size=8, sample_every=6)
    run = runs.start(asked, families.find("rbm"), {"size": 16, "latent_dim": 8}, data=data, display=quiet)
    for kind in ("samples", "filters", "chains", "reconstructions"):
        assert sorted(path.name for path in (run / kind).iterdir()) == ["00000006.png", "00000012.png"]
    reals, again = (images_of(run / name) for name in ("reals.png", "reconstructions/00000012.png"))
    assert (again[:, 2:18] == reals[:, 2:18]).all()  # the first column: real images, their copies beside them
    assert not (again[:, 20:36] == reals[:, 2:18]).all()


def images_of(path: Path) -> Any:
    return np.asarray(Image.open(path).convert("RGB"))[2:18].astype(int)


def test_minutes_alone_end_a_run_and_resume_it(tmp_path: Path, data: DataSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that each step puts an hour forward."""
    step, steps = engine.train_step, list[int]()
    clock = SimpleNamespace(process_time=time.process_time, monotonic=lambda: time.monotonic() + 3600 * len(steps))
    monkeypatch.setattr(budget, "time", clock)
    monkeypatch.setattr(engine, "train_step", lambda *a, **k: (steps.append(1), step(*a, **k))[1])
    monkeypatch.setattr("zeuxis.training.settings.STEPS", 3)  # what a run takes if nothing is said
    told = io.StringIO()
    run = runs.start(settings(tmp_path, steps=None, minutes=5 * 60), Toy, {}, data=data, display=Lines(told, every=0))
    first = storage.RunFolder.open(run).load_checkpoint()
    assert first is not None and first.step == 5
    assert f"step {first.step:,}  " in told.getvalue() and "step 1/" not in told.getvalue()
    with pytest.raises(UsageError, match="--steps or --minutes"):
        runs.resume_run(run, family=Toy)
    steps.clear()
    runs.resume_run(run, minutes=2 * 60, family=Toy)
    second = storage.RunFolder.open(run).load_checkpoint()
    assert second is not None and second.step == 7


def test_core_minutes_count_the_steps_alone_and_go_on_after_a_resume(
    tmp_path: Path, data: DataSpec, quiet: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a processor whose time passes by 1 s in each step, and by 7 s in each sheet and each save."""
    used = [0.0]

    def passing(function: Callable[..., Any], seconds: float) -> Callable[..., Any]:
        def timed(*given: Any, **named: Any) -> Any:
            used[0] += seconds
            return function(*given, **named)

        return timed

    monkeypatch.setattr(budget, "time", SimpleNamespace(process_time=lambda: used[0], monotonic=time.monotonic))
    monkeypatch.setattr(engine, "train_step", passing(engine.train_step, 1.0))
    monkeypatch.setattr(contact_sheets, "draw", passing(contact_sheets.draw, 7.0))
    monkeypatch.setattr(storage.RunFolder, "save_checkpoint", passing(storage.RunFolder.save_checkpoint, 7.0))

    def spent(run: Path) -> tuple[int, float]:
        newest = storage.RunFolder.open(run).load_checkpoint()
        assert newest is not None
        return newest.step, newest.state["processor_seconds"]

    asked = settings(tmp_path, steps=None, cpu_minutes=9 / 60)
    run = runs.start(asked, Toy, {}, data=data, display=quiet)
    assert spent(run) == (9, 9.0), "beyond the 3 steps between checkpoints and the sheets, which cost nothing"
    runs.resume_run(run, family=Toy, display=quiet)
    assert spent(run) == (9, 9.0), "a budget that is used up takes no further step"
    shutil.rmtree(run / "checkpoints" / "step-00000009")  # as if killed before it was written
    runs.resume_run(run, cpu_minutes=STEPS / 60, family=Toy, display=quiet)
    assert spent(run) == (STEPS, float(STEPS)), "the 8 s of the checkpoint count, those after it do not"
    assert storage.RunFolder.open(run).config["settings"]["cpu_minutes"] == STEPS / 60
    runs.resume_run(run, steps=STEPS + 1, family=Toy, display=quiet)
    newest = storage.RunFolder.open(run).load_checkpoint()
    assert newest is not None and newest.step == STEPS + 1, "more steps asked for by hand are not held to it"


def test_core_minutes_do_not_change_what_is_learned(
    tmp_path: Path, data: DataSpec, quiet: Lines, never_stopped: dict[str, str]
) -> None:
    run = runs.start(settings(tmp_path, cpu_minutes=60.0), Toy, {}, data=data, display=quiet)
    found = digests(run)
    states = [name for name in found if name.endswith(("state.json", "manifest.json"))]
    assert len(states) == 2 and all(found[name] != never_stopped[name] for name in states)
    assert {name: value for name, value in found.items() if name not in states} == {
        name: value for name, value in never_stopped.items() if name not in states
    }


def test_budget_tells_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = {"monotonic": 100.0, "process_time": 5.0}
    clocks = {name: lambda name=name: now[name] for name in now}
    monkeypatch.setattr(budget, "time", SimpleNamespace(**clocks))
    both = budget.Budget(TrainSettings(minutes=2, cpu_minutes=1), begin=100.0)
    both.resumed({"processor_seconds": 10.0})
    with both.step():
        now["process_time"] += 20
    now["monotonic"] += 40
    (clock, left), (core, core_left) = both.shares()
    assert (clock, left) == (pytest.approx(1 / 3), 80)
    assert (core, core_left) == (0.5, 60), "30 s of the processor at 2 s by the clock for each"
    assert not both.over
    with both.step():
        now["process_time"] += 30
    assert both.over and both.used_up and both.saved() == {"processor_seconds": 60.0}
    with pytest.raises(TypeError):
        both.resumed({"processor_seconds": None})


def test_minutes_go_on_with_a_run_whose_steps_are_done(tmp_path: Path, data: DataSpec, quiet: Lines) -> None:
    run = runs.start(settings(tmp_path, steps=4), Toy, {}, data=data, display=quiet)
    runs.resume_run(run, cpu_minutes=0.002, family=Toy, display=quiet)
    assert storage.RunFolder.open(run).load_checkpoint().step > 4
    assert storage.RunFolder.open(run).config["settings"]["steps"] is None
    early = runs.start(settings(tmp_path, steps=9, minutes=0.0), Toy, {}, data=data, display=quiet)
    runs.resume_run(early, minutes=60, family=Toy, display=quiet)
    assert storage.RunFolder.open(early).load_checkpoint().step == 9  # the steps still end it


def test_minutes_end_a_run_without_changing_it(
    tmp_path: Path, data: DataSpec, quiet: Lines, never_stopped: dict[str, str]
) -> None:
    run = runs.start(settings(tmp_path, minutes=0.0), Toy, {}, data=data, display=quiet)
    assert storage.RunFolder.open(run).load_checkpoint().step == 1
    assert (run / "model" / "model.safetensors").exists()
    runs.resume_run(run, minutes=0.0, family=Toy, display=quiet)
    assert storage.RunFolder.open(run).load_checkpoint().step == 2
    runs.resume_run(run, family=Toy, display=quiet)
    assert digests(run) == never_stopped


def test_resuming_a_finished_run_changes_nothing(
    tmp_path: Path, data: DataSpec, quiet: Lines, never_stopped: dict[str, str]
) -> None:
    run = runs.start(settings(tmp_path), Toy, {}, data=data, display=quiet)
    runs.resume_run(run, family=Toy, display=quiet)
    assert digests(run) == never_stopped


def test_resume_refuses_changed_data_fewer_steps_and_unnamed_code(tmp_path: Path, data: DataSpec, quiet: Lines) -> None:
    run = runs.start(settings(tmp_path), Toy, {}, data=data, display=quiet)
    with pytest.raises(UsageError, match=r"at step 12, beyond 3; .*--steps or --minutes"):
        runs.resume_run(run, steps=3, family=Toy, display=quiet)
    with pytest.raises(UsageError, match="--family test_runs:Toy"):
        runs.resume_run(run, display=quiet)
    config = storage.RunFolder.open(run).config
    storage.RunFolder.open(run).write_config({**config, "fingerprint": "another"})
    with pytest.raises(DataError, match="has changed since the run began"):
        runs.resume_run(run, family=Toy, display=quiet)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"options": 3}, "options: 3, expected dict"),
        ({"family": None}, "family: None, expected str"),
        ({"settings": {"steps": "many"}}, "--steps is 'many'; expected int"),
        ({"settings": {"stepz": 3}}, "unknown setting 'stepz'"),
        ({"options": {"base_channels": 3}}, "no option 'base_channels'"),
        ({"options": {"latent_dim": 5}}, "does not fit the run's options"),
        ({"images": True}, "images: True"),
    ],
)
def test_resume_says_what_is_wrong_in_config(
    tmp_path: Path, data: DataSpec, quiet: Lines, broken: dict[str, Any], message: str
) -> None:
    run = runs.start(settings(tmp_path, steps=1), Toy, {}, data=data, display=quiet)
    config = storage.RunFolder.open(run).config
    storage.RunFolder.open(run).write_config({**config, **broken})
    with pytest.raises(UsageError, match=message):
        runs.resume_run(run, family=Toy, display=quiet)


def test_init_from_takes_the_weights_alone(tmp_path: Path, data: DataSpec, quiet: Lines) -> None:
    first = runs.start(settings(tmp_path), Toy, {}, data=data, display=quiet)
    second = runs.start(
        settings(tmp_path, steps=1, init_from=str(first), seed=9), Toy, {"lr": 0.0}, data=data, display=quiet
    )
    before = files.read_tensors(first / "model" / "model.safetensors")
    after = storage.RunFolder.open(second).load_checkpoint()
    assert after is not None
    assert after.state["step"] == 1
    assert torch.equal(after.tensors["model"]["maker.0.weight"], before["maker.0.weight"])
    shutil.rmtree(first)  # resuming needs it no more
    runs.resume_run(second, steps=2, family=Toy, display=quiet)


def test_data_is_found_again_from_another_folder(
    tmp_path: Path, data: DataSpec, quiet: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(str(data))
    monkeypatch.chdir(folder.parent)
    run = runs.start(settings(tmp_path, steps=1), Toy, {}, data=DataSpec.parse(folder.name), display=quiet)
    monkeypatch.chdir("/")
    runs.resume_run(run, steps=2, family=Toy, display=quiet)
    assert storage.RunFolder.open(run).config["data"] == str(folder)
    card = (run / "model" / "README.md").read_text()
    assert folder.name in card
    assert str(folder.parent) not in card


# --- what stops a run: a server forks a process per command, so that torch is imported once


def slowed(function: Callable[..., Any], job: dict[str, Any]) -> Callable[..., Any]:
    """The function; its `call`-th call leaves a marker and then waits until somebody makes the file `go`."""
    calls = 0

    def slow(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == job["call"]:
            Path(job["out"], "marker").touch()
            # In short naps, as a step is many short calls: a signal that comes just before one is heard when that one ends.
            wait_for_file(Path(job["out"], "go"))
        return function(*given, **named)

    return slow


def noted(function: Callable[..., Any], phase: str, job: dict[str, Any]) -> Callable[..., Any]:
    """The function; a call that begins after a signal has come is a line of the file `begun`."""

    def call(*given: Any, **named: Any) -> Any:
        if Path(job["out"], "heard").exists():
            with Path(job["out"], "begun").open("a") as file:
                file.write(phase + "\n")
        return function(*given, **named)

    return call


def hearing(job: dict[str, Any]) -> Callable[..., None]:
    """The handler of signals; once one was received the file `heard` is there."""
    receive = signals.Stop.receive

    def heard(self: signals.Stop, number: int, frame: Any) -> None:
        try:
            receive(self, number, frame)
        finally:
            Path(job["out"], "heard").touch()

    return heard


def mortal(function: Callable[..., Any], left: list[int]) -> Callable[..., Any]:
    """A call of the system; the process is killed before one where no more are left."""

    def call(*given: Any, **named: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*given, **named)

    return call


CHANGES = ("open", "write", "fsync", "replace", "rename", "mkdir", "unlink", "rmdir")  # calls that change a disk

PHASES: dict[str, tuple[Any, str]] = {
    "start": (runs, "prepare_model"),
    "scan": (run_data, "open_data"),
    "reading": (Lines, "work"),
    "step": (engine, "train_step"),
    "sample": (contact_sheets, "samples"),
    "metrics": (storage.RunFolder, "append_metrics"),
    "save": (storage.RunFolder, "save_checkpoint"),
    "end": (loop.Training, "_finish"),
}


def child(job: dict[str, Any]) -> None:
    """What a forked process does: one command, as the command line would."""
    os.dup2(os.open(job["stderr"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    os.environ["ZEUXIS_TEST_RUN"] = job["out"]
    signal.signal(signal.SIGHUP, signal.SIG_IGN if job.get("nohup") else signal.SIG_DFL)
    if not job.get("real"):
        run_data.open_data = open_blobs
    if job.get("slow"):
        owner, name = PHASES[job["slow"]]
        setattr(owner, name, slowed(getattr(owner, name), job))
        for phase, (owner, name) in PHASES.items():
            setattr(owner, name, noted(getattr(owner, name), phase, job))
        signals.Stop.receive = hearing(job)  # type: ignore[method-assign]
    if job.get("dies"):
        left = [job["dies"]]
        for name in CHANGES:
            setattr(os, name, mortal(getattr(os, name), left))
    loop.PATIENCE = job.get("patience", PATIENCE)
    code = 0
    try:
        with signals.signals():
            if job["run"]:
                runs.resume_run(job["run"], family=Toy, display=Lines(sys.stderr))
            else:
                runs.start(
                    settings(Path(job["out"])), Toy, {}, data=DataSpec.parse(job["data"]), display=Lines(sys.stderr)
                )
    except ZeuxisError as error:
        os.write(2, f"zeuxis: {error}\n".encode())
        code = error.exit_code
    except BaseException:
        import traceback

        os.write(2, traceback.format_exc().encode())
        code = 99
    os._exit(code)


def serve() -> None:
    """Fork a child for each line of JSON; answer with its process id, then with its exit code."""
    # What is imported when it is first used is imported here, once. No backward: its threads would not survive a fork.
    weight = nn.Parameter(torch.zeros(2))
    weight.grad = torch.ones(2)
    Adam([weight]).step()
    Image.init()
    for text in sys.stdin:
        process = os.fork()
        if not process:
            child(json.loads(text))
        print("process", process, flush=True)  # noqa: T201
        _, status = os.waitpid(process, 0)
        print("exit", os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201


class Server:
    """Runs commands in processes of their own."""

    def __init__(self, data: str) -> None:
        self.data = data
        code = "import test_runs; test_runs.serve()"
        here = Path(__file__).parent
        path = os.pathsep.join([str(here), str(here.parent / "src")])
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )
        self.answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout
        for text in self.process.stdout:
            self.answers.put(text)
        self.answers.put("the server has ended")

    def begin(self, out: Path, run: Path | None = None, **job: Any) -> int:
        """Start a command; its process id."""
        out.mkdir(exist_ok=True)
        plain = {"out": str(out), "run": str(run or ""), "data": self.data, "stderr": str(out / "stderr")}
        assert self.process.stdin
        self.process.stdin.write(json.dumps({**plain, **job}) + "\n")
        self.process.stdin.flush()
        return self.answer("process")

    def end(self) -> int:
        """Wait for the command; its exit code."""
        return self.answer("exit")

    def answer(self, what: str) -> int:
        """The next answer of that kind; one that a failed test did not wait for is passed over."""
        kind = ""
        while kind != what:
            text = self.answers.get(timeout=PATIENCE)
            kind, _, number = text.partition(" ")
            assert kind in ("process", "exit"), text
        return int(number)


@pytest.fixture(scope="module")
def server(data: DataSpec) -> Iterator[Server]:
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    made = Server(str(data))
    yield made
    assert made.process.stdin
    made.process.stdin.close()
    made.process.wait(PATIENCE)


CALLS = {"start": [1], "scan": [1], "step": [1, 8], "sample": [1, 2], "metrics": [1, 4], "save": [1, 3], "end": [1]}
SIGNALS = [
    (phase, call, number) for phase in CALLS for call in CALLS[phase] for number in ("SIGINT", "SIGTERM", "SIGHUP")
]


@pytest.mark.long
@pytest.mark.parametrize(("phase", "call", "name"), SIGNALS * (17 if RELEASE else 1))
def test_signal_in_every_phase_saves_and_leaves(
    tmp_path: Path, server: Server, never_stopped: dict[str, str], phase: str, call: int, name: str
) -> None:
    """Nothing but one save begins after a signal, so that it takes no longer than the step under way and a save."""
    number = getattr(signal, name)
    process = server.begin(tmp_path, slow=phase, call=call)
    wait_for_file(tmp_path / "marker")
    os.kill(process, number)
    (tmp_path / "go").touch()
    assert server.end() == 128 + number
    assert begun(tmp_path) == (["save"] if phase in ("step", "sample", "metrics") else [])
    message = (tmp_path / "stderr").read_text()
    assert "Traceback" not in message
    assert message.rstrip().rpartition("\n")[2].startswith(f"zeuxis: ended by {name}"), message
    if phase in ("start", "scan"):
        assert not list(tmp_path.glob("0*"))
        return
    run = only_run(tmp_path)
    checkpoint = storage.RunFolder.open(run).load_checkpoint()
    assert checkpoint is not None
    assert f"saved at step {checkpoint.step}" in message  # nothing was lost
    server.begin(tmp_path, run)
    assert server.end() == 0
    assert digests(run) == never_stopped


@pytest.mark.parametrize("phase", ["start", "step", "save"])
def test_hangup_that_was_ignored_at_the_start_stays_ignored(
    tmp_path: Path, server: Server, never_stopped: dict[str, str], phase: str
) -> None:
    """As under nohup."""
    process = server.begin(tmp_path, slow=phase, call=1, nohup=True)
    wait_for_file(tmp_path / "marker")
    os.kill(process, signal.SIGHUP)
    (tmp_path / "go").touch()
    assert server.end() == 0
    assert digests(only_run(tmp_path)) == never_stopped


def test_signals_that_follow_a_hangup_do_not_cut_its_save(
    tmp_path: Path, server: Server, never_stopped: dict[str, str]
) -> None:
    """A shell that ends sends several."""
    process = server.begin(tmp_path, slow="save", call=2)
    wait_for_file(tmp_path / "marker")
    for number in (signal.SIGHUP, signal.SIGCONT, signal.SIGHUP, signal.SIGTERM):
        os.kill(process, number)
    (tmp_path / "go").touch()
    assert server.end() == 129
    assert "saved at step" in (tmp_path / "stderr").read_text()
    server.begin(tmp_path, only_run(tmp_path))
    assert server.end() == 0
    assert digests(only_run(tmp_path)) == never_stopped


def begun(out: Path) -> list[str]:
    """What began after the signal had come."""
    return (out / "begun").read_text().split() if (out / "begun").exists() else []


@pytest.mark.parametrize("phase", ["step", "save", "end"])
def test_second_interrupt_ends_at_once(
    tmp_path: Path, server: Server, never_stopped: dict[str, str], phase: str
) -> None:
    """The command waits for what never comes: nothing but the signal can end it."""
    process = server.begin(tmp_path, slow=phase, call=1 if phase == "end" else 2)
    wait_for_file(tmp_path / "marker")
    if phase == "end":  # nothing holds the first one back there: the save after it is what the second one meets
        os.kill(process, signal.SIGTERM)
    else:
        os.kill(process, signal.SIGINT)
        wait_for_file(tmp_path / "heard")
        os.kill(process, signal.SIGINT)
    assert server.end() == (143 if phase == "end" else 130)
    assert begun(tmp_path) == []
    message = (tmp_path / "stderr").read_text()
    assert "Traceback" not in message
    assert ("zeuxis: ended by" in message) == (phase == "end"), "the second one leaves no time for a farewell"
    server.begin(tmp_path, only_run(tmp_path))
    assert server.end() == 0
    assert digests(only_run(tmp_path)) == never_stopped


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signal_while_images_are_read_leaves_no_orphan(tmp_path: Path, server: Server, name: str) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(150):
        Image.new("L", (8, 8), i).save(folder / f"{i:03d}.png")
    out = tmp_path / "out"
    process = server.begin(out, real=True, data=str(folder), slow="reading", call=1)
    wait_for_file(out / "marker")
    os.kill(process, getattr(signal, name))
    (out / "go").touch()
    assert server.end() == 128 + getattr(signal, name)
    assert (out / "stderr").read_text().endswith(f"zeuxis: ended by {name}; nothing is lost\n")
    assert not processes_with(str(out))


def processes_with(mark: str) -> list[str]:
    """The processes that a command of this test has left behind (on Linux; none elsewhere)."""
    left = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"ZEUXIS_TEST_RUN={mark}".encode() in (folder / "environ").read_bytes():
                left.append((folder / "cmdline").read_text())
        except OSError:  # gone, or another user's
            continue
    return left


def test_step_that_takes_too_long_is_given_up(tmp_path: Path, server: Server, never_stopped: dict[str, str]) -> None:
    """The step waits for what never comes; by itself it is waited for 3.5 of the 5 s that a run has to save and leave."""
    assert loop.PATIENCE == 3.5
    process = server.begin(tmp_path, slow="step", call=7, patience=0.2)
    wait_for_file(tmp_path / "marker")
    os.kill(process, signal.SIGTERM)
    assert server.end() == 143
    assert begun(tmp_path) == []
    message = (tmp_path / "stderr").read_text()
    assert "during step 7; the newest checkpoint is step 4" in message
    server.begin(tmp_path, only_run(tmp_path))
    assert server.end() == 0
    assert digests(only_run(tmp_path)) == never_stopped


@pytest.mark.parametrize("seed", range(300 if RELEASE else 8))
def test_killed_at_random_moments_ends_with_the_same_bits(
    tmp_path: Path, server: Server, never_stopped: dict[str, str], seed: int
) -> None:
    """Killed between any two changes of the disk: what else a process does is lost with it, whenever that is."""
    draw, ends = random.Random(seed), []
    for _ in range(4):
        runs = list(tmp_path.glob("0*"))
        server.begin(tmp_path, runs[0] if runs else None, dies=draw.randrange(1, 240))  # of about 245 in a whole run
        ends.append(server.end())
    assert ends[0] == -signal.SIGKILL and set(ends) <= {-signal.SIGKILL, 0}
    runs = list(tmp_path.glob("0*"))
    server.begin(tmp_path, runs[0] if runs else None)
    assert server.end() == 0, (tmp_path / "stderr").read_text()
    assert digests(only_run(tmp_path)) == never_stopped


# --- numbers that are not finite


def poisoned(family: type[Model], player: str, term: str, *, step: int, value: float) -> Callable[..., Iterator[Turn]]:
    """The family's game, in which one term is not finite at one step."""
    losses = family.losses

    def game(self: Model, batch: Batch, clock: Clock) -> Iterator[Turn]:
        for who, terms in losses(self, batch, clock):
            bad = who == player and term in terms and clock.step >= step
            yield who, {**terms, term: terms[term] * value} if bad else terms

    return game


def small(family: type[Model]) -> dict[str, Any]:
    """Options of a family that make it small."""
    wanted = {"size": 16, "base_channels": 8, "latent_dim": 8, "num_inference_steps": 2, "blocks": 1, "pool_size": 10}
    wanted |= {"pretrain_steps": 4, "vgg_weight": 0.0, "images_per_stage": 32, "kl_warmup": 64}
    return {name: value for name, value in wanted.items() if name in {f.name for f in options_of(family)}}


GAN_TERMS = ["discriminator/real", "discriminator/fake", "generator/adversarial"]
TERMS = {
    "cyclegan": [
        *(f"generators/{term}" for term in ("adversarial image", "adversarial source", "cycle", "identity")),
        *(f"discriminators/{side} {end}" for side in ("real", "fake") for end in ("image", "source")),
    ],
    "dcgan": [*GAN_TERMS, "discriminator/r1"],
    "diffusion": ["denoiser/mse"],
    "gan": [*GAN_TERMS, "discriminator/r1"],
    "pix2pix": [*GAN_TERMS, "generator/l1"],
    "progan": [*GAN_TERMS, "discriminator/r1"],
    "rbm": ["rbm/free_energy_gap"],
    "srgan": [*GAN_TERMS, "generator/mse"],
    "stylegan2": [*GAN_TERMS, "discriminator/r1", "generator/path"],
    "vae": ["vae/reconstruction", "vae/kl"],
    "wgan": ["critic/real", "critic/fake", "generator/adversarial"],
    "wgan_gp": ["critic/real", "critic/fake", "critic/penalty", "generator/adversarial"],
}
# Every term of every family is NaN once; infinite, too, is one of each kind, and every one before a release.
PLAIN = {"rbm", "vae", "gan", "dcgan", "wgan", "diffusion"}
POISONS = [
    (name, term, value)
    for name, terms in TERMS.items()
    for term in terms
    for value in (float("nan"), float("inf"))
    if RELEASE or value != float("inf") or name in PLAIN or term == "critic/penalty"
]


def assert_diverged(
    out: Path, quiet: Lines, family: type[Model], data: DataSpec, named: str, options: dict[str, Any]
) -> None:
    with pytest.raises(DivergedError, match=named) as raised:
        runs.start(settings(out, steps=9, batch_size=8), family, options, data=data, display=quiet)
    assert raised.value.exit_code == 3
    assert "the checkpoint of step 4 is kept, but resuming it would diverge again" in str(raised.value)
    run = only_run(out)
    assert str(raised.value) in (run / "log.txt").read_text()
    checkpoint = storage.RunFolder.open(run).load_checkpoint()
    assert checkpoint is not None
    assert checkpoint.step == 4
    groups = [*checkpoint.tensors.values(), files.read_tensors(run / "model" / "model.safetensors")]
    assert all(bool(value.isfinite().all()) for group in groups for value in group.values())


@pytest.mark.parametrize(("name", "term", "value"), POISONS)
def test_loss_that_is_not_finite_is_named_and_never_saved(
    tmp_path: Path, data: DataSpec, quiet: Lines, monkeypatch: pytest.MonkeyPatch, name: str, term: str, value: float
) -> None:
    family, (player, _, term) = families.find(name), term.partition("/")
    monkeypatch.setattr(family, "losses", poisoned(family, player, term, step=4, value=value))
    lazy = {"r1": {"r1_interval": 2}, "path": {"path_length_interval": 2}}.get(term, {})
    named = f"the term '{term}' of {player} is .* at step 4;"
    assert_diverged(tmp_path, quiet, family, data, named, {**small(family), **lazy})


@pytest.mark.parametrize("name", registry.built_in())
def test_every_term_of_a_family_is_made_not_finite(name: str) -> None:
    family, seen = families.find(name), set[str]()
    model = family(**small(family))
    for step in range(8):
        for player, terms in model.losses(NoiseImages(model).batch(0, 4), Clock(step, 4 * step)):
            seen |= {f"{player}/{term}" for term in terms if player}
    assert seen == set(TERMS[name])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("player", ["critic", "maker"])
def test_gradient_that_is_not_finite_is_named(
    tmp_path: Path, data: DataSpec, quiet: Lines, monkeypatch: pytest.MonkeyPatch, player: str, value: float
) -> None:
    losses = Toy.losses

    def game(self: Toy, batch: Batch, clock: Clock) -> Iterator[Turn]:
        weight = next(getattr(self, player).parameters())
        hook = weight.register_hook(lambda gradient: gradient * value) if clock.step == 5 else None
        yield from losses(self, batch, clock)
        if hook:
            hook.remove()

    monkeypatch.setattr(Toy, "losses", game)
    assert_diverged(tmp_path, quiet, Toy, data, f"the gradient of {player} is .* at step", {})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_image_that_is_not_finite_is_found(
    tmp_path: Path, data: DataSpec, quiet: Lines, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    batch = runs.PackSource.batch

    def broken(self: runs.PackSource, start: int, size: int) -> Batch:
        image = batch(self, start, size).image
        return Batch(image * value if start == 40 else image)

    monkeypatch.setattr(runs.PackSource, "batch", broken)
    assert_diverged(tmp_path, quiet, Toy, data, "at step 5", {})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["model", "average"])
def test_weight_that_is_not_finite_is_found_before_a_save(
    tmp_path: Path, data: DataSpec, quiet: Lines, monkeypatch: pytest.MonkeyPatch, where: str, value: float
) -> None:
    step = engine.update_average

    def broken(average: Model, model: Model, keep: float) -> None:
        step(average, model, keep)
        broken.calls += 1  # type: ignore[attr-defined]
        if broken.calls == 8:  # type: ignore[attr-defined]
            owner = {"average": average, "model": model}[where]
            with torch.no_grad():
                owner.maker[0].weight[0, 0] = value  # type: ignore[index]

    broken.calls = 0  # type: ignore[attr-defined]
    monkeypatch.setattr(engine, "update_average", broken)
    assert_diverged(tmp_path, quiet, Toy, data, f"{where}: maker.0.weight is not finite at step 8", {})


# --- a disk that is full


@pytest.mark.parametrize("call", range(0, 200, 2 if RELEASE else 13))
def test_full_disk_ends_the_run_and_loses_nothing(
    tmp_path: Path,
    data: DataSpec,
    quiet: Lines,
    monkeypatch: pytest.MonkeyPatch,
    never_stopped: dict[str, str],
    call: int,
) -> None:
    calls, write = 0, os.write

    def full(descriptor: int, content: bytes) -> int:
        nonlocal calls
        calls += 1
        if calls > call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, content)

    monkeypatch.setattr(files, "persist", _impatient)
    monkeypatch.setattr(os, "write", full)
    try:
        runs.start(settings(tmp_path), Toy, {}, data=data, display=quiet)
        assert calls <= call
        return
    except DiskFullError as error:
        assert error.exit_code == 5
    finally:
        monkeypatch.setattr(os, "write", write)
    made = list(tmp_path.glob("0*"))
    if not made:  # it was full before the run's folder was there
        return
    runs.resume_run(made[0], family=Toy, display=quiet)
    assert digests(made[0]) == never_stopped


def _impatient(action: Callable[[], None], path: str | Path, need: int, patience: float) -> None:
    with files.explained(path, need):
        action()


# --- the rest


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA"), MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_too_little_memory_is_said_with_what_to_change(
    tmp_path: Path, data: DataSpec, quiet: Lines, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(*given: Any, **named: Any) -> Any:
        raise error

    monkeypatch.setattr(engine, "train_step", full)
    with pytest.raises(UsageError, match="smaller --batch-size, or more --micro-batches"):
        runs.start(settings(tmp_path), Toy, {}, data=data, display=quiet)
    monkeypatch.setattr(engine, "train_step", lambda *given, **named: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        runs.start(settings(tmp_path), Toy, {}, data=data, display=quiet)


def test_display_weighs_a_term_by_how_often_it_comes() -> None:
    sums = {"d/real": [8.0, 4.0], "d/r1": [4.0, 1.0], "g/fool": [6.0, 2.0], "verdict/real": [2.0, 4.0]}
    tensors = {name: torch.tensor(pair, dtype=torch.float64) for name, pair in sums.items()}
    model = Toy()
    state = engine.State(model, model, {}, Clock(), tensors)
    assert ticker.peek(state) == {"d/real": 2.0, "d/r1": 1.0, "g/fool": 3.0, "verdict/real": 0.5}
    assert state.sums is tensors


def test_display_shows_a_player_that_moves_at_every_fifth_step_all_the_time(tmp_path: Path, data: DataSpec) -> None:
    class Ticks(Lines):
        def tick(self, tick: Tick) -> None:
            shown.append(set(tick.means))

    shown: list[set[str]] = []
    asked = settings(tmp_path, steps=12, batch_size=4, log_every=3, sample_every=100, checkpoint_every=100)
    with Ticks(io.StringIO(), every=0.0) as display:
        wgan = families.find("wgan")
        runs.start(asked, wgan, small(wgan), data=data, display=display)
    assert len(shown) == 12
    assert all({"critic/real", "generator/adversarial", "critic/wasserstein"} <= names for names in shown)


def test_due_depends_on_the_step_alone() -> None:
    assert [step for step in range(1, 301) if stepping.due(step, 100)] == [1, 2, 5, 10, 20, 50, 100, 200, 300]
    assert [step for step in range(1, 3001) if stepping.due(step, 1000, first=100)] == [100, 200, 500, 1000, 2000, 3000]


def test_bf16_is_refused_where_it_would_crawl(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    monkeypatch.setattr(device, "_CPU_INFO", info)
    info.write_text("flags : fpu avx2\n")
    with pytest.raises(UsageError, match="use --precision fp32"):
        runs.choose_precision("bf16", torch.device("cpu"), suits=True)
    info.write_text("flags : fpu avx512_bf16\n")
    assert runs.choose_precision("bf16", torch.device("cpu"), suits=False) == "bf16"
    with pytest.raises(UsageError, match="choose one of auto, cuda, mps, cpu"):
        runs.choose_device("tpu")


@pytest.mark.parametrize(
    ("flags", "name", "suits", "wanted"),
    [
        ("fpu avx512_bf16", "cpu", True, "bf16"),
        ("fpu avx512_bf16", "cpu", False, "fp32"),
        ("fpu avx2", "cpu", True, "fp32"),
        ("fpu avx512_bf16", "cuda", True, "fp32"),
    ],
)
def test_auto_takes_bf16_where_it_helps_and_suits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: str, name: str, suits: bool, wanted: str
) -> None:
    info = tmp_path / "cpuinfo"
    monkeypatch.setattr(device, "_CPU_INFO", info)
    info.write_text(f"flags : {flags}\n")
    assert runs.choose_precision("auto", torch.device(name), suits=suits) == wanted


def test_the_precision_that_auto_took_is_the_runs(data: DataSpec, tmp_path: Path, quiet: Lines) -> None:
    path = runs.start(settings(tmp_path, precision="auto"), Toy, {}, data=data, display=quiet)
    assert storage.RunFolder.open(path).config["settings"]["precision"] == "fp32"  # nobody has measured Toy in bf16


def test_bad_options_are_refused_before_data_is_read(data: DataSpec, tmp_path: Path, quiet: Lines) -> None:
    with pytest.raises(UsageError, match="did you mean latent_dim"):
        runs.start(settings(tmp_path), Toy, {"latent_dims": 3}, data=DataSpec.parse("nowhere"), display=quiet)
    for wrong in ({"steps": 0}, {"steps": 2.5}, {"minutes": float("nan")}, {"precision": "fp8"}, {"hflip": 1}):
        with pytest.raises(UsageError, match=f"--{next(iter(wrong))} is "):
            settings(tmp_path, **wrong)
    with pytest.raises(DataError, match=r"learns from source, which .* does not have"):

        class Needy(Toy):
            @property
            def needs(self) -> frozenset[str]:
                return frozenset({"image", "source"})

        Needy.__module__ = Toy.__module__
        runs.start(settings(tmp_path), Needy, {}, data=data, display=quiet)


def test_dry_run_measures_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By clocks that go on by 2 s, and 3 s of the processor, each time they are read."""
    clocks = {"monotonic": itertools.count(0.0, 2.0), "process_time": itertools.count(0.0, 3.0)}
    ticking = {name: lambda clock=clock: next(clock) for name, clock in clocks.items()}
    monkeypatch.setattr(dry_run, "time", SimpleNamespace(**ticking))
    plan = runs.plan_run(settings(tmp_path / "runs"), Toy, {"latent_dim": 6})
    assert plan.parameters == {"maker": 6 * 64 + 64 + 2 * 64, "critic": 65}
    assert plan.options["latent_dim"] == 6
    assert plan.state_bytes > 3 * 4 * (plan.parameters["maker"] + plan.parameters["critic"])
    assert plan.peak_bytes > plan.state_bytes
    (pace,) = plan.paces
    assert (pace.first, pace.seconds, pace.core_seconds) == (0, 2.0, 3.0)
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_looks_at_each_phase_that_is_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Later(Toy):
        def schedule_breakpoints(self, batch_size: int) -> list[Clock]:
            return [Clock(step, step * batch_size) for step in (0, 50, 900)]

        def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
            seen.append((clock.step, clock.images))
            yield from super().losses(batch, clock)

    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(dry_run, "_SECONDS", PATIENCE)
    plan = runs.plan_run(settings(tmp_path, steps=900), Later, {})
    assert [pace.first for pace in plan.paces] == [0, 50]
    assert seen == [(step, 4 * step) for step in (*range(6), *range(50, 56))]


def test_a_plan_adds_up_the_phases() -> None:
    paces = (Pace(0, 1.0, 2.0), Pace(10, 3.0, 6.0), Pace(30, 0.5, 1.0))
    plan = runs.Plan({}, {}, {}, 0, 0, paces, "cpu", 4)
    assert [plan.seconds(steps) for steps in (1, 10, 11, 30, 34)] == [1, 10, 13, 70, 72]
    assert [plan.steps(plan.seconds(steps)) for steps in (1, 10, 11, 30, 34)] == [1, 10, 11, 30, 34]
    assert plan.steps(20.0, core=True) == 10 and plan.steps(26.0, core=True) == 11


# --- presets


def test_a_preset_sets_defaults_and_what_is_given_wins(data: str, tmp_path: Path, quiet: Lines) -> None:
    asked = settings(tmp_path, preset="paper", steps=1)
    path = runs.start(
        asked, families.find("wgan"), {"size": 16, "base_channels": 4, "lr": 0.1}, data=data, display=quiet
    )
    options = storage.RunFolder.open(path).config["options"]
    assert options["lr"] == 0.1 and options["base_channels"] == 4  # given
    assert options["n_critic"] == 5 and options["upsampling"] == "transposed"  # the paper's
    assert options["latent_dim"] == 100  # neither's


def test_a_dry_run_says_where_each_option_is_from() -> None:
    plan = runs.plan_run(
        TrainSettings(preset="paper", steps=2, batch_size=2),
        families.find("wgan"),
        {"size": 16, "lr": 0.1, "base_channels": 4},
        shape={"channels": 1, "size": 28, "source_channels": 1},
    )
    assert plan.options["lr"] == 0.1 and plan.options["size"] == 16 and plan.options["channels"] == 1
    assert plan.origins == {
        "channels": "data set",
        "size": "given",
        "lr": "given",
        "base_channels": "given",
        **dict.fromkeys(("upsampling", "n_critic", "clip_value", "critic_norm", "augment"), "preset paper"),
    }


def test_a_preset_that_a_family_lacks_is_refused(data: str, tmp_path: Path, quiet: Lines) -> None:
    with pytest.raises(UsageError, match="--preset is 'paper', and vae has no such preset; leave --preset out"):
        runs.start(settings(tmp_path, preset="paper"), families.find("vae"), {}, data=data, display=quiet)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("family", families.names())
def test_presets_name_options_of_the_family(family: str) -> None:
    kind = families.find(family)
    for preset in kind.presets.values():
        assert kind(**{"size": 16, **preset, "pretrain_steps": 1} if family == "srgan" else {"size": 16, **preset})
