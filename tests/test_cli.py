"""The commands: what they write, where, what they say of errors and signals, and that nothing heavy is imported."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from commandline import in_a_process, refused, typed
from zeuxis import api, explore, families, loading
from zeuxis.api import training
from zeuxis.errors import DataError, DiskFullError, DivergedError, UsageError, ZeuxisError
from zeuxis.explore import editing
from zeuxis.metrics import extractors, vgg

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.fixture(scope="module")
def gan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model that decodes and does not encode."""
    return _saved(tmp_path_factory, "gan")


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model that encodes."""
    return _saved(tmp_path_factory, "vae")


def _saved(folders: pytest.TempPathFactory, family: str) -> Path:
    folder = folders.mktemp(family) / "model"
    torch.manual_seed(0)
    families.find(family)(size=28, channels=1).save(folder)
    return folder


def test_sample_writes_a_sheet_and_names_it(gan: Path, tmp_path: Path) -> None:
    code, out, err = typed("sample", str(gan), "--seeds", "0-5,88", "--out", str(tmp_path / "new" / "sheet.png"))
    assert (code, err) == (0, "")
    assert out == f"wrote {tmp_path / 'new' / 'sheet.png'}\n"
    assert Image.open(tmp_path / "new" / "sheet.png").width > 28


def test_sample_image_depends_on_its_seed_alone(gan: Path, tmp_path: Path) -> None:
    assert typed("sample", str(gan), "-n", "5", "--out", str(tmp_path / "five"))[0] == 0
    assert typed("sample", str(gan), "--seeds", "3", "--out", str(tmp_path / "one"))[0] == 0
    assert sorted(path.name for path in (tmp_path / "five").iterdir()) == [f"seed-{i:05}.png" for i in range(5)]
    one, of_five = (Image.open(tmp_path / folder / "seed-00003.png") for folder in ("one", "five"))
    assert one.size == (28, 28) and one.tobytes() == of_five.tobytes()


def test_figures_go_into_the_run(gan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "runs" / "00007-gan-digits"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("family: gan\ndata: digits\n")
    shutil.copytree(gan, run / "model")
    monkeypatch.chdir(tmp_path)
    for name in (
        "7",
        "00007",
        "00007-gan-digits",
        "gan-digits",
        "runs/00007-gan-digits",
        "runs/00007-gan-digits/model",
    ):
        assert typed("interpolate", name, "--rows", "2", "--columns", "3")[1].endswith("figures/interpolation.png\n")
        (run / "figures" / "interpolation.png").unlink()
    assert "runs/ has 00007-gan-digits" in refused("sample", "8")
    assert str(loading.data_of("7")) == "digits"


def test_two_runs_of_one_name_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2):
        (tmp_path / "runs" / f"0000{number}-gan").mkdir(parents=True)
        (tmp_path / "runs" / f"0000{number}-gan" / "config.yaml").write_text("family: gan")
    monkeypatch.chdir(tmp_path)
    assert "00001-gan, 00002-gan" in refused("sample", "gan")
    assert "no model yet" in refused("sample", "2")


def test_interpolate_between_seeds(gan: Path, tmp_path: Path) -> None:
    model = api.load(gan)
    images = api.interpolate(model, columns=4, seeds=[3, 8, 5, 9]).tensor
    assert images.shape == (2, 4, 1, 28, 28)
    assert torch.allclose(images[0, 0], api.sample(model, seeds=[3]).tensor[0], atol=1e-6)
    assert torch.allclose(images[1, 3], api.sample(model, seeds=[9]).tensor[0], atol=1e-6)
    assert "two for each row" in refused("interpolate", str(gan), "--seeds", "1,2,3")


def test_interpolate_draws_an_animation(gan: Path, tmp_path: Path) -> None:
    walk = tmp_path / "walk.gif"
    assert typed("interpolate", str(gan), "--frames", "6", "--seeds", "1-3", "--out", str(walk))[0] == 0
    assert Image.open(walk).n_frames == 6  # type: ignore[attr-defined]


def test_interpolate_between_images_finds_their_latents(
    gan: Path, vae: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    network = vgg.VGG().requires_grad_(False)
    monkeypatch.setattr(extractors, "vgg16", lambda **named: network)
    monkeypatch.setattr(editing, "invert_images", partial(editing.invert_images, steps=3))
    ends = ["--from", str(tmp_path / "a.png"), "--to", str(tmp_path / "b.png")]
    for i, path in enumerate(ends[1::2]):
        Image.new("L", (40, 28), 200 * i).save(path)
    assert "belong together" in refused("interpolate", str(vae), *ends[:2])
    out = tmp_path / "between.png"
    for model in (gan, vae):
        assert typed("interpolate", str(model), *ends, "--out", str(out))[1] == f"wrote {out}\n"
        assert Image.open(out).height < 2 * 112 + 96  # one row
    kept = tmp_path / "z.safetensors"
    assert typed("invert", str(gan), *ends[1::2], "--out", str(kept))[0] == 0
    assert typed("interpolate", str(gan), "--from", str(kept), "--to", ends[1], "--out", str(out))[0] == 0
    assert Image.open(out).height > 2 * 112  # a row for each latent
    assert typed("sample", str(gan), "--latents", str(kept), "--out", str(tmp_path / "mine"))[0] == 0
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["latent-00000.png", "latent-00001.png"]
    assert "give one of the two" in refused("sample", str(gan), "--latents", str(kept), "--seeds", "3")


def test_interpolate_between_classes_and_settle(vae: Path, tmp_path: Path) -> None:
    out, ends = tmp_path / "between.png", ["--from", "digits:1", "--to", "digits:9"]
    assert typed("interpolate", str(vae), *ends, "--seeds", "4,0", "--reencode", "1", "--out", str(out))[0] == 0
    model, starts = api.load(vae), explore.examples("digits:1", [4, 0], size=28, channels=1)
    stops = explore.examples("digits:9", [4, 0], size=28, channels=1, order=1)
    ends_found = (api.encode(model, starts), api.encode(model, stops))
    plain = api.interpolate(model, ends=ends_found)
    reencoded = api.interpolate(model, ends=ends_found, reencode=1)
    torch.testing.assert_close(
        reencoded.tensor[:, 3], api.decode(model, api.encode(model, plain.tensor[:, 3])).tensor, atol=1e-5, rtol=0
    )
    assert np.array_equal(np.asarray(Image.open(out)), np.asarray(reencoded.pil()))
    walk = tmp_path / "walk.gif"
    assert typed("interpolate", str(vae), *ends, "--rows", "2", "--frames", "4", "--out", str(walk))[0] == 0
    with Image.open(walk) as opened:
        assert opened.n_frames == 4


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of eight images in two classes, and two files that are none."""
    for i in range(8):
        folder = tmp_path / "pictures" / ("dark" if i < 4 else "light")
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40 + i, 30), (30 * i, 20 * i, 10 * i)).save(folder / f"{i}.png")
    (tmp_path / "pictures" / "empty.png").write_bytes(b"")
    (tmp_path / "pictures" / "page.jpg").write_text("<html>")
    return tmp_path / "pictures"


def test_data_reports_what_is_there(pictures: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    code, out, _ = typed("data", str(pictures), "--size", "16", "--out", str(sheet))
    assert code == 0 and out.endswith(f"wrote {sheet}\n") and Image.open(sheet).width > 16
    assert "8 images" in out and "dark" in out and "empty.png" in out and "page.jpg" in out
    _, text, _ = typed("data", str(pictures), "--size", "16", "--json")
    report = json.loads(text)
    assert report["count"] == 8 and {name for name, _ in report["left_out"]} == {"empty.png", "page.jpg"}


def test_data_with_nothing_usable(tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    (tmp_path / "nothing" / "a.png").write_bytes(b"")
    code, out, err = typed("data", str(tmp_path / "nothing"))
    assert (code, out) == (4, "") and err.splitlines()[-1].startswith("zeuxis: ")
    assert typed("train", "gan", str(tmp_path / "nothing"), "--out", str(tmp_path / "runs"))[0] == 4
    assert not list(tmp_path.glob("runs/*-*"))


def test_from_a_folder_of_images_to_pictures(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--size", "16", "--steps", "4", "--batch-size", "4", "--checkpoint-every", "2", "--threads", "1"]
    code, out, err = typed("train", "gan", "pictures", *words)
    run = Path(out.split()[-1])
    assert code == 0 and run.parent == Path("runs"), err
    assert typed("resume", run.name, "--steps", "6")[0] == 0
    assert typed("sample", run.name, "-n", "4")[1] == f"wrote {run / 'figures' / 'samples.png'}\n"
    again = ["--config", str(run / "config.yaml"), "--steps", "2", "--init-from", run.name]
    assert typed("train", *again)[0] == 0
    assert len(list(Path("runs").glob("*-gan-pictures"))) == 2


def test_dry_run_trains_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = typed(
        "train", "gan", "anything", "--size", "16", "--batch-size", "4", "--threads", "1", "--dry-run"
    )
    assert (code, err) == (0, "")
    assert "generator: " in out and "memory: " in out and "seconds per step on cpu: " in out
    assert list(tmp_path.iterdir()) == []


def test_arithmetic_by_hand_keeps_the_order_typed(gan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    real = api.arithmetic
    monkeypatch.setattr(
        api, "arithmetic", lambda model, terms, **rest: asked.append(terms) or real(model, terms, **rest)
    )
    words = ["--plus", "12,45,7", "--minus", "3,9,30", "--plus", "1-3"]
    assert typed("arithmetic", str(gan), *words, "--out", str(tmp_path / "a.png"))[0] == 0
    assert asked == [[(1.0, [12, 45, 7]), (-1.0, [3, 9, 30]), (1.0, [1, 2, 3])]]
    assert Image.open(tmp_path / "a.png").width > 300


@pytest.mark.parametrize(
    ("error", "code"),
    [(UsageError, 2), (DivergedError, 3), (DataError, 4), (DiskFullError, 5), (ZeuxisError, 1), (OSError, 1)],
)
def test_errors_are_one_line_and_a_code(monkeypatch: pytest.MonkeyPatch, error: type[Exception], code: int) -> None:
    def fail(run: str, **_: Any) -> None:
        raise error("this\nis why")

    monkeypatch.setattr(training, "resume_with", fail)
    got, _, err = typed("resume", "0")
    assert got == code and "this is why" in err and err.count("\n") == 1
    assert ("run with --debug" in err) == (error is OSError)
    assert "Traceback" in typed("resume", "0", "--debug")[2]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_outside_training(monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it would be ignored
    monkeypatch.setattr(api, "inspect_data", lambda path, **_: signal.raise_signal(number))
    got, out, err = typed("data", "here")
    assert (got, out, err) == (code, "", f"zeuxis: ended by {number.name}\n")
    assert signal.signal(signal.SIGHUP, before) is signal.SIG_DFL


def test_a_family_outside_the_package(
    training: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_own.py").write_text("from zeuxis.families.gan import GAN\nclass Mine(GAN):\n    pass\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert typed("train", "my_own:Mine", "digits", "--size", "8")[0] == 0
    assert training[0]["family"] == "my_own:Mine"
    model = families.find("my_own:Mine")(size=8, channels=1)
    model.save(tmp_path / "model")
    assert "--family my_own:Mine" in refused("sample", "model")
    assert typed("sample", "model", "--family", "my_own:Mine", "--out", "sheet.png")[0] == 0


def test_families_lists_each_in_a_line() -> None:
    code, out, _ = typed("families")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == families.names()


def test_help_shows_the_familys_own_options() -> None:
    _, general, _ = typed("train", "--help")
    _, own, _ = typed("train", "dcgan", "--help")
    assert "--steps" in general and "zeuxis train dcgan --help" in general and "--r1-interval" not in general
    assert "--steps" in own and "--r1-interval" in own and "--preset" in own


OUTSIDE = {"attr", "attrs", "cyclopts", "docstring_parser", "platformdirs", "rich", "zeuxis"}


@pytest.mark.parametrize("words", ["--help", "train --help", "families", "--version", "train dcgn"])
def test_help_is_light(words: str) -> None:
    """About 300 modules, of the standard library and few others, and no torch; bench/startup.py tells the seconds."""
    code = "import sys; before = {*sys.modules}; from zeuxis import cli; cli.run(sys.argv[1:])"
    done = in_a_process("-c", f"{code}; print(*sorted({{*sys.modules}} - before))", *words.split())
    modules = done.stdout.decode().splitlines()[-1].split()
    assert "zeuxis" in modules and len(modules) < 400
    names = {name.partition(".")[0] for name in modules if not name.startswith("_")}
    assert names - sys.stdlib_module_names <= OUTSIDE


def test_a_broken_pipe_is_quiet() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = in_a_process("-m", "zeuxis", "families", stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")
