"""Models prepared to draw: the same pictures within a level of 255, never those of other weights, and nothing saved anew."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zeuxis
from toys import Sound
from zeuxis import families, inference
from zeuxis.errors import UsageError
from zeuxis.explore.spaces import StyleSpace, decode_latents, drawn_by
from zeuxis.inference import prepared
from zeuxis.io.images import to_uint8
from zeuxis.model import Latent
from zeuxis.nets.conv import ResizeConv2d
from zeuxis.nets.folding import fold_norms, foldable
from zeuxis.runtime import device
from zeuxis.storage import models

SMALL: dict[str, dict[str, Any]] = {
    "dcgan": {"base_channels": 8},
    "dcgan, transposed": {"base_channels": 8, "upsampling": "transposed"},
    "dcgan, odd size": {"base_channels": 8, "size": 25, "channels": 1},
    "gan": {"hidden_dim": 32},
    "wgan": {"base_channels": 8},
    "wgan_gp": {"base_channels": 8},
    "vae": {"base_channels": 8},
}


def trained(name: str = "dcgan", **more: Any) -> Latent:
    """A small model whose norms have seen images, as a loaded one is."""
    torch.manual_seed(0)
    model = families.find(name.partition(",")[0])(**{"size": 32, **SMALL.get(name, {}), **more})
    assert isinstance(model, Latent)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):  # to pictures of strong contrast
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0.0, 0.3)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2.0)  # type: ignore[arg-type]
            nn.init.normal_(module.weight, 1.0, 0.2)
            nn.init.normal_(module.bias, 0.0, 0.2)
    model.drop_training_only()
    return model.eval().requires_grad_(False)


LAYERS: dict[str, list[nn.Module]] = {
    "convolution": [nn.Conv2d(3, 5, 3, 2, 1, bias=False), nn.BatchNorm2d(5), nn.ReLU()],
    "transposed": [nn.ConvTranspose2d(3, 5, 4, 2, 1), nn.BatchNorm2d(5)],
    "neighbours": [ResizeConv2d(3, 5), nn.BatchNorm2d(5), nn.ReLU(), ResizeConv2d(5, 2, output_padding=1, bias=False)],
    "norm first": [nn.BatchNorm2d(3), nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5, eps=0.1)],
    "linear": [nn.Flatten(), nn.Linear(192, 7), nn.BatchNorm1d(7), nn.Linear(7, 2, bias=False)],
}


@pytest.mark.parametrize("what", LAYERS)
def test_folded_layers_compute_the_same(what: str) -> None:
    torch.manual_seed(1)
    network, x = nn.Sequential(*LAYERS[what]), torch.randn(4, 3, 8, 8)
    network.train()
    for _ in range(3):
        network(torch.randn(16, 3, 8, 8) * 2 + 1)
    network.eval().requires_grad_(False)
    wanted = network(x)
    assert foldable(network) and fold_norms(network)
    assert not any(isinstance(each, ResizeConv2d) for each in network)
    assert torch.allclose(network(x), wanted, atol=1e-5)
    norms = sum(isinstance(each, nn.BatchNorm1d | nn.BatchNorm2d) for each in network)
    assert norms == (what == "norm first"), "a norm with no layer before it stays"


def test_layers_that_cannot_be_folded_stay() -> None:
    class Own(nn.Sequential):
        pass

    grouped = [nn.ConvTranspose2d(4, 4, 4, 2, 1, groups=2), nn.BatchNorm2d(4)]
    plain = [
        nn.Conv2d(4, 4, 1),
        nn.BatchNorm2d(4, affine=False),
        nn.Conv2d(4, 4, 1),
        nn.BatchNorm2d(4, track_running_stats=False),
    ]
    for network in (nn.Sequential(*grouped), nn.Sequential(*plain), Own(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))):
        assert not fold_norms(network.eval())
    training = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
    assert not fold_norms(training), "in training its statistics are those of the batch"


@pytest.mark.parametrize("name", SMALL)
def test_no_picture_changes_by_more_than_a_level(name: str) -> None:
    model = trained(name)
    z = model.prior(range(32))
    assert drawn_by(model) is not model
    apart = to_uint8(decode_latents(model, z)).astype(int) - to_uint8(model.decode(z)).astype(int)
    assert abs(apart).max() <= 1 and model.decode(z).std() > 0.2


def test_a_copy_is_made_once_and_again_when_the_model_is_another() -> None:
    model = trained()
    z = model.prior([0, 1])
    first = prepared(model)
    assert first is not model and prepared(model) is first
    before = decode_latents(model, z)
    with torch.no_grad():
        next(model.parameters()).mul_(1.5)
    assert prepared(model) is not first
    assert torch.allclose(decode_latents(model, z), model.decode(z), atol=inference.LEVEL)
    assert (decode_latents(model, z) - before).abs().max() > inference.LEVEL


def test_a_model_that_learns_draws_as_it_is() -> None:
    assert prepared(model := trained().train()) is model
    assert prepared(model := trained().requires_grad_(True)) is model
    stylegan = families.find("stylegan2")(size=16, base_channels=4).eval().requires_grad_(False)
    assert prepared(stylegan) is stylegan, "there is nothing to fold"  # type: ignore[arg-type]


@dataclass(eq=False)
class Between(Sound):
    """A family that looks between a layer and its norm."""

    def build(self) -> None:
        super().build()
        self.body = nn.Sequential(nn.Conv2d(self.channels, self.channels, 1), nn.BatchNorm2d(self.channels))

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        image = self.body[0](super().decode(z))
        return torch.tanh(image + 3 * self.body[1](image))


def test_a_family_that_does_with_its_layers_what_nobody_foresees_draws_as_it_is() -> None:
    torch.manual_seed(0)
    model = Between(size=8).eval().requires_grad_(False)
    nn.init.constant_(model.body[1].running_mean, 0.7)  # type: ignore[arg-type]
    assert foldable(model) and prepared(model) is model


def test_saving_a_model_that_has_drawn_writes_its_own_weights(tmp_path: Path) -> None:
    model = trained()
    decode_latents(model, model.prior([0]))
    model.save(tmp_path)
    weights = models.read_model_folder(tmp_path)[1]
    assert weights.keys() == model.state_dict().keys()
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    trained().save(tmp_path / "model")
    return tmp_path / "model"


def test_bfloat16_draws_only_when_asked_for(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_cpu_has_bf16", lambda: True)
    plain, asked = zeuxis.load(saved, device="cpu"), zeuxis.load(saved, device="cpu", precision="bf16")
    formats = list[torch.dtype]()
    for model in (prepared(plain), prepared(asked)):  # type: ignore[arg-type]
        convolution = next(each for each in model.modules() if isinstance(each, nn.ConvTranspose2d))
        convolution.register_forward_hook(lambda layer, given, made: formats.append(made.dtype))
    pictures = [zeuxis.sample(model, 4).tensor for model in (plain, asked)]
    assert formats == [torch.float32, torch.bfloat16]
    assert pictures[1].dtype == torch.float32 and 0 < (pictures[0] - pictures[1]).abs().max() < 0.2
    assert torch.equal(asked.decode(asked.prior(range(4))), plain.decode(plain.prior(range(4)))), (
        "the model is as it was"
    )  # type: ignore[attr-defined]


def test_bfloat16_is_refused_without_instructions_for_it(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_cpu_has_bf16", lambda: False)
    with pytest.raises(UsageError, match="no instructions for it"):
        zeuxis.load(saved, device="cpu", precision="bf16")


def test_styles_and_translations_are_in_bfloat16_too() -> None:
    stylegan = families.find("stylegan2")(size=16, base_channels=4).eval().requires_grad_(False)
    stylegan.inference_precision = "bf16"
    space = StyleSpace(stylegan)  # type: ignore[arg-type]
    w = space.prior([0, 1])
    assert 0 < (decode_latents(space, w) - space.decode(w)).abs().max() < 0.3
    pix2pix = families.find("pix2pix")(size=32, base_channels=4, dropout=0.0).eval().requires_grad_(False)
    source = torch.rand(1, 3, 32, 32) * 2 - 1
    before = pix2pix.translate(source)  # type: ignore[attr-defined]
    inference.in_bf16(pix2pix)
    after = pix2pix.translate(source)  # type: ignore[attr-defined]
    assert after.dtype == torch.float32 and 0 < (after - before).abs().max() < 0.3
