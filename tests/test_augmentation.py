"""Adaptive augmentation in every family with a discriminator: what it follows, its pace and bounds, what it must not touch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image

from zeuxis import api, families, renamed
from zeuxis.adversarial import beyond_middle
from zeuxis.data import DataSpec
from zeuxis.model import Batch, Clock, Latent, options_of
from zeuxis.nets.adaptive import (
    HIGHEST,
    HIGHEST_EACH,
    MANY_IMAGES,
    QUICKEST,
    SCORED_EVERY,
    SHARE,
    Augmentation,
)
from zeuxis.nets.augment import random_symmetry, translation
from zeuxis.storage import RunFolder
from zeuxis.testing.case import NoiseImages
from zeuxis.training.config import Recipe
from zeuxis.training.engine import State, train, train_step
from zeuxis.training.run_data import inform_augmentation
from zeuxis.training.settings import TrainSettings

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


@pytest.mark.parametrize("policy", ["auto", "ada"])
@pytest.mark.parametrize("name", GANS)
def test_samples_are_never_augmented(name: str, policy: str) -> None:
    """Whatever the probability is, the same latents give the same images, and the average has no augmentation at all."""
    model = small(name, augment=policy)
    assert not any(isinstance(each, Augmentation) for each in State.start(model).average.modules())
    model.eval()
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


# By held-out images


def white(start: int, count: int) -> torch.Tensor:
    return torch.ones(count, 1, 8, 8)


def brightness(image: torch.Tensor) -> torch.Tensor:
    """Scores (n 1) of images."""
    return image.mean((1, 2, 3))[:, None]


def automatic(target: float = 0.6, images: int = 500) -> Augmentation:
    made = Augmentation("auto", target=target)
    made.begin(images, white)
    return made


def test_auto_follows_held_out_images() -> None:
    """r_v of Karras 2020, equation 1, by running means: D(real) - D(held-out) over D(real) - D(generated)."""
    augmented, scores = automatic(), torch.zeros(100, 1)

    def look(unseen: float, fake: float) -> tuple[float, float]:
        augmented.look(scores, Clock(), torch.tensor([unseen, fake]))
        report = augmented.report()
        return report["ada/r_v"].item(), report["ada/p"].item()

    step = 100 * SCORED_EVERY / QUICKEST
    assert look(0.29, 1.0) == pytest.approx((0.29, 0.0)), "half of the target is 0.3"  # gaps 0.0725, 0.25
    assert look(1.0, 1.0) == pytest.approx((0.304375 / 0.4375, step))
    assert look(1.0, 1.0) == pytest.approx((0.47828125 / 0.578125, 2 * step))
    augmented.look(scores, Clock())  # no held-out images are scored at this step
    assert augmented.probability.item() == pytest.approx(2 * step)
    augmented.look(scores, Clock(images=80_000, micro_batches=3), torch.zeros(2))
    assert augmented.probability.item() == pytest.approx(2 * step + 3 * 100 * SCORED_EVERY / 20_000)
    assert look(1.0, -9.0)[0] == 0, "samples score above real images: nothing is learned by heart"
    for _ in range(30):
        look(1.0, 1.0)
    assert look(1.0, 1.0)[1] == pytest.approx(HIGHEST_EACH)


def test_auto_turns_images_where_translation_is_not_enough() -> None:
    """The probability of a symmetry rises when that of translation is at its highest, and falls before it."""
    augmented, scores, step = automatic(), torch.zeros(100, 1), 100 * SCORED_EVERY / QUICKEST

    def after(moves: int, unseen: float) -> list[float]:
        for _ in range(moves):
            augmented.gaps.copy_(torch.tensor([unseen, 1.0]))
            augmented.look(scores, Clock(), torch.tensor([unseen, 1.0]))
        return [round(augmented.report()[name].item(), 4) for name in ("ada/p", "ada/p_symmetry")]

    assert after(8, 1.0) == pytest.approx([8 * step, 0.0])
    assert after(2, 1.0) == pytest.approx([HIGHEST_EACH, 10 * step - HIGHEST_EACH])
    assert after(20, 1.0) == pytest.approx([HIGHEST_EACH, HIGHEST_EACH])
    assert after(8, 0.0) == pytest.approx([HIGHEST_EACH, HIGHEST_EACH - 8 * step])
    assert after(3, 0.0) == pytest.approx([2 * HIGHEST_EACH - 11 * step, 0.0])


def test_a_symmetry_turns_each_image_with_the_probability() -> None:
    torch.manual_seed(0)
    image = torch.arange(9.0).view(1, 1, 3, 3).expand(4000, 1, 3, 3)
    found = random_symmetry([image], p=torch.tensor(0.4))[0]
    ways = [image[0].rot90(quarters, (1, 2)) for quarters in range(4)]
    ways += [way.flip(-1) for way in ways]
    shares = [(found == way).all((1, 2, 3)).float().mean().item() for way in ways]
    assert shares == pytest.approx([0.6 + 0.4 / 8, *[0.4 / 8] * 7], abs=0.03) and sum(shares) == pytest.approx(1)
    assert torch.equal(random_symmetry([image], p=torch.tensor(0.0))[0], image)


def test_no_distribution_is_lost_by_symmetries() -> None:
    """The matrix that takes the shares of the eight ways to those after a random symmetry can be inverted, and well."""
    mixed = (1 - HIGHEST_EACH) * torch.eye(8) + HIGHEST_EACH / 8
    assert torch.linalg.cond(mixed) < 4


def test_held_out_images_are_scored_every_few_steps_as_real_ones_are() -> None:
    """By the scores of the same step, before the discriminator moves; in the form that it takes; and without a gradient."""
    augmented, asked = automatic(), list[tuple[int, int]]()
    augmented.held_out = lambda start, count: (asked.append((start, count)), white(start, count))[1]
    weight = torch.ones((), requires_grad=True)
    scores = torch.tensor([[3.0], [5.0]]), torch.tensor([[1.0], [2.0]])
    found = [
        augmented.score_gaps(lambda image: weight * brightness(image), scores, Clock(step), lambda image: image / 2)
        for step in range(2 * SCORED_EVERY)
    ]
    given = [each for each in found if each is not None]
    assert [each is not None for each in found[::SCORED_EVERY]] == [True, True] and len(given) == 2
    assert asked == [(0, 2), (2, 2)]
    for each in given:
        assert cast("list[float]", each.tolist()) == [4 - 0.5, 4 - 1.5] and not each.requires_grad
    augmented.held_out = lambda start, count: torch.eye(8)[0].expand(count, 1, 8, 8)  # the first column is white
    augmented.probability.fill_(HIGHEST_EACH)
    torch.manual_seed(0)
    moved = augmented.score_gaps(brightness, (torch.zeros(400, 1), torch.zeros(400, 1)), Clock())
    assert moved is not None
    # Of the shifts by -1, 0 and 1 one moves it out; none brings in another, as the second column is reflected.
    assert moved[0].item() == pytest.approx(-(1 - HIGHEST_EACH / 3) / 8, abs=0.005)


def test_auto_changes_nothing_until_it_knows_the_number_of_images() -> None:
    augmented = Augmentation("auto", target=0.6)
    augmented.probability.fill_(0.7)
    image = torch.rand(40, 3, 8, 8)
    assert torch.equal(augmented(image), image)
    augmented.begin(500, None)
    assert not torch.equal(augmented(image), image)


def test_without_held_out_images_auto_follows_the_sign_of_the_scores() -> None:
    auto, ada = Augmentation("auto", target=0.6), Augmentation("ada", target=0.6)
    auto.begin(500, None)
    for share in (9, 9, 9, 9, 2, 2, 2, 10):
        for each in (auto, ada):
            each.look(torch.where(torch.arange(10) < share, 1.0, -1.0)[:, None], Clock())
        assert torch.equal(auto.probability, ada.probability)
    assert "ada/r_v" not in auto.report()


def test_translation_moves_each_image_with_the_probability_and_on_average_not_at_all() -> None:
    torch.manual_seed(0)
    dot = torch.zeros(6000, 1, 16, 16)
    dot[:, :, 8, 5] = 1.0
    found = translation(dot, p=torch.tensor(0.3)).nonzero()[:, 2:].float()  # n 2
    assert len(found) == len(dot)
    still = (found == torch.tensor([8.0, 5.0])).all(1).float().mean().item()
    assert still == pytest.approx(0.7 + 0.3 / 25, abs=0.02)
    assert found.mean(0).tolist() == pytest.approx([8.0, 5.0], abs=0.05)
    assert torch.equal(translation(dot, p=torch.tensor(0.0)), dot)


@pytest.mark.parametrize("size", [8, 16, 28, 64, 256, 1024])
def test_no_distribution_is_lost_by_translation(size: int) -> None:
    """Convolved with the shifts, distributions of positions stay different at the highest probability: every frequency is
    kept (Karras 2020, appendix C). So a generator matches augmented real images only by images that are not shifted."""
    reach = int(size / 8 + 0.5)
    shifts = torch.zeros(64 * size, dtype=torch.float64)
    shifts[: 2 * reach + 1] = 1 / (2 * reach + 1)
    uniform = torch.fft.fft(shifts.roll(-reach)).real  # even, so real; of two axes the product
    least = min(uniform.min().item(), uniform.min().item() * uniform.max().item())
    assert 1 - HIGHEST_EACH + HIGHEST_EACH * least > 0.05


def trained(steps: int, images: int, state: State | None = None, **options: Any) -> State:
    """A small GAN after so many steps, with held-out images that are as grey as its own: it follows them at once."""
    model = small("gan", hidden_dim=32, lr=0.005, ada_target=0.01, **options) if state is None else state.model
    if state is None and model.augmented.adaptive:
        model.augmented.probability.fill_(0.5)
    state = state or State.start(model)
    model.augmented.begin(images, lambda start, count: torch.zeros(count, 3, 8, 8))
    noise = NoiseImages(model)
    for _ in train(model, noise, steps=steps, batch_size=8, seed=0, micro_batches=2, resume=state):
        pass
    return state


def test_from_many_images_on_auto_is_none_to_the_last_bit() -> None:
    plain = trained(30, 0, augment="none").tensors()
    many, few = (trained(30, images).tensors() for images in (MANY_IMAGES, MANY_IMAGES - 1))
    assert many["model"]["augmented.probability"] == 0.5, "whatever it is, nothing looks at it"
    assert not many["model"]["augmented.gaps"].any() and few["model"]["augmented.gaps"].all()
    for group in ("model", "average"):
        wanted = plain[group]
        assert all(torch.equal(many[group][name], value) for name, value in wanted.items()), group
        assert not all(torch.equal(few[group][name], value) for name, value in wanted.items()), group


def test_a_resume_goes_on_with_what_auto_has_seen() -> None:
    whole, part = trained(20, 500), trained(11, 500)
    again = State.start(small("gan", hidden_dim=32, lr=0.005, ada_target=0.01))
    again.restore(part.tensors(), part.scalars())
    found, wanted = trained(20, 500, again).tensors(), whole.tensors()
    assert not torch.equal(wanted["model"]["augmented.gaps"], part.tensors()["model"]["augmented.gaps"])
    assert found.keys() == wanted.keys()
    for group, tensors in wanted.items():
        assert all(torch.equal(found[group][name], value) for name, value in tensors.items()), group


def folder_of(path: Path, count: int) -> Path:
    """Files of noise."""
    path.mkdir()
    for i in range(count):
        pixels = np.random.default_rng(i).integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(path / f"{i}.png")
    return path


def informed(data: DataSpec, images: int = 40) -> Augmentation:
    model = small("gan", hidden_dim=4)
    inform_augmentation(model, Recipe("gan", data, model.options, TrainSettings(), images=images))
    found = model.augmented
    assert isinstance(found, Augmentation)
    return found


def test_a_run_scores_what_it_holds_out_and_nothing_it_learns_from(tmp_path: Path) -> None:
    """Also where it learns from a test split itself; and none where there are many images."""
    folder = folder_of(tmp_path / "noise", 40)
    assert informed(DataSpec.parse(folder)).held_out is None
    spec = DataSpec.parse(folder, hold_out=0.3)
    found, parted = informed(spec), spec.held_out(1)
    assert found.held_out is not None and parted is not None
    unseen = parted[1].open(8, 3)
    rows = {tuple(row) for row in unseen.rows(np.arange(len(unseen))).reshape(len(unseen), -1).tolist()}
    given = ((found.held_out(0, 2 * len(unseen)) + 1) * 127.5).round().permute(0, 2, 3, 1).flatten(1)
    assert {tuple(row) for row in given.int().tolist()} == rows and 0 < len(rows) < 30
    assert informed(DataSpec.parse("digits")).held_out is not None
    assert informed(DataSpec.parse("digits/test")).held_out is None
    assert informed(spec, images=MANY_IMAGES).held_out is None


def test_a_resumed_run_is_the_run_to_the_last_bit(tmp_path: Path) -> None:
    """By its folder: the number of images is recorded, and the held-out ones are found again."""
    folder = folder_of(tmp_path / "noise", 40)
    options = {"size": 8, "hidden_dim": 4, "ada_target": 0.01, "batch_size": 4, "hold_out": 0.3, "log_every": 8}
    options |= {"device": "cpu", "kernels": "standard", "threads": 1, "checkpoint_every": 8, "out": str(tmp_path)}
    whole = api.train("gan", folder, steps=24, **options)
    part = api.train("gan", folder, steps=11, **options)
    api.resume(part.path, steps=24)
    one, two = (RunFolder.open(each.path) for each in (whole, part))
    found, wanted = (each.checkpoint_at(24).tensors["model"] for each in (two, one))
    assert all(torch.equal(found[name], value) for name, value in wanted.items()) and found.keys() == wanted.keys()
    assert one.metrics()[-1] == two.metrics()[-1] and "ada/r_v" in one.metrics()[-1]


def test_auto_draws_no_line_at_a_border() -> None:
    """A plain image stays as it is, and what a translation brings in is the image itself, reflected."""
    auto = Augmentation("auto", target=0.6)
    auto.begin(100, None)
    auto.probability.fill_(HIGHEST_EACH)
    white = torch.ones(64, 3, 16, 16)
    assert torch.equal(auto(white), white) and not torch.equal(translation(white), white)
    torch.manual_seed(0)
    image = torch.randn(1, 2, 16, 20)
    wide = torch.nn.functional.pad(image, (3, 3, 2, 2), mode="reflect")
    windows = [wide[:, :, y : y + 16, x : x + 20] for y in range(5) for x in range(7)]
    for _ in range(30):
        found = translation(image, mirror=True)
        assert any(torch.equal(found, window) for window in windows)
