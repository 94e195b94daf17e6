"""`Images` and what else a notebook shows: the same bytes as the commands write, parts, pixels, files, models."""

from __future__ import annotations

import io
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor

import zeuxis
from commandline import typed
from zeuxis import explore, families
from zeuxis.errors import UsageError
from zeuxis.explore import Vocabulary, editing
from zeuxis.io.images import from_uint8, to_uint8
from zeuxis.io.pictures import Images
from zeuxis.metrics import extractors, vgg
from zeuxis.model import Latent, Model, Translator

SMALL = {
    "vae": {"size": 16, "channels": 3},
    "dcgan": {"size": 16, "base_channels": 4},
    "stylegan2": {"size": 16, "base_channels": 4},
    "pix2pix": {"size": 16, "base_channels": 4},
    "srgan": {"size": 16, "base_channels": 4, "blocks": 1},
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an untrained model of each family."""
    root = tmp_path_factory.mktemp("models")
    for name, options in SMALL.items():
        torch.manual_seed(0)
        families.find(name)(**options).save(root / name)
    return root


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder with pictures in it, and networks that nobody has to fetch."""
    noise = np.random.default_rng(0)
    for name, mode in (("me.png", "RGB"), ("you.png", "RGB"), ("veiled.png", "RGBA"), ("grey.png", "L")):
        shape = (20, 18) if mode == "L" else (20, 18, len(mode))
        Image.fromarray(noise.integers(0, 256, shape, np.uint8)).save(tmp_path / name)
    torch.manual_seed(0)
    network = vgg.VGG().requires_grad_(False)
    monkeypatch.setattr(extractors, "vgg16", lambda **named: network)
    monkeypatch.setattr(extractors, "find_extractor", lambda *given, **named: lambda images: images.flatten(1))
    monkeypatch.chdir(tmp_path)
    yield tmp_path


def an_editor(model: Latent, **named: Any) -> editing.Editor:
    """An editor of two attributes, brightness on the left and on the right, that needs no training."""

    class Bright:
        def read(self, images: Tensor) -> Tensor:
            halves = torch.stack([part.flatten(1).mean(1) for part in images.chunk(2, dim=3)], 1)
            return (400 * (halves - halves.mean(0))).sigmoid()

    words = Vocabulary((("left", ""), ("right", "")))
    return editing.Editor(model, words, explore.sampled(model, Bright(), seeds=range(300)), Bright())


def drawn(model: Model, name: str) -> Any:
    """What Python gives for the command of a case."""
    return {
        "sample": lambda: zeuxis.sample(model, 5),
        "sample seeds": lambda: zeuxis.sample(model, seeds=[3, 1, 3]).in_columns(2),
        "interpolate": lambda: zeuxis.interpolate(model, rows=2, columns=3),
        "interpolate files": lambda: zeuxis.interpolate(model, columns=3, ends=("me.png", Path("you.png"))),
        "interpolate data": lambda: zeuxis.interpolate(model, rows=2, columns=3, ends=("digits:1", "digits:7")),
        "walk": lambda: zeuxis.walk(model, frames=5, seeds=[1, 2]),
        "walk data": lambda: zeuxis.walk(model, frames=4, rows=2, ends=("digits:1", "digits:7"), reencode=1),
        "mix": lambda: zeuxis.mix(model, rows=[0, 1], columns=[4, 5, 6], layers="fine"),
        "invert": lambda: zeuxis.invert(model, ["me.png", "you.png"]),
        "edit": lambda: zeuxis.edit(model, "+ left - right", seeds=[1, 2]),
        "edit file": lambda: zeuxis.edit(model, "+ left", pictures="me.png", strength=2.0),
        "directions": lambda: zeuxis.directions(model, number=2, method="factors"),
        "directions words": lambda: zeuxis.directions(model, "left", "right", seed=3),
        "arithmetic": lambda: zeuxis.arithmetic(model, [(1.0, [1, 2]), (-1.0, [3]), (1.0, [4])]),
        "translate": lambda: zeuxis.translate(model, "me.png", seed=3, size=24),
        "enlarge": lambda: zeuxis.enlarge(model, "veiled.png"),
        "enlarge grey": lambda: zeuxis.translate(model, Image.open("grey.png"), size=9),
    }[name]()


CASES = {
    "sample": "sample vae -n 5",
    "sample seeds": "sample dcgan --seeds 3,1,3 --columns 2",
    "interpolate": "interpolate dcgan --rows 2 --columns 3",
    "interpolate files": "interpolate vae --columns 3 --from me.png --to you.png",
    "interpolate data": "interpolate vae --rows 2 --columns 3 --from digits:1 --to digits:7",
    "walk": "interpolate dcgan --frames 5 --seeds 1,2 --out {}.webp",
    "walk data": "interpolate vae --frames 4 --rows 2 --from digits:1 --to digits:7 --reencode 1 --out {}.gif",
    "mix": "mix stylegan2 --rows 0,1 --columns 4-6 --layers fine",
    "invert": "invert vae me.png you.png",
    "edit": "edit vae '+ left' '- right' --seeds 1,2",
    "edit file": "edit vae me.png '+ left' --strength 2",
    "directions": "directions dcgan --number 2 --method factors",
    "directions words": "directions vae left right --seed 3",
    "arithmetic": "arithmetic dcgan --plus 1,2 --minus 3 --plus 4",
    "translate": "translate pix2pix me.png --seed 3 --size 24",
    "enlarge": "translate srgan veiled.png",
    "enlarge grey": "translate srgan grey.png --size 9",
}


@pytest.mark.parametrize("name", CASES)
def test_python_writes_the_bytes_of_the_command(
    name: str, saved: Path, inside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(editing, "editor", an_editor)
    verb, model, *rest = shlex.split(CASES[name])
    ending = rest[-1][2:] if rest[-1].startswith("{}") else ".png"
    rest = [each for each in rest if not each.startswith("{}") and each != "--out"]
    code, _, error = typed(verb, str(saved / model), *rest, "--device", "cpu", "--out", f"command{ending}")
    assert code == 0, error
    found = drawn(zeuxis.load(saved / model, device="cpu"), name)
    found.save(Path("new") / f"python{ending}")
    command, python = (Path(each).read_bytes() for each in (f"command{ending}", f"new/python{ending}"))
    assert command == python
    shown = Image.open(io.BytesIO(found._repr_png_()))
    assert shown.format == "PNG" and 96 <= max(shown.size) <= 2048


def test_samples_are_written_into_a_folder_as_by_the_command(saved: Path, inside: Path) -> None:
    words = ("sample", str(saved / "vae"), "--seeds", "4,2,4", "--device", "cpu", "--out", "command")
    assert typed(*words)[1] == "wrote 2 pictures into command\n"
    zeuxis.sample(zeuxis.load(saved / "vae", device="cpu"), seeds=[4, 2, 4]).save("python")
    for name in ("seed-00002.png", "seed-00004.png"):
        assert Path("command", name).read_bytes() == Path("python", name).read_bytes()
    assert len(list(Path("python").iterdir())) == 2


def test_latents_written_in_python_are_those_of_the_command(saved: Path, inside: Path) -> None:
    model = zeuxis.load(saved / "vae", device="cpu")
    found = zeuxis.invert(model, "me.png")
    found.save("python.safetensors")
    assert typed("invert", str(saved / "vae"), "me.png", "--device", "cpu", "--out", "command.safetensors")[0] == 0
    command, python = ({**safe_open(f"{each}.safetensors", "pt").metadata()} for each in ("command", "python"))
    assert command == python == {"family": "vae", "names": '["me.png"]'}
    assert torch.equal(editing.load_latents("command.safetensors", model), found.latents)
    assert torch.equal(zeuxis.decode(model, "python.safetensors").tensor, found.images)
    assert zeuxis.decode(model, Path("python.safetensors")).names == ["latent-00000"]
    ends = (found.latents, "python.safetensors")
    row = zeuxis.interpolate(model, columns=3, ends=ends).tensor
    torch.testing.assert_close(row[0], found.images.expand(3, -1, -1, -1), atol=1e-5, rtol=0)


def some(*shape: int) -> Images:
    return Images(torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1)


def test_a_part_of_images_is_images() -> None:
    images = Images(some(6, 3, 8, 8).tensor, names=list("abcdef"))
    assert len(images) == 6 and images.shape == (6, 3, 8, 8) and repr(images) == "Images of shape (6, 3, 8, 8)"
    for key, places in ((2, [2]), (-1, [5]), (slice(1, 4), [1, 2, 3]), ([4, 0], [4, 0]), (torch.tensor([5]), [5])):
        part = images[key]
        assert torch.equal(part.tensor, images.tensor[places]) and part.names == ["abcdef"[i] for i in places]
    assert [each.names for each in images] == [[name] for name in "abcdef"]
    assert images[3].pil().size == (8, 8)
    assert np.array_equal(np.asarray(images[3].pil()), images.numpy()[3])
    with pytest.raises(IndexError):
        images[6]
    for key in ((0, 1), (0, 0, 3), (slice(None), slice(0, 2))):
        with pytest.raises(IndexError, match="reaches into an image"):
            images[key]


def test_a_part_of_a_grid_is_a_row_or_an_image() -> None:
    grid = some(2, 3, 1, 8, 8)
    assert grid.flat.shape == (6, 1, 8, 8) and grid.numpy().shape == (2, 3, 8, 8, 1) and len(grid) == 2
    row, one, block = grid[1], grid[1, 2], grid[:, 1:]
    assert torch.equal(row.tensor, grid.tensor[1]) and torch.equal(one.tensor, grid.tensor[1, 2][None])
    assert torch.equal(block.tensor, grid.tensor[:, 1:]) and one.pil().size == (8, 8)
    assert row.pil().height < row.pil().width and block.pil().size[0] == block.pil().size[1]
    assert [each.shape for each in grid] == [(3, 1, 8, 8)] * 2


def test_pixels_are_those_that_are_written(tmp_path: Path) -> None:
    images = some(4, 3, 8, 8)
    assert images.numpy().dtype == np.uint8 and np.array_equal(images.numpy(), to_uint8(images.tensor))
    images.save(tmp_path / "all")
    for i, pixels in enumerate(images.numpy()):
        assert np.array_equal(np.asarray(Image.open(tmp_path / "all" / f"image-{i:05}.png")), pixels)


def test_a_walk_moves_in_a_notebook_and_in_files(tmp_path: Path) -> None:
    walk = Images(some(5, 3, 8, 8).tensor, explore.path_strip, fps=20)
    for name in ("a.webp", "a.gif"):
        walk.save(tmp_path / name)
        assert Image.open(tmp_path / name).n_frames == 5  # type: ignore[attr-defined]
    walk.save(tmp_path / "strip.png")
    assert Image.open(tmp_path / "strip.png").size == explore.path_strip(walk.tensor).size
    html = walk._repr_html_()
    assert html is not None and html.startswith('<img alt="Images of shape (5, 3, 8, 8)" src="data:image/webp;base64,')
    assert walk[1:3].fps == 20 and walk[2].fps == 0 and walk.in_columns(2).fps == 0
    assert some(5, 3, 8, 8)._repr_html_() is None


@pytest.mark.parametrize("name", ["x.jpg", "x.gif", "x.safetensors", "x.png.txt"])
def test_another_ending_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected a name that ends in \.png"):
        some(2, 3, 8, 8).save(tmp_path / "new" / name)
    assert not list(tmp_path.iterdir())


def test_a_notebook_shows_sheets_of_a_moderate_size() -> None:
    def shown(images: Images) -> tuple[int, int]:
        found = images._repr_png_()
        assert found is not None
        return Image.open(io.BytesIO(found)).size

    assert shown(some(1, 3, 8, 8)[0]) == (96, 96)
    assert max(shown(some(9, 1, 900, 900))) == 2048
    assert some(2, 3, 8, 8)[2:]._repr_png_() is None, "no images have no sheet"
    with pytest.raises(UsageError, match="of no images"):
        some(2, 3, 8, 8)[2:].pil()


# Models


def shown_by(model: Model) -> Image.Image | None:
    found = model._repr_png_()
    return None if found is None else Image.open(io.BytesIO(found))


def test_ipython_takes_pictures_and_falls_back_on_text(saved: Path) -> None:
    formatters = pytest.importorskip("IPython.core.formatters")
    formatter = formatters.DisplayFormatter()
    formatter.active_types = ["text/plain", "text/html", "image/png"]
    model = zeuxis.load(saved / "vae", device="cpu")
    terms = [(1.0, [1, 2]), (-1.0, [3])]
    picture = {"text/plain", "image/png"}
    for shown, kinds in (
        (model, picture),
        (zeuxis.sample(model, 3), picture),
        (zeuxis.interpolate(model, rows=1, columns=3), picture),
        (zeuxis.arithmetic(model, terms), picture),
        (zeuxis.walk(model, frames=3), {*picture, "text/html"}),
        (zeuxis.sample(model, 3)[3:], {"text/plain"}),
        (zeuxis.load(saved / "pix2pix", device="cpu"), {"text/plain"}),
    ):
        assert formatter.format(shown)[0].keys() == kinds
    assert formatter.format(zeuxis.sample(model, 3))[0]["text/plain"] == "Images of shape (3, 3, 16, 16)"


def test_a_latent_model_shows_sixteen_samples(saved: Path) -> None:
    model = zeuxis.load(saved / "vae", device="cpu")
    wanted = Images(model.sample(16)).pil()  # type: ignore[operator]
    assert np.array_equal(np.asarray(shown_by(model)), np.asarray(wanted))


def test_a_notebook_changes_nothing_of_a_model_in_training() -> None:
    """Batch norm would learn from what is shown."""
    model = families.find("dcgan")(size=16, base_channels=4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.eval()
    part = next(module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d))
    part.train()
    assert shown_by(model) is not None
    assert part.training and not model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_translator_shows_translations_where_its_data_is_known(saved: Path, tmp_path: Path) -> None:
    alone = zeuxis.load(saved / "pix2pix", device="cpu")
    assert shown_by(alone) is None and repr(alone).startswith("Pix2Pix(size=16")
    assert shown_by(families.find("pix2pix")(size=16, base_channels=4)) is None
    run = tmp_path / "00001-pix2pix"
    run.mkdir()
    shutil.copytree(saved / "pix2pix", run / "model")
    (run / "config.yaml").write_text("family: pix2pix\ndata: grey -> digits:40\n")
    model = zeuxis.load(run, device="cpu")
    shown = shown_by(model)
    assert isinstance(model, Translator) and model.sources is not None and shown is not None
    source = model.sources(model, 8)
    assert source.shape == (8, 3, 16, 16) and shown.size == (4 * (48 + 6) + 6,) * 2
    first = Images(source[:1]).in_columns(1).pil().crop((6, 6, 54, 54))
    assert np.array_equal(np.asarray(shown.crop((6, 6, 54, 54))), np.asarray(first))
    (run / "config.yaml").write_text(f"family: pix2pix\ndata: {tmp_path / 'gone'} -> {tmp_path / 'gone too'}\n")
    assert shown_by(zeuxis.load(run, device="cpu")) is None


# What is given


def test_pictures_are_given_in_many_ways(saved: Path, inside: Path) -> None:
    model = zeuxis.load(saved / "vae", device="cpu")
    wanted = zeuxis.encode(model, "me.png")
    fitted = Image.fromarray(to_uint8(explore.examples("me.png", [0], size=16, channels=3))[0])
    pixels = np.asarray(fitted)
    ways = [Path("me.png"), Image.open("me.png"), fitted, pixels, pixels[None], Images(from_uint8(pixels[None]))]
    for given in [*ways, from_uint8(pixels[None])[0]]:
        torch.testing.assert_close(zeuxis.encode(model, given), wanted, atol=1e-6, rtol=0)
    both = zeuxis.encode(model, ["me.png", fitted, Path("you.png")])
    torch.testing.assert_close(both[:2], wanted.expand(2, -1), atol=1e-6, rtol=0)
    assert zeuxis.encode(model, "digits:3", number=5).shape == (5, 64)
    row = zeuxis.interpolate(model, columns=2, ends=(fitted, zeuxis.sample(model, 1))).tensor
    torch.testing.assert_close(row[0, 0], zeuxis.decode(model, wanted).tensor[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (torch.zeros(2, 1, 16, 16), r"shape \(2, 1, 16, 16\); expected n 3 16 16"),
        (some(2, 2, 3, 8, 8), r"expected n 3 16 16"),
        (torch.zeros(2, 3, 16, 16, dtype=torch.uint8), "torch.uint8 of shape .* expected floats"),
        (np.zeros((16, 16, 3)), "float64 values; expected uint8"),
        (torch.zeros(16, 16), r"of shape \(16, 16\); expected floats"),
        (torch.zeros(0, 3, 16, 16), "expected floats"),
        ([], "there are no images"),
        ("nothing.png", "no such folder or file"),
        (Path("digits"), "no such folder or file"),
    ],
)
def test_what_is_no_picture_is_refused(given: Any, told: str, saved: Path, inside: Path) -> None:
    model = zeuxis.load(saved / "vae", device="cpu")
    for ask in (zeuxis.encode, zeuxis.invert):
        with pytest.raises(UsageError, match=told) as caught:
            ask(model, given)
        assert "\n" not in str(caught.value)


def test_latents_of_another_shape_are_refused(saved: Path) -> None:
    model = zeuxis.load(saved / "vae", device="cpu")
    for wrong in (torch.zeros(2, 5), torch.zeros(64), torch.zeros(0, 64)):
        with pytest.raises(UsageError, match="expected n 64"):
            zeuxis.decode(model, wrong)
    styled = zeuxis.load(saved / "stylegan2", device="cpu")
    w = styled.mapping(styled.prior([3]))  # type: ignore[operator]
    made = zeuxis.decode(styled, w, space="w")
    torch.testing.assert_close(made.tensor, zeuxis.sample(styled, seeds=[3]).tensor, atol=1e-5, rtol=0)


def test_a_mistake_is_one_line(saved: Path) -> None:
    model = zeuxis.load(saved / "vae", device="cpu")
    mistakes: list[tuple[Callable[[], Any], str]] = [
        (lambda: zeuxis.sample(1), "'1' is no model; load one first"),  # type: ignore[arg-type]
        (lambda: zeuxis.invert("runs/1", "me.png"), "'runs/1' is no model"),  # type: ignore[arg-type]
        (lambda: zeuxis.translate(None, "me.png"), "'None' is no model"),  # type: ignore[arg-type]
        (lambda: zeuxis.translate(model, "me.png"), "vae cannot translate images; these families can: cyclegan"),
        (lambda: zeuxis.sample(model, 0), "n is 0; expected at least 1"),
        (lambda: zeuxis.sample(model, seeds=[]), "seeds is empty"),
        (lambda: zeuxis.interpolate(model, ends="mnist:1"), "expected two of them"),  # type: ignore[arg-type]
        (lambda: zeuxis.interpolate(model, ends=("mnist:1",)), "expected two of them"),  # type: ignore[arg-type]
        (lambda: zeuxis.interpolate(model, ends=(torch.zeros(1, 64), torch.zeros(1, 5))), "expected n 64"),
        (lambda: zeuxis.interpolate(model, columns=1), "columns is 1"),
        (lambda: zeuxis.edit(model, "+ x", pictures=torch.zeros(1, 3, 16, 16), editor=an_editor(model)), "'x'"),
        (
            lambda: zeuxis.edit(model, "+ left", pictures=torch.zeros(1, 3, 16, 16), editor=an_editor(model)),
            r"give a tensor of images as zeuxis.Images\(tensor\)",
        ),
        (lambda: zeuxis.export_page(families.find("vae")(size=16), "x.html"), "this vae is not saved"),
    ]
    for ask, told in mistakes:
        with pytest.raises(UsageError, match=told) as caught:
            ask()
        assert "\n" not in str(caught.value)


def test_a_model_in_hand_is_exported(saved: Path, inside: Path) -> None:
    pytest.importorskip("onnxruntime")
    model = zeuxis.load(saved / "dcgan", device="cpu")
    assert zeuxis.export(model, "loaded.onnx").path == Path("loaded.onnx")
    torch.manual_seed(0)
    made = zeuxis.export(families.find("dcgan")(**SMALL["dcgan"]).eval(), "new/made.onnx")
    assert made.size == Path("new/made.onnx").stat().st_size and made.difference < 1e-4
    assert Path("loaded.onnx").stat().st_size == pytest.approx(made.size, rel=0.05)


def test_a_run_is_known_by_its_number(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "runs" / "00007-vae-digits"
    shutil.copytree(saved / "vae", run / "model")
    (run / "config.yaml").write_text("family: vae\ndata: digits\n")
    monkeypatch.chdir(tmp_path)
    for name in (7, "7", Path("runs/00007-vae-digits"), run / "model"):
        model = zeuxis.load(name, device="cpu")
        assert model.origin == run / "model"
    with pytest.raises(UsageError, match="there is no run '8'; runs/ has 00007-vae-digits"):
        zeuxis.load(8)


def test_a_model_is_asked_for_attributes_of_its_own_data(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "00007-vae-digits"
    shutil.copytree(saved / "vae", run / "model")
    (run / "config.yaml").write_text("family: vae\ndata: digits\n")
    opened: list[str] = []

    def stop(pack: Any, **_: Any) -> None:
        opened.append(pack.name)
        raise UsageError("far enough")

    monkeypatch.setattr(editing, "reader_for", stop)
    monkeypatch.setattr("zeuxis.api.editing.reader_for", stop)
    model = zeuxis.load(run, device="cpu")
    for ask in (lambda: zeuxis.arithmetic(model, "1 - 7 + 3"), lambda: zeuxis.edit(model, "+ 3", seeds=[1])):
        with pytest.raises(UsageError, match="far enough"):
            ask()
    assert opened == ["digits"] * 2
    (run / "config.yaml").write_text(f"family: vae\ndata: {tmp_path / 'gone'}\n")
    for ask in (lambda: zeuxis.arithmetic(model, "1 - 7 + 3"), lambda: zeuxis.evaluate(model)):
        with pytest.raises(UsageError, match="gone, which is no longer there"):
            ask()


def test_an_edit_needs_one_kind_of_start(saved: Path) -> None:
    model = zeuxis.load(saved / "vae", device="cpu")
    for given in ({}, {"seeds": []}, {"seeds": [1], "pictures": torch.zeros(1, 64)}):
        with pytest.raises(UsageError, match="expected pictures, or seeds"):
            zeuxis.edit(model, "+ left", editor=an_editor(model), **given)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="needs attributes"):
        zeuxis.directions(model, method="boundary")
    with pytest.raises(UsageError, match="leave out the attributes"):
        zeuxis.find_directions(model, "left", method="factors")


def test_attributes_are_read_in_pictures(saved: Path, tmp_path: Path) -> None:
    """Here the classes of a folder, which a network learns once."""
    noise, data = np.random.default_rng(0), tmp_path / "squares"
    for i in range(120):
        kind, level = ("dark", 40) if i % 2 else ("light", 200)
        (data / kind).mkdir(parents=True, exist_ok=True)
        pixels = noise.integers(level - 40, level + 40, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(data / kind / f"{i}.png")
    said: list[str] = []
    found = zeuxis.read([data / "dark" / "1.png", data / "light" / "2.png"], data, report=said.append)
    assert list(found) == ["dark", "light"] and any("held-out accuracy" in line for line in said)
    assert found["dark"][0] > 0.5 and found["light"][1] > 0.5
    assert np.allclose(np.sum([*found.values()], axis=0), 1, atol=1e-5)
    given = torch.cat([torch.full((3, 3, 20, 20), -0.7), torch.full((2, 3, 20, 20), 0.6)])
    assert [each > 0.5 for each in zeuxis.read(given, data)["dark"]] == [True] * 3 + [False] * 2
    assert len(zeuxis.read(zeuxis.sample(zeuxis.load(saved / "vae", device="cpu"), 4), str(data))["light"]) == 4
    shutil.rmtree(data / "dark")
    with pytest.raises(UsageError, match="no attributes or classes"):
        zeuxis.read(given, data / "light")
