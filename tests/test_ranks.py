"""Training by many processes: the same bits as by one, and an end within seconds for all where one of them fails."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from unittest import mock

import numpy as np
import psutil
import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

import zeuxis
from commandline import typed
from rank_groups import Launcher, command, group
from release import RELEASE
from toys import Sound, SoundEncoder
from waiting import PATIENCE, wait_for
from zeuxis import cli, families, registry
from zeuxis.data import DataSpec, building
from zeuxis.errors import DiskFullError, UsageError
from zeuxis.explore.candidates import candidates
from zeuxis.explore.directions import components
from zeuxis.judging.attributes import CHANGED
from zeuxis.judging.measurements import Measurements
from zeuxis.judging.periodic import PeriodicEvaluation
from zeuxis.judging.translation import choose_pairs, evaluate_translations
from zeuxis.metrics import vgg
from zeuxis.metrics.attributes import AttributeReader, Task
from zeuxis.metrics.features import Extractor
from zeuxis.model import Batch, Clock, Model, options_of
from zeuxis.nets.adaptive import Augmentation
from zeuxis.runtime import launch, pulse
from zeuxis.runtime.ranks import ALONE, Ranks, processes
from zeuxis.runtime.tree_sums import TreeSum, tree_sum
from zeuxis.storage import RunFolder
from zeuxis.storage.checkpoints import encode_group
from zeuxis.testing.case import Case, NoiseImages
from zeuxis.training import engine, micro_batches
from zeuxis.training.engine import State, train, train_step

pytestmark = pytest.mark.long

PARTS, BATCH = 4, 8
TINY = {
    "base_channels": 4,
    "latent_dim": 6,
    "blocks": 1,
    "pool_size": 6,
    "chains": 8,
    "pretrain_steps": 1,
    "vgg_weight": 0.0,
    "r1_interval": 2,
    "path_length_interval": 2,
}
TINY_PAIRS = {"base_channels": 4, "source_channels": 1}
ADAPTIVE = {"ada": {"augment": "ada", "ada_target": 0.05}, "auto": {"augment": "auto"}, "": {}}
# Those that remember something between steps: statistics, scales, chains, pools, counts.
REMEMBER = ("cyclegan", "dcgan", "gan-ada", "gan-auto", "rbm", "stylegan2")
SOME = (*registry.built_in(), "gan-ada", "gan-auto")


def tiny(name: str) -> Model:
    """A small model of the family, the same weights each time."""
    name, _, policy = name.partition("-")
    family = families.find(name)
    known = {field.name for field in options_of(family)}
    chosen = {key: value for key, value in (TINY | ADAPTIVE[policy]).items() if key in known}
    model = Case(family, chosen).model({"size": 16})
    if policy == "auto":
        begin = cast("Augmentation", model.get_submodule("augmented")).begin
        begin(100, lambda start, count: torch.full((count, model.channels, 16, 16), start / 100))
    return model


def play(names: Sequence[str], out: str, begin: int, end: int) -> None:
    """Train each family from a step to another, as one process of a group; the state before and after is in files."""
    torch.set_num_threads(1)
    with processes() as ranks:
        for name in names:
            state = State.start(tiny(name))
            if begin:
                state.restore(*taken(Path(out), name, begin, 0))
            parts = {"micro_batches": PARTS, "batch_size": BATCH, "seed": 3}
            *_, last = train(state.model, NoiseImages(state.model), steps=end, resume=state, ranks=ranks, **parts)
            micro_batches.gather(state, PARTS, ranks)
            keep(Path(out), name, state, last.report, ranks)


def keep(out: Path, name: str, state: State, report: Mapping[str, Tensor], ranks: Ranks) -> None:
    """Write down what a process has come to."""
    folder = out / f"{name}-{state.clock.step}-{ranks.rank}"
    folder.mkdir()
    values = {f"{term}.{place}": value for term, each in state.values.items() for place, value in enumerate(each)}
    for group_name, tensors in {**state.tensors(), "report": dict(report), "values": values}.items():
        (folder / f"{group_name}.safetensors").write_bytes(encode_group(tensors))
    (folder / "scalars.json").write_text(json.dumps(state.scalars()))


def taken(out: Path, name: str, step: int, rank: int) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The tensors and scalars that were kept."""
    folder = out / f"{name}-{step}-{rank}"
    kept = [path for path in folder.glob("*.safetensors") if path.stem not in ("report", "values")]
    tensors = {path.stem: safetensors.torch.load_file(path) for path in kept}
    return tensors, json.loads((folder / "scalars.json").read_text())


def digests(out: Path, name: str, step: int, rank: int) -> dict[str, str]:
    """A sum of each file that a process kept."""
    folder = out / f"{name}-{step}-{rank}"
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process comes to in 4 steps, without a stop."""
    out = tmp_path_factory.mktemp("alone")
    with Launcher() as launcher, group(1, play, SOME, str(out), 0, 4, launcher=launcher) as found:
        assert found.codes() == [0]
    return out


@pytest.mark.parametrize("size", [2, 4])
def test_every_family_trains_to_the_same_bits_by_any_number_of_processes(
    alone: Path, tmp_path: Path, size: int
) -> None:
    names = SOME if size == 2 or RELEASE else REMEMBER
    with Launcher() as launcher, group(size, play, names, str(tmp_path), 0, 4, launcher=launcher) as found:
        assert found.codes() == [0] * size
    for name in names:
        wanted = digests(alone, name, 4, 0)
        for rank in range(size):
            assert digests(tmp_path, name, 4, rank) == wanted, (name, rank)


def test_two_processes_then_one_then_four_end_as_one_that_never_stopped(alone: Path, tmp_path: Path) -> None:
    names = SOME if RELEASE else REMEMBER
    for size, begin, end in ((2, 0, 1), (1, 1, 2), (4, 2, 4)):
        with Launcher() as launcher, group(size, play, names, str(tmp_path), begin, end, launcher=launcher) as found:
            assert found.codes() == [0] * size
    for name in names:
        assert digests(tmp_path, name, 4, 0) == digests(alone, name, 4, 0), name


def test_what_is_remembered_has_changed(alone: Path) -> None:
    """Else the two tests above would compare what nobody wrote."""

    def model(name: str) -> dict[str, Tensor]:
        return taken(alone, name, 4, 0)[0]["model"]

    assert (model("cyclegan")["pools.image.images"].flatten(1).abs().sum(1) > 0).all()
    assert model("cyclegan")["pools.image.filled"] == 2  # of the rows of a micro-batch
    assert model("gan-ada")["augmented.probability"] > 0 and (model("gan-auto")["augmented.gaps"] != 0).all()
    assert model("dcgan")[_tracked(model("dcgan"))] > 0
    assert not torch.equal(model("rbm")["fantasies"], tiny("rbm").state_dict()["fantasies"])
    assert model("stylegan2")["lengths.typical"] > 0


def _tracked(tensors: Mapping[str, Tensor]) -> str:
    return next(name for name in tensors if name.endswith("num_batches_tracked"))


# A run by the command line

RUN: dict[str, Any] = {"size": 8, "batch-size": 8, "latent-dim": 4, "kernels": "standard", "steps": 12}
RUN |= {"checkpoint-every": 3, "log-every": 2, "sample-every": 4}
LONG = {"steps": 100_000, "checkpoint-every": 10, "sample-every": 100_000, "log-every": 1000}


def act(words: Sequence[str], out: str, rank: int, step: int, deed: str) -> None:
    """Run a command line; the process of a rank does something at a step of its first attempt."""
    plain, done = engine.update_average, [0]

    def _counted(*given: Any) -> None:
        plain(*given)
        done[0] += 1
        if (done[0], os.environ["RANK"], launch.restarts()) == (step, str(rank), 0):
            _DEEDS[deed](Path(out))

    engine.update_average = _counted
    pulse.BEAT, pulse.SILENCE = 0.2, PATIENCE  # nobody is silent because the machine is busy
    if (deed, launch.restarts()) == ("stopped", 0) and rank != launch.rank():
        threading.Thread(target=_expect, args=(Path(out) / "stopped",), daemon=True).start()
    command(words, out)


def _expect(mark: Path) -> None:
    """Once another process was stopped, its silence may be short: it is no matter of load."""
    wait_for(mark.exists, "the stop")
    pulse.SILENCE = 3.0


def _stop(out: Path) -> None:
    (out / "stopped").touch()
    os.kill(os.getpid(), signal.SIGSTOP)


def _full(out: Path) -> None:
    def _refuse(*given: Any, **named: Any) -> None:
        raise DiskFullError("runs is full: 3 MB are needed; free some space")

    RunFolder.save_checkpoint = _refuse  # type: ignore[method-assign]


def _no_memory(out: Path) -> None:
    raise MemoryError


_DEEDS: dict[str, Callable[[Path], None]] = {
    "killed": lambda out: os.kill(os.getpid(), signal.SIGKILL),
    "stopped": _stop,
    "terminated": lambda out: os.kill(os.getpid(), signal.SIGTERM),
    "interrupted": lambda out: os.kill(os.getpid(), signal.SIGINT),
    "full": _full,
    "no memory": _no_memory,
}


def bits(root: Path) -> dict[str, str]:
    """Sums of the newest checkpoint and of the metrics of the only run under a folder."""
    (run,) = (root / "runs").glob("0*")
    newest = RunFolder(run).checkpoints()[-1]
    files = [
        run / "metrics.jsonl",
        run / "histograms.jsonl",
        *newest.glob("*.safetensors"),
        run / "model/model.safetensors",
    ]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.exists()}


def said(root: Path, rank: int) -> str:
    """What a process printed."""
    return (root / f"out-{rank}").read_text()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The bits of the run by one process, of two micro-batches."""
    root = tmp_path_factory.mktemp("whole")
    words = run(root, {"micro-batches": 2})
    with Launcher() as launcher, group(1, command, words, str(root), launcher=launcher) as found:
        assert found.codes() == [0], said(root, 0)
    return bits(root)


def run(root: Path, changes: Mapping[str, Any] | None = None) -> list[str]:
    """The command line of a run under a folder, with some options changed; one that is None is left out."""
    options = {**RUN, "out": root / "runs", **(changes or {})}
    flags = [(f"--{name}", str(value)) for name, value in options.items() if value is not None]
    return ["train", "gan", "digits", *(word for pair in flags for word in pair if word != "True")]


def test_two_processes_write_one_run_with_the_bits_of_one(whole: dict[str, str], tmp_path: Path) -> None:
    with Launcher() as launcher, group(2, command, run(tmp_path), str(tmp_path), launcher=launcher) as found:
        assert found.codes() == [0, 0], said(tmp_path, 0) + said(tmp_path, 1)
    assert bits(tmp_path) == whole and len(whole) > 4
    assert said(tmp_path, 0).count("done at step 12") == 1 and said(tmp_path, 1) == ""


FAILURES = {"killed": -9, "stopped": -9, "no memory": 2}  # and their exit codes
_drawn = random.Random(7)
FAULTS = [(deed, 1, 8) for deed in FAILURES]  # what happens to which process, at which step
FAULTS += [(_drawn.choice([*FAILURES]), _drawn.randrange(2), _drawn.randint(1, 12)) for _ in range(97 * RELEASE)]


@pytest.mark.parametrize(("deed", "rank", "step"), FAULTS)
def test_one_that_fails_ends_all_and_a_restart_is_exact(
    whole: dict[str, str], tmp_path: Path, deed: str, rank: int, step: int
) -> None:
    words = (run(tmp_path), str(tmp_path), rank, step, deed)
    with Launcher() as launcher:
        with group(2, act, *words, launcher=launcher) as found:
            codes = found.codes()
        assert (codes[rank], codes[1 - rank]) == (FAILURES[deed], 1), said(tmp_path, 0) + said(tmp_path, 1)
        assert ("another process of the run has ended" in said(tmp_path, 0)) == (rank == 1)
        assert (f"out of memory at step {step}" in said(tmp_path, rank)) == (deed == "no memory")
        with group(2, act, *words, launcher=launcher, attempt=1) as found:
            assert found.codes() == [0, 0], said(tmp_path, 0) + said(tmp_path, 1)
    assert bits(tmp_path) == whole
    kept = (step - 1) // RUN["checkpoint-every"] * RUN["checkpoint-every"]
    text = (next((tmp_path / "runs").glob("0*")) / "log.txt").read_text()
    assert f"resumed at step {kept}" in text or kept == 0


@pytest.mark.parametrize(
    ("deed", "code"), [("terminated", 143), pytest.param("interrupted", 130, marks=pytest.mark.slow)]
)
def test_a_signal_to_any_of_them_stops_all_at_one_step(
    whole: dict[str, str], tmp_path: Path, deed: str, code: int
) -> None:
    with Launcher() as launcher, group(2, act, run(tmp_path), str(tmp_path), 1, 7, deed, launcher=launcher) as found:
        assert found.codes() == [code, code]
    both = said(tmp_path, 0) + said(tmp_path, 1)
    assert both.count("saved at step 7") == 1
    (folder,) = (tmp_path / "runs").glob("0*")
    (tmp_path / "then").mkdir()
    with (
        Launcher() as launcher,
        group(1, command, ["resume", str(folder)], str(tmp_path / "then"), launcher=launcher) as found,
    ):
        assert found.codes() == [0]
    assert bits(tmp_path) == whole


def test_a_full_disk_of_the_first_ends_all_with_one_line(tmp_path: Path) -> None:
    with Launcher() as launcher, group(2, act, run(tmp_path), str(tmp_path), 0, 4, "full", launcher=launcher) as found:
        assert found.codes() == [5, 1]
    assert said(tmp_path, 0).endswith("zeuxis: runs is full: 3 MB are needed; free some space\n")
    assert said(tmp_path, 1) == ""


def test_a_run_that_diverges_ends_all_with_one_line(tmp_path: Path) -> None:
    words = run(tmp_path, {"r1-gamma": 1e30})
    with Launcher() as launcher, group(2, command, words, str(tmp_path), launcher=launcher) as found:
        assert found.codes() == [3, 3]
    assert (said(tmp_path, 0) + said(tmp_path, 1)).count("zeuxis: ") == 1


def test_minutes_end_all_at_one_step(tmp_path: Path) -> None:
    words = run(tmp_path, {"steps": None, "cpu-minutes": 0.002})
    with Launcher() as launcher, group(2, command, words, str(tmp_path), launcher=launcher) as found:
        assert found.codes() == [0, 0], said(tmp_path, 0)
    assert said(tmp_path, 0).count("done at step") == 1


def test_micro_batches_are_as_many_for_each_process(tmp_path: Path) -> None:
    for words, message in (
        (run(tmp_path, {"micro-batches": 3, "batch-size": 9}), "choose --micro-batches 4"),
        (run(tmp_path, {"explore": True}), "--explore shows a run of one process"),
        (run(tmp_path, {"stepz": 3}), "stepz"),
    ):
        out = tmp_path / str(len(list(tmp_path.iterdir())))
        out.mkdir()
        with Launcher() as launcher, group(2, command, words, str(out), launcher=launcher) as found:
            first, second = found.codes()
        assert first == 2 and second in (1, 2)
        assert message in said(out, 0) and said(out, 0).count("\n") == 1 and said(out, 1) == ""
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("periodic", [pytest.param(True, marks=pytest.mark.slow), False])
def test_samples_and_scores_are_shared_out(tmp_path: Path, periodic: bool) -> None:
    """As many as three batches; one process draws the same files, and comes to the same scores."""
    more = {"evaluate-every": 6, "evaluate-samples": 100} if periodic else {}
    for place, size in (("one", 1), ("two", 2)):
        root = tmp_path / place
        root.mkdir()
        words = run(root, {"micro-batches": 2, "steps": 6, **more})
        model, drawn = str(root / "runs/00001-gan-digits"), str(root / "drawn")
        lines = [words, ["sample", model, "-n", "150", "--out", drawn]]
        lines += [["evaluate", model, "--images", "100", "--no-path-length"]] if periodic else []
        for line in lines:
            with Launcher() as launcher, group(size, command, line, str(root), launcher=launcher) as found:
                assert found.codes() == [0] * size, said(root, 0)
    files = [sorted((tmp_path / place).glob("drawn/*.png")) for place in ("one", "two")]
    assert len(files[0]) == 150
    assert [(path.name, path.read_bytes()) for path in files[0]] == [
        (path.name, path.read_bytes()) for path in files[1]
    ]
    if periodic:
        reports = [
            json.loads(next((tmp_path / each).glob("runs/*/evaluation.json")).read_text()) for each in ("one", "two")
        ]
        assert reports[0]["scores"] == reports[1]["scores"] and reports[0]["scores"]
        assert bits(tmp_path / "one") == bits(tmp_path / "two")


def build_and(words: Sequence[str], out: str) -> None:
    """Run a command line; no process builds a second shard before each has begun one."""
    real, shards = building.PackBuild._make_shard, Path(os.environ["ZEUXIS_CACHE"])

    def noted(self: building.PackBuild, folder: Path, number: int, among: Any) -> None:
        with (shards / f"made-{launch.rank()}").open("a") as file:
            file.write(f"{number} ")
        wait_for(lambda: len(list(shards.glob("made-*"))) == 2, "a shard of each process")
        real(self, folder, number, among)

    building.SHARD_ITEMS, building.PackBuild._make_shard = 5, noted  # type: ignore[method-assign]
    command(words, out)


def test_a_pack_that_is_missing_is_built_by_all_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever command finds that it has gone; else the second process would never begin a shard."""
    noise = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for place in range(44):
        pixels = noise.integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{place}.png")
    train = [*run(tmp_path, {"steps": 2, "micro-batches": 2}), "--channels", "3"]
    train[2], made = str(tmp_path / "pictures"), str(tmp_path / "runs/00001-gan-pictures")
    lines = [train, ["resume", made, "--steps", "4"], ["evaluate", made, "--images", "20", "--no-path-length"]]
    for line in lines:
        root = tmp_path / line[0]
        root.mkdir()
        monkeypatch.setenv("ZEUXIS_CACHE", str(root))
        with Launcher() as launcher, group(2, build_and, line, str(root), launcher=launcher) as found:
            assert found.codes() == [0, 0], said(root, 0) + said(root, 1)
        shards = [(root / f"made-{rank}").read_text().split() for rank in range(2)]
        assert shards[0][0] == "0" and shards[1][0] == "1" and sorted(map(int, shards[0] + shards[1])) == [*range(9)]
        assert said(root, 1) == ""


class Mean(torch.nn.Module):
    """Reads the mean of each colour, and counts how often."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.calls = torch.nn.Parameter(torch.ones(1)), 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return images.mean((2, 3)) * self.scale


class Labelled:
    """Images of two classes, in memory."""

    attributes, classes, fingerprint = (), ("a", "b"), "noise"

    def __init__(self, images: Any) -> None:
        self.images, self.labels = images, np.arange(len(images)) % 2

    def __len__(self) -> int:
        return len(self.images)

    def rows(self, places: Any) -> Any:
        return self.images[places]


def read(out: str) -> None:
    """Classify samples, encode images and find components, twice, with the other processes; what comes of it is in a file."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, encoder = (kind(size=8).eval().requires_grad_(False) for kind in (Sound, SoundEncoder))
    eyes, images = Mean(), np.random.default_rng(0).integers(0, 256, (300, 8, 8, 3), np.uint8)
    reader = AttributeReader(eyes, Task(("red", "green", "blue"), False, 8, 3), {})
    extractor = Extractor("own", "own", lambda values: values, eyes)
    pack: Any = Labelled(images)
    with processes() as ranks, torch.no_grad():
        for _ in range(2):
            drawn = candidates(model, pack, reader=reader, count=300, ranks=ranks)
            coded = candidates(encoder, pack, reader=reader, count=300, ranks=ranks)
            found = components(model, extractor, count=2, seeds=range(150), ranks=ranks)
            tensors = {"drawn": drawn.labels, "coded": coded.latents, "steps": torch.stack([one.step for one in found])}
    tensors |= {"calls": torch.tensor(eyes.calls)}
    safetensors.torch.save_file(tensors, Path(out) / f"{ranks.size}-{ranks.rank}.safetensors")


def test_what_is_read_in_many_images_is_shared_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three batches each, so that the first of four processes has none; all get the bits of one process, then from the cache."""
    for size in (1, 4):
        monkeypatch.setenv("ZEUXIS_CACHE", str(tmp_path / f"cache-{size}"))
        with Launcher() as launcher, group(size, read, str(tmp_path), launcher=launcher) as found:
            assert found.codes() == [0] * size
    kept = {path.stem: safetensors.torch.load_file(path) for path in tmp_path.glob("*.safetensors")}
    wanted = kept["1-0"]
    assert wanted["calls"] == 6 and [int(kept[f"4-{rank}"]["calls"]) for rank in range(4)] == [0, 2, 2, 2]
    for name in ("drawn", "coded", "steps"):
        assert len(wanted[name].unique()) > 7
        assert all(torch.equal(each[name], wanted[name]) for each in kept.values()), name


def judge(out: str) -> None:
    """Judge translations, with noise, with the other processes; the scores are in a file."""
    torch.set_num_threads(1)
    model = Case(families.find("pix2pix"), TINY_PAIRS).model({"size": 16}).eval()
    network = vgg.VGG().eval().requires_grad_(False)
    eyes = Extractor("eyes", "", lambda x: adaptive_avg_pool2d(x, 4), lambda x: x[:, 0].flatten(1))
    with processes() as ranks:
        gather_odd_shares(ranks)
        pairs = choose_pairs(model, DataSpec.parse("grey -> avatars:60"), count=40)
        found = evaluate_translations(model, pairs, eyes, network, ranks=ranks)
        again = PeriodicEvaluation.of_translations(pairs, eyes).scores(model, ranks)
    scores = {"scores": json.loads(found.to_json())["scores"], "again": again}
    (Path(out) / f"{ranks.size}-{ranks.rank}.json").write_text(json.dumps(scores))


def gather_odd_shares(ranks: Ranks) -> None:
    """Each process has as many rows as its number, and the first one no names either."""
    own = Measurements()
    if ranks.rank:
        rows = torch.full((ranks.rank, 2), float(ranks.rank))
        own.add(rows, {CHANGED: rows[:, 0].double(), "SSIM": rows[:, 0]})
    elif ranks.size == 1:
        return
    found, wanted = own.gathered(ranks), torch.tensor([float(r) for r in range(ranks.size) for _ in range(r)])
    assert torch.equal(found.features[0], wanted[:, None].expand(-1, 2)) and list(found.scores) == ["SSIM", CHANGED]
    assert torch.equal(found.scores[CHANGED][0], wanted.double()) and torch.equal(found.scores["SSIM"][0], wanted)


def test_translations_are_judged_by_shares(tmp_path: Path) -> None:
    for size in (1, 2):
        with Launcher() as launcher, group(size, judge, str(tmp_path), launcher=launcher) as found:
            assert found.codes() == [0] * size
    one, first, second = ((tmp_path / f"{name}.json").read_text() for name in ("1-0", "2-0", "2-1"))
    assert one == first == second and len(json.loads(one)["scores"]) > 3 and json.loads(one)["again"]


def test_an_edit_is_drawn_by_the_first_of_all_that_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0)
    for place in range(80):
        folder = tmp_path / "pictures" / ("dark" if place % 2 else "bright")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = noise.integers(0, 60, (8, 8, 3)) + (0 if place % 2 else 190)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{place}.png")
    words = [*run(tmp_path, {"steps": 3}), "--channels", "3"]
    words[2] = str(tmp_path / "pictures")
    assert typed(*words)[0] == 0
    drawn = []
    for size in (1, 2):
        monkeypatch.setenv("ZEUXIS_CACHE", str(tmp_path / f"cache-{size}"))
        root = tmp_path / str(size)
        root.mkdir()
        line = ["edit", str(next((tmp_path / "runs").glob("0*"))), "+ bright", "--seeds", "0-2"]
        line += ["--out", str(root / "edited.png")]
        with Launcher() as launcher, group(size, command, line, str(root), launcher=launcher) as found:
            assert found.codes() == [0] * size, said(root, 0)
        assert said(root, 0).count(f"wrote {root / 'edited.png'}") == 1
        drawn.append((root / "edited.png").read_bytes())
    assert drawn[0] == drawn[1] and said(tmp_path / "2", 1) == ""


def test_the_lines_of_the_page_are_commands() -> None:
    text = (Path(__file__).parents[1] / "docs/scale.md").read_text(encoding="utf-8")
    lines = [line.partition(" -m ")[2] for line in text.splitlines() if line.startswith("torchrun ")]
    assert len(lines) > 6
    for line in lines:
        words = shlex.split(line)[1:]
        cli.build(words).parse_args(words, exit_on_error=False, print_error=False)
    (script,) = re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    subprocess.run(["bash", "-n"], input=script.encode(), check=True)


# By torchrun itself


def torchrun(root: Path, *options: str) -> subprocess.Popen[bytes]:
    """The launcher, with two processes of a run that takes long."""
    words = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(_free_port())]
    env = {**os.environ, "PYTHONPATH": str(Path(zeuxis.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    with (root / "out").open("ab") as out:
        return subprocess.Popen([*words, *options, "-m", "zeuxis", *run(root, LONG)], stdout=out, stderr=out, env=env)


def _free_port() -> int:
    import socket

    with socket.socket() as there:
        there.bind(("127.0.0.1", 0))
        return int(there.getsockname()[1])


def ranks_of(launcher: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes of the run, by rank."""
    return sorted(psutil.Process(launcher.pid).children(), key=lambda child: int(child.environ()["RANK"]))


def saved(root: Path, step: int) -> bool:
    """Whether the run has a checkpoint of a step or a later one."""
    return any(int(path.name[5:]) >= step for path in (root / "runs").glob("*/checkpoints/step-????????"))


def test_torchrun_stops_a_run_gracefully(tmp_path: Path) -> None:
    launcher = torchrun(tmp_path)
    wait_for(lambda: saved(tmp_path, 10) or launcher.poll() is not None, "a checkpoint")
    launcher.terminate()
    assert launcher.wait(PATIENCE) != 0
    text = (tmp_path / "out").read_text()
    assert text.count("ended by SIGTERM, saved at step") == 1, text


@pytest.mark.slow
@pytest.mark.parametrize("deed", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("rank", [0, 1])
def test_torchrun_restarts_a_run_from_its_newest_checkpoint(tmp_path: Path, deed: int, rank: int) -> None:
    launcher = torchrun(tmp_path, "--max-restarts", "1")
    wait_for(lambda: saved(tmp_path, 10), "a checkpoint")
    before = ranks_of(launcher)
    before[rank].send_signal(deed)
    wait_for(lambda: not any(process.is_running() for process in before), "the end of all processes")
    newest = max(int(path.name[5:]) for path in (tmp_path / "runs").glob("*/checkpoints/step-????????"))
    wait_for(lambda: saved(tmp_path, newest + 10), "a later checkpoint")
    launcher.send_signal(signal.SIGINT)
    assert launcher.wait(PATIENCE) != 0
    assert len(list((tmp_path / "runs").glob("0*"))) == 1
    assert f"resumed at step {newest}" in next((tmp_path / "runs").glob("*/log.txt")).read_text().replace(",", "")


# The parts


def test_sums_of_shares_have_the_bits_of_the_sum_of_all() -> None:
    parts = torch.randn(8, 1000).unbind()
    whole = tree_sum([part.clone() for part in parts])
    for share in (2, 4):
        shares = [tree_sum([part.clone() for part in parts[i : i + share]]) for i in range(0, 8, share)]
        assert torch.equal(tree_sum(shares), whole)
    assert not torch.equal(torch.stack(parts).sum(0), whole) or torch.allclose(torch.stack(parts).sum(0), whole)
    total = TreeSum()
    for part in (None, torch.ones(2), None):
        total.add([part, None])
    assert torch.equal(total.sums()[0], torch.ones(2))  # type: ignore[arg-type]


def add() -> None:
    """Sum odd numbers of values with the other processes, by pairs as on the host, and by collectives as between GPUs."""
    with processes() as ranks:
        parts = [torch.randn(7, 3, generator=torch.Generator().manual_seed(rank)) for rank in range(ranks.size)]
        wanted = tree_sum([part.clone() for part in parts])
        assert ranks.by_host
        for way in (ranks, dataclasses.replace(ranks, by_host=False)):
            given = [parts[ranks.rank].clone(), torch.tensor(ranks.rank, dtype=torch.float64)]
            way.total(given)
            assert torch.equal(given[0], wanted) and given[1] == sum(range(ranks.size))


def test_sums_by_pairs_have_the_bits_of_those_by_collectives() -> None:
    with Launcher() as launcher, group(3, add, launcher=launcher) as found:
        assert found.codes() == [0, 0, 0]


def test_the_silence_of_a_process_ends_all_within_half_a_minute() -> None:
    assert pulse.SILENCE + 2 * pulse.BEAT + pulse._GRACE < 30


def test_without_torchrun_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "8")  # as other launchers set it
    assert (launch.world_size(), launch.rank(), launch.restarts()) == (1, 0, 0)
    with processes() as ranks:
        assert ranks == ALONE and ranks.first and ranks.mine(4) == range(4)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("RANK", "3")
    assert (launch.world_size(), launch.rank()) == (8, 3)
    with launch.alone():
        assert (launch.world_size(), launch.rank()) == (1, 0)
    assert launch.world_size() == 8


def test_other_commands_are_run_by_the_first_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "none", "RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert typed("version") == (0, "", "")
    monkeypatch.setenv("RANK", "0")
    code, out, _ = typed("version")
    assert code == 0 and zeuxis.__version__ in out


def test_more_micro_batches_than_rows_are_refused() -> None:
    model = Case(families.find("rbm"), {"size": 8, "latent_dim": 4, "chains": 2}).model()
    with pytest.raises(UsageError, match="fantasies has 2 rows, and there are 4 micro-batches"):
        train_step(model, model.optimizers(), NoiseImages(model).batch(0, 8), Clock(), micro_batches=4)


def test_every_micro_batch_has_noise_and_rows_of_its_own() -> None:
    class Told(Model):
        sharded = ("rows",)

        def build(self) -> None:
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.register_buffer("rows", torch.zeros(4))
            self.register_buffer("mean", torch.zeros(()))
            self.register_buffer("count", torch.zeros((), dtype=torch.int64))

        def optimizers(self) -> dict[str, torch.optim.Optimizer]:
            return {"one": torch.optim.SGD(self.parameters(), 0.1)}

        def losses(self, batch: Batch, clock: Clock) -> Iterator[Any]:
            first = torch.rand(1)
            yield "one", {"term": (self.weight * first).sum()}
            self.rows.copy_(torch.stack([first, torch.rand(1)]).flatten()[: len(self.rows)])
            self.mean += first[0]
            self.count += clock.micro_batches

    def rows(micro: int, seeds: Sequence[int]) -> Told:
        model = Told(size=8, channels=1)
        train_step(model, model.optimizers(), NoiseImages(model).batch(0, 8), Clock(), micro_batches=micro, seeds=seeds)
        return model

    model = rows(4, [5, 6, 7, 8])
    draws = [torch.rand(2, generator=torch.Generator().manual_seed(seed)) for seed in (5, 6, 7, 8)]
    assert torch.equal(model.rows, torch.stack(draws)[:, 0])  # type: ignore[arg-type]
    assert float(model.mean) == pytest.approx(float(torch.stack(draws)[:, 0].mean()))  # type: ignore[arg-type]
    assert int(model.count) == 4  # type: ignore[arg-type]
    assert torch.equal(rows(2, [5, 6]).rows, torch.cat(draws[:2]))  # type: ignore[arg-type]


def test_a_process_that_is_silent_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "BEAT", 0.01)
    monkeypatch.setattr(pulse, "SILENCE", 0.1)
    monkeypatch.setattr(pulse, "_GRACE", 0.0)
    with Launcher() as launcher, mock.patch.object(os, "_exit") as left:
        sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
        own = pulse.Pulse(launcher.store, 0, 2)
        born = psutil.Process(sleeper.pid).create_time()
        launcher.store.set("who/1", f"{os.uname().nodename}|{sleeper.pid}|{born}")
        launcher.store.set("beat/1", "0")
        own.start()
        assert sleeper.wait(PATIENCE) == -9
        own.join(PATIENCE)
        left.assert_called_once_with(1)
        launcher.store.set("beat/1", "done")
        then = pulse.Pulse(launcher.store, 0, 2)
        then.start()
        then.join(1.0)
        assert then.is_alive()
        then.end()
        then.join(PATIENCE)
