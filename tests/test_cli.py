"""The command line: what is typed arrives, what is wrong is told in one line with exit code 2, nothing heavy is imported."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from zeuxis import api, cli, families
from zeuxis.cli import flags
from zeuxis.errors import DataError, DiskFullError, DivergedError, UsageError, ZeuxisError
from zeuxis.settings import TrainSettings

CASES = 50_000 if os.environ.get("ZEUXIS_RELEASE") == "1" else 300


def typed(*tokens: str) -> tuple[int, str, str]:
    """Run a command line in this process: exit code, stdout, stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.run(tokens)
    return code, out.getvalue(), err.getvalue()


def refused(*tokens: str) -> str:
    """The one line that a wrong command line gives."""
    code, out, err = typed(*tokens)
    assert code == 2, (code, out, err)
    assert err.startswith("zeuxis: ") and err.endswith("\n") and err.count("\n") == 1, err
    assert "Traceback" not in err and "unexpected" not in err.replace("unexpected argument", "")
    assert out == ""
    return err


@pytest.fixture(scope="module", autouse=True)
def _elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Commands write into the current folder."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("here"))
    yield
    os.chdir(before)


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


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What `zeuxis train` asked the api for."""
    asked: list[dict[str, Any]] = []

    def train(family: Any, data: str, *, settings: TrainSettings, options: dict[str, Any]) -> Path:
        asked.append({"family": family.family(), "data": data, "settings": settings, "options": options})
        return Path("runs/00000-x")

    monkeypatch.setattr(api, "train", train)
    return asked


@pytest.mark.parametrize(
    ("text", "value"),
    [("500", 500), ("20k", 20_000), ("1.5M", 1_500_000), ("0.5k", 500), ("1e3", 1000), ("20_000", 20_000), ("-3", -3)],
)
def test_count(text: str, value: int) -> None:
    assert flags.count(text) == value


@pytest.mark.parametrize("text", ["", "k", "1.5", "20kk", "1e999", "nan", "inf", "0x10", "1 000", "٣", "1" * 50])
def test_no_count(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        flags.count(text)


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=20))
def test_seeds_keep_their_order(numbers: list[int]) -> None:
    assert flags.seeds(",".join(map(str, numbers))) == numbers


def test_seeds() -> None:
    assert flags.seeds("0-3,88, 2-2") == [0, 1, 2, 3, 88, 2]
    for wrong in ("", ",", "3-1", "-1", "1-", "a", "0-99999999999", "1--2", f"{2**63}", "1" * 400):
        with pytest.raises(ValueError, match=r"expected|ask for fewer"):
            flags.seeds(wrong)


def test_train_gets_what_was_typed(training: list[dict[str, Any]]) -> None:
    code, out, err = typed("train", "dcgan", "faces/", "--steps", "20k", "--width=16", "--textbook", "--lr", "1e-3")
    assert (code, out, err) == (0, "run runs/00000-x\n", "")
    (asked,) = training
    assert asked["family"] == "dcgan" and asked["data"] == "faces/"
    assert asked["settings"] == TrainSettings(steps=20_000)
    assert asked["options"] == {"width": 16, "textbook": True, "lr": 0.001}


def test_flags_may_stand_before_the_family(training: list[dict[str, Any]]) -> None:
    words = ["--steps", "7", "--mirror", "--name", "gan", "--no-tensorboard", "dcgan", "faces", "--minutes", "1.5"]
    assert typed("train", *words)[0] == 0
    assert training[0]["family"] == "dcgan"
    assert training[0]["settings"] == TrainSettings(steps=7, mirror=True, name="gan", minutes=1.5)


def test_flags_override_the_config(training: list[dict[str, Any]], tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        textwrap.dedent("""\
            family: dcgan
            data: avatars:100
            options: {size: 32, width: 16, lr: 5e-4, textbook: true, loss: hinge}
            settings: {steps: 20k, batch-size: 8, minutes: null, mirror: false}
            versions: {zeuxis: 0.1.0}
            """)
    )
    assert typed("train", "--config", str(config), "--width", "8", "--no-textbook")[0] == 0
    assert typed("train", "dcgan", "other", f"--config={config}", "--steps=5")[0] == 0
    first, second = training
    assert first["family"] == "dcgan" and first["data"] == "avatars:100" and second["data"] == "other"
    assert first["options"] == {"size": 32, "width": 8, "lr": 5e-4, "textbook": False, "loss": "hinge"}
    assert first["settings"] == TrainSettings(steps=20_000, batch_size=8)
    assert second["settings"].steps == 5 and second["options"]["width"] == 16


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("family: dcgan\ndata: x\nwidht: 3", "did you mean width"),
        ("family: dcgan\ndata: x\nwidth: [3]", "width"),
        ("family: dcgan\ndata: x\nwidth: 3.5", "--width"),
        ("family: dcgan\ndata: x\nloss: none", "--loss"),
        ("family: dcgan\ndata: x\noptions: 3", "options"),
        ("- 1\n- 2", "--config"),
        ("a: [", "not valid YAML"),
        ("a: &a [x]\nb: *a", "alias"),
        ("!!python/object/apply:os.system ['true']", "not valid YAML"),
        ("family: [dcgan]\ndata: x", "family"),
    ],
)
def test_wrong_config(content: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(content)
    assert told in refused("train", "--config", str(tmp_path / "c.yaml"))


def test_missing_config() -> None:
    assert "nowhere.yaml" in refused("train", "dcgan", "x", "--config", "nowhere.yaml")
    assert "--config" in refused("train", "dcgan", "x", "--config")


@pytest.mark.parametrize(
    ("tokens", "told"),
    [
        (["trian"], 'Did you mean "train"'),
        (["train"], "family"),
        (["train", "dcgn", "x"], "did you mean dcgan"),
        (["train", "dcgan"], "DATA is missing"),
        (["train", "dcgan", "x", "--widht", "3"], "Did you mean --width"),
        (["train", "dcgan", "x", "--steps"], "--steps requires an argument"),
        (["train", "dcgan", "x", "--loss", "no"], '"non-saturating", "least-squares", "hinge"'),
        (["train", "dcgan", "a", "b"], "unexpected argument 'b'"),
        (["train", "no_such_module:Model", "x"], "no_such_module"),
        (["train", "os:path", "x"], "is not a zeuxis.Model"),
        (["sample"], "MODEL requires an argument"),
        (["sample", "x", "--seeds", "3-1"], "--seeds"),
        (["sample", "x", "-n", "0"], "-n"),
        (["sample", "x", "--out", "a.jpg"], "--out"),
        (["interpolate", "x", "--path", "round"], "--path"),
        (["interpolate", "x", "--out", "a.txt"], "--out"),
        (["arithmetic", "x"], "expected an expression, or seeds"),
        (["arithmetic", "x", "a - b", "--plus", "1"], "one of the two"),
        (["arithmetic", "x", "--plus", "one"], "--plus"),
        (["data", "x", "--size", "1M"], "--size"),
        (["resume", "x", "--steps", "0"], "--steps"),
    ],
)
def test_wrong_words(tokens: list[str], told: str) -> None:
    assert told in refused(*tokens)


def _wrong_values(kind: str) -> st.SearchStrategy[str]:
    text = st.text(max_size=60).filter(lambda value: not value.startswith("-"))
    huge = st.sampled_from(["1" * 400, "9e99", str(2**70)])
    if kind == "count":
        return st.one_of(text.filter(_no_count), st.sampled_from(["nan", "inf", "", "1.5", "0x1"]), huge)
    if kind == "number":
        return st.one_of(text.filter(_no_number), st.sampled_from(["nan", "inf", "-inf", "NaN", ""]))
    return text.filter(
        lambda value: value not in {"auto", "cpu", "cuda", "mps", "hinge", "batch", "none", "pad", "crop"}
    )


def _no_count(value: str) -> bool:
    try:
        flags.count(value)
    except ValueError:
        return True
    return False


def _no_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return True
    return False


FLAGS = {
    **dict.fromkeys(["--steps", "--batch-size", "--parts", "--width", "--size", "--channels", "--r1-every"], "count"),
    **dict.fromkeys(["--minutes", "--lr", "--beta1", "--r1", "--half-life"], "number"),
    **dict.fromkeys(["--device", "--loss", "--discriminator-norm", "--fit", "--textbook", "--mirror"], "choice"),
}


@settings(max_examples=CASES, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.sampled_from(sorted(FLAGS)))
def test_any_wrong_value_is_named(data: st.DataObject, name: str) -> None:
    value = data.draw(_wrong_values(FLAGS[name]))
    if name in {"--textbook", "--mirror"} and value.lower() in {
        "",
        "1",
        "0",
        "y",
        "n",
        "t",
        "f",
        "yes",
        "no",
        "true",
        "false",
    }:
        return
    assert name in refused("train", "dcgan", "x", f"{name}={value}")


@settings(max_examples=CASES, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(
        ["sample", "interpolate", "arithmetic", "data", "resume", "families", "train", "train vae", "nothing", ""]
    ),
    st.lists(
        st.text(max_size=12) | st.sampled_from(["--out", "--seeds", "-n", "--plus", "--config", "=", "--", "-", "0-3"]),
        max_size=4,
    ),
)
def test_no_words_give_a_traceback(command: str, words: list[str]) -> None:
    where = ["/nonexistent/model"] if command in {"sample", "interpolate", "arithmetic", "data", "resume"} else []
    code, _, err = typed(*command.split(), *where, *(word for word in words if word != "--debug"))
    assert code in {0, 2, 4}, err
    assert "Traceback" not in err and err.count("\n") == (code != 0)


@given(st.sampled_from(["steps", "batch_size", "seed", "minutes", "device", "half_life"]), st.data())
def test_settings_refuse_what_they_cannot_be(name: str, data: st.DataObject) -> None:
    wrong: st.SearchStrategy[Any] = st.sampled_from(["x", [], {}, float("nan"), -1, -(10**30), b"", 1j])
    with pytest.raises(UsageError, match="--" + name.replace("_", "-")):
        TrainSettings(**{name: data.draw(wrong)})


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
    (run / "model").symlink_to(gan)
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
    assert api.data_of("7") == "digits"


def test_two_runs_of_one_name_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2):
        (tmp_path / "runs" / f"0000{number}-gan").mkdir(parents=True)
        (tmp_path / "runs" / f"0000{number}-gan" / "config.yaml").write_text("family: gan")
    monkeypatch.chdir(tmp_path)
    assert "00001-gan, 00002-gan" in refused("sample", "gan")
    assert "no model yet" in refused("sample", "2")


def test_interpolate_between_seeds(gan: Path, tmp_path: Path) -> None:
    model = api.load(gan)
    images = api.interpolate(model, columns=4, seeds=[3, 8, 5, 9])
    assert images.shape == (2, 4, 1, 28, 28)
    assert torch.allclose(images[0, 0], api.sample(model, seeds=[3])[0], atol=1e-6)
    assert torch.allclose(images[1, 3], api.sample(model, seeds=[9])[0], atol=1e-6)
    assert "two for each row" in refused("interpolate", str(gan), "--seeds", "1,2,3")


def test_interpolate_draws_an_animation(gan: Path, tmp_path: Path) -> None:
    walk = tmp_path / "walk.gif"
    assert typed("interpolate", str(gan), "--frames", "6", "--seeds", "1-3", "--out", str(walk))[0] == 0
    assert Image.open(walk).n_frames == 6  # type: ignore[attr-defined]


def test_interpolate_between_images_needs_an_encoder(gan: Path, vae: Path, tmp_path: Path) -> None:
    ends = ["--from", str(tmp_path / "a.png"), "--to", str(tmp_path / "b.png")]
    for i, path in enumerate(ends[1::2]):
        Image.new("L", (40, 28), 200 * i).save(path)
    assert "these families can: vae" in refused("interpolate", str(gan), *ends)
    assert "belong together" in refused("interpolate", str(vae), *ends[:2])
    out = tmp_path / "between.png"
    assert typed("interpolate", str(vae), *ends, "--out", str(out))[1] == f"wrote {out}\n"


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

    monkeypatch.setattr(api, "resume", fail)
    got, _, err = typed("resume", "0")
    assert got == code and "this is why" in err and err.count("\n") == 1
    assert ("run with --debug" in err) == (error is OSError)
    assert "Traceback" in typed("resume", "0", "--debug")[2]


def test_interrupt_outside_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(run: str, **_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "resume", interrupt)
    assert typed("resume", "0")[0] == 130


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
    assert "--steps" in general and "zeuxis train dcgan --help" in general and "--textbook" not in general
    assert "--textbook" in own and "--steps" in own and "--r1-every" in own


def in_a_process(*words: str, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[bytes]:
    """Run Python in a process of its own, with this Zeuxis."""
    env = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    return subprocess.run([sys.executable, *words], stdout=stdout, stderr=subprocess.PIPE, env=env, check=False)


def test_help_is_quick_and_light() -> None:
    def seconds() -> float:
        begin = time.monotonic()
        assert in_a_process("-m", "zeuxis", "--help").returncode == 0
        return time.monotonic() - begin

    assert min(seconds() for _ in range(5)) < 0.5
    for words in ("'train', '--help'", "'families'", "'--version'", "'train', 'dcgn'"):
        done = in_a_process(
            "-c", f"import sys; from zeuxis import cli; cli.run([{words}]); print('torch' in sys.modules)"
        )
        assert done.stdout.splitlines()[-1] == b"False", done


def test_a_broken_pipe_is_quiet() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = in_a_process("-m", "zeuxis", "families", stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")
