"""The page driven by mouse, touch and wheel, saved to files, and through the end of its server: for `make browser`."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import zeuxis
from driving import Driver
from zeuxis.io.images import to_uint8
from zeuxis.web.served import Served

Visit = Callable[..., Driver]
pytestmark = pytest.mark.long


def terms(driver: Driver) -> list[np.ndarray]:
    driver.settle()
    return driver.pictures(".slot canvas")


def test_drag_and_drop_by_mouse(visit: Visit) -> None:
    driver = visit()
    drop, kept = driver.page.drag_and_drop, driver.pictures(".thumb canvas")
    drop(".thumb >> nth=4", ".term >> nth=1")
    assert np.array_equal(terms(driver)[1], kept[4])
    drop(".thumb >> nth=3", ".term >> nth=1")  # beside an example's place: joined, and averaged
    assert driver.page.inner_text(".term >> nth=1 >> p").endswith("mean of 2")
    drop("canvas.live", ".term >> nth=2")
    assert np.array_equal(terms(driver)[2], driver.pictures("canvas.live")[0])
    before = driver.pictures(".nine canvas")
    drop(".thumb >> nth=5", ".ten button >> nth=9")
    driver.settle()
    assert np.array_equal(driver.pictures(".ten canvas")[9], kept[5])
    drop(".nine button >> nth=0", ".term >> nth=0")
    assert np.array_equal(terms(driver)[0], before[0])


def test_a_neighbour_is_taken_on(visit: Visit) -> None:
    driver = visit()
    wanted = driver.pictures(".nine canvas")[8]
    driver.page.click(".nine button >> nth=8")
    driver.settle()
    assert np.array_equal(driver.pictures("canvas.live")[0], wanted)
    assert driver.page.get_attribute("button:text-is('Around this one')", "aria-checked") == "true"
    driver.page.click("button:text-is('All seeds')")
    driver.settle()
    assert driver.caption() == "Seed 0"


def test_around_a_picture_two_axes_are_chosen(visit: Visit) -> None:
    driver = visit()
    driver.find(7)
    centre = driver.picture()
    driver.page.click("button:text-is('Around this one')")
    across, down = (driver.page.get_by_label(f"Axis {word}") for word in ("across", "down"))
    across.select_option("components:component 3")
    down.select_option("components:component 1")
    driver.settle()
    assert driver.page.locator(".edge").all_inner_texts() == [
        f"{word} component {k}" for k in (3, 1) for word in ("less", "more")
    ]
    assert np.array_equal(driver.picture(), centre)
    driver.page.press("canvas.wall", "Shift+ArrowRight")
    driver.settle()
    assert driver.page.evaluate("zeuxis.hand.edits") == {"components:component 3": 0.25}
    moved = driver.picture()
    assert not np.array_equal(moved, centre)
    assert np.array_equal(visit(driver.link()).picture(), moved)


def test_sliders_edit_the_picture_in_hand(visit: Visit) -> None:
    driver = visit()
    before = driver.picture()
    driver.page.get_by_label("component 2", exact=True).fill("1.5")
    driver.settle()
    edited = driver.picture()
    assert not np.array_equal(edited, before) and driver.caption() == "Seed 0, edited"
    again = visit(driver.link())
    assert np.array_equal(again.picture(), edited)
    driver.page.click("button:text-is('Reset')")
    driver.settle()
    assert np.array_equal(driver.picture(), before)


def test_pictures_are_kept_and_removed_by_one_button(visit: Visit) -> None:
    driver = visit()
    thumbs = driver.page.locator(".thumb")
    driver.find(12)
    assert "current" in (thumbs.nth(3).get_attribute("class") or "")
    driver.page.click("button:text-is('Remove')")
    assert thumbs.count() == 5
    driver.page.click("button:text-is('Keep')")
    assert thumbs.count() == 6 and "current" in (thumbs.nth(0).get_attribute("class") or "")


def test_the_mouse_moves_the_wall(visit: Visit) -> None:
    driver = visit()
    box = driver.page.locator("canvas.wall").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    driver.page.mouse.move(x, y)
    driver.page.mouse.down()
    driver.page.mouse.move(x - 216, y, steps=6)  # three pictures of 72 pixels: one seed
    driver.page.mouse.up()
    driver.page.mouse.move(5, 5)
    driver.settle()
    assert driver.caption() == "Seed 2"
    driver.page.mouse.click(x + 216, y + 216)
    driver.page.mouse.move(5, 5)
    driver.settle()  # the pin stays where it was put
    assert driver.page.evaluate("zeuxis.walls[0].place") == pytest.approx({"x": 2, "y": 1}, abs=0.01)


def test_the_wheel_zooms_about_the_pointer(visit: Visit) -> None:
    driver = visit()
    box = driver.page.locator("canvas.wall").bounding_box()
    driver.page.mouse.move(box["x"] + 300, box["y"] + 120)
    before = driver.page.evaluate("zeuxis.walls[0].place")
    for per, turn in ((4, -100), (6, -100), (4, 100), (3, 100), (2, 100)):
        driver.page.mouse.wheel(0, turn)
        driver.until(f"zeuxis.walls[0].per === {per}")
        after = driver.page.evaluate("zeuxis.walls[0].toPlace(300, 120)")
        assert after == pytest.approx(before, abs=0.01)
    driver.settle()


def test_after_a_drag_the_newest_picture_is_shown(visit: Visit, served: Served) -> None:
    driver = visit()
    for held in (False, True):
        driver.move(120, held=held)
        assert driver.page.evaluate("zeuxis.walls[0].sight().length") > 100
        driver.settle()
        latent = driver.page.evaluate("zeuxis.latent(zeuxis.hand).then((z) => [...z])")
        wanted = to_uint8(served.drawn_by.decode(zeuxis_latent(latent)))[0]
        assert np.abs(driver.picture().astype(int) - wanted).max() <= 1


def zeuxis_latent(numbers: list[float]) -> Any:
    import torch

    return torch.tensor([numbers], dtype=torch.float32)


def fingers(driver: Driver, *moves: list[tuple[float, float]]) -> None:
    """Touches by fingers that move together from place to place."""
    session = driver.context.new_cdp_session(driver.page)
    for k, points in enumerate(moves):
        at = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
        kind = "touchStart" if k == 0 else "touchMove"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_touch_moves_centres_and_zooms(visit: Visit) -> None:
    driver = visit(width=390, height=844, has_touch=True, is_mobile=True)
    box = driver.page.locator("canvas.wall").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    start = driver.page.evaluate("zeuxis.walls[0].unit")
    fingers(driver, *[[(x, y - step * start / 8)] for step in range(9)])
    driver.settle()
    place = driver.page.evaluate("zeuxis.walls[0].centre")
    assert place == pytest.approx({"x": 0, "y": 1}, abs=0.1)
    driver.page.touchscreen.tap(x + start, y)
    driver.settle()
    assert driver.page.evaluate("zeuxis.walls[0].centre.x") == pytest.approx(1, abs=0.1)
    fingers(driver, *[[(x - wide, y), (x + wide, y)] for wide in (20, 24, 30, 38, 46)])
    driver.settle()
    assert driver.page.evaluate("zeuxis.walls[0].unit") > start
    assert driver.page.evaluate("document.documentElement.scrollWidth") == 390
    small = """[...document.querySelectorAll("button, input, select")].filter((one) => one.offsetParent)
      .filter((one) => { const box = one.getBoundingClientRect(); return Math.min(box.width, box.height) < 24; }).length"""
    assert driver.page.evaluate(small) == 0


def test_files_hold_what_is_shown(visit: Visit, served: Served, tmp_path: Path) -> None:
    driver = visit()
    driver.find(7)
    with driver.page.expect_download() as saved:
        driver.page.click("button:text-is('Save PNG')")
    saved.value.save_as(tmp_path / "hand.png")
    assert saved.value.suggested_filename.endswith("seed-7.png")
    picture = np.asarray(Image.open(tmp_path / "hand.png").convert("RGB"))
    assert np.array_equal(picture, zeuxis.sample(served.model, seeds=[7]).numpy()[0])
    driver.page.click("button:text-is('Play')")
    driver.page.locator("button:text-is('Save WebP'):enabled").wait_for()
    with driver.page.expect_download() as saved:
        driver.page.click("button:text-is('Save WebP')")
    animation = Image.open(io.BytesIO(Path(saved.value.path()).read_bytes()))
    assert (animation.format, animation.n_frames, animation.size) == ("WEBP", 60, (256, 256))  # type: ignore[attr-defined]
    driver.page.keyboard.press("Escape")
    driver.until("!document.querySelector('dialog.player')")


@contextmanager
def explored(folder: Path, port: int = 0) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`zeuxis explore` as a process, and its link."""
    command = [
        sys.executable,
        "-m",
        "zeuxis",
        "explore",
        str(folder),
        "--port",
        str(port),
        "--no-browser",
        "--device",
        "cpu",
        "--engine",
        "torch",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        line = next(line for line in process.stdout or [] if "http://" in line)
        yield process, line.split(" at ")[1].strip()
    finally:
        process.kill()
        process.wait()


def test_the_page_outlives_its_server(chromium: object, folder: Path) -> None:
    with explored(folder) as (process, link):
        driver = Driver(chromium, link)
        driver.find(14)
        before = driver.pictures("canvas.live, .ten canvas")
        process.kill()
        driver.until("!document.getElementById('trouble').hidden")
        driver.page.focus("canvas.wall")
        driver.page.keyboard.press("Home")  # asked for while nobody answers
    with explored(folder, int(link.rstrip("/").rsplit(":", 1)[1])):
        driver.until("document.getElementById('trouble').hidden")
        driver.settle()
        assert driver.caption() == "Seed 0"
        driver.find(14)
        after = driver.pictures("canvas.live, .ten canvas")
        assert all(np.array_equal(a, b) for a, b in zip(after, before, strict=True))
        driver.close()
    assert [error for error in driver.errors if "WebSocket connection to" not in error] == []


def test_another_models_link_says_so(visit: Visit, folder: Path, tmp_path: Path) -> None:
    driver = visit()
    link = driver.link()
    state = "state.model = 'ffffffffffff'"
    other = driver.page.evaluate(
        f"""import("zeuxis/link.js").then(({{ packed, unpacked }}) => {{
          const state = unpacked(location.hash); {state}; return location.pathname + "#" + packed(state); }})"""
    )
    again = visit(link.split("#")[0].rstrip("/") + other)
    assert "another model" in again.page.inner_text("#trouble")
    cut = visit(link[:-7])
    assert cut.caption() == "Seed 0" and cut.page.is_hidden("#trouble")


def test_tabs_are_steps_of_the_history(visit: Visit) -> None:
    driver = visit()
    page, selected = driver.page, "document.querySelector('[aria-selected=true]').textContent"
    page.focus("[role=tab][aria-selected=true]")
    page.keyboard.press("ArrowRight")
    other = page.evaluate(selected)
    assert other != "Explore" and driver.focused() == other
    page.go_back()
    driver.until(f"{selected} === 'Explore'")
    page.go_forward()
    driver.until(f"{selected} !== 'Explore'")
    again = visit(driver.link())  # there nobody has looked at Explore yet
    assert again.page.evaluate(selected) == other
    again.page.evaluate("zeuxis.use('B', { at: [2, 1] })")
    assert again.page.evaluate(selected) == other
    again.page.evaluate("zeuxis.take({ at: [2, 1] })")
    again.settle()
    assert again.page.evaluate(selected) == "Explore" and again.caption() == "Seed 10"
    assert np.array_equal(again.pictures(".slot canvas")[1], again.pictures("canvas.live")[0])


def test_themes(visit: Visit) -> None:
    driver = visit(color_scheme="dark")
    dark = driver.page.evaluate("getComputedStyle(document.body).color")
    driver.page.click("#theme")
    assert driver.page.evaluate("getComputedStyle(document.body).color") != dark
    again = visit(driver.link(), color_scheme="dark")
    assert again.page.get_attribute("html", "data-theme") == "light"
