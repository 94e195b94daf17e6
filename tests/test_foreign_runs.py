"""Runs, checkpoints and weights that somebody else made: nothing outside their folder is read, written or emptied."""

from __future__ import annotations

import copy
import io
import json
import os
import random
import resource
import shutil
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import yaml
from PIL import Image
from torch import Tensor

from commandline import refused, typed
from faults import LONG, SCALE, mutate, renew, sign
from release import long_but
from waiting import quick
from zeuxis import loading
from zeuxis.errors import UsageError, ZeuxisError
from zeuxis.explore import latent_files
from zeuxis.families.vae import VAE
from zeuxis.io import files
from zeuxis.metrics import extractors
from zeuxis.nets.image_pool import ImagePool
from zeuxis.runtime.progress import Lines
from zeuxis.storage import RunFolder, models
from zeuxis.storage.checkpoints import read_checkpoint
from zeuxis.training import resuming, runs
from zeuxis.training.build import check_options
from zeuxis.training.config import read_recipe
from zeuxis.training.engine import State
from zeuxis.training.settings import TrainSettings
from zeuxis.training.transfer import find_start

CONFIGS = 1_000 if SCALE == 1 else 50_000  # mutations of each config
COUNT = 350 if SCALE == 1 else 50_000  # of hostile checkpoints; the links make the rest of 500
SIZE = {"size": 16, "base_channels": 4, "latent_dim": 4}


def trained(folder: Path, *, seed: int = 0, shade: int = 0) -> Path:
    """A run of four steps on images of its own, with two checkpoints."""
    data = folder / "data"
    data.mkdir(parents=True)
    for i in range(8):
        Image.new("RGB", (16, 16), (20 * i + shade, 10 * i, 5)).save(data / f"{i}.png")
    asked = TrainSettings(
        steps=4,
        batch_size=4,
        checkpoint_every=2,
        kernels="standard",
        seed=seed,
        out=str(folder / "runs"),
        precision="fp32",
    )
    quiet = Lines(io.StringIO())
    return runs.start(asked, VAE, SIZE, data=runs.DataSpec.parse(str(data)), display=quiet)


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good run, to be copied."""
    return trained(tmp_path_factory.mktemp("pattern"))


@pytest.fixture
def run(pattern: Path, tmp_path: Path) -> Path:
    shutil.copytree(pattern, tmp_path / "00001-gift")
    return tmp_path / "00001-gift"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """What is the user's: files and a folder that a link could lead to."""
    folder = tmp_path / "home"
    (folder / "private").mkdir(parents=True)
    (folder / "thesis.tex").write_text("ten years of work\n")
    (folder / "private" / "letter.txt").write_text("dear\n")
    (folder / "private" / "step-00000001").mkdir()
    (folder / "private" / ".tmp-1-0123456789ab").mkdir()
    return folder


def tree(folder: Path) -> dict[str, Any]:
    """Every name below a folder, with what it is and holds."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[str(path)] = ("link", str(path.readlink()))
        elif path.is_file():
            found[str(path)] = (path.read_bytes(), path.stat().st_mtime_ns)
        else:
            found[str(path)] = path.stat(follow_symlinks=False).st_mode
    return found


# Links, FIFOs, devices

# Names that a run may have, but has not yet.
NEW = (
    ".lock",
    "figures",
    "loggers",
    "mlflow",
    "tensorboard",
    "wandb",
    "evaluation.json",
    "closest.png",
    "model.onnx",
    "reconstructions",
    "samples/00000006.png",
    "checkpoints/step-00000006",
    "checkpoints/step-00000004.old",
    "model/.tmp-7-0123456789ab",
    ".tmp-7-0123456789ab",
)


def lead(path: Path, kind: str, home: Path) -> None:
    """Put something that leads out of the run in a place of it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "socket":
        server = socket.socket(socket.AF_UNIX)
        server.bind(os.path.relpath(path))
        server.close()
    else:
        targets = {
            "file": home / "thesis.tex",
            "folder": home / "private",
            "relative": Path(os.path.relpath(home / "thesis.tex", path.parent)),
            "dangling": home / "new.txt",
            "device": Path("/dev/zero"),
            "itself": path,
        }
        path.symlink_to(targets[kind])


KINDS = ("file", "folder", "relative", "dangling", "device", "itself", "FIFO", "socket")


@pytest.mark.parametrize("kind", long_but("file", "FIFO", among=KINDS))
def test_nothing_in_a_run_leads_out_of_it(
    kind: str, pattern: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    places = [str(path.relative_to(pattern)) for path in pattern.rglob("*")]
    before, tried = tree(home), 0
    for place in [*places, *NEW]:
        run = tmp_path / "00001-gift"
        shutil.copytree(pattern, run)
        lead(run / place, kind, home)
        was = tree(run)
        for words in (["resume", str(run), "--steps", "6"], ["sample", str(run), "-n", "4"]):
            if place == "config.yaml" and kind in ("folder", "dangling", "device", "itself", "FIFO", "socket"):
                continue  # then it is no run
            message = refused(*words)
            assert place.split("/")[0] in message
            tried += 1
        assert tree(run) == was and tree(home) == before
        shutil.rmtree(run)
    assert tried > 2 * (len(places) + len(NEW)) - 4 > 50


def test_a_run_that_is_found_by_its_name_is_looked_through(run: Path, home: Path, tmp_path: Path) -> None:
    for name in ("1", "gift", "00001-gift", str(run)):
        assert loading.find_run(name, runs=tmp_path) == run
    lead(run / "samples" / "00000002.png", "file", home)
    for name in ("1", "gift", "00001-gift", str(run)):
        with pytest.raises(UsageError, match=r"00000002\.png is a symbolic link"):
            loading.find_run(name, runs=tmp_path)


def test_a_run_that_is_opened_is_looked_through(run: Path, home: Path) -> None:
    """Whoever opens it, from outside or from inside; a command has looked through it when it found it."""
    assert RunFolder.open(run / "checkpoints").path == run
    lead(run / "samples" / "00000002.png", "file", home)
    for path in (run, run / "checkpoints"):
        with pytest.raises(UsageError, match=r"00000002\.png is a symbolic link"):
            RunFolder.open(path)
    with pytest.raises(UsageError, match=r"00000002\.png is a symbolic link"):
        runs.resume_run(run, steps=6, display=Lines(io.StringIO()))


CHECKPOINT = "checkpoints/step-00000004"
READERS: dict[str, Callable[[Path], Any]] = {
    "config.yaml": lambda run: RunFolder(run).config,
    "metrics.jsonl": lambda run: RunFolder(run).metrics(),
    "model/config.json": lambda run: models.read_model_folder(run / "model"),
    "model/model.safetensors": lambda run: models.read_model_folder(run / "model"),
    f"{CHECKPOINT}/manifest.json": lambda run: files.read_folder(run / CHECKPOINT),
    f"{CHECKPOINT}/state.json": lambda run: files.read_folder(run / CHECKPOINT),
    f"{CHECKPOINT}/average.safetensors": lambda run: read_checkpoint(run / CHECKPOINT, [], nothing_read),
}


def nothing_read(layouts: object) -> None:
    pytest.fail("the headers were read")


@pytest.mark.parametrize("place", READERS)
def test_no_reader_of_a_run_follows_a_link(place: str, run: Path, home: Path) -> None:
    """Each by itself: the link may appear after all of the run was looked through."""
    path = run / place
    if "average" not in place:
        assert READERS[place](run)
    path.rename(home / "kept")
    path.symlink_to(home / "kept")
    with pytest.raises(UsageError, match=rf"{path.name} is a symbolic link, which is not followed here"):
        READERS[place](run)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_folder_alone_is_read_through_no_link(
    kind: str, run: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run / "model", "downloaded")
    before = tree(home)
    lead(tmp_path / "downloaded" / "model.safetensors", kind, home)
    assert "model.safetensors" in refused("sample", "downloaded")
    assert "model.safetensors" in refused("train", "vae", str(run), "--init-from", "downloaded", "--size", "16")
    (tmp_path / "gift").mkdir()
    (tmp_path / "gift" / "model").symlink_to(run / "model")
    assert "symbolic link" in refused("sample", "gift")
    assert typed("sample", str(tmp_path / "gift" / "model"), "--out", "x.png")[0] == 0, "what is typed is followed"
    assert tree(home) == before


def test_a_hard_link_is_never_written_through(run: Path, home: Path) -> None:
    kept = home / "thesis.tex"
    for name in ("log.txt", "metrics.jsonl"):
        original = (run / name).read_bytes()
        (run / name).unlink()
        os.link(kept, run / name)
        assert f"{name} has another name elsewhere (a hard link)" in refused("resume", str(run), "--steps", "6")
        (run / name).unlink()
        (run / name).write_bytes(original)
    replaced = ("config.yaml", "model/model.safetensors", "model/config.json", "model/README.md", "reals.png")
    for name in replaced:
        os.link(run / name, home / name.replace("/", "-"))
    (run / ".lock").unlink(missing_ok=True)
    os.link(kept, run / ".lock")
    before = {path.name: path.read_bytes() for path in home.iterdir() if path.is_file()}
    code, _, err = typed("resume", str(run), "--steps", "6")
    assert code == 0, err
    assert {path.name: path.read_bytes() for path in home.iterdir() if path.is_file()} == before
    assert RunFolder.open(run).config["settings"]["steps"] == 6


@pytest.mark.parametrize("kind", KINDS)
def test_a_lock_that_leads_elsewhere_is_replaced(
    kind: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = tree(home)
    (tmp_path / "out").mkdir()
    lead(tmp_path / "out" / ".lock", kind, home)
    made = RunFolder.create(tmp_path / "out", "mine", {"family": "vae"})
    assert made.config == {"family": "vae"} and tree(home) == before
    assert (tmp_path / "out" / ".lock").is_file() and not (tmp_path / "out" / ".lock").is_symlink()


def test_a_refused_run_stays_as_it_is(run: Path) -> None:
    """Nothing is opened for writing before all of it is known to be good: neither a lock, nor the log, nor a sheet."""
    (run / ".lock").unlink(missing_ok=True)
    (run / "reals.png").unlink()
    for name in ("step-00000002", "step-00000004"):
        path = run / "checkpoints" / name / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-1])
    was = tree(run)
    assert "has no checkpoint that is whole" in refused("resume", str(run), "--steps", "6")
    (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("family: vae", "family: nave"))
    was[str(run / "config.yaml")] = tree(run)[str(run / "config.yaml")]
    assert "no family is called 'nave'" in refused("resume", str(run))
    assert tree(run) == was


# Checkpoints that are signed rightly, and hold what no checkpoint holds


def take_up(run: Path) -> resuming.Resumed:
    """The state of a run, by the code that `zeuxis resume` restores it with."""
    opened = RunFolder.open(run)
    recipe = read_recipe(opened.config)
    found = resuming.take_up(opened, recipe, VAE, Lines(io.StringIO()))
    resuming.check_identity(found.checkpoint, recipe)
    return found


def values_in(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to each value in plain values, those that hold others too."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from values_in(each, (*path, key))


ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 2**200, -(2**70), 0.5, -0.0, 1e308, 1e999, "", "x", "0", "1e999"),
    *("\x1b[31m\n", "\u202e", [], {}, [[]], [0] * 1000, {"x": 1}, [None], "params", [1, 2, 3]),
)


def change_values(tree: Any, chance: random.Random) -> None:
    """One or two values of a tree of plain values are replaced, removed, added or given another name."""
    for _ in range(chance.randint(1, 2)):
        places = list(values_in(tree))
        *way, last = chance.choice(places or [("x",)])
        owner = tree
        for key in way:
            owner = owner[key]
        kind = chance.randrange(4)
        if kind == 0:
            del owner[last]
        elif kind == 1 and isinstance(owner, dict):
            owner[chance.choice(["x", "", "lr", "\x1b", "0", "fused"])] = chance.choice(ODD)
        else:
            owner[last] = copy.deepcopy(chance.choice(ODD))


def change_state(checkpoint: Path, chance: random.Random) -> None:
    """Plain values are changed, or bytes of their file."""
    path = checkpoint / "state.json"
    if chance.random() < 0.25:
        path.write_bytes(mutate(path.read_bytes(), chance))
        return
    state = json.loads(path.read_text())
    change_values(state, chance)
    path.write_text(json.dumps(state))


def change_tensor(group: dict[str, Tensor], chance: random.Random) -> None:
    """A tensor of a group gets another shape, type or name, another value where few are good, or is not there."""
    name = chance.choice(sorted(group))
    value = group[name]
    kinds = [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.uint8, torch.bool]
    ways: list[Callable[[], Any]] = [
        lambda: group.pop(name),
        lambda: group.update(
            {chance.choice(["x", "0/x", "99/step", "-1/exp_avg", "a/b", "/", "\x1b[2J", name + " "]): value}
        ),
        lambda: group.update({name: value.to(chance.choice(kinds))}),
        lambda: group.update({name: value.flatten()[:-1].clone() if value.numel() > 1 else torch.zeros(3)}),
        lambda: group.update({name: torch.cat((value.flatten(), value.flatten()))}),
        lambda: group.update({name: value[None].clone()}),
        lambda: group.update({name: torch.zeros(0, dtype=value.dtype)}),
        lambda: group.update({name: torch.zeros(5, 0, 5, dtype=value.dtype)}),
        lambda: group.update({name: value.flatten().repeat(2)}),
        lambda: (
            group.update({name: torch.full_like(value, chance.choice([float("nan"), float("inf"), -float("inf")]))})
            if value.is_floating_point()
            else group.pop(name)
        ),
        lambda: (
            group.update(
                {
                    key: torch.full_like(each, chance.choice([0.0, -1.0, 0.5, 1e30, -1e30]))
                    for key, each in group.items()
                    if key.endswith("/step")
                }
            )
            or group.pop(name)
        ),
    ]
    chance.choice(ways)()


def change_tensors(checkpoint: Path, chance: random.Random) -> None:
    path = chance.choice(sorted(checkpoint.glob("*.safetensors")))
    if chance.random() < 0.1:  # a group has another's name, or is not there
        path.rename(
            checkpoint / chance.choice(["x.safetensors", "optimizer-x.safetensors", "model.safetensors", "x.pt"])
        )
        return
    group = safetensors.torch.load(path.read_bytes())
    if group:
        change_tensor(group, chance)
    else:
        group["\x1b[2J/loss"] = torch.zeros(
            chance.choice([1, 2, 3]), dtype=chance.choice([torch.float64, torch.float32])
        )
    path.write_bytes(safetensors.torch.save({name: value.clone().contiguous() for name, value in group.items()}))


@pytest.mark.timeout(300 if not LONG else 36_000)
def test_a_signed_checkpoint_is_compared_before_it_is_restored(run: Path, home: Path) -> None:
    """Whatever it holds: it is refused in a line, or all that it restores is what was saved."""
    checkpoint = run / "checkpoints" / "step-00000004"
    shutil.rmtree(run / "checkpoints" / "step-00000002")
    good, chance, refusals = shutil.copytree(checkpoint, home / "good"), random.Random(20), 0
    saved = take_up(run).state
    for turn in range(COUNT):
        shutil.rmtree(checkpoint)
        shutil.copytree(good, checkpoint)
        (change_state if turn % 2 else change_tensors)(checkpoint, chance)
        sign(checkpoint)
        try:
            with quick(1.0):
                found = take_up(run).state
        except ZeuxisError as error:
            refusals += 1
            assert isinstance(error, UsageError) and "\n" not in str(error) and len(str(error)) < 1000
            continue
        assert found.clock == saved.clock and found.scalars() == saved.scalars()
        assert same(trained_of(found), trained_of(saved)), "what was restored is not what was saved"
        assert all(value.shape == (2,) and value.dtype == torch.float64 for value in found.sums.values())
    assert refusals > 0.8 * COUNT


def trained_of(state: State) -> dict[str, dict[str, Tensor]]:
    """All but the sums of what was reported, whose names no fresh state knows."""
    return {group: values for group, values in state.tensors().items() if group != "sums"}


def same(found: dict[str, dict[str, Tensor]], saved: dict[str, dict[str, Tensor]]) -> bool:
    return {(group, name) for group in found for name in found[group]} == {
        (group, name) for group in saved for name in saved[group]
    } and all(
        found[group][name].dtype == value.dtype and torch.equal(found[group][name], value)
        for group, values in saved.items()
        for name, value in values.items()
    )


@pytest.mark.parametrize(
    ("group", "name", "value", "message"),
    [
        ("optimizer-vae", "0/exp_avg", torch.zeros(2), "optimizer-vae: '0/exp_avg' is F32 of shape (2,), expected F32"),
        ("optimizer-vae", "0/step", torch.tensor(-1.0), "optimizer-vae: '0/step' counts no steps"),
        ("optimizer-vae", "0/step", torch.tensor(float("nan")), "'0/step' is not finite"),
        ("optimizer-vae", "0/step", torch.tensor(4), "'0/step' is I64 of shape (), expected F32"),
        ("optimizer-vae", "0/max_exp_avg_sq", torch.zeros(2), "optimizer-vae: '0/max_exp_avg_sq' is unknown"),
        ("optimizer-vae", "999/step", torch.tensor(4.0), "optimizer-vae: '999/step' is unknown"),
        ("average", "log_sigma", torch.zeros(1), "average: 'log_sigma' is F32 of shape (1,), expected F32 of shape ()"),
        ("model", "\x1b[2J", torch.zeros(1), r"model: '\x1b[2J' is unknown"),
        ("model", "log_sigma", torch.tensor(float("inf")), "model: 'log_sigma' is not finite"),
        ("sums", "vae/loss", torch.zeros(2, dtype=torch.float64), "sums: 'vae/loss' is of no steps"),
        ("sums", "vae/loss", torch.zeros(2), "sums: 'vae/loss' is F32 of shape (2,), expected F64"),
    ],
)
def test_what_does_not_fit_is_named(run: Path, group: str, name: str, value: Tensor, message: str) -> None:
    for checkpoint in (run / "checkpoints").iterdir():
        path = checkpoint / f"{group}.safetensors"
        held = safetensors.torch.load(path.read_bytes())
        path.write_bytes(safetensors.torch.save({**held, name: value}))
        sign(checkpoint)
    assert message in refused("resume", str(run), "--steps", "6")


@pytest.mark.parametrize(
    ("way", "value", "message"),
    [
        (("step",), 5, "its clock is at step 5"),
        (("step",), True, "step is True, expected a number of them"),
        (("images",), 10**6, "1,000,000 images, expected 4 and 16"),
        (("settled",), 1, "settled is 1, expected true or false"),
        (("optimizers",), [], "optimizers is [], expected a table"),
        (("optimizers", "vae", 0, "lr"), 1e300, "optimizer of vae: 'lr' is 1e+300, expected"),
        (("optimizers", "vae", 0, "capturable"), True, "'capturable' is True, expected False"),
        (("optimizers", "vae", 0, "params"), [0], "'params' is [0], expected"),
        (("optimizers", "vae", 0, "odd"), 1, "'odd' is 1, expected None"),
        (("optimizers", "other"), [], "its optimizers: 'other' is unknown"),
        (("processor_seconds",), -1.0, "-1.0 seconds were not spent"),
        (("run", "settings", "seed"), 7, "belongs to another run: its seed is 7, that of config.yaml 0"),
        (("run",), [], "belongs to another run: its family is None"),
    ],
)
def test_a_plain_value_that_does_not_fit_is_named(run: Path, way: tuple[Any, ...], value: Any, message: str) -> None:
    for checkpoint in (run / "checkpoints").iterdir():
        state = json.loads((checkpoint / "state.json").read_text())
        owner = state
        for key in way[:-1]:
            owner = owner[key]
        owner[way[-1]] = value
        (checkpoint / "state.json").write_text(json.dumps(state))
        sign(checkpoint)
    assert message in refused("resume", str(run), "--steps", "6")


def test_an_older_checkpoint_is_taken_where_the_newest_is_of_another_shape(run: Path) -> None:
    path = run / "checkpoints" / "step-00000004" / "average.safetensors"
    path.write_bytes(safetensors.torch.save({"x": torch.zeros(3)}))
    sign(path.parent)
    found = take_up(run)
    assert found.checkpoint and found.checkpoint.step == 2
    assert "does not fit the run's options: average: " in found.checkpoint.skipped[0]


@pytest.mark.parametrize("count", [-1, -(2**62), 3, 5, 10**12, 2**62])
def test_a_count_in_a_buffer_leads_into_no_other_memory(count: int) -> None:
    pool = ImagePool(4, (1, 2, 2))
    pool.filled.fill_(count)
    for _ in range(3):
        made = torch.ones(3, 1, 2, 2)
        shown, places = pool.draw(made)
        pool.keep(made, places)
        assert shown.shape == made.shape and 0 <= int(places[0].min()) <= int(places[0].max()) < 4


@pytest.mark.parametrize(("what", "change"), [("seed", {"seed": 5}), ("fingerprint", {"shade": 3})])
def test_a_checkpoint_of_another_run_is_noticed(run: Path, tmp_path: Path, what: str, change: dict[str, int]) -> None:
    other = trained(tmp_path / "other", **change)
    shutil.rmtree(run / "checkpoints")
    shutil.copytree(other / "checkpoints", run / "checkpoints")
    was = tree(run)
    assert f"belongs to another run: its {what} is " in refused("resume", str(run), "--steps", "6")
    assert tree(run) == was
    for checkpoint in (run / "checkpoints").iterdir():  # as versions before wrote them
        state = json.loads((checkpoint / "state.json").read_text())
        del state["run"]
        (checkpoint / "state.json").write_text(json.dumps(state))
        sign(checkpoint)
    assert typed("resume", str(run), "--steps", "6")[0] == 0


def test_a_row_of_metrics_holds_numbers(run: Path) -> None:
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": "4", "vae/loss": [1]}\n{"step": {}}\n{"step": 4, "x": 1e999}\n[]\n{"step": true}\n')
        file.write('{"step": ' + "9" * 400 + "}\n" + "x" * 3_000_000 + "\n")
    opened = RunFolder.open(run)
    assert all(type(value) in (int, float) for row in opened.metrics() for value in row.values() if value is not None)
    assert typed("resume", str(run), "--steps", "6")[0] == 0


# Configs, of which bytes or values are changed: to be restored, or only read


def restored(run: Path) -> None:
    """As a resume reads `config.yaml`, up to where it would allocate memory."""
    recipe = read_recipe(RunFolder.open(run).config)
    check_options(VAE, recipe.options)
    loading.build_unfilled(VAE, recipe.options, run / "config.yaml")


@pytest.mark.timeout(LONG)
@pytest.mark.parametrize(
    ("name", "parse", "written", "read_back"),
    [
        ("config.yaml", files.read_yaml, yaml.safe_dump, restored),
        ("model/config.json", files.read_json, json.dumps, loading.load_model),
    ],
)
def test_mutated_configs_raise_our_errors_alone(
    run: Path, name: str, parse: Callable[..., Any], written: Callable[..., str], read_back: Callable[[Path], Any]
) -> None:
    path, chance, refusals = run / name, random.Random(11), 0
    original, values = path.read_bytes(), parse(path)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for turn in range(CONFIGS):
        changed = copy.deepcopy(values)
        change_values(changed, chance)
        renew(path, written(changed).encode(errors="replace") if turn % 2 else mutate(original, chance))
        try:
            with quick(1.0):
                read_back(run)
        except ZeuxisError as error:
            refusals += 1
            assert isinstance(error, UsageError) and "\n" not in str(error) and len(str(error)) < 1000
    assert refusals > CONFIGS // 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 200_000  # kB


# Sparse files: short on the disk, long to read


def sparse(path: Path, shape: tuple[int, ...], *, name: str = "x") -> None:
    """A well-formed safetensors file of a tensor of zeros that takes no room on the disk."""
    length = 4
    for extent in shape:
        length *= extent
    header = json.dumps({name: {"dtype": "F32", "shape": shape, "data_offsets": [0, length]}}).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + length)


GIGABYTE = (1 << 28) - 100  # of float32


@pytest.fixture
def small() -> Iterator[None]:
    """The memory that the test takes at most: 200 MB, for a file of 1 GB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", ["x", "log_sigma"])
def test_sparse_weights_are_refused_by_their_header(run: Path, name: str) -> None:
    sparse(run / "model" / "model.safetensors", (GIGABYTE,), name=name)
    with pytest.raises(UsageError, match=r"weight '.*' is .* in the file"), quick(1.0):
        loading.load_model(run)
    with pytest.raises(UsageError, match=r"weight '.*' is .* in the file"), quick(1.0):
        find_start(str(run / "model"), VAE)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("group", ["model", "average", "optimizer-vae", "sums", "other"])
def test_a_sparse_checkpoint_is_refused_by_its_header(run: Path, group: str) -> None:
    shutil.rmtree(run / "checkpoints" / "step-00000002")
    checkpoint = run / "checkpoints" / "step-00000004"
    path = checkpoint / f"{group}.safetensors"
    sparse(path, (GIGABYTE,))
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    manifest["files"][path.name] = {"bytes": path.stat().st_size, "sha256": "0" * 64}
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UsageError, match="does not fit the run's options"), quick(1.0):
        take_up(run)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", ["checkpoints/step-00000004/state.json", "config.yaml", "model/config.json"])
def test_other_files_of_a_run_are_bounded(run: Path, name: str) -> None:
    os.truncate(run / name, 4 * GIGABYTE)
    for checkpoint in (run / "checkpoints").iterdir():
        manifest = json.loads((checkpoint / "manifest.json").read_text())
        manifest["files"]["state.json"]["bytes"] = (checkpoint / "state.json").stat().st_size
        (checkpoint / "manifest.json").write_text(json.dumps(manifest))
    with quick(1.0):
        if name.startswith("checkpoints"):
            assert take_up(run).checkpoint.step == 2  # type: ignore[union-attr]
        else:
            assert name.rpartition("/")[2] in refused("resume" if name == "config.yaml" else "sample", str(run))


@pytest.mark.usefixtures("small")
def test_sparse_metrics_take_no_memory(run: Path) -> None:
    rows = RunFolder(run).metrics()
    os.truncate(run / "metrics.jsonl", 4 * GIGABYTE)  # of which the last line is nearly all
    assert RunFolder(run).metrics() == rows


@pytest.mark.usefixtures("small")
def test_sparse_latents_are_refused_by_their_header(run: Path, tmp_path: Path) -> None:
    model, path = loading.load_model(run), tmp_path / "z.safetensors"
    for shape in ((GIGABYTE,), (GIGABYTE // 4, 4), (1, GIGABYTE), ()):
        for name in ("z", "w", "x"):
            sparse(path, shape, name=name)
            with pytest.raises(UsageError, match=r"z\.safetensors has "), quick(1.0):
                latent_files.load_latents(path, model)
            assert refused("sample", str(run), "--latents", str(path))
    sparse(path, (3, 4), name="z")
    assert latent_files.load_latents(path, model).shape == (3, 4)


@pytest.mark.usefixtures("small")
def test_sparse_weights_of_feature_networks_are_refused_by_their_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.safetensors"
    for name in ("x", "Conv2d_1a_3x3.conv.weight", "features.0.weight"):
        sparse(path, (GIGABYTE,), name=name)
        with pytest.raises(UsageError, match="; give "), quick(1.0):
            extractors.find_extractor("inception", weights=path)
        with pytest.raises(UsageError, match="; give "), quick(1.0):
            extractors.vgg16(weights=path)
    monkeypatch.setenv("ZEUXIS_CACHE", str(tmp_path))
    (tmp_path / "features").mkdir()
    for name in ("lite0", "vgg16"):
        sparse(tmp_path / "features" / f"{name}.safetensors", (GIGABYTE,), name="_conv_stem.weight")
        with pytest.raises(UsageError, match="weight"):
            files.read_tensors(tmp_path / "features" / f"{name}.safetensors", choose=CHOICES[name])


CHOICES = {"lite0": extractors.choose_lite0(), "vgg16": extractors.choose_vgg(published=False)}
