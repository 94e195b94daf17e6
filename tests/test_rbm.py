"""The restricted Boltzmann machine against counting: every state of a small one can be listed, and its log Z known."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from zeuxis import families
from zeuxis.data import DataSpec
from zeuxis.errors import UsageError
from zeuxis.io.images import from_uint8
from zeuxis.likelihood import partition
from zeuxis.model import Batch, Clock, Model
from zeuxis.nets.boltzmann import Machine
from zeuxis.samplers import Chance, Clamp, Streams, _swapped, annealed, gibbs, gibbs_steps, tempered
from zeuxis.scores import Score, bootstrap_log_mean, difference
from zeuxis.training.engine import train_step

RBM: Any = families.find("rbm")


def machine(
    visible: int = 5, hidden: int = 4, *, gaussian: bool = False, strength: float = 1.0, seed: int = 0
) -> Machine:
    random = torch.Generator().manual_seed(seed)
    shapes = [(visible, hidden), (visible,), (hidden,), (visible,)]
    weight, b, c, base = (strength * torch.randn(*shape, generator=random, dtype=torch.float64) for shape in shapes)
    return Machine(weight, b, c, base, torch.tensor(0.6, dtype=torch.float64) if gaussian else None)


def states(units: int) -> Tensor:
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=units)), dtype=torch.float64)


def noise(seed: int = 0) -> Chance:
    return Chance(torch.Generator().manual_seed(seed))


def energy(m: Machine, v: Tensor, h: Tensor, beta: float = 1.0) -> Tensor:
    """E_beta (v h) of every pair, as the formulas of the module have it."""
    b, c, w = beta * m.visible_bias + (1 - beta) * m.base, beta * m.hidden_bias, beta * m.weight
    if m.variance is None:
        return -(v @ b)[:, None] - h @ c - v @ w @ h.T
    return ((v - b).square().sum(1) / (2 * m.variance))[:, None] - h @ c - v @ w @ h.T / m.variance


def log_z(m: Machine) -> float:
    joint = -energy(m, states(len(m.visible_bias)), states(len(m.hidden_bias)))
    return float(joint.flatten().logsumexp(0))


# Energies


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_free_energies_and_conditionals_are_those_of_the_joint_distribution(beta: float) -> None:
    m, v, h = machine(), states(5), states(4)
    joint = -energy(m, v, h, beta)
    torch.testing.assert_close(m.free_energy(v, beta), -joint.logsumexp(1))
    torch.testing.assert_close(m.free_energy(v, torch.full((32, 1), beta, dtype=v.dtype)), -joint.logsumexp(1))
    given_v, given_h = joint.softmax(1) @ h, (joint.softmax(0).T @ v)
    torch.testing.assert_close(torch.sigmoid(beta * m.hidden_input(v)), given_v)
    torch.testing.assert_close(m.mean_visible(m.visible_input(h, beta)), given_h)
    if beta == 1:
        torch.testing.assert_close(m.hidden_free_energy(h), -joint.logsumexp(0))
    if beta == 0:
        torch.testing.assert_close(m.base_log_partition(), joint.flatten().logsumexp(0))


def test_gaussian_energies_against_numerical_integration() -> None:
    m, h = machine(2, 3, gaussian=True), states(3)
    axis = torch.linspace(-12, 12, 1201, dtype=torch.float64)
    v = torch.cartesian_prod(axis, axis)
    area = 2 * math.log(0.02)
    for beta in (0.0, 0.4, 1.0):
        joint = -energy(m, v, h, beta)
        torch.testing.assert_close(m.free_energy(v, beta), -joint.logsumexp(1))
        means = joint.softmax(0).T @ v
        torch.testing.assert_close(m.visible_input(h, beta), means, atol=1e-6, rtol=1e-6)
        if beta == 0:
            torch.testing.assert_close(m.base_log_partition(), joint.flatten().logsumexp(0) + area)
    torch.testing.assert_close(m.hidden_free_energy(h), -joint.logsumexp(0) - area)


def test_log_z_is_counted() -> None:
    m = machine(6, 9)
    assert partition.exact_log_partition(m) == pytest.approx(log_z(m), abs=1e-9)
    large = machine(3, 13)  # more states than are counted at a time
    assert partition.exact_log_partition(large) == pytest.approx(log_z(large), abs=1e-9)
    with pytest.raises(UsageError, match="21 hidden units have too many states"):
        partition.exact_log_partition(machine(2, 21))


# Learning


def turn(model: Any, image: Tensor) -> dict[str, Tensor]:
    """Gradients of the first turn, the noise a function of this call alone."""
    torch.manual_seed(5)
    _, terms = next(iter(model.losses(Batch(image), Clock())))
    sum(terms.values()).backward()
    return {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.parametrize("units", ["binary", "gaussian"])
@pytest.mark.parametrize("method", ["pcd", "cd"])
def test_the_gradient_of_the_gap_is_contrastive_divergence(units: str, method: str) -> None:
    torch.manual_seed(0)
    model = RBM(
        size=8, channels=1, latent_dim=6, units=units, method=method, binarize="probabilities", chains=7, sigma=0.8
    )
    torch.nn.init.normal_(model.weight, std=0.3)
    torch.nn.init.normal_(model.hidden_bias)
    model.mean.copy_(torch.rand(64))
    image = torch.rand(9, 1, 8, 8) * 2 - 1
    found = turn(model, image)

    # The textbook's update, with its own draws in the order of the algorithm box; images seen from their mean.
    weight, mean, s = model.weight.detach(), model.mean, 1.0 if units == "binary" else 0.64
    data = image.flatten(1) if units == "gaussian" else (image.flatten(1) + 1) / 2
    torch.manual_seed(5)
    on = torch.sigmoid(model.hidden_bias.detach() + (data - mean) / s @ weight)
    start = model.fantasies.float() if method == "pcd" else (torch.rand(9, 6) < on).float()
    reached = model.visible_bias.detach() + start @ weight.T
    drawn = (torch.rand_like(reached) < torch.sigmoid(reached)).float()
    if units == "gaussian":
        torch.manual_seed(5)
        if method == "cd":
            torch.rand(9, 6)
        drawn = reached + 0.8 * torch.randn_like(reached)
    again = torch.sigmoid(model.hidden_bias.detach() + (drawn - mean) / s @ weight)
    expected = {
        "weight": (drawn - mean).T @ again / s / len(drawn) - (data - mean).T @ on / s / len(data),
        "hidden_bias": again.mean(0) - on.mean(0),
        "visible_bias": (drawn.mean(0) - data.mean(0)) / s,
    }
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-4)


def test_with_exact_draws_the_gap_has_the_gradient_of_the_log_likelihood() -> None:
    m, random = machine(6, 5), torch.Generator().manual_seed(1)
    parameters = [m.weight, m.visible_bias, m.hidden_bias]
    data = (torch.rand(20, 6, generator=random) < 0.4).double()
    for p in parameters:
        p.requires_grad_()
    every = states(6)
    chance = (-m.free_energy(every)).detach().softmax(0)
    gap = m.free_energy(data).mean() - (chance * m.free_energy(every)).sum()
    log_likelihood = -m.free_energy(data).mean() - (-m.free_energy(every)).logsumexp(0)
    for one, other in zip(torch.autograd.grad(gap, parameters), torch.autograd.grad(-log_likelihood, parameters)):
        torch.testing.assert_close(one, other)


def test_learned_noise_gets_the_gradient_of_the_log_likelihood_too() -> None:
    """With one Gaussian unit and no bond, log Z is known: the best variance is the data's."""
    torch.manual_seed(0)
    model = RBM(size=8, channels=1, latent_dim=1, units="gaussian", sigma=0.0, lr=0.05, lr_half_life=0, chains=100)
    optimizers = model.optimizers()
    optimizers["rbm"].param_groups[0]["lr"] = 0.0  # the weights stay where they are, near zero
    torch.nn.init.zeros_(model.weight)
    for step in range(400):
        image = 0.3 * torch.randn(100, 1, 8, 8)
        train_step(model, {"rbm": optimizers["rbm"]}, Batch(image), Clock(step, 100 * step))
    assert model.log_variance.exp().sqrt().item() == pytest.approx(0.3, rel=0.05)


def test_chains_go_on_and_the_mean_is_that_of_all_images() -> None:
    torch.manual_seed(0)
    model = RBM(size=8, channels=1, latent_dim=6, binarize="probabilities")
    optimizers, before = model.optimizers(), model.fantasies.clone()
    images = [torch.rand(4, 1, 8, 8) * 2 - 1 for _ in range(3)]
    for step, image in enumerate(images):
        train_step(model, optimizers, Batch(image), Clock(step, 4 * step))
    assert not torch.equal(model.fantasies, before)
    torch.testing.assert_close(model.mean, ((torch.cat(images) + 1) / 2).mean(0).flatten())


@pytest.mark.parametrize(("binarize", "expected"), [("probabilities", 0.3), ("threshold", 0.0), ("stochastic", 0.3)])
def test_binarize(binarize: str, expected: float) -> None:
    model = RBM(size=64, channels=1, latent_dim=2, binarize=binarize)
    visible = model.visible(torch.full((4, 1, 64, 64), -0.4), noise())
    assert visible.mean().item() == pytest.approx(expected, abs=0.02)
    assert binarize == "probabilities" or set(visible.unique().tolist()) <= {0.0, 1.0}


def test_sparsity_turns_hidden_units_off() -> None:
    def share(sparsity: float) -> float:
        torch.manual_seed(0)
        model = RBM(size=8, channels=1, latent_dim=20, sparsity=sparsity, sparsity_weight=1.0)
        optimizers = model.optimizers()
        for step in range(100):
            train_step(model, optimizers, Batch(torch.rand(16, 1, 8, 8) * 2 - 1), Clock(step, 16 * step))
        return float(model.encode(torch.rand(50, 1, 8, 8) * 2 - 1).detach().mean())

    assert share(0.1) == pytest.approx(0.1, abs=0.03)
    assert share(0.0) > 0.3


def test_the_learning_rate_falls_with_the_images_seen() -> None:
    def moved(images: int, half_after: int) -> Tensor:
        torch.manual_seed(0)
        model = RBM(size=8, channels=1, latent_dim=6, lr_half_life=half_after)
        start, optimizers = model.weight.detach().clone(), model.optimizers()
        torch.manual_seed(1)
        train_step(model, optimizers, Batch(torch.rand(16, 1, 8, 8) * 2 - 1), Clock(0, images))
        assert optimizers["rbm"].param_groups[0]["lr"] == model.lr
        return model.weight.detach() - start

    torch.testing.assert_close(moved(1000, 1000), moved(1000, 0) / 2, atol=1e-7, rtol=1e-3)


@pytest.mark.long
def test_it_learns_more_of_digits_than_independent_pixels_can_say() -> None:
    """Both likelihoods are exact; the images that judge have not been learned from."""
    seen, unseen = (from_uint8(DataSpec.parse(name).open(8, 1).images) for name in ("digits", "digits/test"))
    torch.manual_seed(0)
    model = RBM(size=8, channels=1, latent_dim=14, binarize="threshold", lr=0.05)
    optimizers = model.optimizers()
    for step in range(1200):
        start = 64 * step % (len(seen) - 64)
        train_step(model, optimizers, Batch(seen[start : start + 64]), Clock(step, 64 * step))
    visible, m = model.visible(unseen), model.machine().plain(torch.float64)
    learned = -m.free_energy(visible.double()).mean().item() - partition.exact_log_partition(m)
    often = model.visible(seen).mean(0).clamp(0.002, 0.998)
    independent = (visible * often.log() + (1 - visible) * (1 - often).log()).sum(1).mean().item()
    assert -30 < independent < -20
    assert learned > independent + 2.5


# Markov chains


def visited(visible: Tensor) -> Tensor:
    """How often each state of the visible units (n d) occurs, in the order of `states`."""
    places = (visible * 2 ** torch.arange(visible.shape[1] - 1, -1, -1, dtype=visible.dtype)).sum(1).long()
    return torch.bincount(places, minlength=2 ** visible.shape[1]).double() / len(visible)


def chances(m: Machine) -> Tensor:
    return (-m.free_energy(states(len(m.visible_bias)))).softmax(0)


DRAWS: dict[str, Any] = {
    "gibbs": lambda m, n: gibbs(m, torch.zeros(n, 4, dtype=torch.float64), steps=60, noise=noise()),
    "annealed": lambda m, n: annealed(m, partition.inverse_temperatures(60)[1:], count=n, noise=noise()),
    "tempered": lambda m, n: tempered(
        m, [0.0, 0.4, 0.7, 1.0], torch.zeros(4 * n, 5, dtype=torch.float64), steps=60, noise=noise()
    ),
}


@pytest.mark.parametrize("sampler", DRAWS.values(), ids=DRAWS)
def test_chains_arrive_at_the_model(sampler: Any) -> None:
    m, count = machine(), 20_000
    apart = (visited(sampler(m, count)) - chances(m)).abs().sum() / 2
    assert apart < 1.5 * math.sqrt(32 / (2 * math.pi * count))  # what as many exact draws give, half as much again


def test_held_units_are_completed_by_their_conditional_distribution() -> None:
    """Two of five units are held; the others come as often as their states do among those with these two."""
    m, count = machine(), 20_000
    held, values = torch.tensor([[True, False, True, False, False]]), torch.tensor([[1.0, 0, 0, 0, 0]]).double()
    chain = gibbs_steps(m, torch.zeros(count, 4).double(), noise=noise(), clamp=Clamp(held, values))
    visible = next(itertools.islice(chain, 60, None)).visible
    assert torch.equal(visible[:, [0, 2]], torch.tensor([1.0, 0]).double().expand(count, 2))
    every = states(5)
    fits = (every[:, 0] == 1) & (every[:, 2] == 0)
    wanted = torch.where(fits, chances(m), 0)
    apart = (visited(visible) - wanted / wanted.sum()).abs().sum() / 2
    assert apart < 1.5 * math.sqrt(8 / (2 * math.pi * count))


def test_a_warm_chain_has_the_distribution_of_its_temperature() -> None:
    m, count, beta = machine(), 20_000, 0.4
    chain = gibbs_steps(m, torch.zeros(count, 4).double(), noise=noise(), beta=beta)
    visible = next(itertools.islice(chain, 60, None)).visible
    wanted = (-m.free_energy(states(5), beta)).softmax(0)
    assert (visited(visible) - wanted).abs().sum() / 2 < 1.5 * math.sqrt(32 / (2 * math.pi * count))
    assert (chances(m) - wanted).abs().sum() > 0.2


@pytest.mark.long
def test_tempering_crosses_where_gibbs_sampling_is_stuck() -> None:
    """Two modes, all units on or all off, with nothing likely between."""
    m = Machine(torch.full((6, 3), 4.0), torch.full((6,), -6.0), torch.full((3,), -12.0), torch.zeros(6))
    off = torch.zeros(4000, 3)
    stuck = gibbs(m, off, steps=50, noise=noise()).mean()
    freed = tempered(m, [i / 7 for i in range(8)], torch.zeros(32_000, 6), steps=200, noise=noise()).mean()
    expected = chances(m.plain(torch.float64)) @ states(6).mean(1)
    assert stuck < 0.05 and expected > 0.45
    assert freed.item() == pytest.approx(expected.item(), abs=0.03)


def test_swaps_keep_the_joint_distribution_of_all_replicas() -> None:
    """Started in it, a replica at each temperature stays in it."""
    m, betas, count = machine(3, 2, strength=2.0), [0.2, 0.6, 1.0], 30_000
    every = states(3)
    targets = [(-m.free_energy(every, beta)).softmax(0) for beta in betas]
    random = torch.Generator().manual_seed(3)
    start = torch.stack([every[torch.multinomial(p, count, True, generator=random)] for p in targets], 1)
    beta, chance, after = torch.tensor(betas, dtype=torch.float64)[:, None], noise(), start
    for first in (0, 1, 0, 1):
        after = _swapped(m, after, beta, first=first, noise=chance).view(count, 3, 3)
    assert (after != start).any(2).float().mean() > 0.2
    for place, target in enumerate(targets):
        assert (visited(after[:, place]) - target).abs().max() < 4 * math.sqrt(0.25 / count)


def test_a_stream_depends_on_its_seed_alone() -> None:
    like = torch.zeros(6, 3)
    for kind in ("uniform", "normal"):
        three, one = getattr(Streams([4, 9, 4]), kind)(like), getattr(Streams([9]), kind)(like[:2])
        assert torch.equal(three[:2], three[4:]) and torch.equal(three[2:4], one) and not torch.equal(three[:2], one)


@pytest.mark.parametrize("sampler", ["annealed", "tempered", "gibbs"])
@pytest.mark.parametrize("units", ["binary", "gaussian"])
@pytest.mark.parametrize("method", ["pcd", "cd"])
def test_every_sampler_gives_each_seed_its_own_image(sampler: str, units: str, method: str) -> None:
    torch.manual_seed(0)
    model = RBM(
        size=8, channels=1, latent_dim=12, units=units, method=method, sampler=sampler, sample_steps=30, temperatures=4
    ).eval()
    torch.nn.init.normal_(model.weight, std=0.1)
    z = model.prior([5, 6, 7])
    assert torch.equal(z[1], model.prior([6])[0]) and not torch.equal(z[0], z[1])
    assert set(z.unique().tolist()) <= {0.0, 1.0}


# The likelihood


@pytest.mark.parametrize("gaussian", [False, True], ids=["binary", "gaussian"])
def test_annealed_importance_sampling_agrees_with_counting(gaussian: bool) -> None:
    inside = 0
    for seed in range(10):
        m = machine(12, 10, gaussian=gaussian, strength=0.3 if gaussian else 0.6, seed=seed)
        exact = partition.exact_log_partition(m)
        weights = partition.forward_weights(m, partition.inverse_temperatures(300), chains=100, noise=noise(seed))
        found = bootstrap_log_mean(weights)
        assert found.value == pytest.approx(exact, abs=0.15)
        inside += found.low <= exact <= found.high
    assert inside >= 8  # of 10 intervals of 95 %


def test_forward_and_reverse_bound_log_z_from_both_sides() -> None:
    m = machine(10, 8, strength=0.7)
    exact, few = partition.exact_log_partition(m), partition.inverse_temperatures(4)
    random = torch.Generator().manual_seed(0)
    drawn = states(10)[torch.multinomial(chances(m), 4000, True, generator=random)]
    below = partition.forward_weights(m, few, chains=4000, noise=noise())
    above = partition.reverse_weights(m, few, drawn, noise=noise())
    assert below.mean() < exact - 0.2 and above.mean() > exact + 0.2  # so few temperatures leave a gap
    assert bootstrap_log_mean(below).value == pytest.approx(exact, abs=0.15)
    many = partition.reverse_weights(m, partition.inverse_temperatures(400), drawn[:500], noise=noise())
    assert many.mean().item() == pytest.approx(exact, abs=0.05)


def test_reverse_chains_give_chances_that_sum_to_one() -> None:
    """Burda 2015: exp(-F(x) - weight) estimates without bias the chance that annealing ends at x."""
    m, few, every = machine(4, 3, strength=1.5), partition.inverse_temperatures(3), states(4)
    many = every.repeat(8000, 1)
    weights = partition.reverse_weights(m, few, many, noise=noise())
    found = (-m.free_energy(many) - weights).exp().view(8000, 16).mean(0)
    assert found.sum().item() == pytest.approx(1, abs=0.03)
    ends = annealed(m, few[1:], count=100_000, noise=noise(1))
    torch.testing.assert_close(found, visited(ends), atol=0.01, rtol=0.1)


def test_the_log_of_a_mean_and_the_difference_of_scores() -> None:
    values = torch.tensor([1000.0, 1001.0, 999.5, 1000.2])
    score = bootstrap_log_mean(values)
    assert score.value == pytest.approx(1000 + math.log((values.double() - 1000).exp().mean().item()))
    assert score.low < score.value < score.high
    apart = difference(Score(5, 2, 8), Score(1, -3, 5))
    assert apart == pytest.approx((4.0, -1.0, 9.0))
    assert difference(Score(5, 2, 8), Score(1)).value == 4


def test_figures_show_filters_and_chains() -> None:
    torch.manual_seed(0)
    model: Model = RBM(size=8, channels=1, latent_dim=70)
    shown = model.diagnostics()
    assert shown["filters"].shape == (64, 1, 8, 8) and shown["chains"].shape == (64, 1, 8, 8)
    torch.testing.assert_close(shown["filters"].abs().amax((1, 2, 3)), torch.ones(64))
    assert set(RBM(size=8, channels=1, method="cd").diagnostics()) == {"filters"}
