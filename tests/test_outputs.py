"""Where commands write: never over what they read, never into a folder of images that is read; and what a typing slip gives."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from commandline import refused, typed
from zeuxis import families, storage
from zeuxis.data import DataSpec
from zeuxis.data.specs import SingleSpec
from zeuxis.errors import DataError, UsageError
from zeuxis.io import files, paths
from zeuxis.runtime.progress import Lines
from zeuxis.training import runs
from zeuxis.training.settings import TrainSettings

TRAIN = ("--size", "16", "--base-channels", "4", "--steps", "1", "--batch-size", "2", "--threads", "1")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of saved models, by family."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    for name, options in {"gan": {}, "vae": {"base_channels": 4}, "pix2pix": {"base_channels": 4}}.items():
        families.find(name)(size=16, **options).save(folder / name)
    return folder


@pytest.fixture
def here(tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with models, a folder of images, and a link to that."""
    for name in ("gan", "vae", "pix2pix"):
        (tmp_path / name).symlink_to(models / name)
    pictures(tmp_path / "birds", 5)
    pictures(tmp_path / "birds" / "deep" / "deep", 2)
    (tmp_path / "link").symlink_to("birds")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pictures(folder: Path, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        pixels = np.random.default_rng(i).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")


def contents(folder: Path) -> dict[str, str]:
    """Every file below the folder, and the sum of what is in it."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(
    "words",
    [
        "translate pix2pix birds --out birds",
        "translate pix2pix birds --out birds/new",
        "translate pix2pix birds --out ./birds/../birds/new",
        "translate pix2pix birds --out link/new",
        "translate pix2pix link --out birds",
        "translate pix2pix birds/deep --out birds",
        "translate pix2pix birds/0.png --out birds/0.png",
        "translate pix2pix birds/0.png --out link/0.png",
        "translate pix2pix .",
        "invert vae birds/0.png --out birds/0.safetensors",
        "invert vae birds/0.png --out link/0.png",
        "invert vae birds --out birds/found.safetensors",
        "interpolate vae --from birds/0.png --to birds/1.png --out birds/1.png",
        "edit vae birds/0.png +dark --out birds/0.png",
        "evaluate gan birds --out birds",
        "evaluate gan birds --out link/scores",
        "evaluate gan .",
        "data birds --size 16 --out birds/0.png",
        "data birds --size 16 --out birds/sheet.png",
        "data link --size 16 --json --out birds/sheet.png",
        "train vae birds --size 16 --out birds",
        "train vae birds --size 16 --out birds/runs",
        "train vae . --size 16",
        "train pix2pix birds link --size 16 --out birds/x",
        "train pix2pix edges birds --size 16 --out birds/x",
    ],
)
def test_nothing_that_is_read_is_written_to(here: Path, words: str) -> None:
    before = contents(here)
    message = refused(*words.split())
    assert "that is read" in message or "which is read" in message
    assert contents(here) == before


@pytest.mark.parametrize("out", ["birds", "birds/runs", "link/runs"])
def test_a_run_is_not_written_into_its_data(here: Path, out: str) -> None:
    before = contents(here)
    assert "that is read" in refused("train", "vae", "birds", *TRAIN, "--out", out)
    assert contents(here) == before


@pytest.mark.parametrize("command", ["train vae birds", "sweep vae birds --seed 0-1", "demo"])
@pytest.mark.parametrize("out", ["taken", "taken/deeper"])
def test_a_folder_that_cannot_be_is_refused_before_any_image_is_read(
    here: Path, monkeypatch: pytest.MonkeyPatch, command: str, out: str
) -> None:
    (here / "taken").write_text("mine")
    monkeypatch.setattr(SingleSpec, "open", lambda *_, **__: pytest.fail("images were read"))
    assert "taken is a file; choose a folder" in refused(*command.split(), "--out", out)


def test_beside_what_is_read_everything_may_be_written(here: Path) -> None:
    assert typed("translate", "pix2pix", "birds", "--out", "birds-new")[0] == 0
    assert len(list((here / "birds-new").rglob("*.png"))) == 7
    assert typed("translate", "pix2pix", "birds/0.png", "--out", "birds/0-new.png")[0] == 0
    assert typed("train", "vae", "birds", *TRAIN, "--out", "birds-runs")[0] == 0
    assert paths.check_apart("birds", ["birds-new", "avatars", "no such folder", ""]) is None
    assert paths.check_apart(None, ["birds"]) is None


def test_a_sheet_of_the_current_folder_is_left_out(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here / "birds")
    before = contents(here)
    code, out, _ = typed("data", ".", "--size", "16")
    assert code == 0 and "7 images" in out
    assert any(line.startswith("no contact sheet: birds-sheet.png is in .") for line in out.splitlines())
    assert contents(here) == before
    assert typed("data", ".", "--size", "16", "--out", "../sheet.png")[0] == 0


@pytest.mark.parametrize("out", ["taken", "taken/deeper", "dir.png"])
def test_a_place_of_the_wrong_kind_is_refused(here: Path, out: str) -> None:
    (here / "taken").write_text("mine")
    (here / "dir.png").mkdir()
    before = contents(here)
    for words in (
        ("sample", "gan", "-n", "2"),
        ("translate", "pix2pix", "birds" if out != "dir.png" else "birds/0.png"),
        ("train", "vae", "birds", *TRAIN) if out != "dir.png" else ("data", "birds", "--size", "16"),
    ):
        code, _, err = typed(*words, "--out", out)
        assert code == 2 and err.splitlines()[-1].startswith("zeuxis: "), (words, err)
        assert contents(here) == before


@pytest.mark.parametrize("out", ["x.png", "x.safetensors"])
def test_inverted_pictures_are_named_by_either_file(here: Path, out: str) -> None:
    assert typed("invert", "vae", "birds/0.png", "--out", f"new/{out}")[1].endswith(
        "wrote new/x.safetensors\nwrote new/x.png\n"
    )
    assert files.read_tensors("new/x.safetensors")["z"].shape[0] == 1
    assert Image.open("new/x.png").width > 16
    assert "expected a .safetensors file, or a .png file" in refused("invert", "vae", "birds/0.png", "--out", "x.jpg")


@pytest.mark.parametrize("words", [("--out", ""), ("--out=",)])
def test_an_empty_place_is_no_place(here: Path, words: tuple[str, ...]) -> None:
    """As of a variable that a script has not set: it would have meant the current folder."""
    before = contents(here)
    assert "is empty; give a path" in refused("sample", "gan", "-n", "2", *words)
    assert "is empty; give a path" in refused("sample", "")
    assert "is empty; give a path" in refused("train", "vae", "")
    assert contents(here) == before


def test_equal_seeds(here: Path) -> None:
    assert typed("sample", "gan", "--seeds", "3,3", "--out", "one")[1] == "wrote 1 picture into one\n"
    assert typed("sample", "gan", "--seeds", "3,4,3", "--out", "two")[1] == "wrote 2 pictures into two\n"
    assert len(list(Path("two").iterdir())) == 2
    for words in (("sample", "--seeds", "3,3"), ("interpolate", "--seeds", "3,3"), ("arithmetic", "--plus", "3,3")):
        assert typed(words[0], "gan", *words[1:], "--out", "sheet.png")[0] == 0
        assert np.asarray(Image.open("sheet.png")).std() > 0
    assert typed("interpolate", "gan", "--seeds", "3,3", "--frames", "3", "--out", "walk.gif")[0] == 0


def test_rows_and_seeds_that_do_not_fit(here: Path) -> None:
    assert "--rows is 100 and --seeds has 2; expected 200" in refused(
        "interpolate", "gan", "--rows", "100", "--seeds", "1,2"
    )
    ends = ("--from", "digits:1", "--to", "digits:2")
    assert "expected 3, or one" in refused("interpolate", "vae", *ends, "--rows", "3", "--seeds", "1-4")
    assert typed("interpolate", "gan", "--rows", "2", "--seeds", "1-4", "--columns", "2", "--out", "i.png")[0] == 0


@pytest.mark.parametrize("word", ["grey", "edges", "left", "labels"])
def test_a_word_for_sources_goes_first(here: Path, word: str) -> None:
    message = refused("train", "pix2pix", "birds", word, "--size", "16", "--out", "runs")
    assert f"goes before them, as in: {word} DATA" in message
    assert f"as in: {word} DATA" in refused("train", "pix2pix", word, "--size", "16", "--out", "runs")
    assert not Path("runs").exists()


def quiet() -> Lines:
    return Lines(io.StringIO())


def trained(here: Path, data: str, family: str = "vae") -> Path:
    asked = TrainSettings(steps=1, batch_size=2, threads=1, out=str(here / "runs"), kernels="standard")
    options = {"size": 16, "base_channels": 4}
    return runs.start(asked, families.find(family), options, data=DataSpec.parse(data), display=quiet())


@pytest.mark.parametrize("family", ["vae", "pix2pix"])
def test_resume_after_the_data_moved_says_what_to_change(here: Path, family: str) -> None:
    shutil.copytree("birds", "flock")
    run = trained(here, "birds" if family == "vae" else "birds -> flock", family)
    Path("link").unlink()
    for name in ("flock", "birds"):
        Path(name).rename(f"moved-{name}")
    gone = here / ("birds" if family == "vae" else "flock")
    with pytest.raises(UsageError, match=rf"{gone} is no longer there.* after `data:` in .*config\.yaml"):
        runs.resume_run(run, steps=2, display=quiet())
    config = run / "config.yaml"
    for name in ("flock", "birds"):
        config.write_text(config.read_text().replace(str(here / name), str(here / f"moved-{name}")))
    assert runs.resume_run(run, steps=2, display=quiet()) == run
    pictures(here / "moved-birds", 6)
    if family == "vae":
        with pytest.raises(DataError, match="has changed since the run began"):
            runs.resume_run(run, steps=3, display=quiet())
    assert storage.RunFolder.open(run).load_checkpoint().step == 2


def test_other_commands_say_that_the_data_has_gone(here: Path) -> None:
    run = os.path.relpath(trained(here, "birds"))
    shutil.rmtree("birds")
    assert "is no longer there; name the DATA after it" in refused("evaluate", run)
    assert "is no longer there; name labelled images with --data" in refused("arithmetic", run, "smiling woman")
