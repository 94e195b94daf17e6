"""The atlas: every place of the plane is a seed or a mixture of four, and each seed lies at one place."""

from __future__ import annotations

import pytest
import torch

from zeuxis.explore import StyleSpace, atlas_latents, corners_at, place_of, seed_at
from zeuxis.families import find
from zeuxis.mixtures import mix_latents
from zeuxis.model import Latent, Model, StyleBased

SMALL = {"size": 8, "channels": 1}


def small(family: str, **options: int) -> Model:
    torch.manual_seed(0)
    return find(family)(**SMALL, **options).eval().requires_grad_(False)


def test_each_place_has_one_seed_and_each_seed_one_place() -> None:
    places = [(x, y) for x in range(-20, 21) for y in range(-20, 21)]
    seeds = [seed_at(x, y) for x, y in places]
    assert sorted(seeds) == list(range(1681))
    assert [place_of(seed) for seed in seeds] == places


def test_seeds_lie_in_rings_around_the_first() -> None:
    rings = [max(map(abs, place_of(seed))) for seed in range(1000)]
    assert rings == sorted(rings) and rings[-1] == 16


@pytest.mark.parametrize("seed", [2**31, 2**53 + 1, 2**62 + 12345, 3_037_000_500**2 - 1])
def test_large_seeds_have_their_own_place(seed: int) -> None:
    """Beyond 2^53, where square roots as floats are wrong."""
    assert seed_at(*place_of(seed)) == seed
    assert place_of(seed) != place_of(seed + 1)


def test_corners_are_the_seeds_around_a_place() -> None:
    assert corners_at(0.0, 0.0)[0] == (0, 1.0)
    around = dict(corners_at(0.25, -0.5))
    assert around == {seed_at(0, -1): 0.375, seed_at(1, -1): 0.125, seed_at(0, 0): 0.375, seed_at(1, 0): 0.125}


@pytest.mark.parametrize("family", ["vae", "rbm", "diffusion", "stylegan2"])
def test_a_lattice_point_is_its_seed(family: str) -> None:
    model = small(family)
    assert isinstance(model, Latent)
    space = StyleSpace(model) if isinstance(model, StyleBased) else model
    latents = atlas_latents(space, [(0, 0), (3, -2), (-1, 1)])
    wanted = space.prior([0, seed_at(3, -2), seed_at(-1, 1)])
    assert torch.allclose(latents, wanted, atol=1e-4) and latents.shape == wanted.shape


def test_every_place_is_a_fair_draw_of_a_gaussian_prior() -> None:
    model = small("vae", latent_dim=64)
    assert isinstance(model, Latent)
    middles = atlas_latents(model, [(x + 0.5, y + 0.5) for x in range(-20, 20, 2) for y in range(-20, 20, 2)])
    error = (2 / middles.numel()) ** 0.5  # of a variance of so many independent normal numbers
    assert abs(middles.var().item() - 1) < 4 * error and abs(middles.mean().item()) < 4 * error
    lengths = middles.norm(dim=1)
    assert abs(lengths.mean().item() - 63.5**0.5) < 0.1 and 0.5 < lengths.std().item() < 0.9  # chi: 0.70


def test_between_hidden_states_there_are_chances() -> None:
    """Of an RBM: mixtures of p(h), which keep the mean and stay chances."""
    model = small("rbm", latent_dim=64)
    assert isinstance(model, Latent)
    middles = atlas_latents(model, [(x + 0.5, y + 0.5) for x in range(0, 20, 2) for y in range(0, 20, 2)])
    assert middles.min() >= 0 and middles.max() <= 1
    states = model.prior(range(400))
    assert abs(middles.mean().item() - states.mean().item()) < 0.02


def test_the_atlas_is_continuous() -> None:
    model = small("vae", latent_dim=16)
    assert isinstance(model, Latent)
    line = atlas_latents(model, [(i / 100 - 2, 0.3) for i in range(400)])
    assert (line.diff(dim=0).norm(dim=1) < 0.15).all()


@pytest.mark.parametrize("mixture", ["norm", "sum"])
def test_weights_are_divided(mixture: str) -> None:
    latents, weights = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]), torch.tensor([[3.0, 4.0]])
    wanted = torch.tensor([[0.6, 0.8]]) if mixture == "norm" else torch.tensor([[3 / 7, 4 / 7]])
    assert torch.allclose(mix_latents(latents, weights, mixture), wanted)  # type: ignore[arg-type]
