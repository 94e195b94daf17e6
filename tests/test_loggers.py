"""Loggers get the rows and sheets of a run, go on after a resume, and can neither end a run nor change it."""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from commandline import forget_modules, refused, typed
from waiting import PATIENCE, wait_for
from zeuxis import registry
from zeuxis.io import files
from zeuxis.io.parsing import dump_yaml
from zeuxis.loggers import feeding, wandb
from zeuxis.storage import RunFolder

SMALL = ["--size", "8", "--batch-size", "8", "--log-every", "2", "--sample-every", "3", "--threads", "1"]
TRAIN = ["train", "vae", "digits", *SMALL, "--kernels", "standard", "--device", "cpu", "--name", "toy", "--steps"]
WARNING = "warning: the run goes on without the logger"
MINE = '''"""Loggers of mine."""

import threading

told, forever = [], threading.Event()


class Notes:
    def __init__(self, run):
        told.append(("begin", run.name, run.folder.name, run.step, run.config["family"]))

    def row(self, step, values):
        told.append(("row", step, sorted(values)))

    def sheet(self, step, sheet):
        told.append(("sheet", step, sheet.size))

    def close(self):
        told.append(("close",))


class NoBegin(Notes):
    def __init__(self, run):
        raise RuntimeError("the disk is full\\nof things")


class NoRow(Notes):
    def row(self, step, values):
        told.append("asked")
        raise OSError(28, "No space left on device")


class NoSheet(Notes):
    def sheet(self, step, sheet):
        sheet.shape


class NoClose(Notes):
    def close(self):
        raise SystemExit(3)


class Stuck(Notes):
    def row(self, step, values):
        forever.wait()
'''


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder with `mine.py`; nothing that the user has set for W&B and MLflow."""
    for name in [name for name in os.environ if name.startswith(("WANDB_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(feeding, "_PATIENCE", PATIENCE)
    monkeypatch.setattr(wandb, "_PATIENCE", PATIENCE)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    yield tmp_path
    if "mine" in sys.modules:
        sys.modules["mine"].forever.set()
    forget_modules(tmp_path)


def trained(*loggers: str, steps: int = 6) -> tuple[Path, str]:
    """The folder of a new run with these loggers, and what it said."""
    words = itertools.chain.from_iterable(("--logger", name) for name in loggers)
    code, out, err = typed(*TRAIN, str(steps), *words)
    assert code == 0, err
    return Path(out.split()[-1]), err


def bits(run: Path) -> list[tuple[str, bytes]]:
    """Weights, rows and sheets of a run."""
    paths = [run / "model" / "model.safetensors", run / "metrics.jsonl", *sorted((run / "samples").iterdir())]
    return [(path.name, path.read_bytes()) for path in paths]


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, bytes]]:
    """What a run without loggers ends with."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("plain"))
        return bits(trained()[0])


def test_tensorboard_gets_rows_and_sheets_or_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[Any, ...]] = []

    class Writer:
        def __init__(self, folder: str, purge_step: int | None) -> None:
            written.append((Path(folder).parent.name, Path(folder).name, purge_step))

        def add_scalar(self, name: str, value: float, step: int) -> None:
            written.append((name, step))

        def add_image(self, name: str, image: Any, step: int, dataformats: str) -> None:
            written.append((name, image.shape[-1], step))

        def close(self) -> None:
            written.append(("closed",))

    monkeypatch.setattr("torch.utils.tensorboard.SummaryWriter", Writer)
    run, _ = trained("tensorboard")
    assert typed("resume", str(run), "--steps", "8")[0] == 0
    assert written[0] == (run.name, "tensorboard", None)
    assert {("vae/kl", 4), ("samples", 3, 6), ("closed",), (run.name, "tensorboard", 7), ("vae/kl", 8)} <= set(written)
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert "pip install 'zeuxis[tensorboard]'" in refused(*TRAIN, "6", "--logger", "tensorboard")


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_an_extra_that_is_missing_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    assert f"pip install 'zeuxis[{name}]'" in refused(*TRAIN, "6", "--logger", name)


def wandb_records(data: bytes) -> Iterator[bytes]:
    """The records of a file of W&B: after 7 bytes, blocks of 32 KiB in which each part has 4 bytes of check sum, 2 of
    length, and one of kind (1 whole, 2 first, 3 middle, 4 last)."""
    at, record = 7, b""
    while at + 7 <= len(data):
        if (left := -at % 32768) and left < 7:  # a block's end too short for a part
            at += left
            continue
        size, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        if at + 7 + size > len(data):  # it is being written
            return
        record = (b"" if kind in (1, 2) else record) + data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):
            yield record


def wandb_rows(folder: Path) -> list[dict[str, str]]:
    """What was logged into a folder of W&B, as JSON by name."""
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = folder.glob("*.wandb")
    found = [Record.FromString(data) for data in wandb_records(file.read_bytes())]
    return [
        {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
        for record in found
        if record.WhichOneof("record_type") == "history"
    ]


def test_wandb_gets_rows_and_sheets_offline_and_goes_on_with_its_id(plain: list[tuple[str, bytes]]) -> None:
    pytest.importorskip("wandb")
    run, said = trained("wandb")
    assert WARNING not in said and bits(run) == plain
    code, _, said = typed("resume", str(run), "--steps", "8")
    assert code == 0 and WARNING not in said
    chosen = (run / "wandb" / "run-id.txt").read_text()
    first, second = sorted((run / "wandb").glob("offline-run-*"))
    assert first.name.endswith(f"-{chosen}") and second.name.endswith(f"-{chosen}")
    assert not [path for path in run.rglob("*") if path.is_symlink()]
    wait_for(
        lambda: any(row["_step"] == "8" for row in wandb_rows(second)),
        "the last row by W&B's service, a process of its own",
    )
    before, after = wandb_rows(first), wandb_rows(second)
    steps = [int(row["_step"]) for row in [*before, *after] if "vae/kl" in row]
    assert steps == [row["step"] for row in rows(run) if "vae/kl" in row]
    values = [float(row["vae/kl"]) for row in [*before, *after] if "vae/kl" in row]
    assert values == pytest.approx([row["vae/kl"] for row in rows(run) if "vae/kl" in row])
    assert [int(row["_step"]) for row in before if row.get("samples/_type") == '"image-file"'] == [3, 6]
    assert list(first.glob("files/media/images/*.png"))


def test_mlflow_gets_rows_and_sheets_in_a_file_store_and_goes_on_with_its_id(plain: list[tuple[str, bytes]]) -> None:
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    run, said = trained("mlflow")
    assert WARNING not in said and bits(run) == plain
    chosen = (run / "mlflow" / "run-id.txt").read_text()
    assert typed("resume", str(run), "--steps", "8")[0] == 0
    client = MlflowClient((run / "mlflow").absolute().as_uri())
    (found,) = client.search_runs([client.get_experiment_by_name("zeuxis").experiment_id])
    assert found.info.run_id == chosen and found.info.status == "FINISHED" and found.info.run_name == run.name
    assert found.data.params["family"] == "vae" and found.data.params["settings.seed"] == "0"
    for name in ("vae/kl", "vae/loss"):
        history = [(each.step, each.value) for each in client.get_metric_history(chosen, name)]
        assert history == [(row["step"], row[name]) for row in rows(run) if name in row]
    assert [each.path for each in client.list_artifacts(chosen, "samples")] == [
        f"samples/{step:08d}.png" for step in (3, 6, 8)
    ]


def test_mlflow_writes_nothing_out_of_a_run_that_was_moved(here: Path) -> None:
    pytest.importorskip("mlflow")
    run, _ = trained("mlflow")
    moved = run.rename(here / "moved")
    code, _, err = typed("resume", str(moved), "--steps", "9")
    assert code == 0 and err.count(WARNING) == 1 and "remove the folder mlflow" in err
    assert not run.exists()


def test_a_logger_of_ones_own_is_named_by_its_module_and_trusted_anew() -> None:
    run, said = trained("mine:Notes")
    told = sys.modules["mine"].told
    assert told[0] == ("begin", run.name, "mine.Notes", 0, "vae") and told[-1] == ("close",)
    assert [each[1] for each in told if each[0] == "row" and "vae/kl" in each[2]] == [1, 2, 4, 6]
    assert [each[1] for each in told if each[0] == "sheet"] == [3, 6]
    assert (run / "loggers" / "mine.Notes").is_dir() and WARNING not in said
    told.clear()
    assert "if you trust it, name it: --logger mine:Notes" in refused("resume", str(run), "--steps", "8")
    assert told == []
    assert typed("resume", str(run), "--steps", "8", "--logger", "mine:Notes")[0] == 0
    assert told[0][3] == 6
    told.clear()
    assert typed("resume", str(run), "--steps", "9", "--no-logger")[0] == 0
    assert typed("resume", str(run), "--steps", "10")[0] == 0
    assert told == [] and RunFolder.open(run).config["settings"]["logger"] == []


def test_a_branch_and_a_sweep_log_as_they_are_told_and_verify_does_not() -> None:
    run, _ = trained("mine:Notes")
    told = sys.modules["mine"].told
    told.clear()
    assert typed("verify", str(run))[0] == 0 and told == []
    assert "if you trust it, name it" in refused("branch", str(run), "--steps", "8", "--kernels", "standard")
    code, _, err = typed("branch", str(run), "--steps", "8", "--logger", "mine:Notes")
    assert code == 0, err
    assert [each[3] for each in told if each[0] == "begin"] == [6]
    told.clear()
    words = ["--steps", "2", *SMALL, "--kernels", "standard", "--logger", "mine:Notes"]
    code, _, err = typed("sweep", "vae", "digits", "--seed", "0-1", *words)
    assert code == 0, err
    assert [each[0] for each in told].count("begin") == [each[0] for each in told].count("close") == 2


@pytest.fixture
def package(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed distribution with two loggers by entry point, one of a name that is taken."""
    site = here / "site"
    info = site / "their_notes-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-notes\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[zeuxis.loggers]\nnotes = their_notes:Notes\nwandb = their_notes:Notes\n")
    (site / "their_notes.py").write_text(MINE)
    monkeypatch.syspath_prepend(str(site))
    registry._scan.cache_clear()
    yield
    forget_modules(site)
    registry._scan.cache_clear()


@pytest.mark.usefixtures("package")
def test_a_logger_of_an_installed_package_is_found_by_its_name_also_by_a_resume() -> None:
    assert set(registry.installed(registry.LOGGERS)) == {"notes"}
    assert "notes" not in registry.names()
    run, _ = trained("notes")
    assert typed("resume", str(run), "--steps", "8")[0] == 0
    told = sys.modules["their_notes"].told
    assert [each[3] for each in told if each[0] == "begin"] == [0, 6]
    assert "did you mean notes?" in refused(*TRAIN, "6", "--logger", "note")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("NoBegin", "RuntimeError: the disk is full of things"),
        ("NoRow", "No space left on device"),
        ("NoSheet", "AttributeError"),
        ("NoClose", "SystemExit: 3"),
    ],
)
def test_a_logger_that_fails_is_left_out_with_one_warning(
    name: str, reason: str, plain: list[tuple[str, bytes]]
) -> None:
    run, said = trained(f"mine:{name}", "mine:Notes")
    assert bits(run) == plain
    (warning,) = [line for line in said.splitlines() if WARNING in line]
    assert f"mine:{name}: " in warning and reason in warning
    assert warning in (run / "log.txt").read_text()
    told = sys.modules["mine"].told
    assert told.count("asked") <= 1 and ("close",) in told


def test_a_logger_that_hangs_holds_nothing_up(plain: list[tuple[str, bytes]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "_PATIENCE", 0.0)
    monkeypatch.setattr(feeding, "_MOST_WAITING", 2)
    run, said = trained("mine:Stuck")
    assert bits(run) == plain
    assert said.count(WARNING) == 1 and "behind by 2 rows" in said


def test_a_logger_that_does_not_end_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "_PATIENCE", 0.0)
    said = trained("mine:Stuck")[1]
    assert said.count(WARNING) == 1 and "not written all of it in time" in said


def test_a_run_that_is_stopped_waits_little_for_its_loggers(here: Path) -> None:
    waited: list[float] = []
    with pytest.raises(KeyboardInterrupt), feeding.open_loggers([], here, {}, step=0, say=print) as loggers:
        loggers.close = waited.append  # type: ignore[method-assign]
        raise KeyboardInterrupt
    assert waited == [feeding._HURRY]


def test_a_run_with_the_switch_of_before_resumes_with_its_logger(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()
    monkeypatch.setattr("zeuxis.loggers.tensorboard.TensorBoard.__init__", lambda self, run: begun.set())
    run, _ = trained()
    config = files.read_yaml(run / "config.yaml")
    del config["settings"]["logger"]
    for value in (False, True):
        config["settings"]["tensorboard"] = value
        (run / "config.yaml").write_bytes(dump_yaml(config))
        assert RunFolder.open(run).config["settings"]["logger"] == ["tensorboard"] * value
    code, _, err = typed("resume", str(run), "--steps", "8")
    assert code == 0 and begun.is_set(), err
    assert "tensorboard" not in files.read_yaml(run / "config.yaml")["settings"]


def test_loggers_are_listed_in_a_file_of_options(here: Path, training: list[dict[str, Any]]) -> None:
    config = here / "options.yaml"
    config.write_text("logger: [tensorboard, wandb]\n")
    assert typed("train", "vae", "digits", "--config", str(config))[0] == 0
    assert typed("train", "vae", "digits", "--config", str(config), "--logger", "mlflow", "--logger", "mlflow")[0] == 0
    assert typed("train", "vae", "digits", "--config", str(config), "--no-logger")[0] == 0
    config.write_text("tensorboard: true\n")
    assert typed("train", "vae", "digits", "--config", str(config))[0] == 0
    assert [asked["settings"].logger for asked in training] == [
        ("tensorboard", "wandb"),
        ("mlflow",),
        (),
        ("tensorboard",),
    ]
    for outside in ("['mine:Notes']", "mine:Notes"):
        config.write_text(f"logger: {outside}\n")
        assert "code from outside Zeuxis" in refused("train", "vae", "digits", "--config", str(config))
    assert "mine" not in sys.modules
    for wrong in ("logger: {a: 3}", "logger: [3]", "logger: ['']"):
        config.write_text(wrong)
        assert "logger" in refused("train", "vae", "digits", "--config", str(config))


def test_an_id_out_of_a_run_is_not_any_text(here: Path) -> None:
    pytest.importorskip("mlflow")
    run, _ = trained("mlflow")
    (run / "mlflow" / "run-id.txt").write_text("../../else")
    code, _, err = typed("resume", str(run), "--steps", "7")
    assert code == 0 and "holds no id of a run" in err
