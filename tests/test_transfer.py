"""A new run from another model's weights has all of them that fit, says what starts fresh, and needs that model no more."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from commandline import refused, typed
from zeuxis import api, families, loading, registry
from zeuxis.data import DataSpec
from zeuxis.errors import UsageError
from zeuxis.io import files
from zeuxis.model import Latent, Model, Translator, options_of
from zeuxis.runtime.progress import Lines
from zeuxis.storage import RunFolder
from zeuxis.testing.case import Case, NoiseImages
from zeuxis.testing.learning import schedule_breakpoints_are_complete
from zeuxis.training import forks, runs, sweeps, verifying
from zeuxis.training.build import build
from zeuxis.training.config import Recipe
from zeuxis.training.dry_run import plan_run
from zeuxis.training.engine import train
from zeuxis.training.settings import TrainSettings
from zeuxis.training.state import State
from zeuxis.training.transfer import FirstWeights, StartingModel, find_start

FAMILIES = registry.built_in()
DIGITS = DataSpec.parse("zeuxis:digits")
DCGAN = {"size": 16, "base_channels": 4, "latent_dim": 6}
TINY = {"size": 16, "base_channels": 4, "hidden_dim": 8, "latent_dim": 6, "blocks": 1, "pool_size": 4, "augment": "ada"}
TINY |= {"num_inference_steps": 2, "pretrain_steps": 0, "vgg_weight": 0.0, "images_per_stage": 4, "chains": 5}
CPU = torch.device("cpu")


def small(family: type[Model]) -> dict[str, Any]:
    known = {field.name for field in options_of(family)}
    values = {**TINY, "augment": "affine"} if family.family() == "diffusion" else TINY
    return {name: value for name, value in values.items() if name in known}


def begun(root: Path, name: str, **options: Any) -> tuple[Path, State]:
    """The folder of a run of a family after four steps on noise, and its state then; its players are no beginners."""
    family = families.find(name)
    model = build(family, {**small(family), **options}, seed=1, device=CPU)
    state = State.start(model)
    for _ in train(model, NoiseImages(model), steps=4, batch_size=4, seed=2, ema_half_life=4, resume=state):
        pass
    recipe = Recipe(family.family(), DIGITS, model.options, TrainSettings(batch_size=4))

    def begin(draft: RunFolder) -> None:
        draft.save_checkpoint(4, state.tensors(), state.scalars())
        state.average.save(draft.model_path)

    return RunFolder.create(root, name, recipe.values(), begin=begin).path, state


def begin_again(start: StartingModel, family: type[Model], *, seed: int = 9, **options: Any) -> tuple[State, list[str]]:
    """The state of a new run before its first step, and what is said of its weights."""
    first = FirstWeights(start)
    model = build(family, {**small(family), **start.options, **options}, seed=seed, device=CPU, fill=first)
    return State.start(model), first.lines()


def pictures(model: Model) -> Tensor:
    torch.manual_seed(0)
    if isinstance(model, Translator):
        return model.translate(torch.rand(2, model.in_channels(), 16, 16) * 2 - 1)
    assert isinstance(model, Latent)
    return model.sample(3)


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_a_run_begins_with_all_that_a_model_has_learned(name: str, tmp_path: Path) -> None:
    """Samples and EMA are the model's; all players are those of its run; what follows the old data is fresh."""
    with torch.enable_grad():
        run, source = begun(tmp_path, name)
    family = families.find(name)
    state, lines = begin_again(find_start(str(run), family), family)
    assert torch.equal(pictures(state.average), pictures(source.average))
    fresh = build(family, state.model.options, seed=9, device=CPU).state_dict()
    networks = {tensor.split(".")[0] for tensor, _ in state.model.named_parameters()}
    kept, played = source.average.state_dict(), source.model.state_dict()
    beside = {"augmented", "adaptive_r1", "lengths", "pools"}
    for tensor, value in state.model.state_dict().items():
        module = tensor.split(".")[0]
        assert module in networks | beside | {"growth"} or name in ("rbm", "vae"), module
        wanted = fresh if module in beside else played if module in family.training_only else kept
        assert torch.equal(value, wanted[tensor]), tensor
    assert not any(optimizer.state for optimizer in state.optimizers.values())
    total = sum(tensor.split(".")[0] not in beside for tensor in fresh)
    assert lines == [f"starts from the weights of {run.name} (16 pixels): {total:,} of {total:,} tensors"]


def test_ada_is_measured_anew(tmp_path: Path) -> None:
    run, source = begun(tmp_path, "stylegan2")
    source.model.get_submodule("augmented").probability.fill_(0.5)  # type: ignore[operator, union-attr]
    RunFolder(run).save_checkpoint(5, source.tensors(), source.scalars())
    state, _ = begin_again(find_start(str(run), families.find("stylegan2")), families.find("stylegan2"))
    assert state.model.state_dict()["augmented.probability"] == 0


def test_growth_goes_on_at_the_stage_that_was_reached(tmp_path: Path) -> None:
    """A run from a grown ProGAN does not begin with 4 pixels, and its schedule says so."""
    run, _ = begun(tmp_path, "progan")
    family = families.find("progan")
    start = find_start(str(run), family)
    state, _ = begin_again(start, family)
    assert start.options["growth_start"] == 12 and start.options["images_per_stage"] == 4
    work = train(state.model, NoiseImages(state.model), steps=3, batch_size=4, seed=0, resume=state)
    assert [float(step.report["growth/stage"]) for step in work] == [1, 2, 2]
    assert int(state.model.get_submodule("growth").seen) == 12 + 8  # type: ignore[operator, arg-type, union-attr]
    second = begin_again(find_start(str(run), family), family, growth_start=0)[0].model
    assert [clock.step for clock in second.schedule_breakpoints(4)] == [0, 2, 4]
    for images in (0, 1, 5, 8, 13, 500):
        schedule_breakpoints_are_complete(Case(family, {**small(family), "growth_start": images}))


def test_a_model_without_its_run_has_no_discriminator_and_a_line_says_so(tmp_path: Path) -> None:
    run, source = begun(tmp_path, "dcgan")
    shutil.copytree(run / "model", tmp_path / "alone")
    family = families.find("dcgan")
    for given in (tmp_path / "alone", tmp_path / "alone" / "model.safetensors"):
        state, (_, second) = begin_again(find_start(str(given), family), family)
        assert torch.equal(pictures(state.average), pictures(source.average))
        assert second == "fresh weights: discriminator; alone is a model without the checkpoint of its run"
        fresh = build(family, state.model.options, seed=9, device=CPU).state_dict()
        found = state.model.state_dict()
        assert all(torch.equal(found[key], fresh[key]) for key in found if key.startswith("discriminator."))


def test_a_damaged_checkpoint_is_named_and_done_without(tmp_path: Path) -> None:
    run, _ = begun(tmp_path, "dcgan")
    (run / "checkpoints" / "step-00000004" / "model.safetensors").write_bytes(b"torn")
    _, lines = begin_again(find_start(str(run), families.find("dcgan")), families.find("dcgan"))
    assert f"fresh weights: discriminator; the checkpoint of {run.name} cannot be used" in lines[1]
    assert "\n" not in lines[1]


@pytest.mark.parametrize(
    ("name", "options", "fresh"),
    [
        ("dcgan", {"channels": 1}, {"generator.body.8.weight", "generator.body.8.bias", "discriminator.body.0.weight"}),
        ("diffusion", {"num_classes": 4}, {"network.condition.weight"}),
        ("rbm", {"chains": 7}, {"fantasies"}),
    ],
)
def test_what_the_data_shapes_otherwise_starts_fresh_and_is_counted(
    name: str, options: dict[str, Any], fresh: set[str], tmp_path: Path
) -> None:
    run, source = begun(tmp_path, name)
    family = families.find(name)
    state, (first, second) = begin_again(find_start(str(run), family), family, **options)
    found = state.model.state_dict()
    old = {**source.model.state_dict(), **source.average.state_dict()}
    plain = build(family, state.model.options, seed=9, device=CPU).state_dict()
    for tensor, value in found.items():
        if not tensor.startswith(("augmented", "adaptive_r1")):
            assert torch.equal(value, plain[tensor] if tensor in fresh else old[tensor]), tensor
    counted = len([tensor for tensor in found if not tensor.startswith(("augmented", "adaptive_r1"))])
    assert first.endswith(f"{counted - len(fresh):,} of {counted:,} tensors")
    some = ", ".join(tensor for tensor in found if tensor in fresh)
    assert second == f"{len(fresh)} of other shapes, which start fresh: {some}"


def test_options_are_the_models_unless_they_are_given(tmp_path: Path) -> None:
    run, _ = begun(tmp_path, "vae", sigma=1.5)
    asked = TrainSettings(init_from=str(run), batch_size=4, device="cpu", threads=1, precision="fp32")
    plan = plan_run(asked, families.find("vae"), {"lr": 0.5}, shape={"size": 8, "channels": 1})
    assert {name: plan.options[name] for name in ("size", "channels", "latent_dim", "sigma", "lr")} == {
        "size": 16,
        "channels": 1,  # of the data
        "latent_dim": 6,
        "sigma": 1.5,
        "lr": 0.5,
    }
    assert plan.origins["size"] == f"model {run.name}" and plan.origins["lr"] == "given"
    assert plan.origins["channels"] == "data set" and "of other shapes, which start fresh" in plan.notes[1]
    assert plan.notes[0].startswith(f"starts from the weights of {run.name} (16 pixels): ")
    family = families.find("vae")
    for options, sigma in (({}, 1.5), ({"sigma": 0.5}, 0.5)):
        state, _ = begin_again(find_start(str(run), family), family, **options)
        assert float(state.model.state_dict()["log_sigma"].exp()) == pytest.approx(sigma)


# Runs


def settings(out: Path, **changed: Any) -> TrainSettings:
    plain: dict[str, Any] = {"steps": 6, "batch_size": 8, "checkpoint_every": 2, "sample_every": 100, "log_every": 3}
    plain |= {"threads": 1, "device": "cpu", "kernels": "standard"}
    return TrainSettings(out=str(out), **{**plain, **changed})


@pytest.fixture
def quiet() -> Lines:
    return Lines(open(os.devnull, "w"), every=1e9)  # noqa: PTH123


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run of dcgan on digits."""
    return runs.start(settings(tmp_path_factory.mktemp("source")), families.find("dcgan"), DCGAN, data=DIGITS)


def transferred(out: Path, source: Path, display: Lines, *, began: runs.Began | None = None, **changed: Any) -> Path:
    own = {"freeze_layers": changed.pop("freeze_layers", 0)}
    asked = settings(out, **{"init_from": str(source), "seed": 3, **changed})
    return runs.start(asked, families.find("dcgan"), own, data=DIGITS, display=display, began=began)


def weights(run: Path) -> dict[str, str]:
    newest = RunFolder(run).checkpoints()[-1]
    found = [*newest.glob("*"), run / "model" / "model.safetensors", run / "metrics.jsonl"]
    return {str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def test_a_run_has_the_models_samples_before_its_first_step(source: Path, tmp_path: Path, quiet: Lines) -> None:
    seen: list[Tensor] = []
    run = transferred(tmp_path, source, quiet, began=lambda path, _: seen.append(api.load(path).sample(4)))
    assert torch.equal(seen[0], api.load(source).sample(4))
    assert not torch.equal(seen[0], api.load(run).sample(4))
    config = RunFolder(run).config
    digest = hashlib.sha256((source / "model" / "model.safetensors").read_bytes()).hexdigest()
    manifest = (source / "checkpoints" / "step-00000006" / "manifest.json").read_bytes()
    wanted = {"model": source.name, "sha256": digest, "checkpoint": hashlib.sha256(manifest).hexdigest()}
    assert config["started_from"] == wanted
    assert config["options"]["base_channels"] == 4 and config["settings"]["init_from"] == str(source / "model")
    assert f"starts from the weights of {source.name} (16 pixels): " in (run / "log.txt").read_text()
    card = (run / "model" / "README.md").read_text()
    assert f"It started from the weights of `{source.name}` (SHA-256 `{digest}`)." in card
    assert f"--init-from {source.name}" in card
    (row,) = api.runs(tmp_path)
    assert row.started_from == source.name and "from" in repr(api.runs(tmp_path)).splitlines()[0]
    assert "started_from" not in RunFolder(source).config and api.runs(source)[0].started_from == ""


def test_a_run_that_was_stopped_anywhere_ends_with_the_same_bits(source: Path, tmp_path: Path, quiet: Lines) -> None:
    """Also before its first checkpoint was due, and after the model that it started from has gone or changed."""
    copy = tmp_path / source.name
    shutil.copytree(source, copy)
    frozen = {"freeze_layers": 1}
    whole = transferred(tmp_path / "a", copy, quiet, **frozen)
    part = transferred(tmp_path / "b", copy, quiet, steps=4, **frozen)

    def killed(path: Path, _: Any) -> None:
        raise RuntimeError("as if it were killed")

    with pytest.raises(RuntimeError, match="as if"):
        transferred(tmp_path / "c", copy, quiet, began=killed, **frozen)
    (early,) = (tmp_path / "c").glob("0*")
    shutil.rmtree(copy)
    for run in (part, early):
        runs.resume_run(run, steps=6, display=quiet)
        assert weights(run) == weights(whole)


def test_what_a_run_began_with_is_verified(source: Path, tmp_path: Path, quiet: Lines) -> None:
    run = transferred(tmp_path, source, quiet, steps=2)
    found = verifying.verify_run(run, display=quiet)
    assert (found.first, found.last, found.same) == (0, 2, True)
    shutil.rmtree(run / "checkpoints" / "step-00000002")
    with pytest.raises(UsageError, match="only the checkpoint that it began with"):
        verifying.verify_run(run, display=quiet)


def test_a_checkpoint_from_another_model_is_noticed(source: Path, tmp_path: Path, quiet: Lines) -> None:
    run = transferred(tmp_path, source, quiet)
    config = RunFolder(run).config
    RunFolder(run).write_config({**config, "started_from": {**config["started_from"], "sha256": "0"}})
    with pytest.raises(UsageError, match=r"belongs to another run: its sha256 is .*, that of config.yaml '0'"):
        runs.resume_run(run, steps=8, display=quiet)


@pytest.mark.parametrize("wrong", [5, [], {"model": 5}, {"model": "x", "sha256": "y"}])
def test_a_hostile_origin_in_config_is_refused(source: Path, tmp_path: Path, quiet: Lines, wrong: Any) -> None:
    run = transferred(tmp_path, source, quiet, steps=1)
    RunFolder(run).write_config({**RunFolder(run).config, "started_from": wrong})
    with pytest.raises(UsageError, match="restore it from a copy"):
        runs.resume_run(run, steps=8, display=quiet)


def test_a_branch_of_such_a_run_keeps_its_origin(source: Path, tmp_path: Path, quiet: Lines) -> None:
    run = transferred(tmp_path, source, quiet, freeze_layers=1)
    branch = forks.branch_run(run, {"r1_gamma": 0.0, "steps": 8}, at=4, display=quiet)
    assert RunFolder(branch).config["started_from"] == RunFolder(run).config["started_from"]
    with pytest.raises(UsageError, match="--freeze-layers cannot change in a branch of"):
        forks.branch_run(run, {"freeze_layers": 0, "steps": 8}, at=4, display=quiet)


def test_every_run_of_a_sweep_starts_from_the_same_weights(source: Path, tmp_path: Path) -> None:
    copy = tmp_path / source.name
    shutil.copytree(source, copy)
    plain = {"steps": 1, "batch_size": 8, "device": "cpu", "threads": 1, "kernels": "standard", "init_from": copy}

    def sweep(**options: Any) -> Any:
        return api.sweep("dcgan", DIGITS, out=tmp_path / "runs", lr=[1e-3, 1e-2], **plain, **options)

    report = sweep(freeze_layers=[0, 1])
    config = [RunFolder(report.folder / row.run).config for row in report.rows]
    assert len({each["started_from"]["sha256"] for each in config}) == 1 and len(config) == 4
    assert {each["options"]["base_channels"] for each in config} == {4}
    assert (
        json.loads((report.folder / "sweep.json").read_text())["about"]["fixed"]["init_from"]
        == (config[0]["started_from"]["sha256"])
    )
    grid = sweeps.Grid(families.find("dcgan"), DIGITS, {"lr": [1e-3, 1e-2]}, settings(tmp_path / "other"), {})
    found = find_start(str(copy), families.find("dcgan"))
    with pytest.raises(UsageError, match="has other weights than when the sweep began"):
        sweeps.run_sweep(replace(grid, start=replace(found, sha256="0")), note=lambda _: None)


# Errors


def cut(run: Path) -> None:
    """Leave a run its model alone."""
    shutil.rmtree(run / "checkpoints")


def spoiled(run: Path) -> None:
    """Give the model a weight that is not finite."""
    model = loading.load_model(run)
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    model.save(run / "model")


@pytest.mark.parametrize(
    ("family", "options", "change", "told"),
    [
        (
            "vae",
            {},
            None,
            r"is a model of dcgan, whose weights are no vae's: train dcgan, or give --init-from a model of",
        ),
        ("dcgan", {"base_channels": 8}, None, r"no weight of .* fits: generator.stem.weight is 128x6 there"),
        ("dcgan", {"freeze_layers": 1}, cut, r"--freeze-layers is 1 and would keep random weights; give --init-from a"),
        (
            "dcgan",
            {"freeze_layers": 9},
            None,
            r"--freeze-layers is 9, and the discriminator has 2 blocks; freeze fewer",
        ),
        ("dcgan", {"freeze_layers": 1, "channels": 3}, None, r"--freeze-layers is 1 and would keep random weights"),
        ("dcgan", {}, spoiled, r"weight 'generator.stem.weight' of .* is not finite; give another model"),
        ("dcgan", {"preset": "paper"}, None, r"no weight of .* fits"),
    ],
)
def test_what_cannot_start_is_refused_in_one_line(
    family: str, options: dict[str, Any], change: Callable[[Path], None] | None, told: str, source: Path, tmp_path: Path
) -> None:
    copy = tmp_path / source.name
    shutil.copytree(source, copy)
    if change:
        change(copy)
    for attempt in (api.train, api.dry_run):
        with pytest.raises(UsageError, match=told) as refusal:
            attempt(family, DIGITS, init_from=copy, out=tmp_path / "runs", steps=1, device="cpu", threads=1, **options)
        assert "\n" not in str(refusal.value)
    assert not (tmp_path / "runs").exists()


def test_frozen_layers_of_no_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--freeze-layers is 1 and would keep random weights"):
        api.train("dcgan", DIGITS, freeze_layers=1, out=tmp_path / "runs", steps=1, device="cpu", threads=1)


def test_a_model_is_named_as_everywhere(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the number, the name, the folder, the file of weights; the config file of a run repeats it."""
    (tmp_path / "runs").mkdir()
    shutil.copytree(source, tmp_path / "runs" / source.name)
    monkeypatch.chdir(tmp_path)
    plain = ["--steps", "1", "--batch-size", "8", "--device", "cpu", "--threads", "1", "--kernels", "standard"]
    file = f"runs/{source.name}/model/model.safetensors"
    for given in ("1", source.name, f"runs/{source.name}", file):
        code, out, error = typed("train", "dcgan", "digits", "--init-from", given, *plain)
        assert code == 0 and f"starts from the weights of {source.name} (16 pixels): " in error, error
    run = Path(out.split()[-1])
    code, out, error = typed("train", "--config", str(run / "config.yaml"))
    assert code == 0, error
    assert weights(Path(out.split()[-1])) == weights(run)
    assert RunFolder(run).config["started_from"]["model"] == source.name
    assert api.train("dcgan", DIGITS, init_from=1, steps=1, batch_size=8, device="cpu", threads=1).path.exists()
    code, out, _ = typed("train", "dcgan", "digits", "--init-from", "1", "--dry-run", *plain)
    assert code == 0 and out.startswith(f"starts from the weights of {source.name} (16 pixels): ")
    assert f"  size: 16  (model {source.name})" in out
    assert "no run 'nowhere'" in refused("train", "dcgan", "digits", "--init-from", "nowhere")
    files.make_folder("lone")
    shutil.copy(file, "lone/model.safetensors")
    assert "neither a run's folder" in refused("train", "dcgan", "digits", "--init-from", "lone/model.safetensors")
