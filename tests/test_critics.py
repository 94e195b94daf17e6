"""The critics' formulas against closed forms: slopes of linear critics, distances of known distributions, clipped weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from textbook import dcgan, wgan, wgan_gp
from zeuxis.adversarial import clip_weights, gradient_penalty, wasserstein
from zeuxis.families.gan import GAN
from zeuxis.families.wgan import WGAN
from zeuxis.families.wgan_gp import WGANGP
from zeuxis.model import Batch, Clock
from zeuxis.nets.conv import Down
from zeuxis.training.engine import train, train_step

SHAPE = (3, 8, 8)


class Noise:
    """An endless source of images that depend on their position alone."""

    columns = frozenset({"image"})

    def batch(self, start: int, size: int) -> Batch:
        return Batch(torch.rand(size, 3, 16, 16, generator=torch.Generator().manual_seed(start)) * 2 - 1)


@pytest.mark.parametrize("norm", [0.0, 0.4, 1.0, 3.0])
def test_penalty_of_a_linear_critic_is_the_square_of_its_norm_less_one(norm: float) -> None:
    weight = norm * F.normalize(torch.randn(SHAPE).flatten(), dim=0).view(SHAPE)
    real, fake = torch.randn(5, *SHAPE), torch.randn(5, *SHAPE)

    def critic(image: Tensor) -> Tensor:
        return (image * weight).sum((1, 2, 3)) + 7

    both, one = (gradient_penalty(critic, real, fake, one_sided=sided) for sided in (False, True))
    assert both.item() == pytest.approx((norm - 1) ** 2, abs=1e-5)
    assert one.item() == pytest.approx(max(norm - 1, 0) ** 2, abs=1e-5)


def test_penalty_of_a_quadratic_critic_is_taken_between_real_and_fake() -> None:
    """The slope of |x|^2 / 2 is x: between a and b, for a uniform share t, E (|a + t (b - a)| - 1)^2 is an integral."""
    torch.manual_seed(0)
    start, end = 1.5, 4.0  # along one axis, so the norm is the place itself
    real, fake = torch.zeros(40_000, 1, 1, 2), torch.zeros(40_000, 1, 1, 2)
    real[..., 0], fake[..., 0] = start, end
    found = gradient_penalty(lambda image: image.square().sum((1, 2, 3)) / 2, real, fake)
    exact = ((end - 1) ** 3 - (start - 1) ** 3) / 3 / (end - start)
    assert found.item() == pytest.approx(exact, rel=0.02)


def test_penalty_is_of_each_image_by_itself() -> None:
    """Two critics, one for each half of the batch: the mean of the penalties, not the penalty of the mean slope."""
    weights = torch.tensor([3.0, 3.0, 0.0, 0.0]).view(4, 1, 1, 1)
    found = gradient_penalty(lambda image: image * weights, torch.randn(4, 1, 1, 1), torch.randn(4, 1, 1, 1))
    assert found.item() == pytest.approx((4 + 4 + 1 + 1) / 4)


@pytest.mark.parametrize("norm", ["layer", "none"])
def test_penalty_is_a_float32_number_under_autocast_and_reaches_the_critic_alone(norm: str) -> None:
    critic, maker = Down(16, 3, width=4, norm=norm), nn.Linear(1, 3 * 16 * 16)  # type: ignore[arg-type]
    fake = maker(torch.ones(2, 1)).view(2, 3, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        value = gradient_penalty(critic, torch.randn(2, 3, 16, 16), fake)
    value.backward()
    assert value.dtype == torch.float32
    assert all(p.grad is not None for n, p in critic.named_parameters() if n.endswith("weight"))
    assert maker.weight.grad is None


@pytest.mark.parametrize("norm", ["layer", "none"])
def test_penalty_in_bfloat16_has_the_gradients_of_float32(norm: str) -> None:
    torch.manual_seed(0)
    critic = Down(16, 3, width=8, norm=norm)  # type: ignore[arg-type]
    real, fake = torch.randn(8, 3, 16, 16), torch.randn(8, 3, 16, 16)

    def gradient(seed: int, *, bf16: bool) -> Tensor:
        torch.manual_seed(seed)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            value = gradient_penalty(critic, real, fake)
        weights = [p for n, p in critic.named_parameters() if n.endswith("weight")]
        return torch.cat([each.flatten() for each in torch.autograd.grad(value, weights)])

    found, wanted, other = gradient(1, bf16=True), gradient(1, bf16=False), gradient(2, bf16=False)
    assert not torch.equal(found, wanted)
    assert (found - wanted).norm() < 0.1 * wanted.norm()
    assert (found - wanted).norm() < 0.5 * (other - wanted).norm()  # less than from draw to draw


def test_penalty_against_finite_differences() -> None:
    """The penalty's gradient, which is of second order, along a direction of the weights."""
    torch.manual_seed(0)
    critic = Down(8, 1, width=4, norm="layer")
    real, fake = torch.randn(3, 1, 8, 8), torch.randn(3, 1, 8, 8)

    def value() -> Tensor:
        torch.manual_seed(1)
        return gradient_penalty(critic, real, fake)

    weight = critic.head.weight
    (gradient,) = torch.autograd.grad(value(), weight)
    direction, step = F.normalize(torch.randn_like(weight), dim=1), 1e-2
    with torch.no_grad():
        weight += step * direction
    up = value().item()
    with torch.no_grad():
        weight -= 2 * step * direction
    quotient = (up - value().item()) / (2 * step)
    assert (gradient * direction).sum().item() == pytest.approx(quotient, rel=1e-2)
    assert abs(quotient) > 1e-3


def learned(
    sample: Callable[[int], tuple[Tensor, Tensor]],
    critic: nn.Module,
    smooth: Callable[[Tensor, Tensor], Tensor] | None = None,
    *,
    bound: float | None = None,
    steps: int = 300,
) -> float:
    """The distance that a critic, trained as the families train it, finds between two distributions of images."""
    optimizer = torch.optim.SGD(critic.parameters(), 0.05)
    for _ in range(steps):
        real, fake = sample(512)
        loss = -wasserstein(critic(real), critic(fake)) + (smooth(real, fake) if smooth else 0.0)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if bound is not None:
            clip_weights(critic, bound)
    real, fake = sample(20_000)
    with torch.no_grad():
        return wasserstein(critic(real), critic(fake)).item()


@pytest.mark.parametrize("one_sided", [False, True])
@pytest.mark.parametrize("gap", [0.5, 2.0])
def test_the_penalised_critics_distance_of_two_gaussians_is_that_of_their_means(gap: float, one_sided: bool) -> None:
    """W(N(m, s), N(m', s)) = |m - m'|, found by a linear critic (to move one onto the other is to shift it). Under a penalty
    of weight L its best slope is 1 + |m - m'| / 2 L, where gap x slope - L (slope - 1)^2 is highest."""
    torch.manual_seed(0)
    weight = 10.0
    means = gap * F.normalize(torch.randn(1, 4), dim=1).view(1, 1, 2, 2)
    critic = nn.Sequential(nn.Flatten(), nn.Linear(4, 1))

    def sample(n: int) -> tuple[Tensor, Tensor]:
        return means + 0.3 * torch.randn(n, 1, 2, 2), 0.3 * torch.randn(n, 1, 2, 2)

    def smooth(real: Tensor, fake: Tensor) -> Tensor:
        return weight * gradient_penalty(critic, real, fake, one_sided=one_sided)

    found = learned(sample, critic, smooth)
    assert found == pytest.approx(gap * (1 + gap / (2 * weight)), rel=0.04)


def test_the_clipped_critics_distance_of_two_point_masses_is_their_gap_times_the_steepest_slope() -> None:
    """A linear critic of one pixel with its weight within c is at most c steep: between masses at 0 and 2 it finds 2 c."""
    torch.manual_seed(0)

    def sample(n: int) -> tuple[Tensor, Tensor]:
        return torch.full((n, 1, 1, 1), 2.0), torch.zeros(n, 1, 1, 1)

    critic = nn.Sequential(nn.Flatten(), nn.Linear(1, 1))
    assert learned(sample, critic, bound=0.1, steps=300) == pytest.approx(0.2, rel=1e-5)


def test_distance_of_equal_distributions_is_none() -> None:
    score = torch.randn(9)
    assert wasserstein(score, score).item() == 0
    assert wasserstein(score + 2, score).item() == pytest.approx(2, abs=1e-6)


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_the_clipped_critics_weights_stay_in_their_bound_and_reach_it(micro_batches: int) -> None:
    torch.manual_seed(0)
    model = WGAN(size=16, base_channels=4, latent_dim=4, lr=5e-3, clip_value=0.02)
    generator = [p.detach().clone() for p in model.generator.parameters()]
    for _ in train(model, Noise(), steps=3, batch_size=4, seed=0, micro_batches=micro_batches):
        largest = max(p.abs().max().item() for p in model.critic.parameters())
        assert largest == pytest.approx(0.02)
        assert largest <= torch.tensor(0.02).item()
    assert any(p.abs().max() > 0.02 for p in model.generator.parameters())
    assert all(not torch.equal(p, old) for p, old in zip(model.generator.parameters(), generator))


def test_the_generator_meets_the_clipped_critic(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = WGAN(size=16, base_channels=4, latent_dim=4, lr=5e-3)
    optimizers = model.optimizers()
    for player, terms in model.losses(Noise().batch(0, 4), Clock()):
        if player == "generator":
            assert max(p.abs().max().item() for p in model.critic.parameters()) <= torch.tensor(0.01).item()
            return
        if player == "critic":
            torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
            optimizers[player].step()
            assert max(p.abs().max().item() for p in model.critic.parameters()) > 0.011
    pytest.fail("the generator had no turn")


@pytest.mark.parametrize("family", [WGAN, WGANGP])
def test_the_generator_moves_once_in_so_many_critic_steps(family: type[WGAN] | type[WGANGP]) -> None:
    torch.manual_seed(0)
    model = family(size=16, base_channels=4, latent_dim=4, n_critic=3)
    optimizers = model.optimizers()
    moved, reports = [], []
    for step in range(7):
        before = model.generator.stem.weight.detach().clone()
        reports.append(train_step(model, optimizers, Noise().batch(step, 4), Clock(step, 4 * step)))
        moved.append(not torch.equal(before, model.generator.stem.weight))
    assert moved == [True, False, False, True, False, False, True]
    for report in reports:
        assert report["critic/wasserstein"].item() == pytest.approx(
            -(report["critic/real"] + report["critic/fake"]).item(), abs=1e-5
        )


def test_a_one_sided_penalty_is_an_option_and_its_weight_counts() -> None:
    def penalty(**options: float) -> float:
        torch.manual_seed(0)
        model = WGANGP(size=16, base_channels=4, latent_dim=4, **options)  # type: ignore[arg-type]
        return train_step(model, model.optimizers(), Noise().batch(0, 4), Clock())["critic/penalty"].item()

    assert penalty() > 1  # at first the slope is less than 1
    assert penalty(gp_weight=1.0) == pytest.approx(penalty() / 10)
    assert penalty(one_sided=True) == 0


def test_layer_norm_keeps_images_apart_and_is_what_its_name_says() -> None:
    torch.manual_seed(0)
    image = torch.randn(6, 3, 16, 16)
    layer, batch = (Down(16, 3, width=4, norm=norm) for norm in ("layer", "batch"))  # type: ignore[arg-type]
    for network, apart in ((layer, True), (batch, False)):
        image.grad = None
        given = image.clone().requires_grad_(True)
        network(given)[2].sum().backward()
        reached = given.grad.abs().sum((1, 2, 3)) > 0  # type: ignore[union-attr]
        assert reached.tolist() == ([False, False, True, False, False, False] if apart else [True] * 6)
    torch.testing.assert_close(layer(image)[:1], layer(image[:1]), atol=1e-6, rtol=1e-5)
    norm = next(module for module in layer.body if isinstance(module, nn.GroupNorm))
    features = torch.randn(2, norm.num_channels, 5, 5)
    torch.testing.assert_close(norm(features), F.layer_norm(features, features.shape[1:]))


def test_penalty_is_the_one_it_is_measured_against() -> None:
    torch.manual_seed(0)
    critic = wgan_gp.networks(16, 3, 4)[1]
    assert not [layer for layer in critic if isinstance(layer, nn.BatchNorm2d)]
    real, fake = torch.randn(6, 3, 16, 16), torch.randn(6, 3, 16, 16)
    torch.manual_seed(1)
    theirs = wgan_gp._penalty(critic, real, fake)
    torch.manual_seed(1)
    torch.testing.assert_close(gradient_penalty(critic, real, fake), theirs)


@pytest.mark.parametrize("book", [wgan, wgan_gp])
def test_the_textbooks_step_is_of_the_critic_and_every_fifth_of_the_generator(book: Any) -> None:
    torch.manual_seed(0)
    networks = (wgan_gp if book is wgan_gp else dcgan).networks(16, 3, 4)
    players, moved = book.optimizers(*networks), []
    for count in range(7):
        before = [next(network.parameters()).detach().clone() for network in networks]
        book.step(*networks, players, Noise().batch(count, 4).image, count)
        moved.append([not torch.equal(next(n.parameters()), old) for n, old in zip(networks, before)])
    assert moved == [[count % 5 == 0, True] for count in range(7)]
    if book is wgan:
        assert max(p.abs().max().item() for p in networks[1].parameters()) <= torch.tensor(0.01).item()


@pytest.mark.parametrize("rows", [31, 32])
def test_no_bfloat16_product_has_the_rows_and_columns_that_end_the_process(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch 2.13 divides by zero, a signal and no exception, in that of 32 x 49,152 on processors with AMX."""
    model, image, shapes = GAN(size=128, channels=3, hidden_dim=4, layers=1), torch.rand(rows, 3, 128, 128), list[int]()
    linear = F.linear
    monkeypatch.setattr(F, "linear", lambda x, *rest: (shapes.append(len(x)), linear(x, *rest))[1])
    with torch.autocast("cpu", torch.bfloat16):
        scores = model.score(image)
    assert scores.shape == (rows, 1) and 32 not in shapes
    torch.testing.assert_close(scores.float(), model.score(image), atol=0.02, rtol=0.02)
