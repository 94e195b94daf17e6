"""The package of models to begin with: small, in float16, each with a card, found by name, and worth a first look."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

import zeuxis
from commandline import in_a_process, refused, typed
from zeuxis import loading, registry
from zeuxis.io import files
from zeuxis.loading import installed
from zeuxis.metrics.features import digest
from zeuxis.model import Translator
from zeuxis.training.published_card import head_of, without_head
from zeuxis.web.served import open_served

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "models"
FOLDERS = PACKAGE / "zeuxis_models"
PROJECT = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
NAMES = [*PROJECT["entry-points"]["zeuxis.models"]]
MOST_EACH, MOST_ALL = 2_000_000, 8_000_000  # bytes of weights, and of the whole package


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package of this repository, installed as an editable one is, in an empty folder."""
    info = tmp_path / "site" / "zeuxis_models-1.0.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PROJECT['name']}\nVersion: {PROJECT['version']}\n")
    entries = PROJECT["entry-points"]["zeuxis.models"].items()
    (info / "entry_points.txt").write_text(
        "\n".join(["[zeuxis.models]", *(f"{name} = {each}" for name, each in entries)])
    )
    monkeypatch.setattr(registry, "search_path", lambda: (str(info.parent), str(PACKAGE)))
    installed._models_in.cache_clear()
    monkeypatch.chdir(tmp_path)
    yield
    installed._models_in.cache_clear()


# The models of this repository


def test_each_model_of_the_package_has_its_entry_and_its_recipe() -> None:
    assert sorted(path.name for path in FOLDERS.iterdir() if (path / "config.json").exists()) == sorted(NAMES)
    script = (PACKAGE / "build.sh").read_text()
    assert sorted(re.findall(r"^    ([a-z-]+)\) build \1 ", script, re.MULTILINE)) == sorted(NAMES)
    subprocess.run(["bash", "-n", str(PACKAGE / "build.sh")], check=True)


def test_the_package_is_small() -> None:
    sizes = {name: (FOLDERS / name / "model.safetensors").stat().st_size for name in NAMES}
    assert all(size <= MOST_EACH for size in sizes.values()), sizes
    assert sum(path.stat().st_size for path in FOLDERS.rglob("*") if path.is_file()) <= MOST_ALL


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_float16_and_become_float32(name: str, package: None) -> None:
    stored = files.read_tensors(FOLDERS / name / "model.safetensors")
    assert {value.dtype for value in stored.values() if value.is_floating_point() and value.ndim > 1} == {torch.float16}
    model = zeuxis.load(name, device="cpu")
    found = [value for value in model.state_dict().values() if value.is_floating_point()]
    assert {value.dtype for value in found} == {torch.float32} and all(value.isfinite().all() for value in found)


@pytest.mark.parametrize("name", NAMES)
def test_a_card_says_what_a_stranger_asks(name: str, package: None) -> None:
    card = (FOLDERS / name / "README.md").read_text()
    head, text = head_of(card), without_head(card)
    assert head == yaml.safe_load(card.split("---\n")[1])
    assert head["license"] == ("cc-by-sa-4.0" if name == "line-to-colour" else "apache-2.0")
    assert head["datasets"] and head["library_name"] == "zeuxis" and head["model-index"]
    (line,) = re.findall(r"^```\n(zeuxis train .*)\n```$", text, re.MULTILINE)
    (recipe,) = re.findall(
        rf"^    {name}\) build {name} \S+ (.*) ;;$", (PACKAGE / "build.sh").read_text(), re.MULTILINE
    )
    typed_words, told = shlex.split(recipe), shlex.split(line)
    assert told[2:4] == typed_words[:2] and set(typed_words) <= set(told), "the card and the recipe are of one training"
    assert "seed 0" in text and f'zeuxis.load("{name}")' in text and "## Scores" in text
    assert "- `" in text, "what the data are"
    assert str(loading.data_of(name)) == typed_words[1]


@pytest.mark.parametrize("name", NAMES)
def test_the_scores_are_of_the_weights_beside_them(name: str, package: None) -> None:
    found = json.loads((FOLDERS / name / "evaluation.json").read_text())
    model = zeuxis.load(name, device="cpu")
    assert found["about"]["weights"] == digest(model.state_dict())
    assert all(math.isfinite(score["value"]) for score in found["scores"])


@pytest.mark.parametrize("name", [name for name in NAMES if name != "rbm-digits"])
def test_the_picture_is_what_the_weights_draw(name: str, package: None) -> None:
    """Up to the last bit of another processor; an RBM's draws of bits have no such bound."""
    model = zeuxis.load(name, device="cpu")
    sheet = (zeuxis.translate(model) if isinstance(model, Translator) else zeuxis.sample(model, 64)).pil()
    with Image.open(FOLDERS / name / "samples.png") as shipped:
        assert shipped.size == sheet.size and shipped.mode == sheet.mode
        there, here = (
            torch.frombuffer(bytearray(each.tobytes()), dtype=torch.uint8).int() for each in (shipped, sheet)
        )
    assert (there - here).abs().max() <= 1


def test_the_names_are_listed_with_data_size_and_scores(package: None) -> None:
    code, out, err = typed("models")
    assert (code, err) == (0, "")
    lines = {line.split()[0]: line for line in out.splitlines()[1:]}
    assert sorted(NAMES) == [name for name in lines if name in NAMES]
    for name, words in {
        "faces": ("dcgan", "avatars:10000", "64 x 64, colour", "FID"),
        "digits": ("mnist", "28 x 28, grey"),
    }.items():
        assert all(word in lines[name] for word in words), lines[name]
    assert all("zeuxis-models 1.0.0" in lines[name] for name in NAMES)
    found = {each["name"]: each for each in json.loads(typed("models", "--json")[1])}
    assert sorted(found) == sorted(NAMES) and found["faces"]["scores"].keys() >= {"FID[lite0]", "recall[lite0]"}
    assert [each.name for each in zeuxis.available_models()] == sorted(NAMES)


DOCS = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
LINES = [line.strip() for line in DOCS.splitlines() if line.startswith("zeuxis ")]
HERE = [line for line in LINES if not re.search(r"hf://|publish|explore|arithmetic|directions", line)]


def test_the_page_of_the_docs_shows_commands() -> None:
    assert len(HERE) >= 6 and {word for line in HERE for word in line.split() if word in NAMES} == {*NAMES}


@pytest.mark.parametrize("line", HERE)
def test_a_command_of_the_docs_runs(line: str, package: None, tmp_path: Path) -> None:
    words = shlex.split(line, comments=True)[1:]
    code, out, err = typed(*words)
    assert code == 0, err
    for path in re.findall(r"^wrote (.+)$", out, re.MULTILINE):
        assert (tmp_path / path).is_file() and not (tmp_path / path).is_symlink()
    assert not list(FOLDERS.rglob("figures")), "nothing is written into the package"


def test_the_page_opens_on_each(package: None) -> None:
    for name in NAMES:
        served = open_served(name, device="cpu")
        assert served.name == name and served.info["card"].startswith(f"# {served.model.family()} on ")
        assert served.data is not None


def test_translate_shows_what_came_with_the_model(package: None, tmp_path: Path) -> None:
    made = zeuxis.translate(zeuxis.load("line-to-colour", device="cpu"))
    assert made.shape == (16, 3, 64, 64) and made.pil().size == (8 * 66 + 2, 4 * 66 + 2)
    assert typed("translate", "line-to-colour", "--out", "colours.png")[:2] == (0, "wrote colours.png\n")
    with Image.open("colours.png") as sheet:
        assert sheet.size == (8 * 66 + 2, 4 * 66 + 2)
    assert "zeuxis translate" in refused("sample", "line-to-colour")
    assert "cannot translate images" in refused("translate", "faces")
    assert "for pictures of your own" in refused("translate", "line-to-colour", "--size", "64")


def test_the_wheel_has_the_models_and_works_from_anywhere(tmp_path: Path) -> None:
    done = in_a_process(
        "-c",
        f"import os; os.chdir({str(PACKAGE)!r}); from hatchling.builders.wheel import WheelBuilder; "
        f"print(next(WheelBuilder('.').build(directory={str(tmp_path / 'dist')!r}, versions=['standard'])))",
    )
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    assert done.returncode == 0 and wheel.stat().st_size <= MOST_ALL, done.stderr
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "site")
    assert {f"zeuxis_models/{name}/model.safetensors" for name in NAMES} <= {*names}
    assert not [name for name in names if "build" in name or name.startswith("runs")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(ROOT / "src")])}
    command = [sys.executable, "-P", "-m", "zeuxis", "sample", "faces", "-n", "4", "--out", "faces.png"]
    ran = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert ran.returncode == 0 and (tmp_path / "faces.png").exists(), ran.stderr
