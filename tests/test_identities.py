"""Formulas against something outside: closed forms, Monte Carlo, autograd, torch.distributions."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal, kl_divergence
from torch.nn import functional as F

from zeuxis.adversarial import BEGIN, DOUBLED, GAN_LOSSES, AdaptiveR1, lazy_weight, r1, turns
from zeuxis.errors import DivergedError
from zeuxis.families.dcgan import DCGAN
from zeuxis.families.diffusion import Diffusion
from zeuxis.families.progan import ProGAN
from zeuxis.families.stylegan2 import StyleGAN2
from zeuxis.families.vae import VAE
from zeuxis.model import Batch, Clock, Model
from zeuxis.nets.augment import augment, cutout, translation
from zeuxis.nets.conv import (
    DetailConv2d,
    Down,
    Norm,
    ResizeConv2d,
    Up,
    Upsampling,
    opponents,
    pyramid,
    steady_init,
    textbook_init,
)
from zeuxis.training.engine import average_weight, hash_seed, train, train_step, update_average


def test_non_saturating_pair_is_binary_cross_entropy_on_logits() -> None:
    score = torch.randn(50)
    pair = GAN_LOSSES["non-saturating"]
    ones, zeros = torch.ones(50), torch.zeros(50)
    torch.testing.assert_close(pair.real(score), F.binary_cross_entropy_with_logits(score, ones))
    torch.testing.assert_close(pair.fake(score), F.binary_cross_entropy_with_logits(score, zeros))
    torch.testing.assert_close(pair.adversarial(score), F.binary_cross_entropy_with_logits(score, ones))
    torch.testing.assert_close(GAN_LOSSES["saturating"].adversarial(score), torch.log(1 - torch.sigmoid(score)).mean())


@pytest.mark.parametrize("name", GAN_LOSSES)
def test_a_discriminator_is_paid_for_telling_apart_and_a_generator_for_fooling(name: str) -> None:
    pair, low, high = GAN_LOSSES[name], torch.full((4,), -0.1), torch.full((4,), 0.9)
    assert pair.real(high) < pair.real(low)
    assert pair.fake(low) < pair.fake(high)
    assert pair.adversarial(high) < pair.adversarial(low)
    assert pair.probability(low).max() < pair.probability(high).min()
    assert 0 <= pair.probability(low * 9).min() and pair.probability(high * 9).max() <= 1


def test_optimal_discriminator_of_two_gaussians_is_the_density_ratio() -> None:
    """Goodfellow 2014, proposition 1: training a logistic score on N(1, 1) against N(-1, 1) finds log p/q = 2x."""
    torch.manual_seed(0)
    slope = torch.zeros(2, requires_grad=True)
    optimizer, pair = torch.optim.Adam([slope], 0.05), GAN_LOSSES["non-saturating"]
    real, fake = torch.randn(20_000) + 1, torch.randn(20_000) - 1
    for _ in range(300):
        loss = pair.real(slope[0] * real + slope[1]) + pair.fake(slope[0] * fake + slope[1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert slope[0].item() == pytest.approx(2, abs=0.1)
    assert slope[1].item() == pytest.approx(0, abs=0.1)


def test_r1_of_a_linear_score_is_half_its_squared_norm() -> None:
    weight = torch.randn(3, 8, 8)
    value = r1(lambda image: (image * weight).sum((1, 2, 3)), torch.randn(5, 3, 8, 8))
    torch.testing.assert_close(value, weight.square().sum() / 2)


def test_r1_of_patches_is_that_of_their_mean() -> None:
    weight, image = torch.randn(3, 8, 8), torch.randn(5, 3, 8, 8)

    def patches(seen: Tensor) -> Tensor:
        return torch.stack([(seen * weight)[..., :4].sum((1, 2, 3)), (seen * weight)[..., 4:].sum((1, 2, 3))], 1)

    torch.testing.assert_close(r1(patches, image), weight.square().sum() / 8)


def test_r1_stays_in_float32_under_autocast_and_reaches_the_weights() -> None:
    network = Down(16, 3, width=4)
    with torch.autocast("cpu", torch.bfloat16):
        value = r1(network, torch.randn(2, 3, 16, 16))
    value.backward()
    assert value.dtype == torch.float32
    assert all(p.grad is not None for n, p in network.named_parameters() if n.endswith("weight"))


def test_kl_and_likelihoods_against_torch_distributions() -> None:
    torch.manual_seed(1)
    model = VAE(size=16, channels=1, latent_dim=5, base_channels=4, norm="none", kl_warmup=0, beta=2.0)
    image = torch.rand(6, 1, 16, 16) * 2 - 1
    mean, log_variance = model.posterior(image)
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(1).mean()
    turns = list(model.losses(Batch(image), Clock()))
    torch.testing.assert_close(turns[0][1]["latent/kl"], expected)
    torch.testing.assert_close(turns[1][1]["kl"], 2 * expected)

    logits = torch.randn(6, 1, 16, 16)
    normal = Normal(torch.tanh(logits), model.log_sigma.exp()).log_prob(image).sum((1, 2, 3))
    torch.testing.assert_close(model.log_likelihood(image, logits), normal, rtol=1e-4, atol=1e-2)
    coin = VAE(size=16, channels=1, base_channels=4, likelihood="bernoulli")
    binary = (image > 0).float() * 2 - 1
    exact = Bernoulli(logits=logits).log_prob((binary + 1) / 2).sum((1, 2, 3))
    torch.testing.assert_close(coin.log_likelihood(binary, logits), exact)


def test_kl_closed_form_against_monte_carlo() -> None:
    torch.manual_seed(2)
    mean, log_variance = torch.tensor([0.7, -0.2]), torch.tensor([-0.5, 0.3])
    posterior = Normal(mean, (log_variance / 2).exp())
    z = posterior.sample((200_000,))
    monte_carlo = (posterior.log_prob(z) - Normal(0.0, 1.0).log_prob(z)).sum(1).mean()
    closed = ((mean.square() + log_variance.exp() - 1 - log_variance) / 2).sum()
    torch.testing.assert_close(monte_carlo, closed, rtol=0.02, atol=0.01)


@pytest.mark.parametrize("size", [8, 28, 32, 45, 50, 63, 64, 97, 127, 128])
@pytest.mark.parametrize("upsampling", ["nearest", "transposed"])
def test_pyramids_meet_at_every_size(size: int, upsampling: Upsampling) -> None:
    assert 4 <= pyramid(size)[0] <= 7
    image = Up(size, 3, width=4, inputs=5, upsampling=upsampling)(torch.randn(2, 5))
    assert image.shape == (2, 3, size, size)
    assert Down(size, 3, width=4, outputs=7)(image).shape == (2, 7)


def test_resize_convolution_is_what_its_name_says() -> None:
    layer = ResizeConv2d(5, 6).double()
    image = torch.randn(2, 5, 7, 9, dtype=torch.double)
    kernel = layer.weight.flip(2, 3).transpose(0, 1)
    plain = F.conv2d(F.interpolate(image, scale_factor=2, mode="nearest"), kernel, layer.bias, padding=1)
    torch.testing.assert_close(layer(image), plain)


def test_flat_features_give_a_flat_image_only_by_nearest_neighbours() -> None:
    flat = torch.ones(1, 8, 8, 8)
    inner = [
        layer(flat).detach()[:, :, 2:-2, 2:-2]
        for layer in (ResizeConv2d(8, 3), torch.nn.ConvTranspose2d(8, 3, 4, 2, 1))
    ]
    spread = [float((image - image.mean((2, 3), keepdim=True)).abs().max()) for image in inner]
    assert spread[0] < 1e-6 < 1e-3 < spread[1]


@pytest.mark.parametrize("every", [1, 4, 16])
def test_a_penalty_that_is_paid_seldom_is_paid_as_much_in_the_end(every: int) -> None:
    weights = [lazy_weight(2.5, every, step) for step in range(32)]
    assert sum(weights) == 32 * 2.5
    assert sum(weight > 0 for weight in weights) == 32 / every


def test_adaptive_r1_rises_beyond_its_target_and_falls_below_it() -> None:
    adaptive_r1 = AdaptiveR1(target=0.3)
    assert float(adaptive_r1.scale) == BEGIN
    for _ in range(DOUBLED // 100):
        adaptive_r1.update(torch.tensor(0.31), 100)
    assert float(adaptive_r1.scale) == pytest.approx(2 * BEGIN, rel=1e-4)
    adaptive_r1.update(torch.tensor(0.9), 100 * DOUBLED)
    assert float(adaptive_r1.scale) == 1
    adaptive_r1.update(torch.tensor(0.29), 3 * DOUBLED)
    assert float(adaptive_r1.scale) == 1 / 8
    adaptive_r1.update(torch.tensor(-0.5), 100 * DOUBLED)
    assert float(adaptive_r1.scale) == BEGIN


def test_adaptive_r1_falls_lower_by_the_square_of_the_gain_of_details() -> None:
    adaptive_r1 = AdaptiveR1(target=0.3, detail_gain=4.0)
    assert float(adaptive_r1.scale) == BEGIN
    adaptive_r1.update(torch.tensor(0.9), 100 * DOUBLED)
    assert float(adaptive_r1.scale) == 1
    adaptive_r1.update(torch.tensor(0.1), 100 * DOUBLED)
    assert float(adaptive_r1.scale) == BEGIN / 16
    assert float(AdaptiveR1(target=0, detail_gain=4.0).scale) == 1, "a constant weight"
    model = DCGAN(size=16, channels=3, base_channels=4)
    assert model.adaptive_r1.least == BEGIN / model.detail_gain**2 < BEGIN


@pytest.mark.parametrize("images", [1, 8, 32])
def test_adaptive_r1_moves_as_far_in_half_precision(images: int) -> None:
    adaptive_r1 = AdaptiveR1(target=0.5)
    for _ in range(DOUBLED // images):
        adaptive_r1.update(torch.tensor(0.75, dtype=torch.bfloat16), images)
    assert float(adaptive_r1.scale) == pytest.approx(2 * BEGIN, rel=0.01)


def test_adaptive_r1_scales_the_penalty() -> None:
    torch.manual_seed(0)
    image, made = torch.randn(4, 3, 8, 8), torch.randn(4, 3, 8, 8)
    score, adaptive_r1 = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 1)), AdaptiveR1(target=0.5)
    adaptive_r1.scale.fill_(0.25)
    game = turns(GAN_LOSSES["non-saturating"], score, image, made, r1_weight=3.0, adaptive_r1=adaptive_r1)
    report, paid = next(game)[1], next(game)[1]["r1"]
    torch.testing.assert_close(paid, 0.75 * r1(score, image))
    assert float(report["discriminator/r1_scale"]) == 0.25
    answers = report["discriminator/prob_real"], report["discriminator/prob_fake"]
    assert [len(each) for each in answers] == [4, 4], "one for each image"
    assert abs(answers[0].mean() - answers[1].mean()) < 0.5
    assert next(game)[0] == "generator"
    assert float(adaptive_r1.scale) == pytest.approx(0.25 * 2 ** (-4 / DOUBLED))
    constant = AdaptiveR1(target=0)
    list(turns(GAN_LOSSES["hinge"], score, image, made, r1_weight=3.0, adaptive_r1=constant))
    assert float(constant.scale) == 1


def test_images_scored_as_one_batch_have_the_same_terms_and_gradients() -> None:
    torch.manual_seed(0)
    image, made = torch.randn(4, 3, 8, 8), torch.randn(4, 3, 8, 8, requires_grad=True)
    judge = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))
    calls: list[int] = []

    def score(images: Tensor) -> Tensor:
        calls.append(len(images))
        found: Tensor = judge(images)
        return found

    found = []
    for together in (False, True):
        game = turns(GAN_LOSSES["non-saturating"], score, image, made, together=together)
        report, terms = next(game)[1], next(game)[1]
        gradients = torch.autograd.grad(terms["real"] + terms["fake"], list(judge.parameters()))
        found.append([*report.values(), *terms.values(), *gradients])
    assert calls == [4, 4, 8]
    for apart, beside in zip(*found):
        torch.testing.assert_close(beside, apart)


def test_a_judge_without_norms_passes_a_faint_texture_on() -> None:
    """Its mean square is the same before and after four layers; with the weights of Radford 2015 a ten-thousandth is left."""
    torch.manual_seed(0)
    texture = 0.05 * torch.randn(64, 3, 64, 64)
    judge = Down(64, 3, width=32)
    kept = []
    for start in (steady_init, textbook_init):
        start(judge)
        with torch.no_grad():
            kept.append(float(judge.body(texture)[:, :, 1:-1, 1:-1].square().mean() / texture.square().mean()))
    assert 0.5 < kept[0] < 2
    assert kept[1] < 1e-3


def test_a_detail_convolution_sees_windows_whose_details_are_amplified() -> None:
    layer = DetailConv2d(3, 5, 4, 2, 1, gain=7.0).double()
    image = torch.randn(2, 3, 10, 12, dtype=torch.double)
    windows = F.unfold(image, 4, padding=1, stride=2).unflatten(1, (3, 16))  # n c 16 places
    level = windows.mean(2, keepdim=True)
    seen = (level + 7 * (windows - level)).flatten(1, 2)
    plain = layer.weight.flatten(1) @ seen + layer.bias[:, None]
    torch.testing.assert_close(layer(image).flatten(2), plain)


def test_a_judge_with_a_gain_of_one_is_the_plain_one() -> None:
    plain, judge = (Down(32, 3, width=4, detail_gain=gain) for gain in (1.0, 3.0))
    assert type(plain.body[0]) is torch.nn.Conv2d and type(judge.body[0]) is DetailConv2d
    judge.load_state_dict(plain.state_dict())  # the same names and shapes
    flat = torch.full((2, 3, 32, 32), 0.3)
    inner = [each.body[0](flat)[:, :, 1:-1, 1:-1] for each in (plain, judge)]
    torch.testing.assert_close(*inner, msg="flat areas are seen alike")
    texture = 0.1 * torch.randn(2, 3, 32, 32)
    texture -= F.interpolate(F.avg_pool2d(texture, 2), scale_factor=2.0)
    sizes = [each.body[0](texture)[:, :, 1:-1, 1:-1].std().item() for each in (plain, judge)]
    assert 2 < sizes[1] / sizes[0] < 4


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
def test_only_a_judge_without_norms_begins_otherwise_than_the_textbooks(norm: Norm) -> None:
    torch.manual_seed(0)
    generator, judge = opponents(32, 3, width=16, inputs=100, upsampling="nearest", norm=norm)
    deviations = [layer.weight.std().item() for layer in judge.body if isinstance(layer, torch.nn.Conv2d)]
    wanted = [(2 / 1.04 / fan) ** 0.5 for fan in (48, 256, 512)] if norm == "none" else [0.02] * 3
    assert deviations == pytest.approx(wanted, rel=0.1)
    assert generator.stem.weight.std().item() == pytest.approx(0.02, rel=0.05)


def test_the_stem_is_the_textbook_transposed_convolution() -> None:
    up = Up(32, 3, width=4, inputs=5, norm="none")
    z = torch.randn(3, 5)
    grid = up.stem(z).unflatten(1, (4, 4, -1)).permute(0, 3, 1, 2)
    weight = up.stem.weight.view(4, 4, -1, 5).permute(3, 2, 0, 1)  # inputs outputs 4 4
    textbook = F.conv_transpose2d(z[:, :, None, None], weight) + up.stem.bias.view(4, 4, -1).permute(2, 0, 1)
    torch.testing.assert_close(grid, textbook)


def test_translation_moves_whole_images_by_whole_pixels() -> None:
    torch.manual_seed(3)
    image = torch.zeros(40, 2, 16, 16)
    image[:, :, 8, 8] = 1.0
    moved = translation(image)
    places = moved[:, 0].flatten(1).argmax(1)
    assert torch.equal(moved.sum((2, 3)), torch.ones(40, 2))
    rows, columns = places // 16, places % 16
    assert rows.min() == 6 and rows.max() == 10 and columns.min() == 6 and columns.max() == 10
    assert torch.equal(moved[:, 0], moved[:, 1])


def test_cutout_removes_at_most_a_quarter_and_augmentation_passes_gradients() -> None:
    torch.manual_seed(4)
    kept = cutout(torch.ones(64, 1, 16, 16)).mean((1, 2, 3))
    assert kept.min() >= 1 - 81 / 256 and kept.max() < 1
    image = torch.randn(4, 3, 16, 16, requires_grad=True)
    augment(image, "color+translation+cutout").sum().backward()
    assert image.grad is not None and image.grad.abs().sum() > 0
    assert augment(image, "none") is image


def test_the_average_forgets_half_in_its_half_life() -> None:
    keep = average_weight(Clock(10**6, 32 * 10**6), 32, 9600)
    assert keep ** (9600 / 32) == pytest.approx(0.5)
    assert average_weight(Clock(0, 0), 32, 9600) == 0.0
    one, two = VAE(size=16, base_channels=4), VAE(size=16, base_channels=4)
    expected = {n: torch.lerp(v, two.state_dict()[n], 0.25) for n, v in one.state_dict().items() if v.ndim}
    two.encoder.body[4].num_batches_tracked += 3
    update_average(one, two, 0.75)
    for name, value in expected.items():
        torch.testing.assert_close(one.state_dict()[name], value)
    assert one.encoder.body[4].num_batches_tracked == 3


def test_mixed_seeds_differ() -> None:
    seeds = {hash_seed(seed, step) for seed in range(30) for step in range(30)}
    assert len(seeds) == 900 and all(0 <= s < 2**63 for s in seeds)


class _Constant:
    columns = frozenset({"image"})

    def batch(self, start: int, size: int) -> Batch:
        return Batch(torch.full((size, 3, 16, 16), math.nan if start >= 12 else 0.5))


def test_a_number_that_is_not_finite_is_named_at_its_step() -> None:
    model = VAE(size=16, base_channels=4)
    seen = []
    with pytest.raises(DivergedError, match="nan at step 3"):
        for progress in train(model, _Constant(), steps=9, batch_size=4, seed=0):
            seen.append(progress.clock.step)
    assert seen == [1, 2, 3]


def test_a_gradient_that_is_not_finite_is_named() -> None:
    model = VAE(size=16, base_channels=4, norm="none")
    assert isinstance(model.encoder.head, nn.Linear)
    model.encoder.head.weight.register_hook(lambda grad: grad * math.inf)
    with pytest.raises(DivergedError, match="gradient of vae"):
        list(train(model, _Constant(), steps=1, batch_size=4, seed=0))


@pytest.mark.parametrize(
    ("size", "given", "expected"), [(32, 0, 1e-3), (64, 0, 1e-3), (128, 0, 5e-4), (128, 0.003, 0.003)]
)
def test_the_rate_of_dcgan_falls_with_the_size_unless_it_is_given(size: int, given: float, expected: float) -> None:
    model = DCGAN(size=size, channels=3, base_channels=4, lr=given)
    assert {group["lr"] for each in model.optimizers().values() for group in each.param_groups} == {expected}
    assert model.options["lr"] == expected, "what is saved is the rate itself"


@pytest.mark.parametrize("family", [DCGAN, StyleGAN2, ProGAN, partial(Diffusion, lr_warmup=0)])
def test_the_rate_falls_with_the_inverse_root_of_the_images(family: Callable[..., Model]) -> None:
    model = family(size=8, base_channels=4, lr_decay_start=100)
    assert [model.lr_scale(Clock(0, images)) for images in (0, 50, 100, 400, 10_000)] == [1.0, 1.0, 1.0, 0.5, 0.1]
    assert family(size=8, base_channels=4, lr_decay_start=0).lr_scale(Clock(0, 10**9)) == 1.0


def test_the_learning_rate_of_the_paper_is_constant() -> None:
    assert DCGAN(**{"size": 8, **DCGAN.presets["paper"], "base_channels": 4}).lr_scale(Clock(0, 10**9)) == 1.0


@pytest.mark.parametrize(("likelihood", "sigma"), [("gaussian", 0.5), ("gaussian", 0.0), ("bernoulli", 1.0)])
def test_the_vae_leaves_out_of_its_loss_what_no_weight_changes(likelihood: str, sigma: float) -> None:
    model = VAE(size=8, channels=1, base_channels=4, latent_dim=4, likelihood=likelihood, sigma=sigma)  # type: ignore[arg-type]
    image = torch.rand(5, 1, 8, 8) * 2 - 1
    torch.manual_seed(3)
    terms = dict(list(model.losses(Batch(image), Clock()))[-1][1])
    torch.manual_seed(3)
    mean, log_variance = model.posterior(image)
    whole = -model.log_likelihood(image, model.decoder(mean + torch.randn_like(mean) * (log_variance / 2).exp())).mean()
    left_out = (
        0.0 if likelihood == "bernoulli" else 64 * (math.log(2 * math.pi) / 2 + (math.log(sigma) if sigma else 0))
    )
    torch.testing.assert_close(terms["reconstruction"], whole - left_out, rtol=1e-4, atol=1e-3)


def test_a_players_loss_is_the_sum_of_its_terms() -> None:
    model, image = VAE(size=8, channels=1, base_channels=4, kl_warmup=0), torch.rand(6, 1, 8, 8)
    report = train_step(model, model.optimizers(), Batch(image), Clock())
    torch.testing.assert_close(report["vae/loss"], report["vae/reconstruction"] + report["vae/kl"])
