"""`--compile`: which networks belong to which player, what is compiled, and why the rest is not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from zeuxis import families
from zeuxis.model import Clock, Model
from zeuxis.testing.case import NoiseImages
from zeuxis.training import compiling
from zeuxis.training.compiling import compile_players, networks_by_player
from zeuxis.training.engine import State, train_step


@pytest.fixture(autouse=True)
def _without_code(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Traced and differentiated as always, but run by torch's own kernels: nothing is built with a compiler."""
    monkeypatch.setattr(compiling, "BACKEND", "aot_eager")
    yield
    torch._dynamo.reset()


def small(name: str, **options: object) -> Model:
    return families.find(name)(size=8, channels=1, **{"base_channels": 4, **options})


NETWORKS = {
    "dcgan": {"discriminator": ["discriminator"], "generator": ["generator"]},
    "cyclegan": {
        "generators": ["generators.image", "generators.source"],
        "discriminators": ["discriminators.image", "discriminators.source"],
    },
    "stylegan2": {"discriminator": ["discriminator"], "generator": ["mapping_network", "synthesis"]},
    "diffusion": {"denoiser": ["network"]},
    "vae": {"vae": ["encoder", "decoder"]},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_belong_to_their_player(name: str) -> None:
    assert networks_by_player(small(name)) == NETWORKS[name]


def test_a_player_with_a_penalty_is_not_compiled_and_why_is_said() -> None:
    model, told = small("dcgan", r1_gamma=1.0), list[str]()
    state = State.start(model)
    names = set(model.state_dict())
    batch = NoiseImages(model).batch(0, 4)
    torch.manual_seed(3)
    done = compile_players(model, batch, clocks=[Clock()], tell=told.append)
    drawn = torch.rand(())
    assert done == ["generator"]
    (line,) = told
    assert line.startswith("--compile: discriminator is not compiled: ") and "double backward" in line
    assert set(model.state_dict()) == names
    assert model.get_submodule("generator")._compiled_call_impl is not None
    assert model.get_submodule("discriminator")._compiled_call_impl is None
    assert state.average.get_submodule("generator")._compiled_call_impl is None
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(()))  # the trial took no random numbers
    report = train_step(model, state.optimizers, batch, Clock())
    assert all(value.isfinite() for value in report.values())


def test_a_player_without_a_network_is_named() -> None:
    model = families.find("rbm")(size=8, channels=1, latent_dim=4)
    told: list[str] = []
    batch = NoiseImages(model).batch(0, 4)
    assert compile_players(model, batch, clocks=[Clock()], tell=told.append) == []
    assert told == ["--compile: rbm is not compiled: it has parameters, but no network"]
