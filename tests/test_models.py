"""A model's name: a run, a folder, an installed model, in this order; and weights in float16."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import zeuxis
from commandline import refused, typed
from zeuxis import families, loading, registry
from zeuxis.errors import UsageError
from zeuxis.io import images
from zeuxis.loading import installed
from zeuxis.model import Latent, Model, Translator

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a distribution with models into a folder on the import path, and nothing else is installed."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.setattr(registry, "search_path", lambda: (str(site),))
    installed._models_in.cache_clear()

    def put(name: str, entries: str, *folders: str, version: str = "1.0") -> Path:
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[zeuxis.models]\n{entries}\n")
        package = site / name.replace("-", "_")
        package.mkdir(exist_ok=True)
        (package / "__init__.py").write_text("raise SystemExit('models are data: nothing of their package is run')\n")
        for seed, folder in enumerate(folders):
            small(seed).save(package / folder)
        installed._models_in.cache_clear()
        return package

    monkeypatch.chdir(tmp_path)
    yield put
    installed._models_in.cache_clear()


def small(seed: int = 0) -> Latent:
    torch.manual_seed(seed)
    model = families.find("gan")(size=8, channels=1, hidden_dim=8)
    assert isinstance(model, Latent)
    return model


# What a name means


def test_an_installed_model_is_found_by_name_and_its_package_not_imported(install: Install) -> None:
    package = install("my-models", "mine = my_models\nanother = my_models", "mine", "another")
    assert loading.find_model("mine") == package / "mine"
    assert torch.equal(
        zeuxis.load("mine", device="cpu").sample(2), zeuxis.load(package / "mine", device="cpu").sample(2)
    )
    assert "my_models" not in sys.modules
    assert [model.name for model in zeuxis.available_models()] == ["another", "mine"]
    code, out, _ = typed("sample", "mine", "--out", "a.png")
    assert (code, out) == (0, "wrote a.png\n")


def test_a_run_or_a_folder_of_that_name_wins(install: Install, tmp_path: Path) -> None:
    package = install("my-models", "mine = my_models", "mine")
    small(seed=5).save("mine")
    assert loading.find_model("mine") == Path("mine")
    assert loading.find_model("zeuxis:mine") == package / "mine"
    assert loading.find_model(Path("mine")) == Path("mine")
    Path("mine").rename("other")
    run = tmp_path / "runs" / "00001-mine"
    small(seed=6).save(run / "model")
    (run / "config.yaml").write_text("family: gan\n")
    assert loading.find_model("mine") == Path("runs/00001-mine/model")
    assert loading.find_model("zeuxis:mine") == package / "mine"


def test_a_path_is_never_the_name_of_an_installed_model(install: Install) -> None:
    install("my-models", "mine = my_models", "mine")
    for path in (Path("mine"), "./mine"):
        with pytest.raises(UsageError, match="there is no run"):
            loading.find_model(path)


def test_pictures_in_a_folder_of_that_name_are_no_model_and_the_error_says_what_is(install: Install) -> None:
    install("my-models", "mine = my_models", "mine")
    Path("mine").mkdir()
    assert (
        "neither a run's folder" in (said := refused("sample", "mine")) and "the installed model is zeuxis:mine" in said
    )
    assert typed("sample", "zeuxis:mine", "--out", "a.png")[0] == 0


def test_an_unknown_name_lists_what_is_installed(install: Install) -> None:
    assert "there are no runs in runs/; models to begin with: pip install zeuxis-models" in refused("sample", "faces")
    assert typed("models") == (0, "", "no models are installed; install some with: pip install zeuxis-models\n")
    install("my-models", "mine = my_models", "mine")
    assert "there is no run 'faces'; there are no runs in runs/; installed models: mine" in refused("sample", "faces")
    assert "no model 'zeuxis:faces' is installed; installed models: mine" in refused("sample", "zeuxis:faces")
    assert json.loads(typed("models", "--json")[1])[0]["name"] == "mine"


def test_a_broken_package_breaks_no_other(install: Install, tmp_path: Path) -> None:
    install("my-models", "mine = my_models", "mine")
    install("empty-models", "empty = empty_models\ngone = no_such_package\n../out = empty_models")
    other = install("broken-models", "broken = broken_models", "broken")
    (other / "broken" / "config.json").write_text("{")
    (tmp_path / "site" / "unreadable-1.0.dist-info").mkdir()
    (tmp_path / "site" / "unreadable-1.0.dist-info" / "entry_points.txt").write_bytes(b"\xff\xfe[zeuxis.models\n=\n")
    installed._models_in.cache_clear()
    assert [model.name for model in zeuxis.available_models()] == ["mine"]
    assert "is not valid JSON" in refused("sample", "broken")
    assert "installed models: broken, mine" in refused("sample", "empty")


def test_two_packages_with_one_name_give_one_model(install: Install) -> None:
    install("a-models", "mine = a_models", "mine")
    install("b-models", "mine = b_models", "mine")
    assert len(zeuxis.available_models()) == 1 and typed("sample", "mine", "--out", "a.png")[0] == 0


# Float16


@pytest.mark.parametrize(
    "family", ["cyclegan", "dcgan", "diffusion", "gan", "pix2pix", "progan", "rbm", "stylegan2", "vae"]
)
def test_float16_changes_no_picture_by_more_than_a_level(family: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    kind = families.find(family)
    options = {"size": 16, "channels": 1}
    options |= {"sample_steps": 2} if family == "rbm" else {}
    model = lively(kind(**options).drop_training_only().eval().requires_grad_(False))
    model.save(tmp_path / "half", precision="fp16")
    model.save(tmp_path / "whole")
    loaded = zeuxis.load(tmp_path / "half", device="cpu")
    assert {value.dtype for value in loaded.parameters()} == {torch.float32}
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("half", "whole")]
    assert sizes[0] < 0.6 * sizes[1]
    there, here = (images.to_uint8(drawn(each)).astype(int) for each in (model, loaded))
    assert abs(there - here).max() <= 1


def lively(model: Model) -> Model:
    """The model with weights so large that its pictures have something in them, as those of a trained one have."""
    for _ in range(40):
        if drawn(model).std() > 0.1:
            return model
        for value in model.parameters():
            value.mul_(1.2)
    raise AssertionError("its pictures stay grey")


def drawn(model: Model) -> torch.Tensor:
    """Pictures of the same latents, or sources."""
    generator = torch.Generator().manual_seed(1)
    if isinstance(model, Translator):
        return model.translate(torch.rand(8, model.source_channels, 16, 16, generator=generator) * 2 - 1)
    assert isinstance(model, Latent)
    if model.family() == "rbm":
        return model.decode(torch.rand(8, model.latent_dim, generator=generator))
    return model.decode(model.prior(range(8)))


def test_what_float16_cannot_hold_is_refused(tmp_path: Path) -> None:
    model = small()
    with torch.no_grad():
        next(value for value in model.parameters() if value.ndim > 1).view(-1)[0] = 1e6
    with pytest.raises(UsageError, match="beyond float16"):
        model.save(tmp_path / "model", precision="fp16")
    assert not (tmp_path / "model").exists()
