"""What `zeuxis export` writes draws what the model draws, says what it is, and says why where it cannot be written."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from commandline import refused, typed
from zeuxis import api, families, onnx
from zeuxis.cli import from_export
from zeuxis.errors import UsageError
from zeuxis.model import Batch, Clock, Latent, Model, options_of

pytestmark = pytest.mark.usefixtures("elsewhere")
SEEDS = range(100, 164)
LATENT = [name for name in families.names() if issubclass(families.find(name), Latent)]


@pytest.fixture
def runtime() -> Any:
    """onnxruntime, where the extra is installed."""
    pytest.importorskip("onnxscript")
    return pytest.importorskip("onnxruntime")


def small(name: str, **changes: Any) -> Latent:
    """A small model of the family."""
    family = families.find(name)
    wanted = {"size": 16, "base_channels": 8, "latent_dim": 6, "num_inference_steps": 2, **changes}
    torch.manual_seed(0)
    model = family(**{key: value for key, value in wanted.items() if key in {f.name for f in options_of(family)}})
    far_from_its_start(model)
    assert isinstance(model, Latent)
    return model


def far_from_its_start(model: Model) -> None:
    """Weights at which seeds give other images, and batch norms that cannot be folded away for free."""
    for weight in model.parameters():
        if weight.ndim > 1 and weight.std() < 0.1:
            torch.nn.init.kaiming_normal_(weight)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -1, 1)  # type: ignore[arg-type]
            torch.nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]


def drawn(runtime: Any, path: Path, z: Tensor) -> np.ndarray[Any, Any]:
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    image: np.ndarray[Any, Any] = session.run(["image"], {"z": z.numpy()})[0]
    return image


@pytest.mark.long
@pytest.mark.parametrize("name", LATENT)
def test_every_family_draws_the_same_as_a_file(name: str, tmp_path: Path, runtime: Any) -> None:
    model, path = small(name, size=20, channels=1), tmp_path / "new" / "model.onnx"
    model.save(tmp_path / "model")
    code, said, err = typed("export", str(tmp_path / "model"), "--out", str(path))
    assert (code, err) == (0, "") and said.startswith(f"wrote {path}: ")
    z = model.prior(SEEDS)
    wanted = api.sample(api.load(tmp_path / "model", device="cpu"), seeds=SEEDS).tensor.numpy()
    for part in (slice(0, 64), slice(3, 4), slice(5, 12)):
        image = drawn(runtime, path, z[part])
        assert image.shape == (part.stop - part.start, 1, 20, 20) and image.dtype == np.float32
        assert np.abs(image - wanted[part]).max() <= 1e-4
    assert wanted.std(0).max() > 0.05, "images that are all alike would prove nothing"
    (tmp_path / "model" / "model.onnx").write_bytes(path.read_bytes())
    sheets = tmp_path / "quick.png", tmp_path / "slow.png"
    words = ["sample", str(tmp_path / "model"), "-n", "3", "--out"]
    quick = from_export.drawn_from_export([*words, str(sheets[0])])
    assert quick is (name != "rbm"), "its latents are the ends of chains"
    if quick:
        assert typed(*words, str(sheets[1]), "--device", "cpu")[0] == 0
        one, other = (np.asarray(Image.open(sheet)).astype(int) for sheet in sheets)
        assert np.abs(one - other).max() <= 1


def test_the_file_says_what_it_is_and_not_where_it_was_made(tmp_path: Path, runtime: Any) -> None:
    model = small("dcgan", size=32)
    written = onnx.export_onnx(model, tmp_path / "model.onnx", card="# faces\n\nMay be used freely.")
    assert written.path == tmp_path / "model.onnx" and written.size == written.path.stat().st_size
    assert model.training, "the model given is left as it was"
    about = runtime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    facts = about.get_modelmeta()
    assert facts.producer_name == "zeuxis" and facts.custom_metadata_map["family"] == "dcgan"
    assert json.loads(facts.custom_metadata_map["options"]) == model.options
    assert "image (n 3 32 32)" in facts.description and facts.description.endswith("May be used freely.")
    (given,), (made,) = about.get_inputs(), about.get_outputs()
    assert (given.name, given.shape, made.name, made.shape) == ("z", ["n", 6], "image", ["n", 3, 32, 32])
    content = (tmp_path / "model.onnx").read_bytes()
    for secret in (str(Path(onnx.__file__).parent), str(Path.home()), str(tmp_path)):
        assert os.fsencode(secret) not in content
    opsets = {
        each.domain: each.version for each in pytest.importorskip("onnx").load(tmp_path / "model.onnx").opset_import
    }
    assert opsets[""] == onnx.OPSET


def test_a_run_gets_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: Any) -> None:
    run = tmp_path / "runs" / "00003-gan-digits"
    small("gan", channels=1).save(run / "model")
    (run / "config.yaml").write_text("family: gan\ndata: digits\n")
    (run / "model" / "README.md").write_text("# gan on digits\n")
    monkeypatch.chdir(tmp_path)
    code, out, err = typed("export", "3")
    assert (code, err) == (0, "")
    path = Path("runs/00003-gan-digits/model.onnx")
    assert out.startswith(f"wrote {path}: ") and "of the model" in out
    wanted = api.sample(api.load("3"), seeds=[7]).tensor.numpy()
    assert np.abs(drawn(runtime, path, small("gan", channels=1).prior([7])) - wanted).max() <= 1e-4
    assert typed("export", str(run / "model"), "--out", "a/b.onnx")[0] == 0 and Path("a/b.onnx").is_file()


def test_a_difference_is_found_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: Any
) -> None:
    monkeypatch.setattr(onnx, "CLOSE", 1e-12)
    with pytest.raises(UsageError, match="nothing was written"):
        onnx.export_onnx(small("vae"), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@dataclass(eq=False)
class Doubtful(Latent):
    """A family whose images take a turn that depends on their own values, which ONNX cannot follow."""

    def build(self) -> None:
        self.line = torch.nn.Linear(self.latent_dim, self.channels * self.size**2)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"line": torch.optim.SGD(self.parameters(), 0.1)}

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Any]:
        yield "line", {"loss": self.line(batch.image.flatten(1)[:, : self.latent_dim]).mean()}

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        image = self.line(z).unflatten(1, (self.channels, self.size, self.size))
        return torch.tanh(image if z.sum().item() > 0 else -image)


def test_what_cannot_be_written_is_said_on_one_line(tmp_path: Path, runtime: Any) -> None:
    with pytest.raises(UsageError, match="Doubtful cannot be written as ONNX") as caught:
        onnx.export_onnx(Doubtful(size=8, latent_dim=4), tmp_path / "model.onnx")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", onnx.PACKAGES)
def test_a_missing_package_is_named(missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in onnx.PACKAGES:  # in the order in which they are asked for: those before it are there
        monkeypatch.setitem(sys.modules, name, None if name == missing else sys)
    small("gan").save(tmp_path / "model")
    said = refused("export", str(tmp_path / "model"), "--out", str(tmp_path / "model.onnx"))
    assert f"export needs the package {missing}" in said and "pip install 'zeuxis[export]'" in said


def test_only_onnx_files(tmp_path: Path) -> None:
    assert "expected a .onnx file" in refused("export", str(tmp_path), "--out", "model.pt")
    assert "no run" in refused("export", "77")
