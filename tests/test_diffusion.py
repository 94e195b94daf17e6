"""Diffusion against what can be worked out: a Gaussian's denoiser, its flow and likelihood; the papers' own formulas."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.distributions import Normal

from commandline import refused, typed
from zeuxis import api, loading, renamed
from zeuxis.errors import DataError, UsageError
from zeuxis.families.diffusion import Diffusion
from zeuxis.likelihood import bounds
from zeuxis.model import Batch, Clock
from zeuxis.nets.denoising import DenoisingUNet, Waves, fine
from zeuxis.nets.objectives import HIGH, LOW, OBJECTIVES, linear_levels
from zeuxis.nets.transforms import moved_at_random, transformed
from zeuxis.samplers import (
    SAMPLERS,
    STEPPERS,
    Denoiser,
    ddim,
    ddpm,
    dpm_solver,
    euler,
    heun,
    karras_sigmas,
    scaled_levels,
    scaled_score,
    seed_of,
)
from zeuxis.training.engine import train

MEAN, SPREAD = 0.3, 0.6  # of the Gaussian that is the data


def gaussian(x: Tensor, sigma: Tensor) -> Tensor:
    """E[image | image + sigma noise = x] where images are N(MEAN, SPREAD^2), number by number."""
    level = sigma.view(-1, *(1 for _ in x.shape[1:]))
    return MEAN + SPREAD**2 / (SPREAD**2 + level**2) * (x - MEAN)


def flowed(x: Tensor, here: float, there: float) -> Tensor:
    """Where that Gaussian's probability flow takes x from one level to another: its deviation from the mean is scaled."""
    return MEAN + (x - MEAN) * math.sqrt((SPREAD**2 + there**2) / (SPREAD**2 + here**2))


def error(
    sampler: Callable[[Denoiser, Tensor, Sequence[float]], Tensor], steps: int, *, low: float, up: bool = False
) -> float:
    """Of an image that is taken between the level 80 and a low one (0: to the very end) by so many steps."""
    levels = karras_sigmas(steps, low or LOW, HIGH)
    levels = levels if low == 0 else levels[:-1]
    levels = levels[::-1] if up else levels
    start = torch.linspace(-2, 2, 9, dtype=torch.double)[None] * levels[0]
    exact = flowed(start, levels[0], levels[-1])
    return float((sampler(gaussian, start, levels) - exact).norm() / exact.norm())


@pytest.mark.parametrize(("name", "order"), [("euler", 1), ("ddim", 1), ("heun", 2), ("dpm++2m", 2)])
@pytest.mark.parametrize("up", [False, True])
def test_a_sampler_is_exact_on_a_gaussian_to_its_order(name: str, order: int, up: bool) -> None:
    errors = [error(SAMPLERS[name], steps, low=0.05, up=up) for steps in (65, 129, 257)]
    for coarse, finer in zip(errors, errors[1:]):
        assert coarse / finer == pytest.approx(2**order, rel=0.15)
    assert errors[-1] < (0.02 if order == 1 else 2e-4)


@pytest.mark.parametrize(("name", "steps", "most"), [("heun", 36, 0.012), ("dpm++2m", 36, 0.013), ("euler", 200, 0.02)])
def test_few_steps_to_the_end_are_enough(name: str, steps: int, most: float) -> None:
    assert error(SAMPLERS[name], steps, low=0) < most


def test_there_and_back_is_the_same_image() -> None:
    image = torch.randn(3, 1, 4, 4, dtype=torch.double)
    levels = karras_sigmas(60, LOW, HIGH)[:-1]
    noise = heun(gaussian, image, levels[::-1])
    torch.testing.assert_close(noise, flowed(image, LOW, HIGH), rtol=5e-3, atol=0.05)
    torch.testing.assert_close(heun(gaussian, noise, levels), image, rtol=0, atol=2e-3)


def test_ancestral_samples_have_the_moments_of_the_gaussian() -> None:
    """Each step is linear here, so the variance after few steps is known too: below that of the data, which it nears."""

    def variance(steps: int) -> float:
        levels, found = karras_sigmas(steps, LOW, HIGH), HIGH**2
        for here, there in zip(levels, levels[1:]):
            pull = SPREAD**2 / (SPREAD**2 + here**2)
            fresh = (there**2 * (here**2 - there**2)) / here**2
            kept = math.sqrt(there**2 - fresh) / here
            found = (pull + kept * (1 - pull)) ** 2 * found + fresh
        return found

    assert abs(variance(2000) - SPREAD**2) < 0.005 < abs(variance(20) - SPREAD**2)
    start = MEAN + HIGH * torch.randn(1, 200_000, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    for steps in (20, 100):
        made = ddpm(gaussian, start, karras_sigmas(steps, LOW, HIGH))
        assert made.mean().item() == pytest.approx(MEAN, abs=0.01)
        assert made.var().item() == pytest.approx(variance(steps), rel=0.02)


class Fixed:
    """Noise that is known: the same numbers at every call."""

    def __init__(self, value: Tensor) -> None:
        self.value = value

    def normal(self, like: Tensor) -> Tensor:
        return self.value

    def uniform(self, like: Tensor) -> Tensor:
        raise NotImplementedError


def test_ddpm_is_the_posterior_of_ho_2020() -> None:
    """Equations 6 and 7, of x_t = sqrt(abar) image + sqrt(1 - abar) noise with the paper's betas."""
    beta = torch.linspace(1e-4, 0.02, 1000, dtype=torch.double)
    abar = (1 - beta).cumprod(0)
    t = 600
    image, x, fresh = (torch.randn(2, 5, dtype=torch.double) for _ in range(3))
    mean = abar[t - 1].sqrt() * beta[t] / (1 - abar[t]) * image
    mean = mean + (1 - beta[t]).sqrt() * (1 - abar[t - 1]) / (1 - abar[t]) * x
    expected = mean + ((1 - abar[t - 1]) / (1 - abar[t]) * beta[t]).sqrt() * fresh
    sigmas = linear_levels().double()[[t, t - 1]]
    torch.testing.assert_close(sigmas, ((1 - abar) / abar).sqrt()[[t, t - 1]], rtol=1e-6, atol=0)
    made = ddpm(lambda x, sigma: image, x / abar[t].sqrt(), sigmas.tolist(), noise=Fixed(fresh))
    torch.testing.assert_close(made * abar[t - 1].sqrt(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_is_equation_12_of_song_2021(eta: float) -> None:
    now, then = torch.tensor(0.3, dtype=torch.double), torch.tensor(0.7, dtype=torch.double)  # the paper's alphas
    image, x, fresh = (torch.randn(2, 5, dtype=torch.double) for _ in range(3))
    noise = (x - now.sqrt() * image) / (1 - now).sqrt()
    spread = eta * ((1 - then) / (1 - now)).sqrt() * (1 - now / then).sqrt()
    expected = then.sqrt() * image + (1 - then - spread**2).sqrt() * noise + spread * fresh
    sigmas = [math.sqrt((1 - a) / a) for a in (now, then)]
    made = ddim(lambda x, sigma: image, x / now.sqrt(), sigmas, eta=eta, noise=Fixed(fresh))
    torch.testing.assert_close(made * then.sqrt(), expected)


def test_dpm_solver_is_algorithm_2_of_lu_2022() -> None:
    """In its own terms: alpha^2 + sigma^2 = 1, steps in lambda = log(alpha / sigma)."""
    level = torch.tensor([20.0, 5.0, 1.0, 0.3], dtype=torch.double)
    alpha, deviation = 1 / (1 + level**2).sqrt(), level / (1 + level**2).sqrt()
    lam = (alpha / deviation).log()
    start = torch.randn(2, 5, dtype=torch.double) * 20

    def condition(x: Tensor, i: int) -> Tensor:  # the denoised image of x in the paper's scale
        return gaussian(x / alpha[i], level[i].expand(2))

    x, before = start * alpha[0], None
    for i in (1, 2, 3):
        h = lam[i] - lam[i - 1]
        clean = condition(x, i - 1)
        ahead = clean
        if before is not None:
            ratio = (lam[i - 1] - lam[i - 2]) / h
            ahead = (1 + 1 / (2 * ratio)) * clean - before / (2 * ratio)
        x, before = deviation[i] / deviation[i - 1] * x - alpha[i] * torch.expm1(-h) * ahead, clean
    torch.testing.assert_close(dpm_solver(gaussian, start, level.tolist()) * alpha[3], x)


def test_euler_is_ddim_without_noise_and_noise_is_a_function_of_the_image() -> None:
    start, levels = torch.randn(4, 3, 5, dtype=torch.double) * HIGH, karras_sigmas(12, LOW, HIGH)
    torch.testing.assert_close(euler(gaussian, start, levels), ddim(gaussian, start, levels))
    made = ddpm(gaussian, start, levels)
    torch.testing.assert_close(ddpm(gaussian, start[2:3], levels), made[2:3])
    assert len({seed_of(row) for row in start}) == 4
    assert not torch.allclose(made, ddim(gaussian, start, levels), atol=0.1)


def test_levels_are_those_of_the_papers() -> None:
    levels = karras_sigmas(18, LOW, HIGH)
    assert len(levels) == 19 and levels[-1] == 0
    assert (levels[0], levels[-2]) == pytest.approx((80, 0.002))
    even = torch.tensor(levels[:-1], dtype=torch.double) ** (1 / 7)
    torch.testing.assert_close(even.diff(), even.diff().mean().expand(17))
    assert 1 / (1 + linear_levels()[-1].item() ** 2) == pytest.approx(
        4.04e-5, rel=0.01
    )  # Ho 2020: nearly no image is left
    u = torch.linspace(0.001, 0.999, 999, dtype=torch.double)
    sigma, few = OBJECTIVES["edm"].level(u), u < 1 / 32
    torch.testing.assert_close(Normal(-1.2, 1.2).cdf(sigma[~few].log()), (u[~few] * 32 - 1) / 31, atol=1e-4, rtol=0)
    torch.testing.assert_close((sigma[few] / LOW).log() / math.log(HIGH / LOW), u[few] * 32)
    edges = OBJECTIVES["edm"].level(torch.tensor([0, 1 / 32, 1]))
    assert edges[0].item() == pytest.approx(LOW) and 0 < edges.min() and edges.max() < 30
    sigma = OBJECTIVES["v"].level(u)
    torch.testing.assert_close(1 / (1 + sigma**2), torch.cos(u * math.pi / 2) ** 2)
    sigma = OBJECTIVES["flow"].level(u)
    torch.testing.assert_close(sigma / (1 + sigma), u)
    assert torch.equal(OBJECTIVES["ddpm"].level((torch.arange(1000) + 0.5) / 1000), linear_levels())


def pair(sigma: float, n: int = 400_000) -> tuple[Tensor, Tensor, Tensor]:
    """Images of a Gaussian, noise, and their sum at a level."""
    random = torch.Generator().manual_seed(5)
    image = 0.5 * torch.randn(n, generator=random, dtype=torch.double)
    noise = torch.randn(n, generator=random, dtype=torch.double)
    return image, noise, image + sigma * noise


@pytest.mark.parametrize("sigma", [0.01, 0.3, 2.0, 50.0])
def test_what_the_network_tells_is_what_each_paper_says(sigma: float) -> None:
    image, noise, x = pair(sigma, 1000)
    level = torch.tensor(sigma, dtype=torch.double)
    alpha = 1 / math.sqrt(1 + sigma**2)
    t = sigma / (1 + sigma)
    condition = {
        "ddpm": (noise, alpha * image + math.sqrt(1 - alpha**2) * noise),
        "v": (alpha * noise - math.sqrt(1 - alpha**2) * image, alpha * image + math.sqrt(1 - alpha**2) * noise),
        "flow": (noise - image, (1 - t) * image + t * noise),
    }
    for name, (target, given) in condition.items():
        scales = OBJECTIVES[name].scales(level, 0.5)
        torch.testing.assert_close((image - scales.c_skip * x) / scales.c_out, target, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(scales.c_in * x, given)
        torch.testing.assert_close(scales.c_skip * x + scales.c_out * target, image, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("sigma", [0.01, 0.3, 2.0, 50.0])
def test_edm_keeps_variances_at_one_and_errors_small(sigma: float) -> None:
    """Karras 2022, appendix B.6: input and target of variance 1, and of all such scales those with the least output."""
    image, _, x = pair(sigma)
    scales = OBJECTIVES["edm"].scales(torch.tensor(sigma, dtype=torch.double), 0.5)
    assert (scales.c_in * x).var().item() == pytest.approx(1, rel=0.01)
    assert ((image - scales.c_skip * x) / scales.c_out).var().item() == pytest.approx(1, rel=0.01)
    skips = torch.linspace(-0.5, 1.5, 20_001, dtype=torch.double)
    outs = ((1 - skips) ** 2 * 0.25 + skips**2 * sigma**2).sqrt()
    assert scales.c_skip.item() == pytest.approx(skips[outs.argmin()].item(), abs=2e-4)
    assert scales.c_out.item() == pytest.approx(outs.min().item(), rel=1e-4)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("sigma", [0.1, 0.5, 3.0])
def test_every_objective_has_its_minimum_at_the_same_denoiser(name: str, sigma: float) -> None:
    """The best multiple of the input, found by least squares, is the expected image of a Gaussian."""
    image, _, x = pair(sigma)
    scales = OBJECTIVES[name].scales(torch.tensor(sigma, dtype=torch.double), 0.5)
    given, target = scales.c_in * x, (image - scales.c_skip * x) / scales.c_out
    best = (given * target).sum() / given.square().sum()
    denoised = scales.c_skip + scales.c_out * best * scales.c_in
    assert denoised.item() == pytest.approx(0.25 / (0.25 + sigma**2), rel=0.01)


def model(**options: Any) -> Diffusion:
    """A small one whose network does not tell zeros, as an untrained one does."""
    torch.manual_seed(0)
    made = Diffusion(**{"size": 16, "channels": 1, "base_channels": 16, **options})
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.03 * torch.randn_like(parameter))
    return made.eval().requires_grad_(False)


def test_the_loss_is_the_error_of_what_is_told() -> None:
    plain = model(objective="v")
    image = torch.rand(6, 1, 16, 16) * 2 - 1
    torch.manual_seed(3)
    ((player, terms),) = plain.losses(Batch(image), Clock())
    torch.manual_seed(3)
    sigma = plain.levels(image)
    noise = torch.randn_like(image)
    alpha = 1 / (1 + sigma**2).sqrt()
    condition = plain.network(alpha * (image + sigma * noise), alpha * sigma, sigma.flatten().log() / 4)
    expected = (condition - (alpha * noise - (1 - alpha**2).sqrt() * image)).square().mean()
    assert player == "denoiser"
    torch.testing.assert_close(terms["mse"], expected, rtol=1e-4, atol=0)


def test_levels_of_a_batch_are_spread_evenly() -> None:
    for seed in range(20):
        torch.manual_seed(seed)
        sigma = model(objective="flow").levels(torch.zeros(50, 1, 16, 16)).flatten()
        times = (sigma / (1 + sigma)).sort().values
        torch.testing.assert_close(times.diff(), torch.full((49,), 0.02), atol=2e-4, rtol=0)


def test_guidance_goes_beyond_the_class_from_any_image() -> None:
    """Ho and Salimans 2022, equation 6: (1 + w) told - w untold, guidance being 1 + w; on denoised images it is the same."""
    guided = model(num_classes=3)
    x, sigma, label = torch.randn(4, 1, 16, 16), torch.tensor([0.1, 0.5, 1.0, 9.0]), torch.tensor([0, 1, 2, 1])
    condition = guided.condition(label, 4)
    untold, once = guided.denoise(x, sigma), guided.denoise(x, sigma, condition)
    assert not torch.allclose(untold, once, atol=1e-3)
    for guidance in (0.0, 2.5):
        guided.adjust({"guidance_scale": guidance})
        torch.testing.assert_close(
            guided.denoise(x, sigma, condition), untold + guidance * (once - untold), rtol=1e-4, atol=1e-4
        )


def test_labels_are_classes_or_attributes_and_silence_is_neither() -> None:
    named = model(num_classes=3)
    z = named.prior([1, 2])
    assert named.condition(None, 2) is None
    assert torch.equal(named.decode(z), named.decode(z, None))
    classes = named.decode(z, torch.tensor([2, 2]))
    torch.testing.assert_close(classes, named.decode(z, torch.tensor([[0, 0, 1], [0, 0, 1]])))
    assert not torch.allclose(classes, named.decode(z), atol=1e-3)
    named.adjust({"label": 2})
    assert torch.equal(named.decode(z), classes)
    with pytest.raises(UsageError, match="label 3"):
        named.decode(z, torch.tensor([3, 0]))
    assert named.needs == {"image", "label"} and model().needs == {"image"}


def test_moved_images_are_labelled_by_their_maps() -> None:
    image = torch.rand(200, 2, 12, 12) * 2 - 1
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16):  # as in training; the maps stay exact
        moved, labels = moved_at_random(image)
    assert moved.dtype == labels.dtype == torch.float32
    maps = torch.cat((torch.eye(3)[:2] + labels.view(-1, 2, 3), torch.eye(3)[2:].expand(200, 1, 3)), 1)
    torch.testing.assert_close(moved, transformed(image, maps), atol=1e-4, rtol=0)
    stays = (labels == 0).all(1)
    assert 0.2 < float(stays.float().mean()) < 0.6
    torch.testing.assert_close(moved[stays], image[stays], atol=1e-4, rtol=0)
    assert bool(((moved - image)[~stays].flatten(1).abs().amax(1) > 1e-3).all())


def test_images_are_moved_in_training_and_never_in_samples() -> None:
    drawn, given = model(augment="affine", num_classes=3), []
    drawn.network.register_forward_pre_hook(lambda _, inputs: given.append(inputs[3]))
    z, label = drawn.prior([1, 2]), torch.tensor([0, 2])
    drawn.decode(z)
    assert given and all(condition is None for condition in given)
    given.clear()
    drawn.decode(z, label)
    assert given and all(bool((condition[:, 3:] == 0).all()) for condition in given)
    assert torch.equal(given[0][:, :3], torch.tensor([[1.0, -1, -1], [-1, -1, 1]]))
    given.clear()
    list(drawn.losses(Batch(torch.rand(60, 1, 16, 16), label=torch.arange(60) % 3), Clock()))
    assert 10 < int((given[0][:, 3:] != 0).any(1).sum()) < 55
    before = {name: value for name, value in model().options.items() if name != "augment"}
    assert renamed.options("diffusion", before)["augment"] == "none"


def test_every_sampler_nears_the_same_image_and_the_way_back_finds_the_noise() -> None:
    drawn = model()
    z = drawn.prior(range(3))
    drawn.adjust({"num_inference_steps": 200, "sampler": "heun"})
    image = drawn.decode(z)
    for sampler in ("euler", "ddim", "dpm++2m"):
        drawn.adjust({"sampler": sampler})
        assert (drawn.decode(z) - image).square().mean().sqrt() < 0.02, sampler
    drawn.adjust({"sampler": "heun", "num_inference_steps": 60})
    true = torch.rand(3, 1, 16, 16) * 1.8 - 0.9
    again = drawn.decode(drawn.encode(true))
    assert 10 * torch.log10(4 / (again - true).square().mean()) > 35


@pytest.mark.parametrize("sampler", STEPPERS)
def test_the_moments_of_a_sampler_lead_to_its_result(sampler: str) -> None:
    """One for each level, with the denoised images there; the way is that of the plain function, bit for bit."""
    start, levels = torch.randn(3, 2, 5, dtype=torch.double) * HIGH, karras_sigmas(6, LOW, HIGH)
    moments = list(STEPPERS[sampler](gaussian, start, levels))
    assert [moment.sigma for moment in moments] == levels
    for moment in moments[:-1]:
        assert torch.equal(moment.denoised, gaussian(moment.x, torch.full((3,), moment.sigma, dtype=torch.double)))
    assert torch.equal(moments[0].x, start) and torch.equal(moments[-1].denoised, moments[-1].x)
    assert torch.equal(moments[-1].x, SAMPLERS[sampler](gaussian, start, levels))


def test_sampling_is_denoising_to_the_last_level() -> None:
    drawn = model(num_inference_steps=5)
    z = drawn.prior(range(2))
    assert [moment.sigma for moment in drawn.denoising(z)] == drawn.noise_levels()
    *_, last = drawn.denoising(z)
    assert torch.equal(last.x.clamp(-1, 1), drawn.decode(z))
    *_, rough = drawn.denoising(z, steps=2, sampler="heun")
    drawn.adjust({"num_inference_steps": 2, "sampler": "heun"})
    assert torch.equal(rough.x.clamp(-1, 1), drawn.decode(z))


def test_few_steps_end_at_a_higher_level() -> None:
    """An evaluation at the lowest level would leave the image as it is; from 24 steps on the levels are the paper's."""
    drawn = model(score_scale=1.0)
    for steps in (24, 25, 100):
        assert drawn.noise_levels(steps) == karras_sigmas(steps, LOW, HIGH)
    last = [drawn.noise_levels(steps)[-2] for steps in range(2, 25)]
    assert last == sorted(last, reverse=True) and last[0] < 2 and last[2] == pytest.approx(0.252, abs=0.001)
    assert drawn.noise_levels(1) == [HIGH, 0.0]
    start = torch.linspace(-2, 2, 9, dtype=torch.double)[None] * HIGH
    exact = flowed(start, HIGH, 0)
    for steps in (3, 8, 12):
        few, plain = (
            float((dpm_solver(gaussian, start, levels) - exact).norm())
            for levels in (drawn.noise_levels(steps), karras_sigmas(steps, LOW, HIGH))
        )
        assert few < plain, steps


@pytest.mark.parametrize("sampler", ["heun", "dpm++2m", "ddim"])
@pytest.mark.parametrize("scale", [0.8, 1.0, 1.2])
def test_the_score_counts_as_often_as_is_asked(sampler: str, scale: float) -> None:
    """Of that Gaussian dx / dsigma = scale (x - E) / sigma takes x - MEAN by the ratio of (SPREAD^2 + sigma^2)^(scale / 2)."""
    start = torch.linspace(-2, 2, 9, dtype=torch.double)[None] * HIGH
    levels = scaled_levels(karras_sigmas(1500, LOW, HIGH), scale, HIGH)
    found = SAMPLERS[sampler](scaled_score(gaussian, scale, HIGH), start, levels)
    exact = MEAN + (start - MEAN) * (SPREAD**2 / (SPREAD**2 + HIGH**2)) ** (scale / 2)
    assert torch.allclose(found, exact, rtol=0.02, atol=0.01)


def test_a_scaled_score_is_told_more_noise_than_is_left() -> None:
    drawn, plain = model(score_scale=1.2), model(score_scale=1.0)
    assert drawn.noise_levels()[0] == plain.noise_levels()[0] == HIGH and drawn.noise_levels()[-1] == 0
    assert all(left < told for left, told in zip(drawn.noise_levels()[1:-1], plain.noise_levels()[1:-1]))
    x, told = torch.randn(3, 1, 8, 8), torch.tensor([0.002, 0.3, 40.0])
    left = torch.tensor(scaled_levels(told.tolist(), 1.2, HIGH))
    assert torch.allclose(drawn.denoiser()(x, left), plain.denoise(x, told), atol=1e-5)
    assert renamed.options("diffusion", {})["score_scale"] == 1, "as older models sampled"


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_it_says_how_often_its_network_is_called(sampler: Any) -> None:
    drawn, made = model(sampler=sampler, num_inference_steps=5), []
    drawn.network.register_forward_hook(lambda *_: made.append(1))
    image = drawn.decode(drawn.prior([0]))
    assert len(made) == drawn.decode_nfe
    drawn.encode(image)
    assert len(made) == drawn.decode_nfe + drawn.encode_nfe


def test_the_figure_of_the_way_ends_at_the_images() -> None:
    drawn = model(num_inference_steps=12, sampler="heun")
    shown = drawn.diagnostics()["denoising"].view(8, 8, 1, 16, 16)
    torch.testing.assert_close(shown[:, -1], drawn.decode(drawn.prior(range(8))), atol=1e-4, rtol=0)
    far = (shown - shown[:, -1:]).square().mean((0, 2, 3, 4))
    assert far[0] > far[3] > far[6] > 0


def test_a_bound_of_the_likelihood_is_below_it_and_near() -> None:
    """Of a Gaussian, whose denoiser and chance of every one of 256 values are known; far below a value's width it is loose."""
    random, spread = torch.Generator().manual_seed(0), 0.25
    image = torch.randn(300, 1, 12, 12, generator=random) * spread
    image = (((image + 1) / bounds.BIN).round() * bounds.BIN - 1).clamp(-1, 1)
    normal, edge = Normal(torch.zeros((), dtype=torch.double), spread), bounds.BIN / 2
    exact = (normal.cdf(image.double() + edge) - normal.cdf(image.double() - edge)).log().flatten(1).sum(1)

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        return x * (spread**2 / (spread**2 + sigma**2)).view(-1, 1, 1, 1)

    def gap(low: float) -> Tensor:
        bound = bounds.variational(denoise, image, low=low, high=80.0, draws=60, generator=random)
        return bounds.bits_per_dimension(bound - exact, 144)

    for low in (0.004, 0.01):
        found = gap(low)
        deviation = float(found.std() / 300**0.5)
        assert deviation < 0.02
        assert -3 * deviation < float(found.mean()) < 0.02 + 3 * deviation
    assert 0.5 < float(gap(0.001).mean()) < 1.5


def test_the_network_takes_any_size_and_begins_at_zero() -> None:
    net = DenoisingUNet(30, 3, width=16, blocks=1, patch=4, conditions=0)
    condition = net(torch.randn(2, 3, 30, 30), torch.ones(2, 1, 1, 1), torch.zeros(2))
    assert condition.shape == (2, 3, 30, 30) and bool((condition == 0).all())


def test_fine_differences_are_the_noise_of_plain_areas() -> None:
    plain, sigma = torch.full((2, 3, 20, 20), 0.7), torch.tensor([0.01, 0.3]).view(2, 1, 1, 1)
    assert float(fine(plain, sigma).abs().max()) < 1e-4
    noise = 0.5 * torch.randn(2, 3, 20, 20).clamp(-1, 1)  # so faint that the bound does not bend it
    found = fine(plain + sigma * noise, sigma).unflatten(1, (8, 3))
    y, x = 9, 12
    for place, reach in ((0, 2), (4, 4)):  # of each size the square that ends at the pixel
        square = noise[:, :, y - reach : y + 1, x - reach : x + 1]
        expected = noise[..., y, x] - square.mean((2, 3))
        torch.testing.assert_close(found[:, place, :, y, x], expected, atol=0.02, rtol=0)
    edge = torch.cat((plain, -plain), -1)
    assert float(fine(edge, sigma).abs().max()) <= 3


def test_beside_an_edge_some_difference_is_of_the_pixels_own_side() -> None:
    edge = torch.cat((torch.full((1, 1, 16, 8), -1.0), torch.full((1, 1, 16, 8), 1.0)), -1)
    differs = fine(edge, torch.full((1, 1, 1, 1), 0.01))[0]  # squares h w
    assert bool((differs.abs().amin(0) < 1e-4).all()) and bool((differs[..., 7:9].abs().amax(0) > 2.9).all())


def test_levels_look_the_less_alike_the_farther_they_are_apart() -> None:
    """Over all levels that are drawn at: a wave that came round would show one level as another."""
    levels = torch.linspace(math.log(LOW) / 4, math.log(HIGH) / 4, 40, dtype=torch.double)
    shown = Waves()(levels)
    apart = torch.cdist(shown, shown)
    for place in range(40):
        assert bool((apart[place, place:].diff() > 0.01).all()) and bool(
            (apart[place, : place + 1].diff() < -0.01).all()
        )


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    model(num_inference_steps=2).save(tmp_path / "model")
    return tmp_path / "model"


def test_a_saved_model_is_given_options_when_it_is_sampled(saved: Path) -> None:
    loaded = loading.load_model(saved, options={"num_inference_steps": 5, "sampler": "heun"})
    assert isinstance(loaded, Diffusion)
    assert (loaded.num_inference_steps, loaded.sampler) == (5, "heun")
    plain = loading.load_model(saved)
    assert isinstance(plain, Diffusion) and plain.num_inference_steps == 2
    assert not torch.equal(loaded.sample(1), plain.sample(1))
    for options, words in (
        ({"base_channels": 8}, "base_channels of diffusion cannot be changed"),
        ({"num_inference_steps": 0}, "--num-inference-steps is 0"),
        ({"sampler": "best"}, "choose one of heun"),
        ({"latent_dim": 4}, "latent_dim of diffusion"),
    ):
        with pytest.raises(UsageError, match=words):
            loading.load_model(saved, options=options)


def test_what_follows_from_the_options_is_no_option(tmp_path: Path) -> None:
    made = model(channels=3)
    assert made.latent_dim == 768 == made.prior([0]).numel()
    assert "latent_dim" not in made.options
    assert "unknown option" in refused("train", "diffusion", "digits", "--latent-dim", "4").lower()
    with pytest.raises(UsageError, match="no option 'latent_dim'"):
        api.train("diffusion", "digits", out=tmp_path, latent_dim=4)
    with pytest.raises(UsageError, match="without --num-classes"):
        loading.load_model(_saved(made, tmp_path), options={"label": 1}).sample(1)  # type: ignore[attr-defined]


def test_classes_come_with_the_data_and_are_asked_for_by_number(tmp_path: Path) -> None:
    options = {"steps": 3, "batch_size": 8, "sample_every": 1000, "threads": 1, "device": "cpu", "out": tmp_path}
    options |= {"size": 16, "base_channels": 16, "num_classes": 10, "num_inference_steps": 2}
    run = api.train("diffusion", "digits", **options).path
    three, four = (loading.load_model(run, options={"label": label, "guidance_scale": 3.0}) for label in (3, 4))
    assert isinstance(three, Diffusion) and isinstance(four, Diffusion)
    assert not torch.equal(three.sample(1), four.sample(1))
    images = tmp_path / "images"
    images.mkdir()
    for place in range(30):
        Image.new("L", (16, 16), place).save(images / f"{place}.png")
    with pytest.raises(DataError, match="label"):
        api.train("diffusion", str(images), **options, channels=1)


def _saved(made: Diffusion, folder: Path) -> Path:
    made.save(folder / "saved")
    return folder / "saved"


def test_commands_take_the_flags_of_the_model_they_are_given(saved: Path, tmp_path: Path) -> None:
    out = [str(tmp_path / f"{i}.png") for i in range(3)]
    assert typed("sample", str(saved), "-n", "2", "--out", out[0])[0] == 0
    code, _, condition = typed(
        "sample", str(saved), "-n", "2", "--num-inference-steps", "4", "--sampler", "heun", "--out", out[1]
    )
    assert code == 0, condition
    assert Path(out[0]).read_bytes() != Path(out[1]).read_bytes()
    assert (
        typed("interpolate", str(saved), "--rows", "1", "--columns", "2", "--sampler", "ddim", "--out", out[2])[0] == 0
    )
    assert "expected 1 to 10000" in refused("sample", str(saved), "--num-inference-steps", "0")
    assert "--width" in refused("sample", str(saved), "--width", "8")
    assert "--guidance" in refused("sample", str(tmp_path / "none"), "--guidance", "2")
    shown = typed("sample", str(saved), "--help")[1]
    assert "--num-inference-steps" in shown and "[default: 2]" in shown and "--lr" not in shown


class TwoGreys:
    """Endless images of one grey each, light or dark, evenly; noise of 0.05 is on them."""

    columns = frozenset({"image"})

    def batch(self, start: int, size: int) -> Batch:
        random = torch.Generator().manual_seed(start)
        grey = torch.where(torch.rand(size, 1, 1, 1, generator=random) < 0.5, -0.6, 0.4)
        return Batch(grey + 0.05 * torch.randn(size, 1, 8, 8, generator=random))


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_it_learns_two_kinds_of_image_and_how_often_each_is_seen(objective: Any) -> None:
    torch.manual_seed(0)
    learned = Diffusion(size=8, channels=1, base_channels=16, objective=objective, lr_warmup=1000)
    for done in train(learned, TwoGreys(), steps=1500, batch_size=32, seed=0, ema_half_life=5000):
        state = done.state
    made = state.average.sample(400)  # type: ignore[attr-defined]
    means, spread = made.mean((1, 2, 3)), made.std((1, 2, 3))
    light = (means - 0.4).abs() < 0.1
    dark = (means + 0.6).abs() < 0.1
    assert (light | dark).float().mean() > 0.95
    assert light.float().mean().item() == pytest.approx(0.5, abs=0.1)
    assert spread.mean().item() == pytest.approx(0.05, abs=0.025)
