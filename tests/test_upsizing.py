"""Photographs made larger: the networks and the game against the paper, tiles against the whole, and how it is all judged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import torchmetrics.functional.image as oracle
from PIL import Image
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Optimizer

from commandline import refused, typed
from zeuxis import api
from zeuxis.adversarial import GAN_LOSSES
from zeuxis.data import DataSpec, derived_sources, tiles
from zeuxis.data.image_files import folder_listing
from zeuxis.data.listing import Shape, evenly_spaced
from zeuxis.data.readers import Files
from zeuxis.errors import DataError, UsageError
from zeuxis.families import srgan
from zeuxis.families.srgan import SRGAN
from zeuxis.io import images, pixel_modes
from zeuxis.io.tiling import enlarged, photograph
from zeuxis.judging.super_resolution import choose_photographs, comparison, evaluate_super_resolution
from zeuxis.metrics import extractors, paired, vgg
from zeuxis.model import Batch, Clock, SuperResolution, Turn
from zeuxis.nets.augment import random_symmetry
from zeuxis.training.build import build
from zeuxis.training.engine import State, train

pytestmark = pytest.mark.usefixtures("elsewhere")
Array = np.ndarray[Any, Any]


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def tiny(**options: Any) -> SRGAN:
    torch.manual_seed(0)
    return SRGAN(**{"size": 16, "base_channels": 4, "blocks": 1, "vgg_weight": 0.0, "rotate90": False, **options})


def batch(model: SRGAN, count: int = 4) -> Batch:
    random = torch.Generator().manual_seed(1)
    image = torch.rand(count, 3, model.size, model.size, generator=random) * 2 - 1
    return Batch(image, F.avg_pool2d(image, model.scale))


def made_up_vgg() -> vgg.VGG:
    torch.manual_seed(6)
    return vgg.VGG().eval().requires_grad_(False)


# The networks.


def test_a_doubling_lays_four_channels_out_as_squares() -> None:
    """Pixel (2y + i, 2x + j) of channel c is channel 4c + 2i + j at (y, x) (Shi 2016, equation 4)."""
    layers = srgan._doubling(3)
    features = torch.randn(2, 3, 5, 7)
    before = layers[0](features)
    torch.nn.init.ones_(layers[2].weight)  # then PReLU changes nothing
    after = layers(features)
    assert after.shape == (2, 3, 10, 14)
    for c in range(3):
        for i in range(2):
            for j in range(2):
                torch.testing.assert_close(after[:, c, i::2, j::2], before[:, 4 * c + 2 * i + j])


def test_the_textbook_is_the_papers_network() -> None:
    model = SRGAN(**SRGAN.presets["paper"])
    counts = {
        name: sum(p.numel() for p in getattr(model, name).parameters()) for name in ("generator", "discriminator")
    }
    residual = 2 * (9 * 64 * 64 + 2 * 64) + 1
    ends = (81 * 3 * 64 + 64 + 1) + (81 * 64 * 3 + 3)
    doubling = 9 * 64 * 256 + 256 + 1
    assert counts["generator"] == ends + 16 * residual + (9 * 64 * 64 + 128) + 2 * doubling
    widths = [64, 64, 128, 128, 256, 256, 512, 512]
    convolutions = 28 * 64 + sum(9 * a * b + 2 * b for a, b in zip(widths, widths[1:]))
    assert counts["discriminator"] == convolutions + (512 * 36 * 1024 + 1024) + 1025
    assert (model.pretrain_steps, model.lr, model.gan_weight, model.mse_weight) == (1_000_000, 1e-4, 1e-3, 0.0)


def test_what_is_learned_is_what_bicubic_enlargement_lacks() -> None:
    model = tiny()
    torch.nn.init.zeros_(model.generator.tail[-1].weight)
    torch.nn.init.zeros_(model.generator.tail[-1].bias)
    source = torch.rand(1, 3, 6, 9)
    expected = F.interpolate(source, scale_factor=4, mode="bicubic", align_corners=False)
    torch.testing.assert_close(model.translate(source), expected.clamp(-1, 1))
    assert not tiny(bicubic_skip=False).translate(source * 3).isnan().any()


@pytest.mark.parametrize(
    "options", [{}, {"scale": 2, "kernel_size": 9}, {"blocks": 3, "kernel_size": 5, "norm": "batch"}]
)
def test_reach_is_how_far_an_output_looks(options: dict[str, Any]) -> None:
    model = tiny(**options).eval()
    for name, weight in model.generator.named_parameters():
        torch.nn.init.uniform_(weight, 0.01, 0.1)  # nothing that cancels, and no unit that is off
        assert name
    source = torch.ones(1, 3, 61, 61, requires_grad=True)
    middle = slice(30 * model.scale, 31 * model.scale)
    model.generator(source)[..., middle, middle].sum().backward()
    assert source.grad is not None
    rows = source.grad[0].abs().sum((0, 2)).nonzero()[:, 0]
    far = max(30 - int(rows[0]), int(rows[-1]) - 30)
    assert model.receptive_radius - 2 <= far <= model.receptive_radius


# The game.


def turns(model: SRGAN, step: int) -> dict[str | None, dict[str, Tensor]]:
    return dict(model.losses(batch(model), Clock(step, step * 4)))


def test_pixels_alone_until_the_clock_says_otherwise() -> None:
    model = tiny(pretrain_steps=7, pretrain_lr=3e-3, lr=1e-3)
    given = batch(model)
    for step in (0, 6):
        found = turns(model, step)
        assert found.keys() == {"generator"} and found["generator"].keys() == {"mse"}
        assert model.lr_scale(Clock(step, 0)) == pytest.approx(3.0)
    assert given.source is not None
    torch.testing.assert_close(found["generator"]["mse"], F.mse_loss(model.generator(given.source), given.image))
    for step in (7, 1000):
        assert list(turns(model, step)) == [None, "discriminator", "generator"]
        assert model.lr_scale(Clock(step, 0)) == 1.0


def test_the_game_is_the_papers() -> None:
    """Equations 2 to 6: features by mean square, minus the log of the discriminator's belief, each with its weight."""
    model = tiny(pretrain_steps=0, vgg_weight=2.0, gan_weight=0.5, mse_weight=0.25, vgg_block=2)
    network = made_up_vgg()
    model.feature_network = vgg.feature_network(network)
    given, found = batch(model), turns(model, 0)
    assert given.source is not None
    fake = model.generator(given.source)
    one, two = (network((image + 1) * 127.5)[1] for image in (fake, given.image))
    torch.testing.assert_close(found["generator"]["vgg"], 2.0 * srgan._FEATURES[2] * F.mse_loss(one, two))
    torch.testing.assert_close(found["generator"]["mse"], 0.25 * F.mse_loss(fake, given.image))
    belief = torch.sigmoid(model.discriminator(fake))
    torch.testing.assert_close(found["generator"]["adversarial"], -0.5 * belief.log().mean())
    loss = found["discriminator"]
    torch.testing.assert_close(loss["real"], GAN_LOSSES["non-saturating"].real(model.discriminator(given.image)))
    torch.testing.assert_close(loss["fake"], -(1 - belief).log().mean())
    assert turns(tiny(pretrain_steps=0, gan_weight=0.0), 0).keys() == {"generator"}


def test_the_eyes_are_no_part_of_the_model(tmp_path: Path) -> None:
    model, blind = (
        tiny(pretrain_steps=2, vgg_weight=1.0, vgg_block=1),
        tiny(pretrain_steps=2, vgg_weight=1.0, vgg_block=1),
    )
    network = made_up_vgg()
    model.feature_network = vgg.feature_network(network)
    assert model.state_dict().keys() == blind.state_dict().keys()
    assert len(list(model.parameters())) == len(list(blind.parameters()))
    state = State.start(model)
    assert "eyes" not in "".join(name for group in state.tensors().values() for name in group)
    before = [p.clone() for p in network.parameters()]

    class Same:
        columns = model.needs

        def batch(self, start: int, size: int) -> Batch:
            return batch(model, size)

    def go(state: State, steps: int) -> State:
        for _ in train(state.model, Same(), steps=steps, batch_size=4, seed=3, resume=state):
            pass
        return state

    whole = go(state, 5)
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters()))
    cut = go(State.start(_seeing(network)), 3)  # within the game, which begins at 2
    again = State.start(_seeing(network))
    again.restore(cut.tensors(), json.loads(json.dumps(cut.scalars())))
    one, two = whole.model.state_dict(), go(again, 5).model.state_dict()
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    with pytest.raises(UsageError, match="needs a feature network"):
        turns(blind, 2)


def _seeing(network: vgg.VGG) -> SRGAN:
    model = tiny(pretrain_steps=2, vgg_weight=1.0, vgg_block=1)
    model.feature_network = vgg.feature_network(network)
    return model


def test_a_run_lends_the_network_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def found(**named: Any) -> vgg.VGG:
        asked.append(str(named["device"]))
        return made_up_vgg()

    monkeypatch.setattr(extractors, "vgg16", found)
    cpu, options = torch.device("cpu"), {"size": 16, "base_channels": 4, "blocks": 1}
    assert build(SRGAN, {**options, "vgg_weight": 0.0}, seed=0, device=cpu).feature_network is None and not asked  # type: ignore[attr-defined]
    model = build(SRGAN, options, seed=0, device=cpu)
    assert isinstance(model, SRGAN) and model.feature_network is not None and asked == ["cpu"]
    image = torch.rand(2, 3, 32, 32) * 2 - 1
    for block, features in enumerate(made_up_vgg()((image + 1) * 127.5), 1):
        torch.testing.assert_close(model.see(image, block), features)


def test_vgg_from_a_file_of_ones_own(tmp_path: Path) -> None:
    """Named as torchvision's, given colours as these want them: the same features, but for their size and the border."""
    layers: list[torch.nn.Module] = []
    before = 3
    for i, widths in enumerate(vgg.BLOCKS):
        layers += [torch.nn.MaxPool2d(2)] if i else []
        for width in widths:
            layers += [torch.nn.Conv2d(before, width, 3, padding=1), torch.nn.ReLU()]
            before = width
    torch.manual_seed(3)
    theirs = torch.nn.Sequential(*layers).requires_grad_(False)
    for layer in theirs:
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight)
    path = tmp_path / "own.safetensors"
    path.write_bytes(safetensors.torch.save({f"features.{name}": value for name, value in theirs.state_dict().items()}))
    ours = extractors.vgg16(weights=path)
    image = torch.rand(1, 3, 96, 96) * 2 - 1
    mean, deviation = (torch.tensor(each).view(3, 1, 1) for each in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    wanted = theirs(((image + 1) / 2 - mean) / deviation) * 57.63
    found = vgg.feature_network(ours)(image, 4)
    inside = (..., slice(4, -4), slice(4, -4))  # at the border theirs pads with another grey, a level away
    torch.testing.assert_close(found[inside], wanted[inside], rtol=1e-4, atol=1e-3 * float(wanted.abs().max()))
    path.write_bytes(safetensors.torch.save({"features.0.weight": torch.zeros(2, 2)}))
    with pytest.raises(UsageError, match="not VGG16's weights"):
        extractors.vgg16(weights=path)
    (tmp_path / "forged.pth").write_bytes(b"no weights")
    with pytest.raises(UsageError, match="vgg16-397923af"):
        extractors.vgg16(weights=tmp_path / "forged.pth")


def test_vgg_weights_of_each_block_are_about_alike() -> None:
    """What the factors stand for: at four times, a bicubic enlargement pays as much in features as in pixels."""
    reached = pytest.importorskip("zeuxis.metrics.extractors")
    try:
        feature_network = vgg.feature_network(reached.vgg16())
        pack = DataSpec.parse("photos/test:16").open(96)
    except DataError as error:
        pytest.skip(str(error))
    image = images.from_uint8(pack.images)
    small = F.interpolate(image, scale_factor=0.25, mode="bicubic", antialias=True, align_corners=False)
    large = F.interpolate(small, scale_factor=4, mode="bicubic", align_corners=False)
    for block, factor in srgan._FEATURES.items():
        apart = factor * F.mse_loss(feature_network(large, block), feature_network(image, block))
        assert 0.5 < float(apart / F.mse_loss(large, image)) < 2


# Any size: tiles, grey, opacity.


@pytest.mark.parametrize(
    "options", [{}, {"scale": 2, "kernel_size": 5}, {"norm": "batch", "bicubic_skip": False, "blocks": 2}]
)
def test_tiles_are_the_whole(options: dict[str, Any]) -> None:
    model = tiny(**options).eval()
    source = torch.rand(2, 3, 37, 50) * 2 - 1
    with torch.no_grad():
        whole = model.translate(source)
    for side in (7, 16, 64):
        torch.testing.assert_close(enlarged(model, source, side=side), whole, atol=2e-6, rtol=0)
    torch.testing.assert_close(api.translate(model, source).tensor, whole, atol=2e-6, rtol=0)
    pixels = Image.fromarray(noise(37, 50, 3))
    one, two = (np.asarray(photograph(model, pixels, side=side)).astype(int) for side in (9, 64))
    assert np.abs(one - two).max() <= 1 and one.shape == (37 * model.scale, 50 * model.scale, 3)
    assert (one != two).mean() < 1e-3


def test_grey_stays_grey_and_opacity_is_enlarged_beside() -> None:
    model = tiny().eval()
    grey, veil = Image.fromarray(noise(9, 12)), Image.fromarray(noise(9, 12, seed=1))
    assert photograph(model, grey).mode == "L" and photograph(model, grey.convert("RGB")).mode == "L"
    both = grey.copy()
    both.putalpha(veil)
    result = photograph(model, both.convert("RGBA").convert("RGBa"))
    assert result.mode == "LA" and result.size == (48, 36)
    assert np.array_equal(result.getchannel("A"), veil.resize((48, 36), Image.Resampling.BICUBIC))
    colour = photograph(model, Image.fromarray(noise(9, 12, 3)))
    assert colour.mode == "RGB"
    by_grey = photograph(tiny(source_channels=1, channels=1).eval(), Image.fromarray(noise(9, 12, 3)))
    assert by_grey.mode == "RGB" and by_grey.size == (48, 36)


def test_what_cannot_be_seen_does_not_shine_through() -> None:
    """The colour of transparent pixels, whatever a file has there, changes nothing that is opaque."""
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[:, :8] = (200, 60, 40, 255)
    pixels[:, 8:] = (0, 255, 0, 0)
    layers = pixel_modes.split_alpha(Image.fromarray(pixels).convert("RGBa"))
    assert layers.opacity is not None
    near = np.asarray(layers.colour)[:, 8:12].astype(int)
    assert np.abs(near - (200, 60, 40)).max() <= 2
    assert np.array_equal(np.asarray(layers.colour)[:, :8], pixels[:, :8, :3])
    again = pixel_modes.merge_alpha(layers)
    assert again.mode == "RGBA" and np.array_equal(np.asarray(again)[..., 3], pixels[..., 3])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_layers_are_read_from_files_of_any_mode(mode: str, tmp_path: Path) -> None:
    path = tmp_path / ("image.tiff" if mode in ("CMYK", "I;16") else "image.png")
    given = Image.fromarray(noise(8, 9).astype(np.uint16) * 257)
    if mode != "I;16":
        given = Image.fromarray(noise(8, 9, 4)).convert("RGBA" if "A" in mode else "RGB").convert(mode)
    given.save(path)
    layers = pixel_modes.split_alpha(images.read_layers(path))
    assert (layers.opacity is not None) == (mode in ("LA", "RGBA"))
    assert layers.colour.size == (9, 8)
    assert layers.colour.mode == ("L" if mode in ("1", "L", "LA", "I;16") else "RGB")


# The data.


def pillow_like(row: Array, scale: int) -> Array:
    """A row made smaller by its definition: the cubic kernel of a = -0.5 (Keys 1981), stretched, its weights summing to 1."""

    def cubic(x: Array) -> Array:
        x = np.abs(x)
        near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
        return np.where(x < 1, near, np.where(x < 2, far, 0))

    result = []
    for i in range(len(row) // scale):
        weights = cubic((np.arange(len(row)) + 0.5 - (i + 0.5) * scale) / scale)
        result.append((row * weights).sum() / weights.sum())
    return np.array(result)


@pytest.mark.parametrize("scale", [2, 4])
def test_sources_are_made_by_the_stretched_bicubic_kernel(scale: int) -> None:
    smooth = ndimage.gaussian_filter(noise(40, 48).astype(float), 1.0).round()
    image = Image.fromarray(smooth.astype(np.uint8))
    found = np.asarray(derived_sources.reduced(image, scale)).astype(float)
    across = np.apply_along_axis(pillow_like, 1, smooth, scale)
    expected = np.apply_along_axis(pillow_like, 0, across, scale)
    assert np.abs(found - expected).max() <= 1.01
    torch_ = F.interpolate(
        torch.from_numpy(smooth)[None, None],
        scale_factor=1 / scale,
        mode="bicubic",
        antialias=True,
        align_corners=False,
    )
    assert np.abs(found - torch_[0, 0].numpy()).max() <= 1.01
    odd = derived_sources.reduced(
        Image.fromarray(np.pad(smooth, ((0, 1), (0, 1)), mode="edge").astype(np.uint8)), scale
    )
    assert odd.size == (48 // scale, 40 // scale)


def folder(root: Path, count: int = 24, size: int = 32) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        smooth = ndimage.gaussian_filter(noise(size, size, 3, seed=i).astype(float), (1, 1, 0))
        Image.fromarray(((smooth - 128) * 4 + 128).clip(0, 255).astype(np.uint8)).save(root / f"{i}.png")
    return root


def test_small_sources_belong_to_their_images(tmp_path: Path) -> None:
    found = DataSpec.parse(f"small -> {folder(tmp_path)}").open_pairs((8, 3), (32, 3))
    assert len(found) == 24
    for one, two in zip(*found.places):
        expected = derived_sources.reduced(Image.fromarray(np.asarray(found.image.images[two])), 4)
        assert np.array_equal(found.source.images[one], expected)
    with pytest.raises(UsageError, match="families that enlarge"):
        DataSpec.parse(f"small -> {tmp_path}").open_pairs((32, 3), (32, 3))
    for text, derivation, completed in (
        ("photos:5", "small", "small -> photos:5"),
        ("small-to-large", "small", "small-to-large"),
        ("a -> b", "small", "a -> b"),
        ("photos", None, "photos"),
    ):
        assert str(DataSpec.parse(text).with_source(derivation)) == completed
    assert DataSpec.parse("small-to-large") == DataSpec.parse("small -> photos")


def test_cuts_are_where_a_photograph_is_sharp_and_at_its_own_resolution(tmp_path: Path) -> None:
    pixels = np.full((300, 400, 3), 128, np.uint8)
    pixels[:, :200] = noise(300, 200, 1)
    Image.fromarray(pixels).save(tmp_path / "half.png")
    told: list[tuple[int, int]] = []
    items = tiles.cut(folder_listing(tmp_path), progress=lambda *done: told.append(done)).items
    assert told == [(1, 1)], "one photograph of one"
    lefts = {int(item.partition("@")[0].split(",")[1]) for item in items}
    assert lefts == {48, 144, 240} and len(items) == 9, "the third column is sharp in its first 8 pixels"
    reader = tiles.Tiles(Files(str(tmp_path)))
    for size in (32, 96, 128):
        top, left = 144 - size // 2, 144 - size // 2
        picture = reader.picture("144,144@half.png", Shape(size, 3))
        assert np.array_equal(picture.pixels, pixels[top : top + size, left : left + size])
    moved = reader.picture("48,48@half.png", Shape(256, 3)).pixels
    assert np.array_equal(moved, pixels[:256, :256])
    assert reader.picture("48,48@half.png", Shape(32, 1)).pixels.shape == (32, 32, 1)
    with pytest.raises(images.Unusable, match="smaller than 301"):
        reader.picture("48,48@half.png", Shape(301, 3))


def test_a_folder_of_large_photographs_is_cut_not_shrunk(tmp_path: Path) -> None:
    sharp, blurred, small = tmp_path / "a" / "sharp.png", tmp_path / "b" / "blurred.png", tmp_path / "b" / "small.png"
    for path, pixels in ((sharp, noise(200, 290, 3)), (blurred, np.full((200, 290, 3), 9)), (small, noise(70, 80, 3))):
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    (tmp_path / "notes.txt").write_text("no photograph")
    pack = DataSpec.parse(tmp_path, resize_mode="tiles").open(64)
    names = [record["name"] for record in pack.records()]
    places = [f"{top},{left}@a/sharp.png" for top in (48, 144) for left in (48, 144, 240)]
    assert names == [*places, "35,40@b/small.png"]
    assert np.array_equal(pack.images[1], np.asarray(Image.open(sharp))[16:80, 112:176])
    assert np.array_equal(pack.images[6], np.asarray(Image.open(small))[3:67, 8:72])
    assert pack.labels is not None and pack.labels.tolist() == [0] * 6 + [1] and pack.classes == ["a", "b"]
    left_out = dict(pack.left_out)
    assert left_out.keys() == {"b/blurred.png", "notes.txt"} and "nowhere sharp" in left_out["b/blurred.png"]
    assert [
        record["name"] for record in DataSpec.parse(tmp_path, resize_mode="tiles", max_images=3).open(64).records()
    ] == names[0:6:2]
    many = DataSpec.parse(folder(tmp_path / "many", 120, size=70), resize_mode="tiles").open(
        64
    )  # decoded in other processes
    assert len(many) == 120 and {record["mode"] for record in many.records()} == {"RGB"}
    with pytest.raises(DataError, match="smaller than 96 pixels"):
        DataSpec.parse(folder(tmp_path / "few", 2, size=70), resize_mode="tiles").open(96)


def test_what_is_cut(tmp_path: Path) -> None:
    here = str(folder(tmp_path / "here", 2))
    for spec, asked, resize_mode in (
        (here, "auto", "tiles"),
        (f"small -> {here}", "auto", "tiles"),
        (here, "pad", "pad"),
        (f"{here} -> {here}", "auto", "crop"),
        ("small-to-large", "auto", "crop"),
        ("avatars", "auto", "crop"),
    ):
        found = DataSpec.parse(spec).resized(asked, suits="tiles")  # type: ignore[arg-type]
        assert found.resize_mode == resize_mode and str(found) == spec
    assert DataSpec.parse(here).resized("auto", suits="crop").resize_mode == "crop"
    with pytest.raises(UsageError, match="--resize-mode tiles is for single images"):
        DataSpec.parse(f"{here} -> {here}", resize_mode="tiles").open_pairs((8, 3), (32, 3))
    with pytest.raises(UsageError, match="another form"):
        DataSpec.parse("avatars:3", resize_mode="tiles").open(16)


def test_fewer_than_asked_for_come_once_each() -> None:
    assert evenly_spaced(5, 9).tolist() == evenly_spaced(5, None).tolist() == [0, 1, 2, 3, 4]
    assert evenly_spaced(10, 4).tolist() == [0, 2, 5, 7] and evenly_spaced(0, 3).tolist() == []


def test_held_out_photographs() -> None:
    try:
        cuts = DataSpec.parse("photos/test").open(96)
    except DataError as error:
        pytest.skip(str(error))
    model, data = tiny(), DataSpec.parse("small-to-large")
    assert len(cuts) > 200 and data.held_out(9) == (data, DataSpec.parse("small -> photos/test:9"))
    test = choose_photographs(model, data, count=10_000)
    assert len(test.photographs) == 12 and test.held_out
    assert sorted({photo.size for photo in test.photographs})[0] == (384, 300), "the middle, a multiple of 4"


# How it is judged.


def test_luminance_is_that_of_bt601() -> None:
    def levels(*colour: int) -> float:
        image = images.from_uint8(np.array(colour, np.uint8).reshape(1, 1, 1, -1))
        return float((paired.luminance(image) + 1) * 127.5)

    assert levels(0, 0, 0) == pytest.approx(16) and levels(255, 255, 255) == pytest.approx(235)
    for colour, expected in (((255, 0, 0), 81.481), ((0, 255, 0), 144.553), ((0, 0, 255), 40.966)):
        assert levels(*colour) == pytest.approx(expected, abs=1e-4)
    assert levels(128) == pytest.approx(levels(128, 128, 128))
    pixels = noise(20, 20, 3)
    full = np.asarray(Image.fromarray(pixels).convert("YCbCr"))[..., 0]  # the same weights, whole levels of 0 to 255
    found = (paired.luminance(images.from_uint8(pixels[None]))[0, 0].numpy() + 1) * 127.5
    assert np.abs(found - (16 + full * (219 / 255))).max() <= 219 / 255 + 1e-4


def scipy_ssim(x: Array, y: Array) -> float:
    """Wang 2004 with SciPy's filters: a Gaussian of 1.5 pixels cut at 11, over the places where all of it is inside."""

    def local(values: Array) -> Array:
        return ndimage.gaussian_filter(values, 1.5, truncate=3.5)[5:-5, 5:-5]

    mean_x, mean_y = local(x), local(y)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    spread_ = local(x * x) - mean_x**2 + local(y * y) - mean_y**2
    above = (2 * mean_x * mean_y + c1) * (2 * (local(x * y) - mean_x * mean_y) + c2)
    return float((above / ((mean_x**2 + mean_y**2 + c1) * (spread_ + c2))).mean())


def test_scores_are_those_of_other_libraries() -> None:
    truth = Image.fromarray(noise(64, 80, 3)).resize((160, 128), Image.Resampling.BICUBIC)
    image = derived_sources.reduced(truth, 2).resize(truth.size, Image.Resampling.BICUBIC)
    found = comparison(truth, 4, made_up_vgg())(image)
    weights = np.array([65.481, 128.553, 24.966]) / 255
    one, two = (16 + np.asarray(each).astype(float)[4:-4, 4:-4] @ weights for each in (image, truth))
    assert float(found["PSNR of Y (dB)"]) == pytest.approx(10 * np.log10(255**2 / ((one - two) ** 2).mean()), abs=1e-6)
    assert float(found["SSIM of Y"]) == pytest.approx(scipy_ssim(one, two), abs=1e-6)
    tensors = [torch.from_numpy(each)[None, None] for each in (one, two)]
    assert float(found["PSNR of Y (dB)"]) == pytest.approx(
        float(oracle.peak_signal_noise_ratio(*tensors, data_range=255.0)), abs=1e-3
    )
    both = [images.from_uint8(np.asarray(each)[None]) for each in (image, truth)]
    torch.testing.assert_close(found["VGG-feature distance"], vgg.feature_distance(made_up_vgg(), *both))


@dataclass(eq=False)
class Neighbours(SuperResolution):
    """Enlarges by repeating pixels."""

    def build(self) -> None:
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def optimizers(self) -> dict[str, Optimizer]:
        return {}

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        yield from ()

    @property
    def receptive_radius(self) -> int:
        return 0

    def translate(self, source: Tensor, direction: str = "forward", seed: int = 0) -> Tensor:
        return F.interpolate(source, scale_factor=self.scale)


def test_whole_photographs_are_judged_beside_bicubic_and_nearest(tmp_path: Path) -> None:
    root = folder(tmp_path, 3, size=150)
    Image.fromarray(noise(150, 201)).save(root / "grey.png")
    Image.fromarray(noise(12, 12, 3)).save(root / "too-small.png")
    (root / "notes.txt").write_text("no image")
    model = Neighbours(size=32)
    test = choose_photographs(model, DataSpec.parse(f"small -> {root}"), count=100)
    assert sorted({photo.size for photo in test.photographs}) == [(148, 148), (200, 148)] and not test.held_out
    found = evaluate_super_resolution(model, test, made_up_vgg(), baselines={"again": model})
    for row in found.rows:
        assert row.beside.keys() == {"again", "bicubic", "nearest"}
        assert row.score.value == pytest.approx(row.beside["nearest"]) == pytest.approx(row.beside["again"])
    psnr = found.rows[0]
    assert psnr.beside["bicubic"] > psnr.beside["nearest"] and psnr.score.low < psnr.score.value < psnr.score.high
    assert found.examples is not None and found.examples.shape == (4, 4, 3, 128, 128)
    assert any("nothing is held out" in text for text in found.warnings)
    with pytest.raises(DataError, match="no test photograph of"):
        choose_photographs(model, DataSpec.parse(f"small -> {folder(tmp_path / 'small', 2, size=16)}"), count=9)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run through both phases."""
    root = tmp_path_factory.mktemp("upsizing")
    options: dict[str, Any] = {"size": 32, "base_channels": 4, "blocks": 1, "vgg_weight": 0.0, "pretrain_steps": 2}
    options |= {"steps": 4, "batch_size": 4, "sample_every": 4, "log_every": 1, "device": "cpu", "out": root / "runs"}
    return api.train("srgan", str(folder(root / "photos")), **options).path


def test_single_images_are_what_it_learns_from(run: Path) -> None:
    config = (run / "config.yaml").read_text()
    assert "data: small -> " in config and "resize_mode: tiles" in config
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert any("discriminator/real" in row for row in rows)
    sheet = Image.open(run / "samples" / "00000004.png")
    assert sheet.size[0] == 12 * 34 + 2, "source, output and truth in one size"


def test_translate_enlarges_files_and_folders(run: Path, tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    Image.fromarray(noise(21, 30, 3)).save(inside / "colour.png")
    Image.fromarray(noise(21, 30)).save(inside / "grey.jpg")
    Image.fromarray(noise(21, 30, 4)).save(inside / "veiled.png")
    code, _, _ = typed("translate", str(run), str(inside), "--out", str(tmp_path / "out"), "--device", "cpu")
    found = {path.name: Image.open(path) for path in (tmp_path / "out").iterdir()}
    assert code == 0 and {name: image.mode for name, image in found.items()} == {
        "colour.png": "RGB",
        "grey.png": "L",
        "veiled.png": "RGBA",
    }
    assert all(image.size == (120, 84) for image in found.values())
    expected = photograph(api.load(run, device="cpu"), Image.open(inside / "colour.png"))  # type: ignore[arg-type]
    assert np.array_equal(found["colour.png"], expected)
    out = str(tmp_path / "small.png")
    typed("translate", str(run), str(inside / "colour.png"), "--out", out, "--size", "7", "--device", "cpu")
    assert Image.open(out).size == (40, 28)
    for wrong in (("--seed", "3"), ("--direction", "back")):
        assert "srgan" in refused("translate", str(run), str(inside / "grey.jpg"), *wrong)


def test_baselines_enlarge_by_as_much(run: Path, tmp_path: Path) -> None:
    tiny(scale=2).save(tmp_path / "two")
    other, model = api.load(tmp_path / "two", device="cpu"), api.load(run, device="cpu")
    with pytest.raises(UsageError, match="two upscales by 2, the model by 4"):
        api.evaluate(model, str(folder(tmp_path / "photos", 2)), baselines={"two": other})


def test_evaluate_says_how_near_the_truth_it_is(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extractors, "vgg16", lambda **named: made_up_vgg())
    photographs = str(folder(tmp_path / "photos", 3, size=140))
    words = ("evaluate", str(run), photographs, "--baseline", str(run), "--out", str(tmp_path), "--device", "cpu")
    code, said, _ = typed(*words)
    scores = json.loads((tmp_path / "evaluation.json").read_text())["scores"]
    assert code == 0 and [row["name"] for row in scores] == ["PSNR of Y (dB)", "SSIM of Y", "VGG-feature distance"]
    assert scores[0]["beside"].keys() == {run.name, "bicubic", "nearest"} and "3 training photographs" in said
    assert Image.open(tmp_path / "translations.png").size[0] > 8 * 128


def test_turned_moves_what_belongs_together_alike_in_all_eight_ways() -> None:
    torch.manual_seed(0)
    image = torch.rand(1, 2, 6, 6).expand(64, 2, 6, 6)
    one, two = random_symmetry((image, image * 2))
    assert torch.equal(one * 2, two)
    ways = [image[0].rot90(quarters, (1, 2)) for quarters in range(4)]
    ways += [way.flip(-1) for way in ways]
    found = [[torch.equal(each, way) for way in ways] for each in one]
    assert all(sum(each) == 1 for each in found)  # each is one of the eight
    assert torch.tensor(found).any(0).all()  # and each of the eight occurs
