"""`zeuxis new-family`: what it writes trains, draws, resumes, passes every check, and learns digits."""

from __future__ import annotations

import ast
import importlib
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import zeuxis
from commandline import forget_modules, in_a_process, refused, typed
from zeuxis import api, families
from zeuxis.data import DataSpec
from zeuxis.storage import RunFolder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder, from which modules are imported; they are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    forget_modules(tmp_path)


def test_what_it_writes_is_trained_and_drawn(here: Path) -> None:
    code, said, err = typed("new-family", "my_own_gan.py")
    assert (code, err) == (0, "") and said.startswith("wrote my_own_gan.py: a small GAN, the class MyOwnGan.")
    (train, *draws) = [line.split()[1:] for line in said.splitlines() if line.strip().startswith("zeuxis ")]
    assert train == ["train", "my_own_gan:MyOwnGan", "digits", "--minutes", "1"]
    fast = ["--steps", "4", "--device", "cpu", "--threads", "1", "--kernels", "standard", "--sample-every", "2"]
    assert typed(*train[:3], *fast)[0] == 0
    assert [words[0] for words in draws] == ["sample", "interpolate"]
    for words in draws:
        code, out, err = typed(*words)
        assert code == 0 and Path(out.split()[-1]).is_file(), err
    run = RunFolder.open("runs/00001-MyOwnGan-digits")
    assert run.config["options"]["size"] == 8 and (run.path / "latent-scale").is_dir()
    trust = ["--family", "my_own_gan:MyOwnGan"]
    assert typed("resume", "1", "--steps", "6", *trust)[0] == 0
    assert typed("sample", "1", "--truncation", "0.5", "--out", "typical.png", *trust)[0] == 0
    card = (run.model_path / "README.md").read_text()
    assert "my_own_gan:MyOwnGan" in card and "\nA GAN of two small perceptrons" in card


def test_the_test_that_it_shows_passes(here: Path) -> None:
    _, said, _ = typed("new-family", "my_checked.py")
    shown = textwrap.dedent(said[said.index("    from my_checked") :])
    (here / "test_my_checked.py").write_text(shown)
    importlib.import_module("test_my_checked").test_my_checked()


def test_no_name_of_the_template_is_left(here: Path) -> None:
    assert typed("new-family", "other.py")[0] == 0
    text = (here / "other.py").read_text()
    assert "MyFamily" not in text and "my_family" not in text
    assert "zeuxis train other:Other digits" in text and "class Other(Latent):" in text


def test_it_writes_into_a_folder_and_says_where_to_go(here: Path) -> None:
    (here / "deep").mkdir()
    code, said, _ = typed("new-family", "deep/some_GAN.py")
    assert code == 0 and "    cd deep\n    zeuxis train some_GAN:SomeGAN digits" in said
    assert (here / "deep" / "some_GAN.py").is_file()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("there.py", "there.py is there already"),
        ("3gans.py", "cannot be imported; choose a name of letters"),
        ("my-gan.py", "cannot be imported; choose a name of letters"),
        ("gan.txt", "cannot be imported; choose a name of letters"),
        ("gan", "cannot be imported; choose a name of letters"),
        ("_.py", "cannot be imported; choose a name of letters"),
        ("class.py", "cannot be imported; choose a name of letters"),
        ("none.py", "would be None, which has a meaning already"),
        ("clock.py", "would be Clock, which has a meaning already"),
        ("json.py", "there is a module json already"),
        ("torch.py", "there is a module torch already"),
        ("zeuxis.py", "there is a module zeuxis already"),
        ("absent/mine.py", "absent/mine.py: No such file or directory"),
    ],
)
def test_it_refuses_what_could_not_be_imported_or_is_there(here: Path, name: str, told: str) -> None:
    (here / "there.py").write_text("mine")
    assert told in refused("new-family", name)
    assert [path.name for path in here.iterdir()] == ["there.py"] and (here / "there.py").read_text() == "mine"


def test_it_needs_no_torch(here: Path) -> None:
    code = "import sys; from zeuxis import cli; cli.run(['new-family', 'light.py']); print('torch' in sys.modules)"
    assert in_a_process("-c", code).stdout.splitlines()[-1] == b"False"


def test_every_hook_is_in_the_template() -> None:
    """A hook of `Model` that the template does not show would be found by nobody."""
    template = ast.parse((Path(zeuxis.__file__).parent / "templates" / "gan.py").read_text())
    (family,) = (node for node in template.body if isinstance(node, ast.ClassDef))
    shown = {node.name for node in family.body if isinstance(node, ast.FunctionDef)}
    shown |= {target.id for node in family.body if isinstance(node, ast.Assign) for target in node.targets}  # type: ignore[attr-defined]
    hooks = {"build", "optimizers", "losses", "lr_scale", "schedule_breakpoints", "diagnostics", "decode"}
    assert hooks | {"training_only", "batch_size", "ema_half_life"} <= shown
    methods = {node.name: node for node in family.body if isinstance(node, ast.FunctionDef)}
    assert all(ast.get_docstring(node) for node in methods.values())


@pytest.mark.slow
def test_it_learns_digits(here: Path) -> None:
    """After 6,000 steps (20 seconds) samples are about as far from their nearest digit as digits from each other."""
    assert typed("new-family", "learner.py")[0] == 0
    run = api.train("learner:Learner", "digits", steps=6_000, device="cpu", kernels="standard")
    model = api.load(run, device="cpu", family=families.find("learner:Learner"))
    samples = api.sample(model, 500).tensor.flatten(1)
    real = torch.from_numpy(DataSpec.parse("digits").open(size=8, channels=1).images.copy()).flatten(1) / 127.5 - 1
    among = torch.cdist(real, real).fill_diagonal_(float("inf")).amin(1).mean()
    assert torch.cdist(samples, real).amin(1).mean() < 1.2 * among
    assert samples.std(0).mean() > 0.8 * real.std(0).mean(), "and they are as diverse"
