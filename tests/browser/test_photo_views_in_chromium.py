"""Your photo, Translate and Upscale in a real Chromium: by mouse, touch, keys, drop and paste."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from driving import Driver, needs_axe
from page_client import serving
from picture_files import encoded
from zeuxis import api
from zeuxis.explore.inversion import Search
from zeuxis.families import find
from zeuxis.io.images import to_uint8
from zeuxis.metrics import extractors, vgg
from zeuxis.model import Encoder, Model, SuperResolution, Translator
from zeuxis.web import photos
from zeuxis.web.photos import cropped
from zeuxis.web.served import Served, open_served

pytestmark = pytest.mark.long
Visit = Callable[..., Driver]
FIGURES = "#view-photo .figures canvas"
COLOURS = ((200, 40, 40), (40, 160, 60), (50, 80, 200), (240, 220, 90))  # of the quarters of the photograph
# A file dropped on the view, or pasted, as the browser would tell of it.
GIVEN = """([kind, selector, name, text]) => {
  const data = new DataTransfer();
  data.items.add(new File([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))], name));
  const form = { bubbles: true, cancelable: true };
  const event = kind === "paste" ? new ClipboardEvent(kind, { ...form, clipboardData: data })
    : new DragEvent(kind, { ...form, dataTransfer: data });
  document.querySelector(selector).dispatchEvent(event);
}"""


def photograph(width: int = 90, height: int = 60) -> Image.Image:
    """Four quarters of plain colours."""
    pixels = np.zeros((height, width, 3), np.uint8)
    for k, colour in enumerate(COLOURS):
        rows, columns = slice(height // 2 * (k // 2), None), slice(width // 2 * (k % 2), None)
        pixels[rows, columns] = colour
    return Image.fromarray(pixels)


def saved(folder: Path, family: str, **options: Any) -> Served:
    torch.manual_seed(0)
    find(family)(**options).save(folder)
    found = open_served(folder, device="cpu")
    found.kept["directions components"] = []  # of 4,096 samples, which would take minutes
    return found


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Model, str]]:
    found = saved(tmp_path_factory.mktemp("encoder") / "vae", "vae", size=16, latent_dim=24)
    with serving(found) as link:
        yield found.model, link


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Model, str]]:
    found = saved(tmp_path_factory.mktemp("generator") / "gan", "gan", size=16, latent_dim=24)
    with serving(found) as link:
        yield found.model, link


@pytest.fixture(scope="module")
def both_ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Model, str]]:
    found = saved(tmp_path_factory.mktemp("translator") / "cyclegan", "cyclegan", size=32, base_channels=4)
    with serving(found) as link:
        yield found.model, link


@pytest.fixture(scope="module")
def enlarging(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Model, str]]:
    found = saved(tmp_path_factory.mktemp("upscaler") / "srgan", "srgan", size=32, base_channels=4, blocks=1)
    with serving(found) as link:
        yield found.model, link


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "four colours.png"
    path.write_bytes(encoded(photograph()))
    return path


def choose(driver: Driver, view: str, path: Path) -> None:
    driver.page.set_input_files(f"#view-{view} input[type=file]", path)


def corner(driver: Driver) -> list[int]:
    """The colour in the middle of the square that was found."""
    return [int(level) for level in driver.pictures(FIGURES)[0][8, 8, :3]]


def box(driver: Driver, selector: str) -> dict[str, float]:
    found: dict[str, float] = driver.page.locator(selector).bounding_box()
    return found


# Your photo


def test_a_photograph_is_encoded_kept_and_walked_from(visit: Visit, encoder: tuple[Encoder, str], file: Path) -> None:
    model, link = encoder
    driver = visit(link)
    driver.page.click("#tab-photo")
    choose(driver, "photo", file)
    driver.until("document.querySelector('.told').textContent.startsWith('Encoded')")
    driver.settle()
    square = cropped(photograph(), (15, 0, 75, 60), 16, 3)
    latent = api.encode(model, square)
    shown = [picture[..., :3] for picture in driver.pictures(FIGURES)]
    assert np.array_equal(shown[0], to_uint8(square)[0])
    assert np.abs(shown[1].astype(int) - api.decode(model, latent).numpy()[0]).max() <= 1
    apart = np.abs(shown[0].astype(int) - shown[1]).sum(2) * 2 / 3
    assert np.abs(shown[2][..., 0] - apart.clip(0, 255)).max() <= 1
    driver.page.click("#view-photo button:text-is('Keep')")
    driver.page.click("#view-photo button:text-is('B')")
    driver.page.click("#view-photo button:text-is('Walk from it')")
    driver.until("document.querySelector('.caption').textContent.startsWith('Four colours')")
    driver.until("!zeuxis.engine.lane('hand').busy && !zeuxis.engine.lane('sum').busy")
    assert driver.page.get_attribute("#tab-explore", "aria-selected") == "true"
    assert np.array_equal(driver.picture(), shown[1])
    assert driver.page.inner_text(".term:nth-of-type(2) p").endswith("four colours")
    again = visit(driver.link())
    again.page.click("#tab-photo")
    again.until("document.querySelector('.told').textContent.startsWith('The link holds')")
    again.until("!zeuxis.engine.lane('thumbs').busy")
    assert np.array_equal(again.pictures(FIGURES)[1][..., :3], shown[1])


def test_the_square_is_moved_by_keys_mouse_and_wheel(visit: Visit, encoder: tuple[Encoder, str], file: Path) -> None:
    driver = visit(encoder[1])
    driver.page.click("#tab-photo")
    choose(driver, "photo", file)
    driver.until("document.querySelector('.told').textContent.startsWith('Encoded')")
    driver.tab_to("Crop of four colours")
    for key in ["-"] * 12 + ["Shift+ArrowLeft"] * 9 + ["Shift+ArrowUp"] * 9:
        driver.page.keyboard.press(key)
    driver.settle()
    assert corner(driver) == list(COLOURS[0])
    place = box(driver, "#view-photo .crop")
    driver.page.mouse.move(place["x"] + 30, place["y"] + 30)
    driver.page.mouse.down()
    driver.page.mouse.move(place["x"] + place["width"] - 20, place["y"] + place["height"] - 20, steps=5)
    driver.page.mouse.up()
    driver.settle()
    assert corner(driver) == list(COLOURS[3])
    driver.page.mouse.wheel(0, 2000)
    driver.settle()
    assert len({tuple(colour) for colour in driver.pictures(FIGURES)[0][::15, ::15, :3].reshape(-1, 3).tolist()}) == 4
    driver.page.evaluate("zeuxis.engine.heard.dispatchEvent(new Event('closed'))")  # what this server held is lost
    driver.page.click("button[aria-label='Smaller square']")
    driver.settle()
    assert driver.page.evaluate("document.querySelector('.told').textContent").startswith("Encoded")


def test_two_fingers_resize_the_square(visit: Visit, encoder: tuple[Encoder, str], file: Path) -> None:
    driver = visit(encoder[1], width=390, height=844, has_touch=True, is_mobile=True)
    driver.page.click("#tab-photo")
    choose(driver, "photo", file)
    driver.until("document.querySelector('.told').textContent.startsWith('Encoded')")
    driver.page.locator("#view-photo .crop").scroll_into_view_if_needed()
    place, touch = box(driver, "#view-photo .crop"), driver.context.new_cdp_session(driver.page)
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2

    def fingers(kind: str, *points: tuple[float, float]) -> None:
        given = [{"x": px, "y": py, "id": k} for k, (px, py) in enumerate(points)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": given})

    fingers("touchStart", (x - 80, y), (x + 80, y))
    for reach in (70, 50, 30, 20):
        fingers("touchMove", (x - reach, y), (x + reach, y))
    fingers("touchEnd")
    fingers("touchStart", (x, y))
    for step in range(1, 9):
        fingers("touchMove", (x - 20 * step, y - 14 * step))
    fingers("touchEnd")
    driver.settle()
    assert corner(driver) == list(COLOURS[0])


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_photograph_is_dropped_and_pasted(visit: Visit, encoder: tuple[Encoder, str], kind: str) -> None:
    driver = visit(encoder[1])
    driver.page.click("#tab-photo")
    text = base64.b64encode(encoded(photograph(), "BMP")).decode()
    driver.page.evaluate(GIVEN, [kind, "#view-photo", "a.bmp", text])
    driver.until("document.querySelector('.told').textContent.startsWith('Encoded')")
    driver.settle()


def test_a_file_that_is_no_picture_is_told_in_one_line(visit: Visit, encoder: tuple[Encoder, str]) -> None:
    driver = visit(encoder[1])
    driver.page.click("#tab-photo")
    driver.page.evaluate(GIVEN, ["drop", "#view-photo", "a.png", base64.b64encode(b"no picture").decode()])
    driver.until("!document.querySelector('#trouble').hidden")
    assert driver.page.inner_text("#trouble-text").startswith("This file cannot be used: not an image; give a PNG")
    assert driver.page.is_disabled("#view-photo button:text-is('Keep')")


def test_a_descent_improves_and_is_stopped(
    visit: Visit, generator: tuple[Model, str], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extractors, "vgg16", lambda device: vgg.VGG().requires_grad_(False))
    monkeypatch.setattr(photos, "Search", lambda perceptual: Search(steps=100_000, restarts=2, perceptual=perceptual))
    monkeypatch.setattr(photos.Search, "perceptual", 0.2, raising=False)
    monkeypatch.setattr(photos.Search, "restarts", 2, raising=False)
    driver = visit(generator[1])
    driver.page.click("#tab-photo")
    choose(driver, "photo", file)
    driver.until("/^Nearest of \\d+ samples, PSNR/.test(document.querySelector('.told').textContent)")
    driver.until("/^Step \\d\\d+ of 100000/.test(document.querySelector('.told').textContent)")
    driver.page.click("button:text-is('Stop here')")
    driver.settle()
    assert driver.page.is_enabled("#view-photo button:text-is('Keep')")
    before = driver.page.inner_text(".told")
    driver.page.click("button[aria-label='Smaller square']")
    driver.until("/^Nearest of \\d+ samples/.test(document.querySelector('.told').textContent)")
    driver.page.click("#tab-explore")  # a view that is left stops too
    driver.settle()
    assert driver.page.evaluate("document.querySelector('.told').textContent") != before


# Translate


def pad(driver: Driver) -> np.ndarray[Any, Any]:
    return driver.pictures("canvas.pad")[0][..., :3]


def translated(driver: Driver, model: Translator, direction: str = "forward") -> None:
    """What is shown is what the model makes of the pad."""
    driver.settle()
    wanted = api.translate(model, pad(driver), direction=direction).numpy()[0]
    assert np.abs(driver.pictures("canvas.translation")[0][..., :3].astype(int) - wanted).max() <= 1


def drag(driver: Driver, start: tuple[float, float], end: tuple[float, float]) -> None:
    place = box(driver, "canvas.pad")
    points = [(place["x"] + x * place["width"], place["y"] + y * place["height"]) for x, y in (start, end)]
    driver.page.mouse.move(*points[0])
    driver.page.mouse.down()
    driver.page.mouse.move(*points[1], steps=6)
    driver.page.mouse.up()


def test_a_source_is_drawn_undone_and_linked(visit: Visit, both_ways: tuple[Translator, str]) -> None:
    model, link = both_ways
    driver = visit(link)
    driver.until("document.querySelectorAll('.swatch').length > 2")
    driver.settle()
    assert (pad(driver) == 255).all()
    driver.page.click(".swatch[aria-label^='red']")
    drag(driver, (0.2, 0.5), (0.8, 0.5))
    colours, counts = np.unique(pad(driver).reshape(-1, 3), axis=0, return_counts=True)
    assert len(colours) == 2 and [220, 40, 40] in colours.tolist() and counts.min() >= 19 * 3, "no colour is blended"
    translated(driver, model)
    driver.page.click("#view-translate button:text-is('Fill')")
    driver.page.click(".swatch[aria-label^='dark blue']")
    drag(driver, (0.5, 0.1), (0.5, 0.1))
    assert pad(driver)[0, 0].tolist() == [15, 25, 80]
    translated(driver, model)
    again = visit(driver.link())
    again.settle()
    assert np.array_equal(pad(again), pad(driver))
    assert np.array_equal(again.pictures("canvas.translation")[0], driver.pictures("canvas.translation")[0])
    for _ in range(3):
        driver.page.click("#view-translate button:text-is('Undo')")
    assert (pad(driver) == 255).all()


def test_a_source_is_drawn_by_keys(visit: Visit, both_ways: tuple[Translator, str]) -> None:
    model, link = both_ways
    driver = visit(link)
    driver.until("document.querySelectorAll('.swatch').length > 2")
    driver.settle()
    driver.tab_to("Pad.")
    for key in ["2", "[", "[", "[", "[", "Shift+ArrowLeft", " ", *["ArrowRight"] * 9, " ", "ArrowDown", "ArrowDown"]:
        driver.page.keyboard.press(key)
    assert (pad(driver)[16, 8:18] == 0).all() and (pad(driver)[16, :8] == 255).all() and (pad(driver)[14] == 255).all()
    for key in ["f", "4", "Enter"]:
        driver.page.keyboard.press(key)
    translated(driver, model)
    assert len(np.unique(pad(driver).reshape(-1, 3), axis=0)) == 2
    driver.page.keyboard.press("Control+z")
    assert (pad(driver)[0] == 255).all()


def test_the_way_back_takes_the_translation(visit: Visit, both_ways: tuple[Translator, str], file: Path) -> None:
    model, link = both_ways
    driver = visit(link)
    choose(driver, "translate", file)
    driver.until("!document.querySelector('#view-translate .crop').closest('[hidden]')")
    translated(driver, model)
    assert np.array_equal(pad(driver), to_uint8(cropped(photograph(), (15, 0, 75, 60), 32, 3))[0])
    driver.page.select_option("#photo-way", "grey")
    driver.settle()
    assert (pad(driver)[..., 0] == pad(driver)[..., 2]).all()
    translated(driver, model)
    made = driver.pictures("canvas.translation")[0]
    driver.page.click("button:text-is('Translate it back')")
    driver.settle()
    assert np.array_equal(pad(driver), made[..., :3])
    translated(driver, model, "back")


# Upscale


def test_a_photograph_is_upscaled_compared_and_saved(
    visit: Visit, enlarging: tuple[SuperResolution, str], file: Path, tmp_path: Path
) -> None:
    model, link = enlarging
    driver = visit(link)
    choose(driver, "upscale", file)
    driver.until("document.querySelector('#view-upscale .told').textContent.includes('Drag over')")
    driver.until("!document.querySelector('.lens').hidden && document.querySelector('progress').hidden")
    driver.settle()
    made = np.asarray(api.enlarge(model, photograph()).pil())
    before, after = driver.pictures("#view-upscale .before, #view-upscale .after")
    assert np.abs(after[..., :3].astype(int) - made).max() <= 1
    bicubic = photograph().resize((360, 240), Image.Resampling.BICUBIC)
    assert np.abs(before[..., :3].astype(int) - np.asarray(bicubic)).max() <= 1
    with driver.page.expect_download() as download:
        driver.page.click("button:text-is('Save PNG')")
    download.value.save_as(tmp_path / "saved.png")
    with Image.open(tmp_path / "saved.png") as file_of:
        assert np.array_equal(np.asarray(file_of.convert("RGB")), after[..., :3])
    place = box(driver, ".wiped")
    driver.page.mouse.move(place["x"] + 0.25 * place["width"], place["y"] + 40)
    assert abs(float(driver.page.input_value("#wipe")) - 0.25) < 0.02
    driver.page.focus("#wipe")
    driver.page.keyboard.press("End")
    assert driver.page.get_attribute("#wipe", "aria-valuetext") == "100 % bicubic"


# All three


@needs_axe
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 1024, 390])
@pytest.mark.parametrize("view", ["photo", "translate", "upscale"])
def test_axe_finds_nothing_in_the_views(
    visit: Visit, request: pytest.FixtureRequest, file: Path, view: str, width: int, theme: str
) -> None:
    fixture = {"photo": "encoder", "translate": "both_ways", "upscale": "enlarging"}[view]
    driver = visit(request.getfixturevalue(fixture)[1], width=width, color_scheme=theme)
    if view == "photo":
        driver.page.click("#tab-photo")
    choose(driver, view, file)
    driver.until(f"!document.querySelector('#view-{view} .crop').closest('[hidden]')")
    driver.settle()
    driver.check_accessible(width)
