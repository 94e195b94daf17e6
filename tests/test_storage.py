"""The run folder: what it keeps through kills, power cuts and full disks, and what it refuses to read."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import math
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor, nn

import faults
from faults import LONG, SCALE, mutate, no_sync, renew, row_at, sign, state_at, verify
from waiting import PATIENCE, least_seconds, quick
from zeuxis.errors import DiskFullError, UsageError, ZeuxisError
from zeuxis.io import files
from zeuxis.model import Batch, Clock, Model, Turn, option
from zeuxis.storage import RunFolder, models

CONFIG = {"family": "dcgan", "steps": 3, "rate": 5e-4, "text": "5e-4", "number": "0123", "no": None, "list": [1, "a"]}
REFUSALS = [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS]


def save(run: RunFolder, step: int, **options: float) -> Path:
    run.append_metrics(row_at(step))
    return run.save_checkpoint(step, *state_at(step), **options)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "runs", "dcgan-avatars", CONFIG)


# Making and finding


def test_runs_are_numbered_and_never_overwritten(tmp_path: Path) -> None:
    names = [
        RunFolder.create(tmp_path / "a" / "runs", name, {}).path.name
        for name in ("one", "two", "my set/ü 1", "", "...")
    ]
    assert names == ["00001-one", "00002-two", "00003-my-set-ü-1", "00004-run", "00005-run"]
    shutil.rmtree(tmp_path / "a" / "runs" / "00002-two")
    assert RunFolder.create(tmp_path / "a" / "runs", "two", {}).path.name == "00006-two"


def test_settings_are_read_back_as_they_were(run: RunFolder) -> None:
    assert run.config == CONFIG
    assert list(run.config) == list(CONFIG)
    run.write_config({**CONFIG, "steps": 9})
    assert run.config["steps"] == 9


def test_a_run_is_found_from_inside(run: RunFolder) -> None:
    path = save(run, 1)
    for inside in (run.path, run.path / "checkpoints", path, path / "model.safetensors"):
        assert RunFolder.open(inside).path == run.path
    with pytest.raises(UsageError, match=r"is not a run: it has no config\.yaml"):
        RunFolder.open(run.path.parent)


@pytest.mark.parametrize("path", ["", "missing", "a\0b", "\ud800", "n" * 5000, "/dev/null", "/"])
def test_paths_of_nothing_are_refused(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for read in (RunFolder.open, models.read_model_folder, files.read_tensors, files.read_folder):
        with pytest.raises(UsageError) as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_processes_that_create_at_once_get_folders_of_their_own(tmp_path: Path) -> None:
    children = []
    for number in range(6):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                for _ in range(5):
                    made = RunFolder.create(tmp_path, f"p{number}", {"p": number})
                    assert made.config == {"p": number}
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert all(os.waitpid(child, 0)[1] == 0 for child in children)
    names = sorted(entry.name for entry in tmp_path.iterdir() if entry.name != ".lock")
    assert [int(name[:5]) for name in names] == list(range(1, 31))


def test_one_process_at_a_time_writes_a_run(run: RunFolder) -> None:
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        with run.lock():
            os.write(tell, b"x")
            time.sleep(PATIENCE)
        os._exit(1)
    os.read(ready, 1)
    leftover = run.path / "samples" / ".tmp-1-0123456789ab"
    leftover.write_bytes(b"")
    assert RunFolder.open(run.path).config == CONFIG
    assert leftover.exists(), "what another process is writing must not be removed"
    with pytest.raises(UsageError, match=rf"is in use by process {child} on .*; wait"), run.lock():
        pass
    os.kill(child, 9)
    os.waitpid(child, 0)
    with run.lock():
        assert not leftover.exists()


# Checkpoints


def test_checkpoints_come_back_bit_for_bit(run: RunFolder) -> None:
    assert run.load_checkpoint() is None
    kinds = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16]
    values = {
        str(kind): torch.arange(6).to(kind).reshape(2, 3) for kind in [*kinds, torch.int8, torch.uint8, torch.bool]
    }
    tied = torch.randn(4, 4)
    values |= {
        "scalar": torch.tensor(math.pi, dtype=torch.float64),
        "empty": torch.zeros(0, 3),
        "last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "nan": torch.tensor([math.nan, math.inf, -0.0]),
        "tied": tied,
        "tied too": tied,
        "part": tied[1:, :2],
        "with gradient": torch.ones(2, requires_grad=True),
    }
    state = {"step": 7, "rates": [0.1, 1e-300, 2**70], "name": "é", "nested": {"a": None, "b": True}}
    run.save_checkpoint(7, {"all": values, "none": {}}, state)
    found = run.load_checkpoint()
    assert found and found.step == 7 and found.state == state and not found.skipped
    assert found.tensors["none"] == {}
    for name, value in values.items():
        back = found.tensors["all"][name]
        assert back.dtype == value.dtype and back.shape == value.shape
        assert raw(back).equal(raw(value))
    found.tensors["all"]["tied"].zero_()  # each has memory of its own
    assert found.tensors["all"]["tied too"].equal(tied)


def raw(value: Tensor) -> Tensor:
    return value.detach().contiguous().reshape(-1).view(torch.uint8)


def test_two_are_kept(run: RunFolder) -> None:
    for step in range(1, 6):
        save(run, step)
    assert [path.name for path in run.checkpoints()] == ["step-00000004", "step-00000005"]


def test_saving_again_what_is_there_writes_nothing(run: RunFolder) -> None:
    path = save(run, 1)
    before = (path / "model.safetensors").stat()
    run.save_checkpoint(1, *state_at(1))
    after = (path / "model.safetensors").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_saving_a_step_again_replaces_it_and_drops_later_ones(run: RunFolder) -> None:
    for step in (1, 2):
        save(run, step)
    run.save_checkpoint(1, *state_at(11))
    found = run.load_checkpoint()
    assert found and found.step == 1 and found.state == state_at(11)[1]
    assert [path.name for path in run.checkpoints()] == ["step-00000001"]


def test_a_damaged_checkpoint_is_passed_over(run: RunFolder) -> None:
    for step in (1, 2):
        path = save(run, step)
    data = (path / "model.safetensors").read_bytes()
    (path / "model.safetensors").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    found = run.load_checkpoint()
    assert found and found.step == 1
    assert len(found.skipped) == 1 and "model.safetensors is damaged" in found.skipped[0]
    save(run, 2)
    assert verify_step(run) == 2
    for each in run.checkpoints():
        (each / "state.json").unlink()
    with pytest.raises(UsageError, match=r"has no checkpoint that is whole .*state\.json.*; start a new run"):
        run.load_checkpoint()


def verify_step(run: RunFolder) -> int:
    found = run.load_checkpoint()
    assert found and found.state == state_at(found.step)[1]
    return found.step


def test_what_replaces_a_checkpoint_may_be_interrupted(run: RunFolder) -> None:
    path = save(run, 1)
    path.rename(path.with_name(path.name + ".old"))  # the moment between the two renames
    assert verify_step(run) == 1
    run.save_checkpoint(1, *state_at(1))
    assert [path.name for path in run.checkpoints()] == ["step-00000001"]


def test_saving_thirty_megabytes_takes_hardly_more_than_their_sum_and_a_file(run: RunFolder, tmp_path: Path) -> None:
    tensors = {"model": {str(i): torch.randn(100_000) for i in range(75)}}
    data, steps = os.urandom(30_000_000), itertools.count(1)
    saving, bare = least_seconds(
        lambda: run.save_checkpoint(next(steps), tensors, {}),
        lambda: files.write_file(tmp_path / hashlib.sha256(data).hexdigest(), data),
    )
    assert saving < 6 * bare  # usually 2


# Metrics and log


def test_metrics_are_strict_json_and_cut_where_a_run_resumes(run: RunFolder) -> None:
    for step in range(1, 5):
        run.append_metrics(row_at(step))
    whole = (run.path / "metrics.jsonl").read_bytes()
    run.append_metrics({"step": 5, "a": math.nan, "b": -math.inf, "c": 1e-320})
    with (run.path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 6, "a"')
    assert run.metrics()[4:] == [{"step": 5, "a": None, "b": None, "c": 1e-320}]
    run.truncate_metrics(4)
    assert (run.path / "metrics.jsonl").read_bytes() == whole
    run.truncate_metrics(0)
    assert run.metrics() == []


def test_a_log_line_has_its_time(run: RunFolder) -> None:
    run.log("began\n")
    run.log("a name \udcff that is not text")
    lines = (run.path / "log.txt").read_text(encoding="utf-8").splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  began", lines[0]) and len(lines) == 2


# Kills and power cuts


@pytest.mark.long
@pytest.mark.timeout(LONG)
def test_kills_while_saving_lose_one_interval_at_most(tmp_path: Path) -> None:
    kills = 200 if SCALE == 1 else 5000
    command = [sys.executable, faults.__file__, str(tmp_path), str(kills), "1"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["kills"] == kills and result["step"] > 0
    assert result["inside"] > kills // 20, "the kills came between the saves"


@pytest.mark.timeout(LONG)
def test_power_cut_at_any_moment_leaves_a_run_that_resumes(tmp_path: Path) -> None:
    chance = random.Random(2)
    seen: set[str] = set()
    done = {"step": 0, "made": False, "points": 0}
    root = tmp_path / "runs"
    root.mkdir()

    def look(disk: faults.PowerCut) -> None:
        done["points"] += 1
        for tree in (
            disk.remains(None, names=False),
            disk.remains(None, names=True),
            disk.remains(chance, names=True),
        ):
            key = hashlib.sha256(repr((tree, done["step"], done["made"])).encode()).hexdigest()
            if key not in seen:
                seen.add(key)
                resume_after_cut(tree, tmp_path / "after", done)

    disk = faults.PowerCut(root, look)
    with disk.active():
        run = RunFolder.create(root, "cut", CONFIG)
        done["made"] = True
        for step in range(1, 1 + (20 if SCALE == 1 else 200)):
            if step == 7:  # as when an earlier 7 was damaged
                run.save_checkpoint(7, *state_at(6))
                run.append_metrics(row_at(7))
                run.save_checkpoint(7, *state_at(7))
            else:
                save(run, step)
            done["step"] = step
    assert done["points"] > 400 and len(seen) > 700


def test_no_moment_is_without_the_checkpoint_that_is_replaced(tmp_path: Path) -> None:
    chance, found, saved = random.Random(6), [], 0
    root = tmp_path / "runs"
    root.mkdir()

    def look(disk: faults.PowerCut) -> None:
        trees = [disk.remains(None, names=False), disk.remains(None, names=True), disk.remains(chance, names=True)]
        for tree in trees if saved else []:
            faults.lay(tree, tmp_path / "after")
            checkpoint = RunFolder.open(tmp_path / "after" / "00001-cut").load_checkpoint()
            assert checkpoint and checkpoint.state in (state_at(saved)[1], state_at(saved + 1)[1])
            found.append(checkpoint.state["step"])
            shutil.rmtree(tmp_path / "after")

    with faults.PowerCut(root, look).active():
        run = RunFolder.create(root, "cut", CONFIG)
        for number in range(1, 5):
            run.save_checkpoint(1, *state_at(number))
            saved = number
    assert set(found) == {1, 2, 3, 4}


@no_sync()
def resume_after_cut(tree: faults.Tree, path: Path, done: dict[str, Any]) -> None:
    faults.lay(tree, path)
    runs = [name for name in tree if name.startswith("00001")]
    assert len(runs) == done["made"] or (not done["made"] and len(runs) <= 1)
    for name in runs:
        assert RunFolder.open(path / name).config == CONFIG
        if done["step"] != 6:  # while 7 is being replaced it holds either of two states
            verify(path / name, at_least=done["step"])
        else:
            found = RunFolder.open(path / name).load_checkpoint()
            assert found and found.state in (state_at(6)[1], state_at(7)[1])
    shutil.rmtree(path)


# A volume that refuses


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps, to be copied."""
    run = RunFolder.create(tmp_path_factory.mktemp("pattern"), "full", CONFIG)
    for step in (1, 2):
        save(run, step)
    run.log("line")
    return run.path


ACTIONS = {
    "checkpoint": lambda run: run.save_checkpoint(3, *state_at(3), patience=0.0),
    "again": lambda run: run.save_checkpoint(2, *state_at(3), patience=0.0),
    "metrics": lambda run: run.append_metrics(row_at(3), patience=0.0),
    "log": lambda run: run.log("another line", patience=0.0),
    "truncate": lambda run: run.truncate_metrics(1),
    "config": lambda run: run.write_config({}),
    "create": lambda run: RunFolder.create(run.path.parent, "next", {}),
}


@pytest.mark.parametrize("number", REFUSALS, ids=errno.errorcode.get)
@pytest.mark.parametrize("action", ACTIONS)
def test_a_volume_that_refuses_costs_nothing(action: str, number: int, pattern: Path, tmp_path: Path) -> None:
    sites: list[str] = []
    for once in (False, True):
        for at in range(1, 100):
            run = RunFolder(tmp_path / f"{once}-{at}" / pattern.name)
            shutil.copytree(pattern, run.path)
            refusal = faults.Refusal(number, at, once=once)
            refused = attempt(action, run, refusal)
            sites += refusal.sites
            assert check_after(action, run, refused=refused)
            if not refusal.reached:
                break
            shutil.rmtree(run.path.parent)
    assert not refused, "the last round has no fault"
    assert {"write"} <= set(sites)
    assert action in ("metrics", "log") or {"fsync", "write", "replace"} & set(sites)


def attempt(action: str, run: RunFolder, refusal: faults.Refusal) -> bool:
    try:
        with refusal.active():
            ACTIONS[action](run)
    except DiskFullError as error:
        message = str(error)
        volume = next(p for p in [run.path, *run.path.parents] if p.is_mount())
        assert f"the volume {volume} has " in message and "\n" not in message
        assert re.search(r"it needs [\d,.]+ MB", message) and os.strerror(refusal.number) in message
        return True
    return False


def check_after(action: str, run: RunFolder, *, refused: bool) -> bool:
    """What stood before stands, or what was to be written does; and the same action now succeeds."""
    again = RunFolder.open(run.path)
    found = again.load_checkpoint()
    assert found and not found.skipped
    wanted = [state_at(3)[1]] if action in ("checkpoint", "again") and not refused else []
    assert found.state in (wanted or [state_at(2)[1], state_at(3)[1]])
    rows = again.metrics()
    assert rows in ([row_at(1)], [row_at(1), row_at(2)], [row_at(n) for n in (1, 2, 3)])
    assert (run.path / "metrics.jsonl").read_bytes().endswith(b"}\n")
    assert (run.path / "log.txt").read_bytes().endswith(b"line\n")
    assert again.config in (CONFIG, {})
    with mock.patch.object(os, "fsync", lambda _: None):
        ACTIONS[action](again)
    assert not list(run.path.rglob(".tmp-*"))
    return verify_any(again)


def verify_any(run: RunFolder) -> bool:
    found = run.load_checkpoint()
    return bool(found) and found.state in (state_at(2)[1], state_at(3)[1])


def test_a_run_waits_for_room(run: RunFolder) -> None:
    refusal = faults.Refusal(errno.ENOSPC, 3, once=True)
    with refusal.active():
        run.save_checkpoint(1, *state_at(1), patience=PATIENCE)
    assert refusal.reached and verify_step(run) == 1


def test_a_run_waits_for_room_as_long_as_it_may(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=lambda seconds: now.append(now.pop() + seconds))
    monkeypatch.setattr(files, "time", clock)
    refusal = faults.Refusal(errno.ENOSPC, 1)
    with refusal.active(), pytest.raises(DiskFullError):
        run.append_metrics({"step": 2}, patience=0.6)
    assert now == [100.75] and len(refusal.sites) == 4, "asked at once, and each quarter of a second"


def test_the_system_itself_refuses(run: RunFolder) -> None:
    save(run, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(DiskFullError, match="File too large"):
            run.save_checkpoint(2, {"model": {"weight": torch.zeros(5000)}}, {}, patience=0.0)
        with pytest.raises(DiskFullError, match="File too large"):
            run.log("x" * 20_000, patience=0.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (run.path / "log.txt").read_bytes() == b""
    assert not list(run.path.rglob(".tmp-*"))
    assert verify(run.path, at_least=1) == 1


# Models


@dataclass(eq=False)
class Tiny(Model):
    width: int = option(4, "width", low=1, high=64)
    training_only = ("critic",)

    def build(self) -> None:
        self.generator = nn.Linear(self.width, 3)
        self.critic = nn.Linear(3, 1)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"generator": torch.optim.SGD(self.parameters(), lr=0.1)}

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        yield "generator", {"loss": batch.image.sum()}


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    Tiny(width=5).save(tmp_path / "00001-run" / "model")
    return tmp_path / "00001-run" / "model"


def test_a_saved_model_is_read_back(model_folder: Path) -> None:
    for path in (model_folder, model_folder.parent):
        config, weights = models.read_model_folder(path)
        assert config["family"].endswith(":Tiny") and config["options"]["width"] == 5
        assert weights.keys() == {"generator.weight", "generator.bias"}
    model, bare = Tiny(width=5), Tiny(width=5).drop_training_only()
    models.fill(model, weights)
    models.fill(bare, weights)
    models.fill(bare, model.state_dict())  # training_only that is not wanted is left
    assert model.generator.weight.equal(weights["generator.weight"])
    assert bare.state_dict()["generator.bias"].equal(weights["generator.bias"])


def change(weights: dict[str, Tensor], **changes: Tensor | None) -> dict[str, Tensor]:
    merged = {**weights, **{name.replace("_", "."): value for name, value in changes.items()}}
    return {name: value for name, value in merged.items() if value is not None}


def test_the_first_weight_that_does_not_fit_is_named(model_folder: Path) -> None:
    weights = models.read_model_folder(model_folder)[1]
    model = Tiny(width=5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for changed, message in [
        (change(weights, generator_bias=None), r"weight 'generator\.bias' is missing in the file, .* has \(3,\)"),
        (change(weights, generator_bias=torch.zeros(4)), r"weight 'generator\.bias' is \(4,\) in the file"),
        (change(weights, other=torch.zeros(4)), r"weight 'other' is \(4,\) in the file, .* has no such weight"),
        (change(weights, critic_weight=torch.zeros(4)), r"weight 'critic\.weight' is \(4,\) in the file"),
    ]:
        with pytest.raises(UsageError, match=message):
            models.fill(model, changed)
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", '"family": None; expected a name'),
        ('{"family": 3, "options": {}}', '"family": 3; expected'),
        ('{"family": "../x", "options": {}}', "expected a name"),
        ('{"family": "a"}', '"options": None; expected plain values'),
        ('{"family": "a", "options": {"x": [1]}}', "expected plain values"),
        ('{"family": "a", "family": "b"}', "a key is repeated"),
        ("{" * 100_000, "is not valid JSON: "),
        ('{"a":' * 100_000, "nested deeper than 32"),
        ('{"a": NaN}', "NaN is not JSON"),
        ("\xff", "is not valid JSON"),
        ("", "is not valid JSON"),
    ],
)
def test_a_config_that_is_not_one_is_refused(model_folder: Path, text: str, message: str) -> None:
    (model_folder / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        models.read_model_folder(model_folder)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "text", ["- 1", "a: [", "a: &x [1]\nb: *x", "!!python/object:os.system {}", "3: 4", "[" * 60_000]
)
def test_settings_that_are_not_a_table_are_refused(run: RunFolder, text: str) -> None:
    (run.path / "config.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=r"config\.yaml is no(t valid YAML| table)") as caught:
        assert run.config
    assert "\n" not in str(caught.value)


@pytest.mark.timeout(LONG)
def test_mutated_files_raise_our_errors_alone(model_folder: Path, run: RunFolder) -> None:
    checkpoint = save(run, 1)
    model = Tiny(width=5)

    def signed() -> None:
        sign(checkpoint)  # else none would get beyond the sums
        run.load_checkpoint()

    paths = {
        model_folder / "config.json": lambda: models.read_model_folder(model_folder),
        model_folder / "model.safetensors": lambda: models.fill(model, models.read_model_folder(model_folder)[1]),
        checkpoint / "state.json": signed,
        checkpoint / "manifest.json": run.load_checkpoint,
        run.path / "config.yaml": lambda: run.config,
        run.path / "metrics.jsonl": run.metrics,
    }
    originals = {path: path.read_bytes() for path in paths}
    chance, refused = random.Random(3), dict.fromkeys(paths, 0)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    count = 1700 if SCALE == 1 else 150_000
    for path, read in paths.items():
        for _ in range(count):
            renew(path, mutate(originals[path], chance))
            try:
                with quick(1.0):
                    read()
            except ZeuxisError as error:
                refused[path] += 1
                assert "\n" not in str(error) and len(str(error)) < 1000
                str(error).encode()
        path.write_bytes(originals[path])
        sign(checkpoint)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 200_000  # kB
    assert all(n > count // 3 for path, n in refused.items() if path.name != "metrics.jsonl"), refused
    assert files.read_folder(checkpoint).keys() == {
        "model.safetensors",
        "optimizer-player.safetensors",
        "sums.safetensors",
        "state.json",
    }
