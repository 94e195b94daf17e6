"""ProGAN's and StyleGAN2's layers and rules against plain loops, scipy, autograd by hand, and the papers' formulas."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import signal
from torch import Tensor
from torch.nn import functional as F

from commandline import refused, typed
from textbook import progan, stylegan2
from zeuxis import api, explore
from zeuxis.adversarial import PathLength, path_lengths, scores_apart, scores_together
from zeuxis.errors import UsageError
from zeuxis.families.dcgan import DCGAN
from zeuxis.families.progan import Growth, ProGAN, halved
from zeuxis.families.stylegan2 import StyleGAN2
from zeuxis.model import Batch, Clock
from zeuxis.nets import equalised
from zeuxis.nets.adaptive import Augmentation
from zeuxis.nets.equalised import (
    EqualConv2d,
    EqualLinear,
    ModulatedConv2d,
    Resample,
    convolve,
    demodulation,
    minibatch_deviation,
    pixel_norm,
    smooth,
)
from zeuxis.nets.style import Discriminator, Mapping, Synthesis
from zeuxis.nets.transforms import colours, geometry, hue, recoloured, scaled, shifted, transformed, turned
from zeuxis.training.engine import State, train, train_step


class Noise:
    """An endless source of images that depend on their position alone."""

    columns = frozenset({"image"})

    def batch(self, start: int, size: int) -> Batch:
        rows = [torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(start + i)) for i in range(size)]
        return Batch(torch.stack(rows) * 2 - 1)


def stylegan(**changes: float) -> StyleGAN2:
    torch.manual_seed(0)
    return StyleGAN2(**{"size": 16, "base_channels": 4, "latent_dim": 8, **changes})  # type: ignore[arg-type]


# Layers


def plainly(x: Tensor, weight: Tensor, resample: Resample, *, odd: bool = False) -> Tensor:
    """The convolution of one image (c h w) by weights o c k k, pixel by pixel, with scipy and numpy."""
    taps = np.array(equalised.FILTER) / sum(equalised.FILTER)
    kernel = np.outer(taps, taps)
    outputs = []
    for each in weight.detach().double().numpy():
        total = 0.0
        for plane, w in zip(x.detach().double().numpy(), each):
            h, wide = plane.shape
            if resample == "none":
                total = total + signal.correlate2d(plane, w, mode="same")
            elif resample == "nearest":
                large = np.repeat(np.repeat(plane, 2, 0), 2, 1)
                total = total + signal.correlate2d(large, w, mode="same")
            elif resample == "mean":
                full = signal.correlate2d(plane, w, mode="same")
                total = total + full.reshape(h // 2, 2, wide // 2, 2).mean((1, 3))
            elif resample == "up":
                apart = np.zeros((2 * h + odd, 2 * wide + odd))  # with a zero after each pixel
                apart[: 2 * h : 2, : 2 * wide : 2] = plane
                spread = signal.convolve2d(apart, w, mode="full")[: 2 * h + 1 + odd, : 2 * wide + 1 + odd]
                total = total + signal.correlate2d(np.pad(spread, 1), 4 * kernel, mode="valid")
            else:
                blurred = signal.correlate2d(np.pad(plane, 2), kernel, mode="valid")
                total = total + signal.correlate2d(blurred, w, mode="valid")[::2, ::2]
        outputs.append(total)
    return torch.from_numpy(np.stack(outputs))


@pytest.mark.parametrize("resample", ["none", "up", "down", "nearest", "mean"])
def test_resampling_convolutions_against_scipy(resample: Resample) -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, 3, 6, 8), torch.randn(4, 3, 3, 3), torch.randn(4)
    found = convolve(x, weight, bias, resample=resample)
    for image, made in zip(x, found):
        wanted = plainly(image, weight, resample) + bias[:, None, None]
        torch.testing.assert_close(made.double(), wanted, atol=1e-5, rtol=1e-5)


def test_an_odd_size_is_doubled_to_one_row_more() -> None:
    x, weight = torch.randn(1, 2, 6, 6), torch.randn(3, 2, 3, 3)
    found = convolve(x, weight, resample="up", odd=True)
    assert found.shape == (1, 3, 13, 13)
    torch.testing.assert_close(found[0].double(), plainly(x[0], weight, "up", odd=True), atol=1e-5, rtol=1e-5)
    assert convolve(x, weight, resample="nearest", odd=True).shape == (1, 3, 13, 13)


def test_the_filter_against_scipys_resampler() -> None:
    x = torch.randn(2, 3, 10, 10)
    taps = np.array([1.0, 3, 3, 1]) / 8
    wanted = signal.upfirdn(taps, signal.upfirdn(taps, x.double().numpy(), down=1, axis=2), down=1, axis=3)
    torch.testing.assert_close(smooth(x, 3).double(), torch.from_numpy(wanted), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(
        equalised.halved(x).double(), torch.from_numpy(wanted[:, :, 2:-1:2, 2:-1:2]), atol=1e-6, rtol=1e-6
    )
    flat = torch.ones(1, 1, 8, 8)
    torch.testing.assert_close(smooth(flat, 1, gain=4.0)[..., 1:-1, 1:-1], torch.full((1, 1, 5, 5), 4.0))


@pytest.mark.parametrize("resample", ["none", "up"])
def test_modulated_convolution_against_weights_of_each_images_own(resample: Resample) -> None:
    """Equations 1 and 3, as written: weights scaled by the style, divided by their norm, one image at a time."""
    torch.manual_seed(0)
    layer = ModulatedConv2d(5, 4, 6, resample=resample)
    torch.nn.init.normal_(layer.bias)  # type: ignore[arg-type]
    x, w = torch.randn(3, 5, 6, 6), torch.randn(3, 6)
    styles = w @ layer.affine.weight.t() / math.sqrt(6) + layer.affine.bias
    for image, style, made in zip(x, styles, layer(x, w, gain=1.5)):
        scaled_weight = layer.weight / math.sqrt(5 * 9) * style[None, :, None, None]
        norm = scaled_weight.square().sum((1, 2, 3), keepdim=True).add(1e-8).sqrt()
        wanted = 1.5 * (plainly(image, scaled_weight / norm, resample) + layer.bias[:, None, None])  # type: ignore[index]
        torch.testing.assert_close(made.double(), wanted.double(), atol=1e-5, rtol=1e-5)


def test_modulated_convolutions_gradients_are_those_of_weights_of_each_images_own() -> None:
    torch.manual_seed(0)
    layer = ModulatedConv2d(4, 3, 5).double()
    x, w = (torch.randn(2, *rest, dtype=torch.float64, requires_grad=True) for rest in ((4, 5, 5), (5,)))
    weight = layer.weight / 6 * layer.affine(w)[:, None, :, None, None]  # n o c k k
    weight = weight / weight.square().sum((2, 3, 4), keepdim=True).add(1e-8).sqrt()
    plain = torch.stack([F.conv2d(image[None], each, None, 1, 1)[0] for image, each in zip(x, weight)])
    wanted = torch.autograd.grad(plain.square().sum(), [x, w, layer.weight])
    found = torch.autograd.grad(layer(x, w).square().sum(), [x, w, layer.weight])
    for one, other in zip(found, wanted):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_demodulation_leaves_deviation_one_and_stays_in_float32() -> None:
    torch.manual_seed(0)
    layer = ModulatedConv2d(32, 16, 8)
    w = 3 * torch.randn(4, 8)
    y = layer(torch.randn(4, 32, 32, 32), w)
    torch.testing.assert_close(y.std((2, 3)).mean(), torch.tensor(1.0), atol=0.03, rtol=0)
    weight, style = torch.randn(3, 4, 3, 3), 1e-3 * torch.randn(2, 4)
    with torch.autocast("cpu", torch.bfloat16):
        half = demodulation(weight, style)
    assert half.dtype == torch.float32 and torch.equal(half, demodulation(weight, style))


def test_equalised_layers_keep_the_variance_and_pace_multiplies_how_fast_they_learn() -> None:
    torch.manual_seed(0)
    for layer, x in ((EqualLinear(300, 400), torch.randn(500, 300)), (EqualConv2d(64, 64), torch.randn(4, 64, 20, 20))):
        y = layer(x)[..., 1:-1] if x.ndim == 2 else layer(x)[..., 1:-1, 1:-1]
        assert y.std().item() == pytest.approx(1, rel=0.05)
    slow = EqualLinear(300, 400, bias=1.0, pace=0.01)
    before = slow(torch.ones(1, 300)).detach()
    assert before.mean().item() == pytest.approx(1, abs=0.2)
    for fast, pace in ((EqualLinear(300, 400), 1.0), (slow, 0.01)):
        with torch.no_grad():
            old = fast(torch.ones(1, 300))
            fast.weight += 0.1  # what a step of Adam is to any weight
            change = (fast(torch.ones(1, 300)) - old).mean().item()
        assert change == pytest.approx(0.1 * pace * math.sqrt(300), rel=1e-3)


def test_real_and_fake_images_as_one_batch_keep_the_groups_of_the_deviation() -> None:
    torch.manual_seed(6)
    judge = Discriminator(8, 3, width=4)
    real, fake = torch.randn(8, 3, 8, 8), 2 * torch.randn(8, 3, 8, 8)
    apart = scores_apart(judge, real, fake)
    for found, wanted in zip(scores_together(judge, real, fake, parts=4), apart):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    mixed = scores_together(judge, real, fake)
    assert not torch.allclose(mixed[0], apart[0], rtol=1e-2)
    seen: list[int] = []
    scores_together(lambda image: (seen.append(len(image)), judge(image))[1], real[:6], fake[:6], parts=4)
    assert seen == [6, 6]  # six images cannot be parted in four


def test_pixel_norm_and_minibatch_deviation_against_loops() -> None:
    torch.manual_seed(0)
    x = torch.randn(8, 5, 3, 3)
    for i in range(8):
        vector = x[i, :, 1, 2]
        torch.testing.assert_close(pixel_norm(x)[i, :, 1, 2], vector / (vector.square().mean() + 1e-8).sqrt())
    more = minibatch_deviation(x)
    assert more.shape == (8, 6, 3, 3) and torch.equal(more[:, :5], x)
    for i in range(8):
        group = [j for j in range(8) if j % 2 == i % 2]  # eight images are two groups of four
        deviations = [x[group, c, h, w].std(unbiased=False) for c in range(5) for h in range(3) for w in range(3)]
        torch.testing.assert_close(more[i, 5], torch.stack(deviations).mean().expand(3, 3))
    alike = minibatch_deviation(x[:1].expand(4, -1, -1, -1))
    assert alike[:, 5].abs().max() <= 2e-4
    assert minibatch_deviation(x[:3]).shape == (3, 6, 3, 3)  # a group of one: nothing differs


def test_the_networks_are_those_they_are_measured_against() -> None:
    """The textbook's, which scales activations in training, else groups each image's own weights: the same images and
    scores."""
    model = StyleGAN2(size=16, base_channels=4)
    book = stylegan2.networks(16, 3, 4)
    names = ("mapping_network", "synthesis", "discriminator")
    for name, theirs in zip(names, book):
        mine = {key: value for key, value in getattr(model, name).state_dict().items() if key != "mean"}
        assert list(theirs.state_dict()) and theirs.load_state_dict(mine)
    z, image = torch.randn(8, 128), torch.randn(8, 3, 16, 16)
    near = {"atol": 1e-4, "rtol": 1e-4}
    torch.testing.assert_close(model.mapping(z), book[0](z), **near)
    w = model.mixed(model.mapping(z))
    for training in (False, True):
        torch.testing.assert_close(model.synthesis(w), book[1].train(training)(w), **near)
    torch.testing.assert_close(model.discriminator(image), book[2](image), **near)
    before = [next(network.parameters()).detach().clone() for network in book]
    stylegan2.step(*book, stylegan2.optimizers(*book), image)
    assert not any(torch.equal(next(network.parameters()), old) for network, old in zip(book, before))


# Path length


def test_path_length_against_autograd_by_hand() -> None:
    """Of images t^2 A w the lengths are t^2 |A' y|: y is drawn again, and the second-order gradient to t is 2 t |A' y|."""
    torch.manual_seed(0)
    matrix, t = torch.randn(3 * 4 * 4, 5), torch.tensor(1.7, requires_grad=True)
    w = torch.randn(6, 5)
    torch.manual_seed(1)
    lengths = path_lengths(lambda w: (t.square() * (w @ matrix.t())).view(-1, 3, 4, 4), w)
    torch.manual_seed(1)
    noise = torch.randn(6, 3, 4, 4).flatten(1) / 4
    wanted = (noise @ matrix).norm(dim=1)
    torch.testing.assert_close(lengths, 1.7**2 * wanted)
    typical = torch.tensor(2.0)
    (gradient,) = torch.autograd.grad((lengths - typical).square().sum(), t)
    by_hand = (2 * (1.7**2 * wanted - typical) * 2 * 1.7 * wanted).sum()
    torch.testing.assert_close(gradient, by_hand)


def test_path_length_of_the_synthesis_is_its_jacobians() -> None:
    torch.manual_seed(0)
    synthesis = Synthesis(8, 1, width=4, style=5, noise_injection=False)
    w = torch.randn(2, 5)

    def images(w: Tensor) -> Tensor:
        made: Tensor = synthesis(w[:, None].expand(-1, synthesis.styles, -1))
        return made

    jacobian = torch.autograd.functional.jacobian(lambda one: images(one[None]), w[0])  # 1 1 8 8 5
    torch.manual_seed(1)
    found = path_lengths(images, w)
    torch.manual_seed(1)
    noise = torch.randn(2, 1, 8, 8)
    wanted = torch.einsum("chw,chwd->d", noise[0] / 8, jacobian[0]).norm()
    assert found[0].item() == pytest.approx(wanted.item(), rel=1e-4)


def test_the_typical_length_begins_with_the_first_and_follows_slowly() -> None:
    typical = PathLength()
    first = typical.among(torch.tensor([2.0, 4.0]))
    assert first.item() == 3 and typical.typical.item() == 0
    typical.typical.copy_(first)
    assert typical.among(torch.tensor([13.0])).item() == pytest.approx(3 + 0.01 * 10)


# Styles


def test_truncation_draws_towards_the_mean() -> None:
    model = stylegan().eval()
    torch.nn.init.normal_(model.mapping_network.mean)
    z = model.prior(range(3))
    with torch.no_grad():
        torch.testing.assert_close(model.mapping(z), model.mapping(z))
        torch.testing.assert_close(model.decode(z), model.synthesize(model.mapping(z)))
        w = model.mapping(z)
        model.truncation = 0.7
        torch.testing.assert_close(
            model.mapping(z), model.mapping_network.mean + 0.7 * (w - model.mapping_network.mean)
        )
        model.truncation = 0.0
        torch.testing.assert_close(model.decode(z), model.synthesize(model.mapping_network.mean.expand(3, -1)))


def test_the_mean_of_w_is_that_of_the_styles_seen() -> None:
    mapping = Mapping(4, 2)
    first, second = torch.randn(5, 4), torch.randn(5, 4)
    mapping.remember(first)
    mapping.remember(second)
    wanted = 0.995 * 0.005 * first.mean(0) + 0.005 * second.mean(0)
    torch.testing.assert_close(mapping.mean, wanted)


def test_a_share_of_the_images_learns_with_two_styles() -> None:
    torch.manual_seed(0)
    w = torch.arange(4000.0)[:, None].expand(-1, 3)
    model = stylegan(style_mixing_prob=0.75)
    own = model.mixed(w)[..., 0] == w[:, :1]  # n styles
    assert own[:, 0].all()
    assert (own.long().diff(dim=1) <= 0).all(), "from some layer on it is the other"
    assert (~own.all(1)).float().mean().item() == pytest.approx(0.75, abs=0.03)
    starts = own.sum(1)[~own.all(1)]
    counts = torch.bincount(starts, minlength=model.styles)[1:] / len(starts)
    assert counts.tolist() == pytest.approx([1 / (model.styles - 1)] * (model.styles - 1), abs=0.04)


def test_noise_is_drawn_in_training_and_fixed_afterwards() -> None:
    torch.manual_seed(0)
    synthesis = Synthesis(16, 3, width=4, style=6, noise_injection=True)
    for block in synthesis.blocks:
        torch.nn.init.ones_(block.strengths)
    w = torch.randn(2, synthesis.styles, 6)
    assert not torch.equal(synthesis(w), synthesis(w))
    synthesis.eval()
    assert torch.equal(synthesis(w), synthesis(w))
    torch.testing.assert_close(synthesis(w)[1:], synthesis(w[1:]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layers", ["coarse", "middle", "fine"])
def test_mixed_pictures_have_the_columns_style_in_those_layers(layers: explore.LayerGroup) -> None:
    model = stylegan(size=32).eval()  # 7 styles
    taken = {"coarse": [0, 1, 2], "middle": [3, 4], "fine": [5, 6]}[layers]
    pictures = api.mix(model, rows=[0, 1], columns=[5, 6, 7], layers=layers).tensor
    assert pictures.shape == (3, 4, 3, 32, 32)
    with torch.no_grad():
        row, column = model.mapping(model.prior([1])), model.mapping(model.prior([6]))
        styles = row[:, None].repeat(1, 7, 1)
        styles[:, taken] = column
        torch.testing.assert_close(pictures[2, 2], model.synthesize(styles)[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(pictures[0, 2], model.synthesize(column)[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(pictures[2, 0], model.synthesize(row)[0], atol=1e-5, rtol=0)
    same = api.mix(model, rows=[4], columns=[4], layers=layers).tensor
    torch.testing.assert_close(same[1, 1], same[0, 1], atol=1e-5, rtol=0)


def test_walks_and_sums_in_w() -> None:
    model = stylegan().eval()
    with torch.no_grad():
        w = model.mapping(model.prior([3, 8, 5]))
        middle = model.synthesize((w[:1] + w[1:2]) / 2)
        total = model.synthesize(w[:1] - w[1:2] + w[2:])
    rows = api.interpolate(model, seeds=[3, 8], columns=3, space="w").tensor
    torch.testing.assert_close(rows[0, 1], middle[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(rows[0, ::2], api.sample(model, seeds=[3, 8]).tensor, atol=1e-5, rtol=0)
    assert not torch.allclose(api.interpolate(model, seeds=[3, 8], columns=3).tensor[0, 1], middle[0], atol=1e-3)
    equation = api.arithmetic(model, [(1, [3]), (-1, [8]), (1, [5])], space="w")
    torch.testing.assert_close(equation.pictures.neighbourhood[4], total[0], atol=1e-5, rtol=0)
    frames = api.walk(model, seeds=[3, 8], frames=4, space="w").tensor
    torch.testing.assert_close(frames[1], middle[0], atol=1e-5, rtol=0)


def test_a_model_without_styles_says_so() -> None:
    model = DCGAN(size=16, base_channels=4)
    for ask in (lambda: api.mix(model, rows=[0], columns=[1]), lambda: api.interpolate(model, space="w")):
        with pytest.raises(UsageError, match="no styles.*stylegan2"):
            ask()
    with pytest.raises(UsageError, match="rows or columns have no seeds"):
        api.mix(stylegan(), rows=[], columns=[1])


def test_the_commands_draw_w_and_mixtures(tmp_path: Path, elsewhere: None) -> None:
    saved, plain = str(tmp_path / "style"), str(tmp_path / "plain")
    stylegan().save(saved)
    DCGAN(size=16, base_channels=4).save(plain)
    for words in (
        ("mix", saved, "--rows", "0-1", "--columns", "4-6", "--layers", "middle"),
        ("interpolate", saved, "--space", "w", "--rows", "2", "--columns", "3"),
        ("arithmetic", saved, "--space", "w", "--plus", "1,2", "--minus", "3", "--plus", "4"),
    ):
        picture = tmp_path / f"{words[0]}.png"
        code, out, err = typed(*words, "--out", str(picture))
        assert (code, err, out) == (0, "", f"wrote {picture}\n")
    wide, high = Image.open(tmp_path / "mix.png").size
    tile = 96  # the least a picture is drawn at
    assert 4 * tile < wide < 5 * tile and 3 * tile < high < 4 * tile
    assert "no styles" in refused("mix", plain)
    assert "no space w" in refused("interpolate", plain, "--space", "w")
    assert "--out" in refused("mix", saved, "--out", "mix.webp")


# Adaptive augmentation


def test_with_no_chance_nothing_is_changed() -> None:
    image = torch.randn(4, 3, 9, 9)
    torch.testing.assert_close(Augmentation("ada", target=0.6, images=1000)(image), image, atol=1e-5, rtol=1e-5)
    assert Augmentation("ada", target=0.0, images=1000)(image) is image


def test_flips_turns_and_shifts_of_pixels_are_exact() -> None:
    image, one = torch.randn(2, 3, 8, 8), torch.ones(2)
    near = {"atol": 1e-5, "rtol": 1e-5}
    torch.testing.assert_close(transformed(image, scaled(-one, one)), image.flip(3), **near)
    for quarters in range(4):  # the plane's y points down, so that from x to y is clockwise
        wanted = torch.rot90(image, -quarters, (2, 3))
        torch.testing.assert_close(transformed(image, turned(one * quarters * math.pi / 2)), wanted, **near)
    moved = transformed(image, shifted(torch.tensor([[2 / 8, -1 / 8]] * 2)))
    torch.testing.assert_close(moved[:, :, :-1, 2:], image[:, :, 1:, :-2], **near)
    torch.testing.assert_close(moved[:, :, :-1, :2], image[:, :, 1:, :2].flip(3), **near)  # mirrored at the border


def test_any_map_of_the_plane_carries_a_slope_to_where_it_goes() -> None:
    """An image whose colours are its coordinates shows, in the middle, where each pixel came from (within a twentieth of a
    pixel, by which torch's cubic filter bends a slope)."""
    axis = (torch.arange(32.0) + 0.5) / 16 - 1
    image = torch.stack(torch.meshgrid(axis, axis, indexing="xy")).expand(50, -1, -1, -1)  # x, y
    torch.manual_seed(0)
    maps = geometry(50, 32, torch.tensor(1.0))
    moved = transformed(image, maps)
    back = torch.linalg.inv(maps.double())[:, :2]
    points = torch.cat([image, torch.ones(50, 1, 32, 32)], 1).double()
    source = torch.einsum("nij,njhw->nihw", back, points)
    inside = (source.abs() < 0.85).all(1, keepdim=True).expand(-1, 2, -1, -1)
    assert inside.float().mean() > 0.3
    torch.testing.assert_close(moved.double()[inside], source[inside], atol=0.05 / 16, rtol=0)


def test_each_change_of_the_plane_happens_as_often_as_it_should() -> None:
    torch.manual_seed(0)
    p, n, size = 0.3, 40_000, 32
    maps = geometry(n, size, torch.tensor(p))
    same = (maps - torch.eye(3)).abs().amax((1, 2)) < 1e-6
    still = (1 - p / 2) * (1 - 3 * p / 4) * (1 - p * (1 - 1 / 8**2)) * (1 - p) ** 4
    assert same.float().mean().item() == pytest.approx(still, abs=4 * math.sqrt(still / n))
    area = torch.linalg.det(maps[:, :2, :2]).abs()
    assert (area.log2().abs() < 1e-5).float().mean().item() == pytest.approx(1 - p, abs=0.01)
    assert area.log2()[area.log2().abs() > 1e-5].std().item() == pytest.approx(0.4, rel=0.03)  # twice 0.2
    assert (torch.linalg.det(maps[:, :2, :2]) < 0).float().mean().item() == pytest.approx(p / 2, abs=0.01)


def test_colours_turn_about_the_axis_of_greys() -> None:
    image = torch.randn(2, 3, 4, 4)
    third = recoloured(image, torch.stack([_with_one(hue(torch.tensor([2 * math.pi / 3]))[0])] * 2))
    torch.testing.assert_close(third, image.roll(1, 1), atol=1e-5, rtol=1e-5)
    for p, axis in ((1.0, True), (0.0, False)):
        torch.manual_seed(0)
        maps = colours(500, 3, torch.tensor(p))
        grey = torch.einsum("noc,c->no", maps[:, :3, :3], torch.ones(3))
        assert torch.allclose(grey, grey[:, :1].expand(-1, 3), atol=1e-4), "grey stays grey"
        assert torch.allclose(maps, torch.eye(4).expand_as(maps), atol=1e-6) != axis
        assert torch.allclose(maps[:, :3, 3], maps[:, :1, 3].expand(-1, 3), atol=1e-4)


def test_colour_changes_have_the_papers_strengths() -> None:
    """Of one channel there are brightness, contrast and light for dark: x -> s c (x + b)."""
    torch.manual_seed(0)
    maps = colours(20_000, 1, torch.tensor(1.0))
    factor, shift = maps[:, 0, 0], maps[:, 0, 1] / maps[:, 0, 0]
    assert (factor < 0).float().mean().item() == pytest.approx(0.5, abs=0.02)
    assert factor.abs().log2().std().item() == pytest.approx(0.5, rel=0.03)
    assert shift.std().item() == pytest.approx(0.2, rel=0.03)


def test_gradients_pass_through_augmentation_and_the_chance_is_each_images_own() -> None:
    torch.manual_seed(0)
    augmented = Augmentation("ada", target=0.6, images=1000)
    augmented.probability.fill_(0.05)
    image = torch.rand(200, 3, 16, 16, requires_grad=True)
    changed = (augmented(image) - image).abs().amax((1, 2, 3)) > 1e-3
    assert 0.2 < changed.float().mean() < 0.7
    augmented(image).square().sum().backward()
    assert image.grad is not None and (image.grad.abs().sum((1, 2, 3)) > 0).all()


def test_the_chance_follows_the_papers_rule() -> None:
    """Every four batches it moves by their images over those it may take from 0 to 1: up where E sign(D) is above 0.6."""
    augmented = Augmentation("ada", target=0.6, images=1000)

    def look(positive: int) -> float:
        augmented.look(torch.where(torch.arange(10) < positive, 2.0, -0.5)[:, None], Clock())
        return augmented.probability.item()

    assert [look(9) for _ in range(4)] == pytest.approx([0, 0, 0, 0.04])  # mean sign 0.8
    assert [look(9) for _ in range(4)] == pytest.approx([0.04, 0.04, 0.04, 0.08])
    assert [look(7) for _ in range(4)][-1] == pytest.approx(0.04)  # 0.4
    assert [look(10), look(10), look(10), look(1)][-1] == pytest.approx(0.08 if 4 * 0.55 > 2.4 else 0.0, abs=1e-6)
    for _ in range(8):
        look(0)
    assert look(0) == 0


def test_without_a_target_the_chance_stays_none() -> None:
    augmented = Augmentation("ada", target=0.0, images=10)
    for _ in range(8):
        augmented.look(torch.ones(10, 1), Clock())
    assert augmented.probability == 0


# Growth


def test_growth_is_a_function_of_the_images_seen() -> None:
    growth = Growth(100, top=2)
    at = {0: 0, 99: 0, 100: 0, 130: 0.3, 200: 1, 299: 1, 300: 1, 350: 1.5, 400: 2, 10_000: 2}
    for images, level in at.items():
        assert growth.level(torch.tensor(images)).item() == pytest.approx(level, abs=1e-6), images


def test_a_faded_image_is_the_formula() -> None:
    """Figure 2: between two stages the images of both, the coarse one doubled, by (1 - a) and a."""
    torch.manual_seed(0)
    model = ProGAN(size=16, base_channels=4, latent_dim=6)
    z = torch.randn(3, 6)
    coarse, fine = (model.generator(z, torch.tensor(float(top)), top) for top in (1, 2))
    wanted = 0.7 * coarse.repeat_interleave(2, 2).repeat_interleave(2, 3) + 0.3 * fine
    torch.testing.assert_close(model.generator(z, torch.tensor(1.3), 2), wanted, atol=1e-6, rtol=1e-5)
    model.growth.seen.fill_(3 * model.images_per_stage + int(0.3 * model.images_per_stage))
    torch.testing.assert_close(model.decode(z), wanted.clamp(-1, 1), atol=1e-4, rtol=1e-4)


def test_a_faded_score_is_of_the_mixed_features() -> None:
    torch.manual_seed(0)
    model = ProGAN(size=16, base_channels=4, latent_dim=6)
    network, image = model.discriminator, torch.randn(4, 3, 16, 16)
    root = 2**0.5
    x = F.leaky_relu(network.image[2](image), 0.2) * root
    x = F.leaky_relu(network.keep[1](x), 0.2) * root
    x = F.leaky_relu(network.halve[1](x), 0.2) * root
    old = F.leaky_relu(network.image[1](F.avg_pool2d(image, 2)), 0.2) * root
    x = 0.7 * old + 0.3 * x
    x = F.leaky_relu(network.halve[0](F.leaky_relu(network.keep[0](x), 0.2) * root), 0.2) * root
    x = F.leaky_relu(network.last(minibatch_deviation(x)), 0.2) * root
    wanted = network.score(F.leaky_relu(network.dense(x.flatten(1)), 0.2) * root)
    torch.testing.assert_close(network(image, 2, 0.3), wanted, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(network(image, 2, 1 - 1e-7), network(image, 2), atol=1e-5, rtol=1e-5)


def test_real_images_are_as_coarse_as_those_made() -> None:
    model, image = ProGAN(size=16, base_channels=4), torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(model.shown(image, 0), F.avg_pool2d(image, 4))
    torch.testing.assert_close(model.shown(image, 2), image)
    half = F.avg_pool2d(image, 2)
    mixture = 0.75 * F.avg_pool2d(half, 2).repeat_interleave(2, 2).repeat_interleave(2, 3) + 0.25 * half
    torch.testing.assert_close(model.shown(image, 1, 0.25), mixture, atol=1e-6, rtol=1e-5)
    assert torch.equal(halved(image), half)


@pytest.mark.parametrize("loss", ["non-saturating", "wgan-gp"])
def test_resuming_is_bit_exact_across_a_growth_step(loss: str) -> None:
    def fresh() -> State:
        torch.manual_seed(0)
        return State.start(ProGAN(size=16, base_channels=4, latent_dim=6, images_per_stage=8, loss=loss))  # type: ignore[arg-type]

    def run(state: State, steps: int) -> list[float]:
        made = train(state.model, Noise(), steps=steps, batch_size=4, seed=1, resume=state)
        return [progress.report["growth/stage"].item() for progress in made]

    whole = fresh()
    levels = run(whole, 12)
    assert levels == [0, 0, 0, 0.5, 1, 1, 1, 1.5, 2, 2, 2, 2]
    for cut in (2, 3, 4, 7):
        first = fresh()
        run(first, cut)
        tensors = {group: {n: v.clone() for n, v in values.items()} for group, values in first.tensors().items()}
        second = State.start(ProGAN(**first.model.options))
        second.restore(tensors, json.loads(json.dumps(first.scalars())))
        assert run(second, 12) == levels[cut:]
        for group, values in whole.tensors().items():
            assert all(torch.equal(value, second.tensors()[group][name]) for name, value in values.items()), group


def test_all_is_learned_once_grown() -> None:
    """At the whole size every network's parameters move but those that make or see smaller images."""
    torch.manual_seed(0)
    model = ProGAN(size=16, base_channels=4, latent_dim=6, images_per_stage=1)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    train_step(model, model.optimizers(), Noise().batch(0, 4), Clock(0, 10_000))
    still = {name.rpartition(".")[0] for name, p in model.named_parameters() if torch.equal(before[name], p)}
    assert still == {f"{player}.image.{stage}" for player in ("generator", "discriminator") for stage in (0, 1)}


def test_progan_is_measured_against_its_own_networks() -> None:
    """The textbook's, of neighbours, pooling and no other stages: the same images and scores once all stages are grown."""
    model = ProGAN(size=16, base_channels=4)
    book = progan.networks(16, 3, 4)
    for mine, theirs in zip((model.generator, model.discriminator), book):
        top = f"image.{model.growth.top}."
        plain = {key.replace(top, "image."): value for key, value in mine.state_dict().items()}
        assert theirs.load_state_dict({key: plain[key] for key in theirs.state_dict()})
    z, image = torch.randn(8, 128), torch.randn(8, 3, 16, 16)
    top, near = model.growth.top, {"atol": 1e-4, "rtol": 1e-4}
    torch.testing.assert_close(model.generator(z, torch.tensor(float(top)), top), book[0](z), **near)
    torch.testing.assert_close(model.discriminator(image, top), book[1](image), **near)
    before = [next(network.parameters()).detach().clone() for network in book]
    progan.step(*book, progan.optimizers(*book), image)
    assert not any(torch.equal(next(network.parameters()), old) for network, old in zip(book, before))


@pytest.mark.parametrize("family", [StyleGAN2, ProGAN])
def test_half_precision_trains(family: type[StyleGAN2] | type[ProGAN]) -> None:
    reports = {}
    for precision in ("fp32", "bf16"):
        torch.manual_seed(0)
        model = family(size=16, base_channels=8, latent_dim=8)
        torch.manual_seed(1)
        clock = Clock(0, 10_000_000)
        report = train_step(model, model.optimizers(), Noise().batch(0, 8), clock, precision=precision)  # type: ignore[arg-type]
        reports[precision] = {name: value.item() for name, value in report.items() if "gradient" not in name}
    assert reports["bf16"] == pytest.approx(reports["fp32"], rel=0.1, abs=0.05)


class Halves:
    """Images of one random colour, and below the middle of the opposite one."""

    columns = frozenset({"image"})

    def batch(self, start: int, size: int) -> Batch:
        colour = torch.rand(size, 3, 1, 1, generator=torch.Generator().manual_seed(start)) * 1.6 - 0.8
        upper = colour.expand(-1, -1, 4, 8)
        return Batch(torch.cat([upper, -upper], 2))


@pytest.mark.slow
@pytest.mark.parametrize(("family", "steps"), [(StyleGAN2, 400), (ProGAN, 600)])
def test_what_is_learned_has_the_datas_colours(family: type[StyleGAN2] | type[ProGAN], steps: int) -> None:
    """The halves are opposite, and all three colours are drawn, as bright as dark."""
    torch.manual_seed(0)
    options = {"images_per_stage": 800} if family is ProGAN else {}
    state = State.start(family(size=8, base_channels=8, latent_dim=16, **options))  # type: ignore[arg-type]
    for _ in train(state.model, Halves(), steps=steps, batch_size=16, seed=0, ema_half_life=1000, resume=state):
        pass
    assert isinstance(state.average, (StyleGAN2, ProGAN))
    upper, lower = (half.mean((2, 3)) for half in state.average.sample(256).chunk(2, dim=2))  # n 3; of the data 0, 0.46
    assert torch.corrcoef(torch.stack([upper.flatten(), lower.flatten()]))[0, 1] < -0.6
    assert upper.mean(0).abs().max() < 0.2 and upper.std(0).min() > 0.15


def _with_one(matrix: Tensor) -> Tensor:
    return torch.block_diag(matrix, torch.ones(1, 1))


def test_noise_is_learned_and_then_rests() -> None:
    """With noise injection it trains from the layout that training takes, and an image is its latent's alone."""
    state = State.start(stylegan(noise_injection=True))
    image = torch.rand(4, 3, 16, 16) * 2 - 1
    for step in range(2):
        train_step(state.model, state.optimizers, Batch(image), Clock(step, 4 * step))
    strengths = [value for name, value in state.model.named_parameters() if name.endswith("strengths")]
    assert strengths and all(bool(value.any()) for value in strengths)
    model = state.model.eval()
    assert isinstance(model, StyleGAN2)
    with torch.no_grad():
        assert torch.equal(model.decode(model.prior([3])), model.decode(model.prior([3])))
