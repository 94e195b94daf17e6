"""A page without a server carries the model as it is, asks nobody for anything, and holds no text that could run."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from commandline import refused
from release import long_but
from test_export import small
from zeuxis.families import find, names
from zeuxis.mechanisms import Denoising
from zeuxis.model import Latent, option
from zeuxis.samplers import result
from zeuxis.web import carried, networks, ort_web, single_file
from zeuxis.web.served import open_served
from zeuxis.web.single_file import Held

pytestmark = pytest.mark.usefixtures("elsewhere")
LATENT = [name for name in names() if issubclass(find(name), Latent)]
STAND_IN = ort_web.OrtWeb("const ort={};", b"\0asm")


class Parts(HTMLParser):
    """The scripts of a page by id, the addresses that it names, and its policy."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: dict[str, str] = {}
        self.addresses: list[str] = []
        self.policy = ""
        self.inside: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""
        self.inside = (given.get("id") or given.get("type") or "classic") if tag == "script" else None
        if self.inside:
            self.scripts.setdefault(self.inside, "")

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.scripts[self.inside] += data

    def handle_endtag(self, tag: str) -> None:
        self.inside = None

    def held(self, name: str) -> bytes:
        return gzip.decompress(base64.b64decode(self.scripts[f"held-{name}"]))


@pytest.fixture(autouse=True)
def runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runtime of the browser is not what is looked at here."""
    pytest.importorskip("onnxscript")
    monkeypatch.setattr(ort_web, "runtime", lambda folder=None: STAND_IN)


def page_of(model: Latent, folder: Path, **options: Any) -> tuple[Held, Parts]:
    model.save(folder)
    held = carried.carried(open_served(folder, device="cpu"), **options)
    return held, Parts(single_file.single_file(held))


@torch.no_grad()
def wanted(model: Latent, z: Tensor) -> Tensor:
    if isinstance(model, Denoising):
        return result(model.denoising(z, steps=networks.DENOISING_STEPS, sampler=networks.SAMPLER)).clamp(-1, 1)
    return model.decode(z)


@pytest.mark.parametrize("name", long_but("dcgan", "diffusion", "rbm", among=LATENT))
def test_the_file_of_every_family_draws_what_the_model_draws(name: str, tmp_path: Path) -> None:
    model = small(name, size=20, channels=1).eval()
    held, page = page_of(model, tmp_path / "model")
    facts = json.loads(page.scripts["held-info"])
    graphs = {each: page.held(f"graph-{each}") for each in facts["graphs"]}
    z = model.prior(range(100, 108))
    levels = [(images.double() + 1) * 127.5 for images in (networks.run_graphs(model, graphs, z), wanted(model, z))]
    assert (levels[0].round() - levels[1].round()).abs().max() <= 1 and levels[1].std() > 0.1
    # A denoiser's steps add up what its weights are rounded by.
    assert held.networks.precision == "float16" or isinstance(model, Denoising)
    assert facts["models"][0]["latent"]["shape"] == list(open_served(tmp_path / "model", device="cpu").shape)
    assert facts["z"] == list(z.shape[1:])


def test_the_file_asks_nobody_for_anything(tmp_path: Path) -> None:
    _, page = page_of(small("dcgan"), tmp_path / "model")
    assert "connect-src 'none'" in page.policy and "default-src 'none'" in page.policy
    assert [address for address in page.addresses if not address.startswith(("data:", "#"))] == []
    imports = json.loads(page.scripts["importmap"])["imports"]
    assert {"zeuxis/app.js", "zeuxis/start_file.js", "zeuxis/views/explore.js"} <= imports.keys()
    assert all(address.startswith("data:text/javascript;base64,") for address in imports.values())
    assert page.held("wasm") == STAND_IN.wasm and page.held("runtime").decode() == STAND_IN.script
    assert b"onmessage" in page.held("worker")


def test_every_module_that_a_module_imports_is_in_the_file(tmp_path: Path) -> None:
    import re

    _, page = page_of(small("gan"), tmp_path / "model")
    imports = json.loads(page.scripts["importmap"])["imports"]
    texts = [base64.b64decode(address.partition(",")[2]).decode() for address in imports.values()]
    asked = {name for text in texts for name in re.findall(r'^import .*?"([^"]+)";$', text, re.MULTILINE)}
    assert asked and asked <= imports.keys()
    assert imports.keys() - asked == {"zeuxis/start_file.js"}, "and no other module"
    assert not any("uPlot" in text for text in texts)


def test_hidden_units_of_seeds_are_carried_as_bits(tmp_path: Path) -> None:
    model = small("rbm", size=12, channels=1, latent_dim=13)
    _, page = page_of(model, tmp_path / "model")
    table = json.loads(page.scripts["held-info"])["table"]
    assert table == {"shape": [13], "seeds": carried.TABLED, "values": "bits"}
    bits = np.unpackbits(np.frombuffer(page.held("table"), np.uint8), count=13 * carried.TABLED)
    assert torch.equal(torch.from_numpy(bits).view(-1, 13).float()[:40], model.prior(range(40)))


def test_what_is_written_beside_the_model_cannot_run(tmp_path: Path) -> None:
    model = small("gan")
    model.save(tmp_path / "model")
    (tmp_path / "model" / "README.md").write_text("</script><script>alert(1)</script><!-- \u2028 -->")
    page = Parts(single_file.single_file(carried.carried(open_served(tmp_path / "model", device="cpu"))))
    assert json.loads(page.scripts["held-info"])["models"][0]["card"].startswith("</script><script>alert(1)")
    assert "classic" not in page.scripts and "alert" not in page.scripts["module"]


@dataclass(eq=False)
class Steep(Latent):
    """Pictures that a rounding of the weights would change."""

    latent_dim: int = option(8, "dimension")

    def build(self) -> None:
        weight = 1 + torch.arange(self.latent_dim * self.channels * self.size**2).view(self.latent_dim, -1) * 3e-7
        self.weight = torch.nn.Parameter(weight)

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        steep = 1000 * (z @ self.weight - z.sum(1, keepdim=True))
        return torch.tanh(steep).view(-1, self.channels, self.size, self.size)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {}

    def losses(self, batch: Any, clock: Any) -> Any:
        yield from ()


def test_weights_stay_whole_where_halves_would_change_a_picture() -> None:
    kept = networks.networks_of(Steep(size=16, channels=1))
    assert kept.precision == "float32"
    assert networks.networks_of(small("dcgan")).precision == "float16"


def test_a_weight_that_no_half_can_hold_stays_whole() -> None:
    import onnx

    model = small("gan").eval()
    first = next(model.parameters())
    with torch.no_grad():
        first[0, 0] = 1e6
    (step,) = networks.steps_of(model, model.prior([0, 1])).values()
    whole = step.graph(model)
    kinds = {each.name: each.data_type for each in networks.in_float16(whole).graph.initializer if len(each.dims) == 2}
    assert sorted(kinds.values())[0] == onnx.TensorProto.FLOAT and onnx.TensorProto.FLOAT16 in kinds.values()
    kept = {each.name: onnx.numpy_helper.to_array(each) for each in whole.graph.initializer}
    (large,) = [name for name, kind in kinds.items() if kind == onnx.TensorProto.FLOAT]
    assert np.abs(kept[large]).max() > networks.LARGEST_HALF


def test_a_folder_for_a_web_host_holds_the_same(tmp_path: Path) -> None:
    model = small("dcgan")
    model.save(tmp_path / "model")
    held = carried.carried(open_served(tmp_path / "model", device="cpu"))
    size = single_file.write_page(held, tmp_path / "site")
    found = {
        str(each.relative_to(tmp_path / "site")): each for each in (tmp_path / "site").rglob("*") if each.is_file()
    }
    assert size == sum(each.stat().st_size for each in found.values())
    assert {
        "index.html",
        "app.js",
        "style.css",
        "aileron.ttf",
        "held/info.json",
        "held/graph-decoder.gz",
    } <= found.keys()
    assert not any(name.startswith(("vendor", "views/training")) or name == "start.js" for name in found)
    page = Parts(found["index.html"].read_text())
    digest = base64.b64encode(hashlib.sha256(page.scripts["importmap"].encode()).digest()).decode()
    assert f"'sha256-{digest}'" in page.policy and "connect-src 'self'" in page.policy
    assert gzip.decompress(found["held/graph-decoder.gz"].read_bytes()) == held.networks.graphs["decoder"]


@pytest.mark.parametrize(
    "words, reason",
    [
        (["--directions", "smiling"], "--directions belongs to --page"),
        (["--runtime", "."], "--runtime belongs to --page"),
        (["--page", "page.txt"], "expected a name that ends in .html, or a folder"),
        (["--page", "page.html", "--out", "model.onnx"], "ask for one at a time"),
        (["--page", "page.html", "--directions", "smiling"], "use components"),
    ],
)
def test_absurd_options_are_refused_in_one_line(words: list[str], reason: str, tmp_path: Path) -> None:
    small("gan").save(tmp_path / "model")
    assert reason in refused("export", str(tmp_path / "model"), *words)
    assert not (tmp_path / "page.html").exists()


def test_a_family_without_latents_is_refused(tmp_path: Path) -> None:
    find("pix2pix")(size=32, base_channels=4).save(tmp_path / "model")
    assert "pix2pix" in refused("export", str(tmp_path / "model"), "--page", "page.html")
