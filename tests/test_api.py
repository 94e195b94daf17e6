"""The functions that a notebook calls: load and its refusals, samples, interpolation, arithmetic by hand, public names."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import zeuxis
from commandline import in_a_process
from release import RELEASE
from zeuxis import api, families, loading
from zeuxis.capabilities import latent
from zeuxis.errors import UsageError
from zeuxis.inference import LEVEL
from zeuxis.model import Latent


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model."""
    folder = tmp_path_factory.mktemp("vae") / "model"
    torch.manual_seed(1)
    families.find("vae")(size=28, channels=1).save(folder)
    return folder


@pytest.fixture
def broken(saved: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(saved, tmp_path / "model"))


def test_public_names() -> None:
    for name in zeuxis.__all__:
        assert getattr(zeuxis, name) is not None
        assert name in dir(zeuxis)
    assert zeuxis.__all__ == api.__all__ == sorted(api.__all__)
    assert all(getattr(zeuxis, name) is getattr(api, name) for name in api.__all__)
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        zeuxis.lode  # noqa: B018


def test_public_names_are_imported_when_they_are_used() -> None:
    """None at `import zeuxis`, which needs no torch; a family of one's own needs the model alone."""
    code = """if True:
        import sys, zeuxis
        heavy = ("torch", "numpy", "PIL", "zeuxis.api")
        print([name for name in heavy if name in sys.modules], zeuxis.UsageError.exit_code)
        from zeuxis import Batch, Clock, Latent, option
        print([name for name in heavy if name in sys.modules and name == "zeuxis.api"])
        from zeuxis import families, Images
        print(families.names()[0], Images.__name__, zeuxis.families is families)
    """
    done = in_a_process("-c", code)
    assert done.stdout.decode().splitlines() == ["[] 2", "[]", "cyclegan Images True"], done.stderr.decode()


def test_loaded_model_gives_the_same_samples(saved: Path) -> None:
    torch.manual_seed(1)
    first = families.find("vae")(size=28, channels=1).eval()
    model = zeuxis.load(saved, device="cpu")
    assert isinstance(model, Latent) and not model.training
    assert not any(weight.requires_grad for weight in model.parameters())
    assert all(torch.equal(value, first.state_dict()[name]) for name, value in model.state_dict().items())
    assert torch.equal(model.sample(3, seed=5), first.sample(3, seed=5))  # type: ignore[operator]
    apart = zeuxis.sample(model, 3, seed=5).tensor - first.sample(3, seed=5)  # type: ignore[operator]
    assert apart.abs().max() < LEVEL / 100  # batch norms are folded


def test_loading_imports_no_compiler(tmp_path: Path) -> None:
    """Checking the options of a model, without memory for it, once took longer than all that `sample` needs."""
    families.find("dcgan")(size=16, base_channels=8).save(tmp_path / "model")
    code = """if True:
        import pathlib, sys, zeuxis
        from zeuxis import loading, registry
        zeuxis.sample(zeuxis.load(sys.argv[1], device="cpu"), 1)
        for name in registry.built_in():
            loading.build_unfilled(zeuxis.families.find(name), {"size": 32}, pathlib.Path("config.json"))
        print([name for name in ("torch._dynamo", "sympy", "onnx", "onnxruntime") if name in sys.modules])
    """
    done = in_a_process("-c", code, str(tmp_path / "model"))
    assert done.stdout.decode().strip() == "[]", done.stderr.decode()


def test_a_sample_depends_on_its_seed_alone(saved: Path) -> None:
    model = zeuxis.load(saved)
    many = zeuxis.sample(model, 70)
    some = zeuxis.sample(model, seeds=[69, 3])
    torch.testing.assert_close(some.tensor, many[[69, 3]].tensor, rtol=0, atol=1e-5)


def test_interpolation_of_encoded_images(saved: Path) -> None:
    model = zeuxis.load(saved)
    one, other = torch.rand(2, 1, 28, 28) * 2 - 1, torch.rand(2, 1, 28, 28) * 2 - 1
    ends = (api.encode(model, one), api.encode(model, other))
    images = zeuxis.interpolate(model, columns=5, ends=ends, path="linear").tensor
    assert images.shape == (2, 5, 1, 28, 28)
    torch.testing.assert_close(images[:, 0], api.decode(model, api.encode(model, one)).tensor)
    torch.testing.assert_close(images[:, 4], api.decode(model, api.encode(model, other)).tensor)


def test_a_walk_ends_where_it_began(saved: Path) -> None:
    model = zeuxis.load(saved)
    frames = api.walk(model, frames=9, seeds=[4, 8, 15]).tensor
    assert frames.shape == (9, 1, 28, 28)
    torch.testing.assert_close(frames[0], zeuxis.sample(model, seeds=[4]).tensor[0])
    torch.testing.assert_close(frames[3], zeuxis.sample(model, seeds=[8]).tensor[0])


def test_arithmetic_by_hand(saved: Path) -> None:
    model = zeuxis.load(saved)
    terms = [(1.0, [1, 2]), (-1.0, [3]), (0.5, [4, 5, 6])]
    equation = zeuxis.arithmetic(model, terms)
    prior = latent(model).prior
    expected = prior([1, 2]).mean(0) - prior([3]).mean(0) + 0.5 * prior([4, 5, 6]).mean(0)
    torch.testing.assert_close(equation.outcome.result, expected)
    torch.testing.assert_close(equation.pictures.neighbourhood[4], api.decode(model, expected[None]).tensor[0])
    assert equation.score is None and equation.pil().width > 300
    with pytest.raises(UsageError, match="no target"):
        zeuxis.arithmetic(model, terms, triples=10)


@pytest.mark.parametrize("seeds", [[], [1], [1, 2, 3]])
def test_ends_come_in_pairs(saved: Path, seeds: list[int]) -> None:
    with pytest.raises(UsageError, match="two for each row"):
        zeuxis.interpolate(zeuxis.load(saved), seeds=seeds)


def test_missing_models(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no run"):
        zeuxis.load(tmp_path / "nothing")
    with pytest.raises(UsageError, match="neither a run's folder"):
        zeuxis.load(tmp_path)


def _rewrite(folder: Path, change: dict[str, Any]) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["options"].update(change.pop("options", {}))
    (folder / "config.json").write_text(json.dumps({**config, **change}))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"family": "vea"}, "did you mean vae"),
        ({"family": "os:system"}, "if you trust it"),
        ({"family": "../evil"}, "family"),
        ({"family": 3}, "family"),
        ({"options": {"size": 32}}, "weight"),
        ({"options": {"latent_dim": 65536}}, "weight"),
        ({"options": {"size": "28"}}, "--size"),
        ({"options": {"unknown": 1}}, "unknown"),
        ({"options": {"channels": 10**9}}, "--channels"),
    ],
)
def test_a_config_that_does_not_fit(broken: Path, change: dict[str, Any], told: str) -> None:
    _rewrite(broken, change)
    with pytest.raises(UsageError, match=told) as caught:
        zeuxis.load(broken)
    assert "\n" not in str(caught.value)


def test_code_from_outside_runs_only_when_named(broken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "canary_module.py").write_text("raise SystemExit('it ran')")
    monkeypatch.syspath_prepend(tmp_path)
    _rewrite(broken, {"family": "canary_module:Model"})
    with pytest.raises(UsageError, match="--family canary_module:Model"):
        zeuxis.load(broken)
    with pytest.raises(UsageError, match="--family canary_module:Model"):
        zeuxis.load(broken, family="other:Model")
    with pytest.raises(SystemExit, match="it ran"):
        zeuxis.load(broken, family="canary_module:Model")


def test_a_pickle_in_disguise_is_refused(broken: Path, tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, broken / "model.safetensors")
    with pytest.raises(UsageError, match="pickle"):
        zeuxis.load(broken)


OPTIONS = st.sampled_from(["size", "channels", "latent_dim", "beta", "lr", "base_channels"])
VALUES = st.one_of(
    st.none(), st.booleans(), st.text(max_size=5), st.integers(-(10**30), 10**30), st.floats(), st.just([1])
)


@settings(
    max_examples=1500 if RELEASE else 150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(name=OPTIONS, value=VALUES)
def test_options_of_any_kind_are_refused_or_taken(saved: Path, tmp_path: Path, name: str, value: Any) -> None:
    folder = tmp_path / "model"
    shutil.copytree(saved, folder, dirs_exist_ok=True)
    try:
        _rewrite(folder, {"options": {name: value}})
        loading.load_model(folder)
    except UsageError as error:
        assert "\n" not in str(error)
