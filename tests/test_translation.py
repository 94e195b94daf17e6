"""Images from images: the networks against what their papers say of them, the command, and how translations are judged."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Optimizer

from commandline import refused, typed
from textbook import cyclegan, pix2pix
from zeuxis import api, families
from zeuxis.adversarial import GAN_LOSSES
from zeuxis.data import DataSpec
from zeuxis.errors import DataError, UsageError
from zeuxis.families.cyclegan import CycleGAN
from zeuxis.families.pix2pix import Pix2Pix
from zeuxis.io import images
from zeuxis.judging.attributes import CHANGED, KEPT, AttributeTest, attribute_test
from zeuxis.judging.translation import PairedTestSet, choose_pairs, evaluate_translations
from zeuxis.metrics import extractors, paired, vgg
from zeuxis.metrics.features import Extractor
from zeuxis.model import Batch, Clock, Translator, Turn
from zeuxis.nets.augment import JitterMode, jitter
from zeuxis.nets.conv import Upsampling
from zeuxis.nets.image_pool import ImagePool
from zeuxis.nets.noise import Noise, drawn
from zeuxis.nets.norm import InstanceNorm, padded
from zeuxis.nets.patch import Field, Patch
from zeuxis.nets.resnet import ResNet
from zeuxis.nets.unet import UNet
from zeuxis.runtime.callbacks import silent
from zeuxis.training.engine import State, train_step

pytestmark = pytest.mark.usefixtures("elsewhere")
EYES = Extractor("eyes", "", lambda x: F.adaptive_avg_pool2d(x, 4), lambda x: x[:, 0].flatten(1))


# The networks.


@pytest.mark.parametrize(("field", "size"), [(1, 64), (16, 64), (70, 256), (286, 600)])
@pytest.mark.parametrize("family", [Pix2Pix, CycleGAN])
def test_a_score_sees_a_patch_of_its_size(field: Field, size: int, family: type[Pix2Pix | CycleGAN]) -> None:
    """The pixels that move one score (Isola 2017, section 4.4): all of a square of that size, and no others."""
    torch.manual_seed(0)
    model = family(size=size, base_channels=4, receptive_field=field, norm="none")
    judge = model.discriminator if isinstance(model, Pix2Pix) else model.discriminators["image"]
    for weight in judge.parameters():
        torch.nn.init.uniform_(weight, 0.1, 1)  # no weights that cancel, and no unit that is off
    image = torch.ones(1, 6 if isinstance(model, Pix2Pix) else 3, size, size, dtype=torch.float64, requires_grad=True)
    scores = judge.double()(image)
    scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
    assert image.grad is not None
    moves = image.grad[0] != 0
    rows, columns = (moves.any(0).any(axis).nonzero()[:, 0] for axis in (1, 0))
    top, left = int(rows[0]), int(columns[0])
    wanted = torch.zeros_like(moves)
    wanted[:, top : top + field, left : left + field] = True
    assert 0 < top < size - field and 0 < left < size - field, "the border does not cut it"
    assert torch.equal(moves, wanted)


def test_small_images_leave_a_score() -> None:
    for size in (8, 16, 28, 64):
        for field in (1, 16, 70, 286):
            assert Patch(1, width=2, field=field, norm="none", size=size)(torch.zeros(1, 1, size, size)).numel() >= 1  # type: ignore[arg-type]


@pytest.mark.parametrize("upsampling", ["nearest", "transposed"])
def test_a_unet_halves_down_to_two_pixels_and_joins_what_is_of_one_size(upsampling: Upsampling) -> None:
    network = UNet(64, 1, 3, width=4, norm="instance", dropout=0.5, upsampling=upsampling).eval()
    sizes: list[int] = []
    for down in network.downs:
        down.register_forward_hook(lambda module, given, made: sizes.append(made.shape[-1]))
    assert network(torch.zeros(1, 1, 64, 64)).shape == (1, 3, 64, 64)
    assert sizes == [32, 16, 8, 4, 2]
    joined = [up[1].in_channels for up in network.ups]
    assert joined == [32, 64, 32, 16], "but for the innermost, twice what the encoder has there"


def test_a_unet_sees_detail_past_its_bottleneck() -> None:
    """With all but the outermost layers at zero, an image still tells the output what is where."""
    torch.manual_seed(1)
    network = UNet(32, 3, 3, width=4, norm="none", dropout=0).eval()
    for part in (*network.downs[1:], *network.ups):
        for weight in part.parameters():
            torch.nn.init.zeros_(weight)
    image = torch.rand(1, 3, 32, 32)
    moved = image.roll(8, 3)
    one, two = network(image), network(moved)
    torch.testing.assert_close(one.roll(8, 3)[..., 14:28], two[..., 14:28], atol=1e-5, rtol=0)
    assert not torch.allclose(one, two, atol=1e-4)


@pytest.mark.parametrize("network", [UNet, ResNet])
def test_of_a_plain_image_only_transposed_convolutions_make_a_grid(network: type[UNet | ResNet]) -> None:
    """Far from the border, where padding is not seen."""
    plain, apart = torch.full((1, 3, 192, 192), 0.5), dict[str, float]()
    for upsampling in ("nearest", "transposed"):
        torch.manual_seed(0)
        if network is UNet:
            made = UNet(16, 3, 3, width=4, norm="none", dropout=0, upsampling=upsampling)(plain)  # type: ignore[arg-type]
        else:
            made = ResNet(3, 3, width=4, blocks=1, norm="none", upsampling=upsampling)(plain)  # type: ignore[arg-type]
        middle = made[..., 88:104, 88:104]
        apart[upsampling] = float((middle - middle[..., :1, :1]).detach().abs().max())
    assert apart["nearest"] < 1e-6 < 1e-4 < apart["transposed"]


def test_instance_norm_is_the_textbooks() -> None:
    x = torch.randn(3, 5, 7, 9, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(InstanceNorm()(x), F.instance_norm(x))
    (mine,) = torch.autograd.grad((InstanceNorm()(x) ** 3).sum(), x)
    (theirs,) = torch.autograd.grad((F.instance_norm(x) ** 3).sum(), x)
    torch.testing.assert_close(mine, theirs)


def test_padding_repeats_the_border_and_changes_nothing_else() -> None:
    image = torch.randn(1, 2, 5, 8)
    assert padded(image, 4).shape == (1, 2, 8, 8)
    assert torch.equal(padded(image, 4)[..., :5, :], image) and torch.equal(
        padded(image, 4)[..., 7, :], image[..., 4, :]
    )
    assert padded(image[..., :4, :], 4) is not None and padded(image[..., :4, :], 4).shape == (1, 2, 4, 8)


@pytest.mark.parametrize("mode", ["reflect", "resize"])
def test_jitter_crops_what_belongs_together_alike(mode: JitterMode) -> None:
    torch.manual_seed(2)
    image = torch.rand(16, 3, 20, 24)
    one, two = jitter((image, image * 2), 1.25, mode)
    torch.testing.assert_close(two, one * 2)
    assert one.shape == image.shape and not torch.equal(one[0], one[1])
    if mode == "resize":
        grown = F.interpolate(image[:1], (25, 30), mode="bilinear", align_corners=False)
    else:
        rows, columns = (np.pad(np.arange(side), (by // 2, by - by // 2), "reflect") for side, by in ((20, 5), (24, 6)))
        grown = image[:1, :, rows][..., columns]
    crops = [grown[..., top : top + 20, left : left + 24] for top in range(6) for left in range(7)]
    assert any(torch.equal(one[:1], crop) for crop in crops)
    assert jitter((image,), 1.0, mode)[0] is image


# The games.


def batch(channels: int = 3) -> Batch:
    random = torch.Generator().manual_seed(5)
    return Batch(
        torch.rand(4, channels, 16, 16, generator=random) * 2 - 1, torch.rand(4, 3, 16, 16, generator=random) * 2 - 1
    )


def test_pix2pix_pays_the_distance_and_its_discriminator_sees_the_source() -> None:
    torch.manual_seed(3)
    model = Pix2Pix(size=16, base_channels=4, dropout=0.0, jitter_scale=1.0, l1_weight=7.0, gan_weight=0.5)
    given = batch()
    assert given.source is not None
    fake = model.generator(given.source)
    turns = {player: terms for player, terms in model.losses(given, Clock()) if player}
    expected = 7 * F.l1_loss(fake, given.image)
    torch.testing.assert_close(turns["generator"]["l1"], expected)
    score = model.discriminator(torch.cat((given.source, fake), 1))
    torch.testing.assert_close(turns["generator"]["adversarial"], 0.5 * GAN_LOSSES["non-saturating"].adversarial(score))
    other = given._replace(source=given.source.flip(0))
    changed = {player: terms for player, terms in model.losses(other, Clock()) if player}
    assert changed["discriminator"]["real"] != turns["discriminator"]["real"], "the same images beside other sources"


def test_pix2pix_pays_r1_at_the_real_image_beside_its_source() -> None:
    model = Pix2Pix(size=16, base_channels=4, dropout=0.0, jitter_scale=1.0, norm="none", r1_gamma=3.0, r1_interval=5)
    given = batch()

    def paid(step: int) -> dict[str, Tensor]:
        return next(dict(terms) for player, terms in model.losses(given, Clock(step)) if player == "discriminator")

    assert given.source is not None and "r1" not in paid(4)
    image = given.image.clone().requires_grad_(True)
    scores = model.discriminator(torch.cat((given.source, image), 1)).mean((1, 2, 3))
    (slope,) = torch.autograd.grad(scores.sum(), image)
    model.adaptive_r1.scale.fill_(0.25)
    wanted = 0.25 * 3.0 * 5 * slope.square().sum((1, 2, 3)).mean() / 2
    torch.testing.assert_close(paid(10)["r1"], wanted)


def test_pix2pix_without_an_adversary_is_the_distance_alone() -> None:
    model = Pix2Pix(size=16, base_channels=4, gan_weight=0.0)
    assert [(player, list(terms)) for player, terms in model.losses(batch(), Clock())] == [("generator", ["l1"])]


def test_cyclegan_pays_for_not_coming_back() -> None:
    """With generators that change nothing, only fooling is left to pay for."""
    model = CycleGAN(size=16, base_channels=4, blocks=1, jitter_scale=1.0)
    for name in ("image", "source"):
        model.generators[name] = torch.nn.Identity()
    terms = next(iter(model.losses(batch(), Clock())))[1]
    assert terms["cycle"] == 0 and terms["identity"] == 0 and terms["adversarial image"] > 0

    class Shift(torch.nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return image + 0.1

    model.generators["image"] = Shift()  # forward adds 0.1, back adds nothing: each way round is off by 0.1
    terms = next(iter(model.losses(batch(), Clock())))[1]
    torch.testing.assert_close(terms["cycle"], torch.tensor(10 * 0.2))
    torch.testing.assert_close(terms["identity"], torch.tensor(10 * 0.5 * 0.1))


def like(networks: Iterable[torch.nn.Module], others: Iterable[torch.nn.Module]) -> None:
    """Give networks the weights of others, layer by layer."""
    for mine, theirs in zip(networks, others, strict=True):
        for weight, other in zip(mine.parameters(), theirs.parameters(), strict=True):
            weight.data.copy_(other.data)


def ends(seed: int) -> tuple[Tensor, Tensor]:
    """A source and an image."""
    torch.manual_seed(seed)
    source, image = torch.rand(2, 1, 3, 32, 32) * 2 - 1
    return source, image


def total(report: dict[str, Tensor], player: str) -> float:
    """The player's loss."""
    return float(report[f"{player}/loss"])


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_pix2pix_plays_as_it_is_usually_written(dropout: float) -> None:
    """Losses of three steps, so gradients and moves too: laid out as in training, or with noise that is drawn alike."""
    torch.manual_seed(8)
    paper: dict[str, Any] = {"norm": "instance", "upsampling": "transposed", "l1_weight": 100.0}
    model = Pix2Pix(size=32, base_channels=4, jitter_scale=1.0, dropout=dropout, **paper)
    book = pix2pix.networks(32, 4)
    like(book, (model.generator, model.discriminator))
    players, optimizers = pix2pix.optimizers(*book), model.optimizers() if dropout else State.start(model).optimizers
    for layer in book[0].modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = dropout
    for step in range(3):
        source, image = ends(step)
        judged, loss = pix2pix.step(*book, players, source, image)
        ends(step)
        report = train_step(model, optimizers, Batch(image, source), Clock(step, step))
        assert total(report, "discriminator") / 2 == pytest.approx(judged, rel=1e-4)
        assert total(report, "generator") == pytest.approx(loss, rel=1e-4)


def test_cyclegan_plays_as_it_is_usually_written() -> None:
    """Losses of three steps, so gradients and moves too, until the pool is full."""
    torch.manual_seed(9)
    model, game = (
        CycleGAN(size=32, base_channels=4, blocks=2, upsampling="transposed", jitter_scale=1.0),
        cyclegan.Game(4, 2),
    )
    like((game.forward, game.back), (model.generators[name] for name in ("image", "source")))
    like((game.of_images, game.of_sources), (model.discriminators[name] for name in ("image", "source")))
    optimizers = State.start(model).optimizers
    for step in range(3):
        source, image = ends(step)
        loss, judged = game.step(source, image)
        report = train_step(model, optimizers, Batch(image, source), Clock(step, step))
        assert total(report, "generators") == pytest.approx(loss, rel=1e-4)
        assert total(report, "discriminators") / 2 == pytest.approx(judged, rel=1e-4)


def test_the_textbooks_pool_exchanges_at_even_odds() -> None:
    pool, shown = cyclegan.ImagePool(), []
    for i in range(1050):
        shown.append(float(pool.exchanged(torch.full((1, 1, 1, 1), float(i)))))
    assert shown[:50] == list(range(50)), "while there is room each is shown, and kept"
    assert len(set(shown[50:])) == 1000, "none comes back twice"
    assert 0.4 < sum(value != i for i, value in enumerate(shown)) / 1000 < 0.6


def test_identity_is_not_asked_of_grey_and_colour() -> None:
    terms = next(iter(CycleGAN(size=16, base_channels=4, blocks=1, channels=1).losses(batch(1), Clock())))[1]
    assert "identity" not in terms and "cycle" in terms


def test_a_pool_fills_then_gives_back_older_images() -> None:
    torch.manual_seed(4)
    pool = ImagePool(6, (1, 2, 2))
    seen: list[float] = []
    for step in range(200):
        made = torch.arange(4 * step, 4 * step + 4).float()[:, None, None, None].expand(-1, 1, 2, 2)
        shown, places = pool.draw(made)
        before = pool.images.clone()
        pool.keep(made, places)
        for i in range(4):
            value = float(shown[i, 0, 0, 0])
            if value == float(made[i, 0, 0, 0]):
                continue
            assert value in before[:, 0, 0, 0] and value < 4 * step, "an older one, whose place the new one took"
            assert float(pool.images[places[0][i], 0, 0, 0]) == 4 * step + i
            seen.append(value)
        if step == 0:
            assert torch.equal(shown, made) and int(pool.filled) == 4
    assert int(pool.filled) == 6
    assert 0.4 < len(seen) / (4 * 199) < 0.6
    assert len(set(seen)) == len(seen), "none comes back twice"


@pytest.mark.parametrize("size", [0, 1, 2])
def test_a_pool_smaller_than_a_batch_shows_all_of_it(size: int) -> None:
    pool = ImagePool(size, (1, 2, 2))
    for step in range(3):
        made = torch.arange(3 * step + 1, 3 * step + 4).float()[:, None, None, None].expand(-1, 1, 2, 2)
        shown, places = pool.draw(made)
        pool.keep(made, places)
        assert torch.equal(shown[size:], made[size:]) and shown.shape == made.shape
        assert (shown > 0).all() and (pool.images > 0).all() and int(pool.filled) == size


# The distances.


def test_l1_counts_levels() -> None:
    one = images.from_uint8(np.full((2, 8, 8, 3), 100, np.uint8))
    two = images.from_uint8(np.full((2, 8, 8, 3), 110, np.uint8))
    torch.testing.assert_close(paired.l1(one, two), torch.full((2,), 10.0, dtype=torch.float64), atol=1e-5, rtol=0)


def made_up_vgg() -> vgg.VGG:
    torch.manual_seed(6)
    return vgg.VGG().eval().requires_grad_(False)


def test_vgg_weights_are_read_from_where_they_are() -> None:
    """A file laid out as the published one: kernels as height, width, inputs, outputs."""
    network = made_up_vgg()
    layers = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d)]
    data = bytearray(31_000_000)
    for layer, (kernel, bias) in zip(layers, vgg._OFFSETS, strict=True):
        assert layer.bias is not None
        for start, values in ((kernel, layer.weight.permute(2, 3, 1, 0)), (bias, layer.bias)):
            raw = values.contiguous().numpy().tobytes()
            data[start : start + len(raw)] = raw
    again = vgg.vgg_network(vgg.weights_in(bytes(data)))
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    for one, two in zip(vgg.block_features(network, image), vgg.block_features(again, image)):
        torch.testing.assert_close(one, two)
    with pytest.raises(UsageError, match="VGG16"):
        vgg.vgg_network({"blocks.0.0.weight": torch.zeros(1)})


def test_vgg_distance_is_between_directions_of_features() -> None:
    network, random = made_up_vgg(), torch.Generator().manual_seed(7)
    image, other = (torch.rand(3, 3, 40, 40, generator=random) * 2 - 1 for _ in range(2))
    assert vgg.feature_distance(network, image, image).abs().max() < 1e-9
    torch.testing.assert_close(vgg.feature_distance(network, image, other), vgg.feature_distance(network, other, image))
    near, far = (vgg.feature_distance(network, image, image + share * (other - image)) for share in (0.1, 0.5))
    assert (near < far).all() and (far < 4).all(), "of two unit vectors at most 4"
    one, two = vgg.block_features(network, image), vgg.block_features(network, other)
    cosines = [F.cosine_similarity(a, b, dim=1).mean((1, 2)) for a, b in zip(one, two)]
    torch.testing.assert_close(
        vgg.feature_distance(network, image, other), 2 - 2 * torch.stack(cosines).mean(0), atol=1e-4, rtol=0
    )
    assert vgg.feature_distance(network, image[:, :1], other[:, :1]).shape == (3,)
    one_for_all = vgg.feature_distance_to(network, image)(other[:1])
    torch.testing.assert_close(one_for_all, vgg.feature_distance(network, other[:1].expand(3, -1, -1, -1), image))


# The command.


def folders(root: Path, count: int = 24) -> str:
    """Coloured squares, and the same turned to their opposites: what is to be learned."""
    random = np.random.default_rng(0)
    for i in range(count):
        pixels = np.kron(random.integers(0, 256, (2, 2, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        for folder, values in (("a", pixels), ("b", 255 - pixels)):
            (root / folder).mkdir(exist_ok=True, parents=True)
            Image.fromarray(values).save(root / folder / f"{i}.png")
    return f"{root / 'a'} -> {root / 'b'}"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A short run of each family."""
    root = tmp_path_factory.mktemp("translations")
    data = folders(root)
    options = {"steps": 3, "batch_size": 4, "sample_every": 3, "out": root / "runs", "device": "cpu"}
    options |= {"size": 16, "base_channels": 4}
    return {
        "pix2pix": api.train("pix2pix", data, **options, jitter_scale=1.0).path,
        "cyclegan": api.train("cyclegan", data, **options, blocks=1).path,
        "data": root,
    }


def test_two_words_are_two_ends(training: list[dict[str, Any]]) -> None:
    assert typed("train", "pix2pix", "drawings", "photos", "--steps", "5")[0] == 0
    assert typed("train", "pix2pix", "edges", "photos")[0] == 0
    assert typed("train", "pix2pix", "map-to-aerial")[0] == 0
    assert [each["data"] for each in training] == ["drawings -> photos", "edges -> photos", "map-to-aerial"]


def test_a_family_of_single_images_refuses_two_ends(tmp_path: Path) -> None:
    data = folders(tmp_path, 2)
    with pytest.raises(UsageError, match="single images are needed, and .* gives two sets; name one"):
        api.train("dcgan", data, steps=1, out=tmp_path)


@pytest.mark.parametrize("family", ["pix2pix", "cyclegan"])
def test_a_sheet_shows_source_output_and_truth(trained: dict[str, Path], family: str) -> None:
    run = trained[family]
    sheet = np.asarray(Image.open(run / "samples" / "00000003.png"))
    columns = 12  # three columns four times, or four of them three times
    assert sheet.shape[1] == columns * 18 + 2
    source, truth = sheet[2:18, 2:18].astype(int), sheet[2:18, 38:54].astype(int)
    assert np.abs(source + truth - 255).max() <= 1 if family == "pix2pix" else source.std() > 0
    assert (run / "reals.png").is_file()
    assert "samples/diversity" in (run / "metrics.jsonl").read_text()


@pytest.mark.parametrize("family", ["pix2pix", "cyclegan"])
def test_a_stopped_run_goes_on_exactly(trained: dict[str, Path], tmp_path: Path, family: str) -> None:
    settings = {"batch_size": 4, "sample_every": 3, "device": "cpu"}
    data, options = (
        folders(tmp_path),
        {"size": 16, "base_channels": 4, **({"blocks": 1, "pool_size": 6} if family == "cyclegan" else {})},
    )
    whole, cut = (
        api.train(family, data, steps=steps, out=tmp_path / name, **settings, **options).path
        for name, steps in (("whole", 5), ("cut", 2))
    )
    api.resume(cut, steps=5)
    one, two = (sorted(run.glob("checkpoints/step-00000005/*.safetensors")) for run in (whole, cut))
    assert [path.name for path in one] == [path.name for path in two] and len(one) >= 4
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(one, two))


def test_translate_takes_images_of_any_shape(trained: dict[str, Path], tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (45, 70, 4), np.uint8)).save(tmp_path / "wide.png")
    out = tmp_path / "made.png"
    code, said, _ = typed("translate", str(trained["pix2pix"]), str(tmp_path / "wide.png"), "--out", str(out))
    assert code == 0 and str(out) in said
    assert Image.open(out).size == (70, 45)
    typed("translate", str(trained["pix2pix"]), str(tmp_path / "wide.png"), "--out", str(out), "--size", "20")
    assert Image.open(out).size == (31, 20)
    source = images.read_whole(tmp_path / "wide.png")
    expected = api.translate(api.load(trained["pix2pix"]), source).numpy()[0]
    typed("translate", str(trained["pix2pix"]), str(tmp_path / "wide.png"), "--out", str(out))
    assert np.array_equal(np.asarray(Image.open(out)), expected)


def test_translate_takes_folders_and_both_directions(trained: dict[str, Path], tmp_path: Path) -> None:
    for name in ("1.png", "sub/2.png"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True, parents=True)
        Image.new("L", (18, 21), 90).save(tmp_path / "in" / name)
    Image.new("L", (18, 21), 200).save(tmp_path / "in" / "1.tiff")
    (tmp_path / "in" / "notes.txt").write_text("no image")
    made = {}
    for direction in ("forward", "back"):
        out = tmp_path / direction
        words = (
            "translate",
            str(trained["cyclegan"]),
            str(tmp_path / "in"),
            "--out",
            str(out),
            "--direction",
            direction,
        )
        code, _, complaints = typed(*words)
        assert code == 0 and "notes.txt" in complaints
        made[direction] = [np.asarray(Image.open(out / name)) for name in ("1.png", "sub/2.png")]
        assert all(each.shape == (21, 18, 3) for each in made[direction])
    assert not np.array_equal(made["forward"][0], made["back"][0])
    assert not np.array_equal(made["forward"][0], np.asarray(Image.open(tmp_path / "forward" / "1.tiff.png")))


def test_noise_is_that_of_a_seed_whoever_stands_beside(trained: dict[str, Path]) -> None:
    model, source = api.load(trained["pix2pix"]), torch.rand(1, 3, 16, 16)
    plain, one, two, again = (api.translate(model, source, seed=seed).tensor for seed in (None, 1, 2, 1))
    assert torch.equal(one, again) and not torch.equal(one, two) and not torch.equal(one, plain)
    assert torch.equal(plain, api.translate(model, source, seed=0).tensor)
    together = api.translate(model, torch.cat((torch.rand(1, 3, 16, 16), source)), seed=0).tensor
    torch.testing.assert_close(together[1:], one, atol=1e-5, rtol=0)
    with pytest.raises(UsageError, match="is deterministic here"):
        api.translate(api.load(trained["cyclegan"]), source, seed=1)


def test_the_noise_of_seeds_moves_an_image_as_far_as_that_of_training() -> None:
    torch.manual_seed(0)
    network, source = UNet(32, 3, 3, width=8, norm="batch", dropout=0.5).eval(), torch.rand(128, 3, 32, 32)
    with torch.no_grad():
        rest = network(source)
        with drawn(network, 0.5, range(128)):
            ours = (network(source) - rest).abs().mean()
        for layer in network.modules():
            layer.training = isinstance(layer, Noise)
        theirs = (network(source) - rest).abs().mean()
    torch.testing.assert_close(ours, theirs, atol=0, rtol=0.02)


def test_noise_drops_as_much_as_in_training_and_rests_where_none_is_asked_for(trained: dict[str, Path]) -> None:
    layer, x = Noise(0.3).eval(), torch.ones(64, 8, 16, 16)
    with drawn(layer, 0.3, range(64)):
        made = layer(x)
    torch.testing.assert_close(made.unique(), torch.tensor([0.0, 1 / 0.7]))
    torch.testing.assert_close(made.mean(), torch.tensor(1.0), atol=0.01, rtol=0)
    assert torch.equal(layer(x), x)
    source, made_by = torch.rand(1, 3, 16, 16), {}
    for dropout in (0.0, 0.5):
        model = api.load(trained["pix2pix"])
        model.adjust({"dropout": dropout})
        made_by[dropout] = api.translate(model, source).tensor
    model.gan_weight = 0.0  # type: ignore[attr-defined]
    assert torch.equal(made_by[0.0], api.translate(model, source).tensor), "the distance alone wants the mean"
    assert not torch.equal(made_by[0.0], made_by[0.5])
    with pytest.raises(UsageError, match="is deterministic here"):
        api.translate(model, source, seed=1)


def test_translate_says_what_cannot_be(trained: dict[str, Path], tmp_path: Path) -> None:
    Image.new("L", (18, 21)).save(tmp_path / "x.png")
    picture, run = str(tmp_path / "x.png"), str(trained["pix2pix"])
    assert "forward" in refused("translate", run, picture, "--direction", "back")
    assert "expected a .png" in refused("translate", run, picture, "--out", str(tmp_path / "x"))
    assert "no longer there" in refused("translate", run, str(tmp_path / "absent.png"))
    families.find("gan")(size=16, hidden_dim=4).save(tmp_path / "gan")
    assert "pix2pix" in refused("translate", str(tmp_path / "gan"), picture)
    (tmp_path / "empty").mkdir()
    code, _, complaint = typed("translate", run, str(tmp_path / "empty"), "--out", str(tmp_path / "o"))
    assert code == DataError.exit_code and "no usable image" in complaint
    with pytest.raises(UsageError, match="1 channels; forward takes 3"):
        api.translate(api.load(run), torch.zeros(1, 1, 16, 16))


# How translations are judged.


@dataclass(eq=False)
class Opposite(Translator):
    """Knows the answer, but for a constant."""

    wrong: float = 0.0

    def build(self) -> None:
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def optimizers(self) -> dict[str, Optimizer]:
        return {}

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        yield from ()

    def translate(self, source: Tensor, direction: str = "forward", seed: int = 0) -> Tensor:
        return -source + self.wrong


def test_scores_are_of_the_truth_beside_the_baselines(tmp_path: Path) -> None:
    data = folders(tmp_path)
    model = Opposite(size=16, wrong=0.02)
    pairs = choose_pairs(model, DataSpec.parse(data), count=100)
    found = evaluate_translations(model, pairs, EYES, made_up_vgg(), baselines={"worse": Opposite(size=16, wrong=0.2)})
    rows = {row.name: row for row in found.rows}
    inside = float((pairs.test.image.images > 252).mean())  # what is white already cannot become whiter
    l1 = rows["L1 (of 255)"]
    assert l1.score.value == pytest.approx(0.02 * 127.5 * (1 - inside), rel=0.2)
    assert set(l1.beside) == {"worse", "identity", "mean colour"}
    pixels = pairs.test.image.images.astype(float)
    assert l1.beside["identity"] == pytest.approx(np.abs(255 - 2 * pixels).mean(), rel=1e-3)
    assert l1.beside["mean colour"] == pytest.approx(np.abs(pixels - pixels.mean((0, 1, 2))).mean(), rel=1e-3)
    for row in found.rows:
        others = list(row.beside.values())
        assert row.score.value > max(others) if row.better == "higher" else row.score.value < min(others), row.name
    assert any("nothing is held out" in text for text in found.warnings)
    assert found.examples is not None and found.examples.shape == (12, 3, 3, 16, 16)
    assert "mean colour" in "\n".join(found.lines())


def test_named_sets_are_judged_by_what_is_held_out() -> None:
    model = Opposite(size=16, source_channels=1)
    pairs = choose_pairs(model, DataSpec.parse("grey -> avatars:40"), count=25)
    assert pairs.held_out and len(pairs.test) == 25 and len(pairs.training) == 40
    names = [{record["name"] for record in each.image.records()} for each in (pairs.training, pairs.test)]
    assert not names[0] & names[1]


@dataclass(eq=False)
class Oracle(Opposite):
    """Knows the answers, but for a little contrast."""

    def learn(self, pairs: PairedTestSet) -> None:
        given, truth = (images.from_uint8(pack.images[:]) for pack in (pairs.test.source, pairs.test.image))
        self.answers = {one.numpy().tobytes(): other for one, other in zip(given, truth, strict=True)}

    def translate(self, source: Tensor, direction: str = "forward", seed: int = 0) -> Tensor:
        return 0.98 * torch.stack([self.answers[one.contiguous().numpy().tobytes()] for one in source])


def test_it_is_read_whether_what_should_change_did_and_nothing_else() -> None:
    model = Oracle(size=32)
    pairs = choose_pairs(model, DataSpec.parse("plain-to-glasses:300"), count=50)
    model.learn(pairs)
    rows = {row.name: row for row in evaluate_translations(model, pairs, EYES, made_up_vgg()).rows}
    changed, kept = rows[CHANGED], rows[KEPT]
    assert changed.score.value > 0.9 and changed.beside["identity"] < 0.1 and changed.better == "higher"
    assert kept.score.value > 0.9 and kept.beside["identity"] > 0.9 > kept.beside["mean colour"]


def read(spec: str, channels: int, *, paired: bool = True) -> AttributeTest | None:
    pairs = choose_pairs(Opposite(size=16, source_channels=channels), DataSpec.parse(spec), count=20)
    test = dataclasses.replace(pairs.test, paired=paired)
    return attribute_test(pairs.training, test, device="cpu", progress=silent)


def test_attributes_are_read_only_where_some_are_known_to_change() -> None:
    assert read("grey -> avatars:40", 1) is None
    assert read("plain-to-glasses:40", 3, paired=False) is None
    found = read("plain-to-glasses:40", 3)
    assert found is not None
    glasses = found.reader.names.index("glasses")
    assert not found.source[:, glasses].any() and found.target[:, glasses].all()
    assert (found.source != found.target).sum() == 20, "and nothing else changes"
    back = found.reversed()
    assert torch.equal(back.source, found.target) and torch.equal(back.target, found.source)


def test_without_pairs_only_the_look_is_judged(trained: dict[str, Path]) -> None:
    model = api.load(trained["cyclegan"])
    assert isinstance(model, CycleGAN)
    found = evaluate_translations(
        model, choose_pairs(model, DataSpec.parse(folders(trained["data"])), count=40), EYES, made_up_vgg()
    )
    assert [row.name for row in found.rows] == ["FID[eyes]", "back: FID[eyes]"]
    assert any("no paired targets" in text for text in found.warnings)


def test_compared_translations_are_of_the_same_sources(trained: dict[str, Path]) -> None:
    run = str(trained["pix2pix"])
    found = api.compare([run, run], columns=6)
    model, one, two = api.load(run), *(each.samples for each in found.runs)
    assert isinstance(model, Translator) and torch.equal(one, two) and len(one) == 6
    pairs = choose_pairs(model, DataSpec.parse(folders(trained["data"])), count=20)
    expected = api.translate(model, pairs.test.source.images[[0]]).tensor
    torch.testing.assert_close(one[:1], expected, atol=1e-5, rtol=0)


def test_a_run_scores_its_translations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extractors, "find_extractor", lambda *words, **named: EYES)
    options = {
        "steps": 4,
        "batch_size": 4,
        "evaluate_every": 2,
        "evaluate_samples": 20,
        "device": "cpu",
        "out": tmp_path,
    }
    run = api.train("pix2pix", folders(tmp_path), **options, size=16, base_channels=4).path
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    scores = [row["evaluation/FID[eyes]"] for row in rows if "evaluation/FID[eyes]" in row]
    assert len(scores) == 2 and all(score > 0 for score in scores)
    assert "zeuxis.translate" in (run / "model" / "README.md").read_text()
    assert "a -> b" in (run / "model" / "README.md").read_text()


def test_evaluate_writes_scores_and_translations(
    trained: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(extractors, "find_extractor", lambda *words, **named: EYES)
    monkeypatch.setattr(extractors, "vgg16", lambda **named: made_up_vgg())
    run = str(trained["pix2pix"])
    code, said, _ = typed(
        "evaluate", run, "--images", "20", "--baseline", run, "--out", str(tmp_path), "--device", "cpu"
    )
    assert code == 0 and "translations.png" in said and Path(run).name in said
    scores = json.loads((tmp_path / "evaluation.json").read_text())["scores"]
    assert {"L1 (of 255)", "PSNR (dB)", "SSIM", "VGG-feature distance", "FID[eyes]"} == {row["name"] for row in scores}
    assert scores[0]["beside"][Path(run).name] == pytest.approx(scores[0]["value"])
    assert Image.open(tmp_path / "translations.png").size[0] > 300
