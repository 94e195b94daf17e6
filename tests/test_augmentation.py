"""Adaptive augmentation in every family with a discriminator: its pace, its bounds, and what it must not touch."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch

from zeuxis import families, renamed
from zeuxis.adversarial import beyond_middle
from zeuxis.model import Batch, Clock, Latent, options_of
from zeuxis.nets.adaptive import HIGHEST, QUICKEST, SHARE, Augmentation
from zeuxis.training.engine import train_step

GANS = ("gan", "dcgan", "wgan", "wgan_gp", "progan", "stylegan2")


def small(name: str, **options: Any) -> Any:
    torch.manual_seed(0)
    return families.find(name)(size=8, channels=3, latent_dim=4, **options)


def step(model: Latent, image: torch.Tensor, clock: Clock) -> dict[str, torch.Tensor]:
    torch.manual_seed(clock.step)
    return train_step(model, model.optimizers(), Batch(image), clock)


def test_the_pace_is_a_share_of_the_run() -> None:
    """The paper's 500,000 images are more than a short run sees; a number that is given holds."""
    relative, fixed = Augmentation("ada", target=0.6), Augmentation("ada", target=0.6, images=500_000)
    assert [relative.pace(seen) for seen in (0, 10_000, 1_000_000)] == [QUICKEST, QUICKEST, SHARE * 1_000_000]
    assert fixed.pace(0) == fixed.pace(1_000_000) == 500_000


def test_the_probability_stays_where_augmentations_do_not_show_in_samples() -> None:
    """Above 0.8 generators begin to draw the augmentations themselves (Karras 2020, section 2.2)."""
    augmented = Augmentation("ada", target=0.6)
    for _ in range(4 * 30):
        augmented.look(torch.ones(1000, 1), Clock())
    assert augmented.probability.item() == pytest.approx(HIGHEST)


@pytest.mark.parametrize("name", GANS)
def test_every_family_with_a_discriminator_adapts(name: str) -> None:
    """The probability is reported, rises where the discriminator is sure of real images, and is kept by a checkpoint."""
    model = small(name, augment="ada")
    image = torch.randn(4, 3, 8, 8).clamp(-1, 1)
    assert "augmented" in model.training_only
    report = step(model, image, Clock(0, 0))
    assert report["ada/p"] == 0
    assert {"augmented.probability", "augmented.signs"} <= model.state_dict().keys()
    model.augmented.target = -1.0  # any discriminator is above it
    for number in range(1, 9):
        step(model, image, Clock(number, 4 * number))
    assert model.augmented.probability > 0


@pytest.mark.parametrize("name", GANS)
def test_samples_are_never_augmented(name: str) -> None:
    """Whatever the probability is, the same latents give the same images."""
    model = small(name, augment="ada").eval()
    z = model.prior([0, 1])
    with torch.no_grad():
        before = model.decode(z)
        model.augmented.probability.fill_(HIGHEST)
        assert torch.equal(model.decode(z), before)


@pytest.mark.parametrize("name", GANS)
def test_a_fixed_policy_has_no_state(name: str) -> None:
    model = small(name, augment="translation")
    assert not [key for key in model.state_dict() if key.startswith("augmented")]
    assert "ada/p" not in step(model, torch.randn(4, 3, 8, 8).clamp(-1, 1), Clock(0, 0))


@pytest.mark.parametrize("name", GANS)
def test_a_run_of_before_goes_on_without_it(name: str) -> None:
    """An option that came later means, in a run that was saved before, what the family did then."""
    saved = {field.name: field.default for field in options_of(families.find(name))}
    before = {key: value for key, value in saved.items() if key not in renamed.BEFORE[name]}
    found = renamed.options(name, before)
    assert found.keys() == saved.keys()
    before_auto = {"stylegan2": "ada", "dcgan": "auto"}  # a dcgan has always said what it does
    assert found["augment"] == before_auto.get(name, "none")
    assert renamed.options(name, saved) == saved


def test_a_critic_takes_for_real_what_is_above_the_middle() -> None:
    """Shifted scores are the same game: a critic has no zero."""
    real, fake = torch.tensor([[3.0], [5.0], [1.0]]), torch.tensor([[0.0], [2.0], [1.0]])
    signs = beyond_middle(real, fake).sign()
    assert cast("list[Any]", signs.flatten().tolist()) == [1.0, 1.0, -1.0]
    assert torch.equal(beyond_middle(real + 7, fake + 7).sign(), signs)
