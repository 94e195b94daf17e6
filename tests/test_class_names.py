"""The names of the classes that a model learns are saved with it: `--label` takes a name, and no order can shift it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from commandline import refused, typed
from test_data import png, write
from zeuxis import loading
from zeuxis.errors import UsageError
from zeuxis.families.diffusion import Diffusion
from zeuxis.families.vae import VAE
from zeuxis.io import files
from zeuxis.options import numbered, options_of
from zeuxis.storage import RunFolder

NAMES = ["cat", "class 2", "class 10", "Ärger\u202e", "=1+1"]


def fields() -> dict[str, Any]:
    return {field.name: field for field in options_of(Diffusion, at_sampling=True)}


def number_of(text: str, names: list[str]) -> int:
    (found,) = numbered(fields(), {"label": text}, names).values()
    assert isinstance(found, int)
    return found


def train(data: Path, *more: str, family: str = "diffusion") -> None:
    wanted = ("--size", "8", "--steps", "1", "--base-channels", "4", "--batch-size", "4", "--kernels", "standard")
    code, _, error = typed("train", family, str(data), *wanted, *more)
    assert code == 0, error


def of_classes(folder: Path, names: list[str]) -> Path:
    draw = np.random.default_rng(0)
    return write(folder, {f"{name}/{i}.png": png(tuple(draw.integers(0, 256, 3))) for name in names for i in range(3)})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of a model that learns five classes."""
    here = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        train(of_classes(here / "data", NAMES), "--num-classes", "5")
    weights = here / "runs" / "00001-diffusion-data" / "model" / "model.safetensors"
    draw = torch.Generator().manual_seed(0)  # a step alone does not teach what a class is
    noisy = {name: value + 0.1 * torch.randn(value.shape, generator=draw) for name, value in load_file(weights).items()}
    save_file(noisy, weights)
    return here


@pytest.fixture
def run(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that run, in a folder that is the current one."""
    shutil.copytree(made / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    (found,) = (tmp_path / "runs").glob("0*")
    return found


def sampled(run: Path, *more: str) -> dict[str, bytes]:
    out = run.parent.parent / "out"
    shutil.rmtree(out, ignore_errors=True)
    code, _, error = typed("sample", str(run), "--num-inference-steps", "2", "--seeds", "0-3", "--out", str(out), *more)
    assert code == 0, error
    return {path.name: path.read_bytes() for path in out.glob("*.png")}


def test_a_run_and_its_model_have_the_names_in_their_order(run: Path) -> None:
    config = RunFolder.open(run).config
    natural = sorted(NAMES, key=["=1+1", "cat", "class 2", "class 10", NAMES[3]].index)
    assert config["classes"] == natural
    assert json.loads((run / "model" / "config.json").read_text())["classes"] == natural
    assert loading.load_model(run).class_names == tuple(natural)
    card = (run / "model" / "README.md").read_text(encoding="utf-8")
    assert "Classes: 0 =1+1, 1 cat, 2 class 2, 3 class 10, 4 Ärger\\\\u202e." in card


def test_a_name_is_its_number(run: Path) -> None:
    model = loading.load_model(run)
    assert isinstance(model, Diffusion)
    for number, name in enumerate(model.class_names):
        model.adjust({"label": name})
        assert model.label == number
        model.adjust({"label": number})
        assert model.label == number
        assert loading.load_model(run, options={"label": name}).options["label"] == number


def test_the_command_line_takes_names_and_numbers(run: Path) -> None:
    by_name, by_number = (sampled(run, "--label", text, "--guidance-scale", "3") for text in ("class 10", "3"))
    assert by_name == by_number != sampled(run, "--label", "cat", "--guidance-scale", "3")
    assert sampled(run, "--label", "-1") == sampled(run) == sampled(run, "--label=number:-1")
    assert "no class of the model; did you mean class 10?" in refused("sample", str(run), "--label", "class10")
    assert "--label is 70000; expected -1 to 65535" in refused("sample", str(run), "--label", "70000")
    assert "label 7 is not below --num-classes 5" in refused("sample", str(run), "--label", "7")


def test_what_could_be_a_number_and_a_name_is_refused() -> None:
    names = ["1", "2", "0", "3"]
    assert number_of("3", names) == 3, "both say the same"
    with pytest.raises(UsageError, match=r"--label 1 could be .* the name of class 0; give number:1 or name:1"):
        number_of("1", names)
    assert [number_of(text, names) for text in ("number:1", "name:1", "name:0", "number:7", "-1")] == [1, 0, 2, 7, -1]
    with pytest.raises(UsageError, match="--label is name:9: no class of the model"):
        number_of("name:9", names)
    assert number_of("name:x", ["a", "name:x"]) == number_of("name:name:x", ["a", "name:x"]) == 1
    assert number_of("Z\u0301", ["a", "\u0179"]) == 1, "composed and decomposed form are one name"


def test_numbers_in_python_are_numbers() -> None:
    assert numbered(fields(), {"label": 1, "guidance_scale": 2.0}, ["1", "0"]) == {"label": 1, "guidance_scale": 2.0}
    model = Diffusion(size=8, base_channels=4, num_classes=2)
    with pytest.raises(UsageError, match="--label is cat: no number, and this model has no names of classes"):
        model.adjust({"label": "cat"})
    model.adjust({"label": "1"})
    assert model.label == 1
    with pytest.raises(UsageError, match="--sampler is 'cat'"):
        model.adjust({"sampler": "cat"})


def test_a_model_without_names_keeps_its_numbers(run: Path) -> None:
    before = sampled(run, "--label", "3", "--guidance-scale", "3")
    config = json.loads((run / "model" / "config.json").read_text())
    del config["classes"]
    (run / "model" / "config.json").write_text(json.dumps(config))
    assert sampled(run, "--label", "3", "--guidance-scale", "3") == before
    assert "this model has no names of classes" in refused("sample", str(run), "--label", "cat")


def test_a_resumed_run_of_before_gets_the_names_of_its_data(made: Path, run: Path) -> None:
    found = RunFolder.open(run)
    config = found.config
    assert config.pop("classes")
    found.write_config(config)
    shutil.rmtree(run / "model")
    code, _, error = typed("resume", str(run), "--steps", "2")
    assert code == 0, error
    assert len(loading.load_model(run).class_names) == 5


def test_another_order_of_the_classes_is_named_where_resuming_is_refused(made: Path, run: Path) -> None:
    data = run.parent.parent / "data"
    shutil.copytree(made / "data", data)
    (data / "cat").rename(data / "\u00c4rger and more")
    found = RunFolder.open(run)
    found.write_config({**found.config, "data": str(data)})
    code, _, error = typed("resume", str(run), "--steps", "2")
    assert code == 4 and "of its classes has (number 1 was 'cat', and is 'class 2')" in error


def test_attributes_have_names_too_and_what_learns_no_labels_has_none(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    train(Path("zeuxis:avatars:12"), "--num-classes", "10")
    model = loading.load_model(1)
    assert "glasses" in model.class_names and len(model.class_names) == 10
    model.adjust({"label": "glasses"})
    train(of_classes(tmp_path / "data", ["a", "b"]), family="vae")
    assert isinstance(loading.load_model(2), VAE) and loading.load_model(2).class_names == ()
    assert "classes" not in json.loads(Path("runs/00002-vae-data/model/config.json").read_text())
    assert RunFolder.open("runs/00002-vae-data").config["classes"] == []


@pytest.mark.skipif(os.name == "nt", reason="names there are text")
def test_names_that_are_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    odd = [os.fsdecode(b"b\xff"), "a\nb", "c: [d", "1"]
    train(of_classes(tmp_path / "data", odd), "--num-classes", "4")
    assert len(RunFolder.open("runs/00001-diffusion-data").config["classes"]) == 4
    assert typed("resume", "1", "--steps", "2")[0] == 0
    model = loading.load_model(1)
    for number, name in enumerate(model.class_names):
        model.adjust({"label": f"name:{name}"})
        assert isinstance(model, Diffusion) and model.label == number


HOSTILE = [{"a": 1}, "cat", [1, 2], ["a", None], ["x" * 2000], [["a"]], 5, True]


@pytest.mark.parametrize("classes", HOSTILE, ids=str)
def test_names_of_another_form_are_refused(classes: Any, run: Path) -> None:
    path = run / "model" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "classes": classes}))
    with pytest.raises(UsageError, match=r'config.json has "classes"'):
        loading.load_model(run)
    error = refused("sample", str(run))
    assert 'has "classes"' in error and len(error) < 1000
    if classes != ["x" * 2000]:
        content = files.read_yaml(run / "config.yaml")
        RunFolder(run).write_config({**content, "classes": classes})
        assert "config.yaml has classes: " in refused("resume", str(run))


def test_very_many_names_leave_config_yaml_readable() -> None:
    from zeuxis.training.config import recorded

    assert recorded(tuple(map(str, range(1000)))) == [*map(str, range(1000))] and recorded(("a",) * 1001) == []
