"""Paths with `~`, expanded once where they come in; and users without a home folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from PIL import Image

import zeuxis
from commandline import refused, typed
from zeuxis import api, families, loading
from zeuxis.data import DataSpec
from zeuxis.errors import DataError, UsageError
from zeuxis.explore import editing, examples
from zeuxis.io import files, paths
from zeuxis.metrics import extractors
from zeuxis.training.settings import TrainSettings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with images and a model, seen from another folder, in which nothing called ~ may be made."""
    own = tmp_path / "home"
    (own / "birds").mkdir(parents=True)
    for i in range(3):
        Image.new("RGB", (16, 16), (60 * i, 0, 0)).save(own / "birds" / f"{i}.png")
    torch.manual_seed(0)
    families.find("vae")(size=16, base_channels=4, latent_dim=4).save(own / "model")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(own))
    return own


@pytest.fixture(autouse=True)
def _no_folder_called_tilde(tmp_path: Path) -> object:
    yield
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith("~") and path.name != "~ann"]


TRAIN = ("--size", "16", "--base-channels", "4", "--steps", "1", "--batch-size", "2", "--threads", "1")


@pytest.mark.parametrize(
    ("words", "made"),
    [
        (("data", "~/birds", "--size", "16", "--out=~/sheets/a.png"), "sheets/a.png"),
        (("data", "~/birds", "--size", "16", "--out", "~/sheets/b.png"), "sheets/b.png"),
        (("sample", "~/model", "-n", "2", "--out=~/s.png"), "s.png"),
        (("interpolate", "~/model", "--from=~/birds/0.png", "--to", "~/birds/1.png", "--out=~/i.png"), "i.png"),
        (("translate", "~/nothing", "~/birds/0.png", "--out=~/t.png"), None),
        (
            ("train", "vae", "~/birds", *TRAIN, "--out=~/runs", "--init-from=~/model", "--latent-dim=4"),
            "runs/00001-vae-birds",
        ),
        (("train", "--config=~/c.yaml"), "deep/00001-edges-birds"),
    ],
)
def test_a_tilde_on_the_command_line(home: Path, words: tuple[str, ...], made: str | None) -> None:
    (home / "c.yaml").write_text(
        "family: pix2pix\ndata: ~/birds -> ~/birds\nout: ~/deep\nname: edges-birds\nsize: 16\nsteps: 1\nbatch_size: 2\n"
        "base_channels: 4\n"
    )
    code, out, err = typed(*words)
    if made is None:
        assert code == 2 and f"no run '{home}"[:40] in err
        return
    assert code == 0, err
    assert (home / made).exists()
    assert "~" not in out


def test_a_tilde_in_python(home: Path) -> None:
    model = api.load("~/model")
    assert loading.find_model(Path("~/model")) == home / "model"
    assert str(DataSpec.parse("~/birds")) == str(home / "birds")
    assert str(DataSpec.parse("~/birds -> ~/model")) == f"{home / 'birds'} -> {home / 'model'}"
    assert str(DataSpec.parse("edges -> ~/birds")) == f"edges -> {home / 'birds'}"
    assert str(DataSpec.parse("avatars")) == "avatars"
    assert api.inspect_data("~/birds", size=16).count == 3
    assert TrainSettings(out="~/x", init_from="~/y", name="~z").out == str(home / "x")
    model.save(Path("~/copy"))
    assert (home / "copy" / "config.json").exists()
    editing.save_latents("~/z.safetensors", model.prior([0, 1]), family=model.family())
    assert (
        len(editing.load_latents("~/z.safetensors", model))
        == 2
        == len(editing.images_of_latents(model, Path("~/z.safetensors")))
    )
    assert len(editing.located(model, "~/birds/0.png")) == 1
    assert len(examples("~/birds", [0, 1], size=16, channels=3)) == 2
    with pytest.raises(UsageError, match=str(home / "vgg.safetensors")):
        extractors.vgg16(weights="~/vgg.safetensors")
    with pytest.raises(UsageError, match=f"no run .{home}"[:30]):
        zeuxis.resume("~/other")
    run = zeuxis.train("vae", "~/birds", out="~/r", steps=1, batch_size=2, size=16)
    assert run.path == home / "r" / "00001-vae-birds"
    with pytest.raises((UsageError, DataError)):
        zeuxis.train("vae", "~/nowhere")


def test_only_a_tilde_at_the_start_is_one(home: Path) -> None:
    assert paths.expanded("~") == str(home)
    for kept in ("birds~", "a/~/b", "./~/x", "~nobody-of-this-name/x", "", "backup~1", "--name=a~/b"):
        assert paths.expanded(kept) == paths.expanded_word(kept) == kept
    assert paths.expanded_word("--out=~/x") == f"--out={home}/x"
    assert paths.expanded_word("--plus=~") == f"--plus={home}"
    me = os.path.expanduser("~root")  # noqa: PTH111
    if me != "~root":
        assert paths.expanded("~root/x") == f"{me}/x"
        Path("~root").mkdir()
        assert paths.expanded("~root/x") == "~root/x", "what is there is meant"
        Path("~root").rmdir()


def test_a_tilde_in_the_caches_place(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEUXIS_CACHE", "~/kept")
    assert files.cache_dir() == home / "kept"


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user of a container, whom no file knows."""
    import pwd

    def unknown(user: object) -> object:
        raise KeyError(f"uid not found: {user}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "XDG_CACHE_HOME", "ZEUXIS_CACHE", "USER", "LOGNAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("nobody")
def test_without_a_home_what_needs_no_cache_works(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    with pytest.raises(UsageError, match="no home folder.* set ZEUXIS_CACHE"):
        files.cache_dir()
    assert "set ZEUXIS_CACHE" in refused("data", str(home / "birds"), "--size", "16")
    assert "no home folder; give the whole path" in refused("data", "~/birds")
    assert "no home folder" in refused("sample", str(home / "model"), "--out=~/x.png")
    assert typed("sample", str(home / "model"), "-n", "2", "--out", "x.png")[0] == 0
    assert typed("families")[0] == typed("version")[0] == 0
    monkeypatch.setenv("ZEUXIS_CACHE", str(home / "cache"))
    assert typed("data", str(home / "birds"), "--size", "16")[0] == 0
    code, _, err = typed("train", "vae", str(home / "birds"), *TRAIN)
    assert code == 0, err


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize("value", ["", "relative", "./~"])
def test_a_home_that_is_no_path_is_none(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("HOME", value)
    try:
        assert files.cache_dir().is_absolute()
    except UsageError as error:
        assert "ZEUXIS_CACHE" in str(error)


@pytest.mark.parametrize("place", ["~/.cache/zeuxis", "relative/.cache/zeuxis"])
def test_a_cache_folder_that_is_no_whole_path_is_none(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """As older versions of platformdirs give it where the home folder is unknown: it would be a folder here."""
    monkeypatch.delenv("ZEUXIS_CACHE", raising=False)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: Path(place))
    with pytest.raises(UsageError, match="no home folder.* set ZEUXIS_CACHE"):
        files.cache_dir()


def test_a_cache_that_cannot_be_made_names_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a user whose home folder is /."""
    monkeypatch.setenv("ZEUXIS_CACHE", str(tmp_path / "cache"))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(UsageError, match="Permission denied; set ZEUXIS_CACHE to a folder that you may write to"):
        files.make_folder(files.cache_dir() / "packs")
    with pytest.raises(UsageError, match="Permission denied; check the path and its permissions"):
        files.make_folder(tmp_path / "elsewhere")


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "setuid") or os.getuid() != 0, reason="needs root, to become another user")
def test_a_user_without_a_name_or_home() -> None:
    """What `docker run --user 12345` begins; everything is imported before, as another user may not read the interpreter."""
    folder = Path(tempfile.mkdtemp(prefix="zeuxis-nobody-"))  # where that user may write, unlike in pytest's folders
    folder.chmod(0o777)
    code = (
        "import os, sys, torch, zeuxis.api, zeuxis.training.runs, filelock, PIL.Image, zeuxis.families.vae, torch._dynamo\n"
        "from zeuxis import cli\n"
        "os.setuid(12345)\n"
        "sys.exit(cli.run(sys.argv[1:]))"
    )
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}

    def run(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-c", code, *words]
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr

    code_, told = run("data", "digits", "--out", "digits.png")
    assert code_ == 2 and told.splitlines()[-1].endswith("set ZEUXIS_CACHE to a folder for it"), told
    env["ZEUXIS_CACHE"] = str(folder / "cache")
    code_, told = run("train", "vae", "digits", *TRAIN, "--kernels", "standard")
    shutil.rmtree(folder, ignore_errors=True)
    assert code_ == 0, told
