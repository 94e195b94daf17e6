"""A branch has its parent's bits up to the fork and all options but those changed after it; an interval can be repeated."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from commandline import refused, typed
from zeuxis import api, families, loading
from zeuxis.data import DataSpec
from zeuxis.errors import DiskFullError, UsageError, ZeuxisError
from zeuxis.io import files
from zeuxis.runtime.progress import Lines
from zeuxis.storage import RunFolder
from zeuxis.storage.checkpoints import step_of
from zeuxis.training import forks, run_data, runs, verifying
from zeuxis.training.build import build
from zeuxis.training.config import read_recipe
from zeuxis.training.settings import TrainSettings
from zeuxis.training.state import State
from zeuxis.training.stepping import training_steps

STEPS, FORK = 12, 4
SMALL: dict[str, dict[str, Any]] = {
    "dcgan": {"size": 16, "base_channels": 4},
    "rbm": {"size": 8, "latent_dim": 6, "chains": 5},
    "diffusion": {"size": 8, "base_channels": 4},
    "vae": {"size": 16, "base_channels": 4, "latent_dim": 4},
}
DIGITS = DataSpec.parse("zeuxis:digits")


def settings(out: Path, **changed: Any) -> TrainSettings:
    plain: dict[str, Any] = {"steps": STEPS, "batch_size": 8, "checkpoint_every": 4, "keep_checkpoints": 3}
    plain |= {"sample_every": 6, "log_every": 5, "threads": 1, "device": "cpu", "kernels": "standard"}
    return TrainSettings(out=str(out), **{**plain, **changed})


@pytest.fixture
def quiet() -> Lines:
    return Lines(open(os.devnull, "w"), every=1e9)  # noqa: PTH123


@pytest.fixture(scope="module")
def parents(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A short run of a family with its checkpoints of the steps 4, 8 and 12, made once."""
    out, made = tmp_path_factory.mktemp("parents"), dict[str, Path]()

    def parent(name: str) -> Path:
        if name not in made:
            made[name] = runs.start(settings(out), families.find(name), SMALL[name], data=DIGITS)
        return made[name]

    return parent


def contents(run: Path) -> dict[str, str]:
    """SHA-256 of every file in a run's folder, but for its lock."""
    found = (path for path in sorted(run.rglob("*")) if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def bits(run: Path) -> dict[str, str]:
    """What of a run does not say when or where it was made."""
    aside = {"config.yaml", "log.txt", "curves.png"}
    return {name: digest for name, digest in contents(run).items() if name not in aside}


@pytest.mark.parametrize("name", SMALL)
def test_a_branch_with_nothing_changed_is_its_parent_to_the_last_bit(
    parents: Callable[[str], Path], tmp_path: Path, quiet: Lines, name: str
) -> None:
    parent = parents(name)
    before = contents(parent)
    branch = forks.branch_run(parent, {"out": str(tmp_path)}, at=FORK, display=quiet)
    assert bits(branch) == bits(parent)
    assert contents(parent) == before, "the parent is read, and nothing in it is written"
    assert {f"checkpoints/step-{step:08d}/average.safetensors" for step in (4, 8, 12)} <= bits(branch).keys()


def changed_on_the_way(parent: Path, change: Callable[[State], None], **later: Any) -> State:
    """The state that training ends in if options are changed in the midst of it; nothing of a branch is used."""
    recipe = read_recipe(RunFolder.open(parent).config)
    device = torch.device("cpu")
    model = build(families.find(recipe.family), recipe.options, seed=recipe.settings.seed, device=device)
    pack = DIGITS.open(model.size, model.channels)
    state = State.start(model)
    for end in (FORK, STEPS):
        part = dataclasses.replace(recipe.settings, steps=end, **(later if end == STEPS else {}))
        recipe = dataclasses.replace(recipe, settings=part)
        for progress in training_steps(recipe, run_data.batches(recipe, model, pack), state):
            if progress.clock.step in (1, 2, 5, 10):
                state.take_means()
        if end == FORK:
            change(state)
    return state


def set_lr(lr: float) -> Callable[[State], None]:
    def change(state: State) -> None:
        for optimizer in state.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = lr

    return change


def set_option(**options: Any) -> Callable[[State], None]:
    def change(state: State) -> None:
        for name, value in options.items():
            assert getattr(state.model, name) != value
            setattr(state.model, name, value)

    return change


def nothing(state: State) -> None:
    """For a setting, which is not the model's."""


@pytest.mark.parametrize(
    ("name", "changes", "change", "later"),
    [
        ("dcgan", {"lr": 0.01}, set_lr(0.01), {}),
        ("dcgan", {"loss": "hinge"}, set_option(loss="hinge"), {}),
        ("dcgan", {"ema_half_life": 20, "hflip": True}, nothing, {"ema_half_life": 20, "hflip": True}),
        ("rbm", {"gibbs_steps": 3}, set_option(gibbs_steps=3), {}),
        ("diffusion", {"lr": 0.5, "lr_warmup": 7}, lambda s: (set_lr(0.5)(s), set_option(lr_warmup=7)(s)), {}),
        ("vae", {"beta": 5.0}, set_option(beta=5.0), {}),
    ],
)
def test_a_branch_is_a_run_with_the_option_changed_at_that_step(
    parents: Callable[[str], Path],
    tmp_path: Path,
    quiet: Lines,
    name: str,
    changes: dict[str, Any],
    change: Callable[[State], None],
    later: dict[str, Any],
) -> None:
    parent = parents(name)
    branch = forks.branch_run(parent, {**changes, "out": str(tmp_path)}, at=FORK, display=quiet)
    wanted = changed_on_the_way(parent, change, **later).tensors()
    found = RunFolder.open(branch).checkpoint_at(STEPS).tensors
    unchanged = RunFolder.open(parent).checkpoint_at(STEPS).tensors
    for group in wanted.keys() - {"sums"}:
        assert wanted[group].keys() == found[group].keys()
        assert all(torch.equal(value, found[group][key]) for key, value in wanted[group].items()), group
    assert any(not torch.equal(value, found["average"][key]) for key, value in unchanged["average"].items())
    parent_rows, rows = RunFolder.open(parent).metrics(), RunFolder.open(branch).metrics()
    assert rows[:2] == parent_rows[:2] and [row["step"] for row in rows] == [row["step"] for row in parent_rows]
    assert rows[2:] != parent_rows[2:]


@pytest.mark.parametrize("policy", ["none", "ada"])
def test_augmentation_can_change_in_a_branch_and_back(
    parents: Callable[[str], Path], tmp_path: Path, quiet: Lines, policy: str
) -> None:
    """Its state is no network's: a policy without one drops it, and one with another begins anew."""
    branch = forks.branch_run(parents("dcgan"), {"augment": policy, "out": str(tmp_path)}, at=FORK, display=quiet)
    found = RunFolder.open(branch).checkpoint_at(STEPS).tensors["model"]
    assert {name for name in found if name.startswith("augmented")} == (
        {"augmented.probability", "augmented.signs"} if policy == "ada" else set()
    )
    back = forks.branch_run(branch, {"augment": "auto", "out": str(tmp_path)}, at=FORK, display=quiet)
    same = RunFolder.open(parents("dcgan")).checkpoint_at(STEPS).tensors["model"]
    assert same.keys() == RunFolder.open(back).checkpoint_at(STEPS).tensors["model"].keys()


def test_a_branch_says_what_it_is_of(parents: Callable[[str], Path], tmp_path: Path, quiet: Lines) -> None:
    parent = parents("dcgan")
    branch = forks.branch_run(parent, {"r1_gamma": 0, "out": str(tmp_path), "steps": 10}, at=8, display=quiet)
    assert branch == tmp_path / f"00001-{parent.name.partition('-')[2]}-r1-gamma-0"
    told = RunFolder.open(branch).config
    manifest = (parent / "checkpoints" / "step-00000008" / "manifest.json").read_bytes()
    digest = hashlib.sha256(manifest).hexdigest()
    assert told["parent"] == {"run": parent.name, "step": 8, "checkpoint": digest, "changed": {"r1_gamma": 0.0}}
    assert told["options"]["r1_gamma"] == 0.0 and told["settings"]["steps"] == 10
    first, second, *_ = (branch / "log.txt").read_text().splitlines()
    assert first.endswith(f"branch of {parent.name} at step 8: r1_gamma 4.0 -> 0.0") and "resumed at step 8" in second
    again = forks.branch_run(branch, {"lr": 0.1, "steps": 12}, display=quiet)
    assert RunFolder.open(again).config["parent"]["run"] == branch.name
    assert again.parent == tmp_path and again.name.startswith("00002-") and again.name.endswith("r1-gamma-0-lr-0.1")
    assert RunFolder.open(again).checkpoints()[-1].name == "step-00000012"


def test_a_branch_that_was_stopped_resumes_exactly(
    parents: Callable[[str], Path], tmp_path: Path, quiet: Lines
) -> None:
    changes = {"lr": 0.01, "name": "x"}
    whole = forks.branch_run(parents("dcgan"), {**changes, "out": str(tmp_path / "a")}, at=FORK, display=quiet)
    part = forks.branch_run(
        parents("dcgan"), {**changes, "out": str(tmp_path / "b"), "steps": 7}, at=FORK, display=quiet
    )
    runs.resume_run(part, steps=STEPS, display=quiet)
    step = f"step-{STEPS:08d}"
    same = {name for name in bits(whole) if step in name or name in ("metrics.jsonl", "model/model.safetensors")}
    assert len(same) > 6 and {name: bits(part)[name] for name in same} == {name: bits(whole)[name] for name in same}


def test_a_branch_appears_whole_or_not_at_all(
    parents: Callable[[str], Path], tmp_path: Path, quiet: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise DiskFullError("the disk is full")

    monkeypatch.setattr(RunFolder, "save_checkpoint", full)
    with pytest.raises(DiskFullError):
        forks.branch_run(parents("rbm"), {"out": str(tmp_path)}, at=FORK, display=quiet)
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".")]
    monkeypatch.undo()
    monkeypatch.setattr(forks, "resume_run", full)  # as if it were killed before its first step
    with pytest.raises(DiskFullError):
        forks.branch_run(parents("rbm"), {"out": str(tmp_path)}, at=FORK, display=quiet)
    (branch,) = (path for path in tmp_path.iterdir() if not path.name.startswith("."))
    assert loading.load_model(branch).family() == "rbm", "a branch has a model before its first step"
    runs.resume_run(branch, display=quiet)
    assert bits(branch) == bits(parents("rbm"))


@pytest.mark.parametrize(
    ("changes", "at", "told"),
    [
        ({"base_channels": 8}, FORK, "--base-channels cannot change in a branch of"),
        ({"size": 32}, FORK, "size would be 32, and its images have 16"),
        ({"discriminator_norm": "batch"}, FORK, "--discriminator-norm cannot change in a branch of"),
        ({"seed": 1}, FORK, "--seed cannot change in a branch: the order of the images"),
        ({"batch_size": 16}, FORK, "--batch-size cannot change in a branch"),
        ({"max_images": 16}, FORK, "--max-images cannot change in a branch"),
        ({"preset": "paper"}, FORK, "--preset cannot change in a branch"),
        ({"init_from": "1"}, FORK, "--init-from cannot change in a branch"),
        ({"kernels": "auto"}, FORK, "--kernels auto measures at the start"),
        ({"micro_batches": 3}, FORK, "--micro-batches 3"),
        ({"no_such": 1}, FORK, "dcgan has no option 'no_such'"),
        ({"lr": -1.0}, FORK, "--lr is -1.0; expected 0 to 1"),
        ({"lr": 0.5}, 5, "keeps no checkpoint of step 5; those kept: 4, 8, 12; .* --keep-checkpoints"),
        ({"lr": 0.5}, 0, "--at is 0"),
        ({"lr": 0.5}, None, "would end at step 12 and begins at 12; choose a later end with --steps"),
        ({"steps": 3}, FORK, "would end at step 3 and begins at 4"),
    ],
)
def test_what_cannot_hold_is_refused_in_one_line(
    parents: Callable[[str], Path], tmp_path: Path, quiet: Lines, changes: dict[str, Any], at: int | None, told: str
) -> None:
    with pytest.raises(UsageError, match=told) as refusal:
        forks.branch_run(parents("dcgan"), {**changes, "out": str(tmp_path)}, at=at, display=quiet)
    assert "\n" not in str(refusal.value) and not list(tmp_path.iterdir())


def test_what_is_as_it_was_is_no_change(parents: Callable[[str], Path], tmp_path: Path, quiet: Lines) -> None:
    same = {"seed": 0, "size": 16, "batch_size": 8, "lr": 1e-3, "out": str(tmp_path), "steps": 6}
    branch = forks.branch_run(parents("dcgan"), same, at=FORK, display=quiet)
    assert RunFolder.open(branch).config["parent"]["changed"] == {} and branch.name.endswith("-branch")


def test_minutes_and_evaluations_of_a_branch_are_its_own(
    parents: Callable[[str], Path], tmp_path: Path, quiet: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(forks, "resume_run", lambda run, **given: (asked.append(given), run)[1])
    forks.branch_run(parents("dcgan"), {"minutes": 5.0, "out": str(tmp_path)}, at=FORK, display=quiet)
    forks.branch_run(parents("dcgan"), {"cpu_minutes": 5.0, "out": str(tmp_path)}, at=FORK, display=quiet)
    limits = [{name: given[name] for name in forks.LIMITS if name in given} for given in asked]
    assert limits == [{"steps": 12, "minutes": 5.0, "cpu_minutes": None}, {}]
    config = RunFolder.open(tmp_path / "00002-dcgan-digits-branch").config
    assert config["settings"]["cpu_minutes"] == 5.0 and config["settings"]["minutes"] is None


@pytest.mark.parametrize("name", ["dcgan", "rbm", "diffusion"])
def test_a_run_saved_under_old_names_is_forked(tmp_path: Path, quiet: Lines, name: str) -> None:
    run = tmp_path / f"00001-{name}"
    with zipfile.ZipFile(Path(__file__).parent / "saved_runs" / f"{name}.zip") as archive:
        archive.extractall(run)
    step = RunFolder.open(run).checkpoint_at(step_of(RunFolder.open(run).checkpoints()[-1])).step
    branch = forks.branch_run(run, {"steps": step + 3}, display=quiet)
    runs.resume_run(run, steps=step + 3, display=quiet)
    weights = [files.read_tensors(each / "model" / "model.safetensors") for each in (run, branch)]
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())
    assert RunFolder.open(branch).metrics() == RunFolder.open(run).metrics()


def test_a_branch_goes_into_no_folder_of_data(tmp_path: Path, quiet: Lines) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(8):
        Image.new("L", (16, 16), 20 * i).save(pictures / f"{i}.png")
    asked = settings(tmp_path / "runs", steps=5)
    run = runs.start(asked, families.find("rbm"), SMALL["rbm"], data=DataSpec.parse(pictures), display=quiet)
    with pytest.raises(UsageError, match="that is read"):
        forks.branch_run(run, {"out": str(pictures), "steps": 6}, at=FORK, display=quiet)


@pytest.mark.parametrize("parent", [5, [], {"run": 5}, {"run": "x", "step": "4", "checkpoint": "", "changed": {}}])
def test_a_hostile_parent_in_config_is_refused(
    parents: Callable[[str], Path], tmp_path: Path, quiet: Lines, parent: Any
) -> None:
    branch = forks.branch_run(parents("rbm"), {"out": str(tmp_path), "steps": 5}, at=FORK, display=quiet)
    found = RunFolder.open(branch)
    found.write_config({**found.config, "parent": parent})
    with pytest.raises(UsageError, match="restore it from a copy"):
        runs.resume_run(branch, display=quiet)


@pytest.fixture
def here(parents: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a branch of the parent `dcgan` in it, as run 1, forked at step 4."""
    monkeypatch.chdir(tmp_path)
    code, out, error = typed("branch", str(parents("dcgan")), "--at", "4", "--lr", "0.01", "--out", "runs")
    assert code == 0, error
    assert out == "run runs/00001-dcgan-digits-lr-0.01\n"
    yield tmp_path


def test_the_command_line_forks_and_verifies(here: Path, parents: Callable[[str], Path]) -> None:
    code, out, _ = typed("branch", "1", "--help")
    assert code == 0 and "[default: 0.01]" in out and "--lr" in out and "--seed" not in out
    assert "--seed cannot change in a branch" in refused("branch", "1", "--seed", "3")
    assert "those kept: 4, 8, 12" in refused("branch", "1", "--at", "5")
    assert "there is no run '9'" in refused("branch", "9", "--at", "5", "--r1-gamma", "0")
    code, out, _ = typed("verify", "1")
    assert code == 0 and out.startswith("steps 9 to 12 of 00001-dcgan-digits-lr-0.01 gave the same bits again: ")
    assert api.verify("1").same
    code, out, _ = typed("verify", "1", "--json")
    assert json.loads(out)["same"] is True


def altered(run: Path, step: int, group: str) -> str:
    """Change one element of a saved tensor by the least possible; the tensor's name."""
    found = RunFolder.open(run)
    checkpoint = found.checkpoint_at(step)
    name = next(name for name, value in checkpoint.tensors[group].items() if value.is_floating_point())
    flat = checkpoint.tensors[group][name].view(-1)
    flat[0] = torch.nextafter(flat[0], torch.tensor(10.0))
    found.save_checkpoint(step, checkpoint.tensors, checkpoint.state, keep=9)
    return name


def test_other_bits_are_found_named_and_have_a_code_of_their_own(here: Path) -> None:
    (run,) = (here / "runs").glob("0*")
    name = altered(run, STEPS, "average")
    found = RunFolder.open(run)
    found.write_config({**found.config, "versions": {**found.config["versions"], "torch": "1.0"}})
    before = contents(run)
    (run / ".tmp-1-0123456789ab").write_text("what an interrupted write has left")
    code, out, error = typed("verify", "1")
    assert code == 1 and error.count("\n") == 1 + error.count("training again")
    assert f"  average: {name}: 1 of " in out and "did not give the same bits: 1 of " in out
    assert f"changed: torch 1.0 -> {torch.__version__}" in out
    assert (run / ".tmp-1-0123456789ab").exists() and contents(run).items() >= before.items(), "nothing is touched"


def test_a_run_with_one_checkpoint_is_repeated_from_its_start(tmp_path: Path, quiet: Lines) -> None:
    asked = settings(tmp_path, steps=6, checkpoint_every=100)
    run = runs.start(asked, families.find("rbm"), SMALL["rbm"], data=DIGITS, display=quiet)
    found = verifying.verify_run(run, display=quiet)
    assert (found.first, found.last, found.same) == (0, 6, True)
    name = altered(run, 6, "model")
    (difference,) = (each for each in verifying.verify_run(run, display=quiet).differences)
    assert difference.name == f"model: {name}" and difference.elements == 1 and 0 < difference.largest < 1e-3


@pytest.mark.parametrize("name", ["dcgan", "diffusion", "vae"])
def test_families_repeat_their_last_interval(parents: Callable[[str], Path], quiet: Lines, name: str) -> None:
    found = verifying.verify_run(parents(name), display=quiet)
    assert found.same and (found.first, found.last) == (8, 12) and found.tensors > 20


def test_what_cannot_be_verified_says_so(parents: Callable[[str], Path], tmp_path: Path, quiet: Lines) -> None:
    branch = forks.branch_run(parents("rbm"), {"out": str(tmp_path), "steps": 5}, at=FORK, display=quiet)
    files.discard(branch / "checkpoints" / "step-00000005")
    with pytest.raises(UsageError, match="only the checkpoint that it was forked at"):
        verifying.verify_run(branch, display=quiet)
    files.discard(branch / "checkpoints" / "step-00000004")
    with pytest.raises(UsageError, match="no checkpoint yet"):
        verifying.verify_run(branch, display=quiet)


def test_as_many_checkpoints_are_kept_as_asked(parents: Callable[[str], Path], tmp_path: Path, quiet: Lines) -> None:
    kept = [path.name for path in RunFolder.open(parents("dcgan")).checkpoints()]
    assert kept == ["step-00000004", "step-00000008", "step-00000012"]
    asked = settings(tmp_path, keep_checkpoints=2)
    two = runs.start(asked, families.find("rbm"), SMALL["rbm"], data=DIGITS, display=quiet)
    assert len(RunFolder.open(two).checkpoints()) == 2
    with pytest.raises(ZeuxisError, match="--keep-checkpoints is 1; expected 2 to"):
        settings(tmp_path, keep_checkpoints=1)
