"""Families of installed distributions: found by entry point, never imported to be listed, trusted by a saved model's name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from commandline import forget_modules, in_a_process, refused, typed
from zeuxis import api, capabilities, families, registry
from zeuxis.errors import UsageError
from zeuxis.model import Encoder
from zeuxis.storage import RunFolder

Install = Callable[..., Path]
GAN = '"""A GAN of mine."""\nfrom zeuxis.families.gan import GAN\n\n\nclass MyGAN(GAN):\n    pass\n'


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a distribution into a folder on the import path, as an installer does; its modules are forgotten afterwards."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def put(name: str, entries: str, modules: dict[str, str], *, place: Path = site, summary: str = "") -> Path:
        info = place / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nSummary: {summary}\n")
        (info / "entry_points.txt").write_text(f"[zeuxis.families]\n{entries}\n")
        for module, text in modules.items():
            file = place / f"{module}.py"
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        registry._scan.cache_clear()
        return info

    yield put
    forget_modules(site)
    registry._scan.cache_clear()


def test_an_installed_family_is_listed_with_its_distribution_and_not_imported(install: Install) -> None:
    install("my-gans", "my_gan = my_gans:MyGAN", {"my_gans": GAN.replace("from", "raise SystemExit\nfrom")})
    install("others", "other = others.deep:Other", {}, summary="What it says of itself.")
    code, out, err = typed("families")
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert (code, err) == (0, "")
    assert list(lines) == families.names() == sorted([*registry.built_in(), "my_gan", "other"])
    assert lines["my_gan"].endswith("A GAN of mine. (from my-gans 1.0)")
    assert lines["other"].endswith("What it says of itself. (from others 1.0)")
    assert "my_gans" not in sys.modules


def test_listing_installed_families_takes_no_torch(install: Install, tmp_path: Path) -> None:
    install("my-gans", "my_gan = my_gans:MyGAN", {"my_gans": GAN})
    code = f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); from zeuxis import cli; cli.run(['families'])"
    said = in_a_process("-c", f"{code}; print('torch' in sys.modules)").stdout.decode()
    assert "from my-gans 1.0" in said and said.splitlines()[-1] == "False"


def test_its_name_serves_as_a_built_in_one_does(install: Install, training: list[dict[str, Any]]) -> None:
    install("my-gans", "my_gan = my_gans:MyGAN", {"my_gans": GAN})
    _, out, _ = typed("train", "my_gan", "--help")
    assert "--layers" in out
    assert typed("train", "--steps", "7", "my_gan", "digits", "--hidden-dim", "8")[0] == 0
    assert training[0]["family"] == "my_gan" and training[0]["options"] == {"hidden_dim": 8}
    assert "did you mean my_gan" in refused("train", "my_gann", "digits")


def test_a_run_and_a_model_of_it_load_without_being_trusted_by_hand(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = install("my-gans", "my_gan = my_gans:MyGAN", {"my_gans": GAN})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    for i, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), np.uint8)):
        Image.fromarray(pixels).save(tmp_path / "images" / f"{i}.png")
    small = ["--size", "8", "--hidden-dim", "8", "--batch-size", "4", "--threads", "1", "--kernels", "standard"]
    assert typed("train", "my_gan", "images", "--steps", "2", *small)[0] == 0
    assert RunFolder.open("runs/00001-my_gan-images").config["family"] == "my_gan"
    assert typed("resume", "1", "--steps", "4")[0] == 0
    assert typed("sample", "1", "--out", "samples.png")[0] == 0
    model = api.load("1", device="cpu")
    assert model.family() == "my_gan" and type(model).__module__ == "my_gans"
    assert torch.equal(api.sample(model, 2).tensor, api.sample(api.load(1, device="cpu", family=type(model)), 2).tensor)
    (info / "entry_points.txt").unlink()  # the distribution is no longer there
    registry._scan.cache_clear()
    assert "no family is called 'my_gan'" in refused("sample", "1", "--out", "samples.png")


def test_a_class_that_is_offered_from_its_package_has_the_name_too(install: Install) -> None:
    install(
        "my-gans",
        "my_gan = my_gans:MyGAN",
        {"my_gans/__init__": "from my_gans.deep import MyGAN\n", "my_gans/deep": GAN},
    )
    model = families.find("my_gan")
    assert model.__module__ == "my_gans.deep" and model.family() == "my_gan"
    assert families.find("my_gans.deep:MyGAN") is model


def test_a_file_cannot_name_code_by_its_address(install: Install, tmp_path: Path) -> None:
    """Not even that of an installed distribution: names of entry points alone are trusted."""
    install("my-gans", "my_gan = my_gans:MyGAN", {"my_gans": GAN})
    families.find("my_gan")(size=8, channels=1, hidden_dim=8).save(tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    config.write_text(config.read_text().replace('"my_gan"', '"my_gans:MyGAN"'))
    with pytest.raises(UsageError, match="--family my_gans:MyGAN"):
        api.load(tmp_path / "model")
    assert api.load(tmp_path / "model", device="cpu", family="my_gans:MyGAN").family() == "my_gan"
    assert api.load(tmp_path / "model", device="cpu", family=families.find("my_gan")).family() == "my_gan"


def test_a_distribution_in_the_current_folder_is_not_installed(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it may have come with data that somebody unpacked there."""
    downloaded = tmp_path / "downloaded"
    downloaded.mkdir()
    install("evil", "evil = evil:Evil", {"evil": "raise SystemExit\n"}, place=downloaded)
    monkeypatch.chdir(downloaded)
    monkeypatch.setattr(sys, "path", ["", str(downloaded), *sys.path])
    assert "evil" not in families.names()
    assert "no family is called 'evil'" in refused("train", "evil", "digits")


def test_names_are_found_where_the_current_folder_is_gone(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("my-gans", "my_gan = my_gans:MyGAN", {"my_gans": GAN})
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    gone.rmdir()
    assert families.find("my_gan").family() == "my_gan"


def test_the_built_in_family_of_a_name_wins_and_a_note_says_so(install: Install) -> None:
    install("my-gans", "gan = my_gans:MyGAN\nmy_gan = my_gans:MyGAN", {"my_gans": GAN})
    assert families.find("gan").__module__ == "zeuxis.families.gan"
    code, out, err = typed("families")
    assert code == 0 and [line.split()[0] for line in out.splitlines()].count("gan") == 1
    assert err == "note: the family gan of my-gans 1.0 is left out: zeuxis has a family of that name itself\n"
    assert families.find("my_gan").family() == "my_gan"


def test_of_two_distributions_with_one_name_the_first_wins(install: Install) -> None:
    install("a-gans", "some = a_gans:MyGAN", {"a_gans": GAN})
    install("b-gans", "some = b_gans:MyGAN\nmy-gan = b_gans:MyGAN", {"b_gans": GAN})
    _, _, err = typed("families")
    first, second = sorted(("a-gans", "b-gans"), key=lambda name: name not in registry.installed()["some"].distribution)
    assert f"note: the family some of {second} 1.0 is left out: {first} 1.0 has one of that name, too\n" in err
    assert "note: the family my-gan of b-gans 1.0 is left out: expected an entry such as" in err
    assert families.find("some").family() == "some"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import not_there_at_all\n", "cannot be imported (ModuleNotFoundError: No module named 'not_there_at_all')"),
        ("def broken(:\n", "cannot be imported (SyntaxError"),
        ("raise KeyError('x')\n", "cannot be imported (KeyError"),
        ("", "cannot be imported (AttributeError"),
        ("MyGAN = 3\n", "is not a zeuxis.Model"),
        (GAN.replace("    pass", "    __hash__ = None"), "@dataclass(eq=False)"),
    ],
)
def test_a_broken_one_is_named_and_the_others_work(install: Install, tmp_path: Path, text: str, told: str) -> None:
    install("my-gans", "my_gan = my_gans:MyGAN", {"my_gans": text})
    said = refused("train", "my_gan", "digits")
    assert told in said and ("my-gans 1.0" in said or "my_gans" in said)
    assert "my_gan " in typed("families")[1]
    code, out, err = typed("families", "--matrix")
    assert code == 0 and "| gan " in out and "| my_gan" not in out and told in err
    families.find("gan")(size=8, channels=1, hidden_dim=8).save(tmp_path / "gan")
    assert typed("sample", str(tmp_path / "gan"), "--out", str(tmp_path / "a.png"))[0] == 0
    with pytest.raises(UsageError, match="these families can: diffusion, rbm, vae"):
        capabilities.encoder(api.load(tmp_path / "gan"))
    assert "my_gan" not in capabilities.matrix() and issubclass(families.find("vae"), Encoder)


@pytest.mark.parametrize("broken", ["METADATA", "entry_points.txt"])
def test_a_distribution_that_cannot_be_read_breaks_nothing(install: Install, broken: str) -> None:
    """In a process of its own, as other readers of entry points (pydantic) may not survive it."""
    info = install("my-gans", "my_gan = my_gans:MyGAN", {"my_gans": GAN})
    (info / broken).write_bytes(b"\xff\xfe\x00[zeuxis.families\n = \n")
    code = f"import sys; sys.path.insert(0, {str(info.parent)!r}); from zeuxis import cli; cli.run(['families'])"
    done = in_a_process("-c", code)
    said, noted = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == 0 and "dcgan" in said
    assert ("my_gan " in said) == (broken == "METADATA")
    assert ("note: the entry points of my-gans 1.0 cannot be read" in noted) == (broken != "METADATA")
