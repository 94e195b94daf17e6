"""The views Denoise, Latent space and Gibbs in a real Chromium: what they show is what the library computes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
import torch

import zeuxis
from driving import SETTLED, Driver, needs_axe
from page_client import serving
from waiting import PATIENCE
from zeuxis import api
from zeuxis.data import DataSpec
from zeuxis.explore.directions import Direction
from zeuxis.io.images import to_uint8
from zeuxis.mechanisms import Denoising
from zeuxis.web.directions import KINDS
from zeuxis.web.served import Served, open_served

pytestmark = pytest.mark.long
Visit = Callable[..., Driver]
SMALL: dict[str, dict[str, Any]] = {
    "diffusion": {"base_channels": 4, "num_inference_steps": 6},
    "vae": {"base_channels": 4, "latent_dim": 6},
    "rbm": {"latent_dim": 20, "chains": 8},
}
TABS = {"diffusion": "denoise", "vae": "latent-space", "rbm": "gibbs"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Served, str]]]:
    """A run of each family on digits, and the link at which it is served."""
    out = tmp_path_factory.mktemp("runs")
    settings = {"steps": 3, "batch_size": 8, "device": "cpu", "threads": 1, "kernels": "standard", "out": out}
    with ExitStack() as stack:
        found = {}
        for name, options in SMALL.items():
            served = open_served(api.train(name, "digits", **settings, **options).path, device="cpu")
            still = Direction("nothing", torch.zeros(served.shape))  # a classifier of attributes would take minutes
            served.kept.update({f"directions {kind}": [still] for kind in KINDS})
            found[name] = (served, stack.enter_context(serving(served)))
        yield found


@pytest.fixture
def look(visit: Visit, runs: dict[str, tuple[Served, str]]) -> Callable[..., Driver]:
    """The page of a family's run, at its view."""

    def opened(family: str, **options: Any) -> Driver:
        driver = visit(runs[family][1], **options)
        driver.page.click(f"#tab-{TABS[family]}")
        driver.until(SETTLED)
        return driver

    return opened


def level(driver: Driver, value: int) -> None:
    driver.page.locator(".strip input").fill(str(value))
    driver.until(f"document.querySelector('.denoise .level').textContent.startsWith('level {value} of')")


def arrived(driver: Driver, future: int = 0) -> None:
    driver.until(f"!document.querySelectorAll('.denoise .result')[{future}].disabled")
    driver.until(SETTLED)


def test_every_level_is_that_of_the_sampler(look: Visit, runs: dict[str, tuple[Served, str]]) -> None:
    driver, model = look("diffusion"), runs["diffusion"][0].model
    assert isinstance(model, Denoising)
    driver.page.fill(".denoise form.find input", "3")
    driver.page.keyboard.press("Enter")
    driver.until("document.querySelector('.denoise h3').textContent === 'Seed 3'")
    arrived(driver)
    with torch.no_grad():
        moments = list(model.denoising(model.prior([3])))
    assert np.array_equal(
        driver.pictures(".denoise .result canvas")[0][..., :3], rgb(zeuxis.sample(model, seeds=[3]).tensor)
    )
    for at in (6, 4, 0):
        level(driver, at)
        noisy, expected = (picture[..., :3] for picture in driver.pictures(".denoise figure > canvas")[:2])
        assert np.array_equal(expected, rgb(moments[at].denoised.clamp(-1, 1)))
        assert np.array_equal(noisy, rgb((moments[at].x / (1 + moments[at].sigma ** 2) ** 0.5).clamp(-1, 1)))
    driver.page.fill("#denoise-steps", "9")
    driver.page.keyboard.press("Enter")
    driver.until("document.querySelector('.denoise .level').textContent.startsWith('level 9 of 9')")
    arrived(driver)


def test_a_rough_picture_in_hand_is_replaced_by_the_full_one(look: Visit, runs: dict[str, tuple[Served, str]]) -> None:
    driver, (served, _) = look("diffusion"), runs["diffusion"]
    driver.page.click("#tab-explore")
    driver.find(5)
    wanted = rgb(zeuxis.sample(served.model, seeds=[5]).tensor).tolist()
    end = time.monotonic() + PATIENCE
    while driver.picture().tolist() != wanted:
        assert time.monotonic() < end, "the full picture never came"
        driver.page.wait_for_timeout(50)


def test_a_fork_shares_the_past_and_is_taken_into_hand(look: Visit, visit: Visit) -> None:
    driver = look("diffusion")
    arrived(driver)
    level(driver, 3)
    driver.page.click("button:visible:text-is('Fork at this level')")
    arrived(driver, 1)
    noisy, expected, noisy_too, expected_too = driver.pictures(".denoise figure > canvas")
    assert np.array_equal(noisy, noisy_too) and np.array_equal(expected, expected_too), "where both begin"
    plain, fork = driver.pictures(".denoise .result canvas")
    assert not np.array_equal(plain, fork)
    again = visit(driver.link())
    again.until("document.querySelector('#tab-denoise').ariaSelected === 'true'")
    arrived(again, 1)
    assert again.page.inner_text(".denoise .level").startswith("level 3 of 6")
    assert all(
        np.array_equal(a, b) for a, b in zip(again.pictures(".denoise canvas"), driver.pictures(".denoise canvas"))
    )
    driver.page.locator(".denoise .result").nth(1).click()
    driver.until("document.querySelector('.caption').textContent.toLowerCase().startsWith('fork of seed 0')")
    driver.page.click("#tab-denoise")
    driver.until("document.querySelector('.denoise h3').textContent.startsWith('Fork of')")
    arrived(driver)
    driver.page.click("button:visible:text-is('Play')")
    driver.until("document.querySelector('.denoise .level').textContent.startsWith('level 6')")


def test_the_bars_of_a_posterior_move_its_picture(look: Visit, runs: dict[str, tuple[Served, str]]) -> None:
    driver, model = look("vae"), runs["vae"][0].model
    driver.until("document.querySelectorAll('.latent-bar').length > 0")
    show_all = driver.page.locator(".posterior button.quiet")
    if show_all.is_visible():
        show_all.click()
    assert driver.page.locator(".latent-bar").count() == 6
    given, decoded = driver.pictures(".duo canvas")
    assert np.array_equal(given[..., :3], rgb(zeuxis.sample(model, seeds=[0]).tensor))
    driver.page.focus("#latent-2")
    for _ in range(20):
        driver.page.keyboard.press("ArrowRight")
    driver.until(SETTLED)
    moved = driver.pictures(".duo canvas")[1]
    assert driver.page.inner_text(".duo figure:nth-child(2) figcaption") == "moved latents"
    assert not np.array_equal(moved, decoded)
    driver.page.click("button:visible:text-is('Back to the means')")
    driver.until(SETTLED)
    assert np.array_equal(driver.pictures(".duo canvas")[1], decoded)


def test_a_model_alone_has_a_posterior_and_no_map(visit: Visit, served: Served) -> None:
    """A saved model does not say what it learned from."""
    driver = visit()
    driver.page.click("#tab-latent-space")
    driver.until("document.querySelector('.posterior h3').textContent === 'seed 0'")
    driver.until("document.querySelector('.acts .hint').textContent.includes('latents are used')")
    assert not driver.page.locator(".map").count()
    assert np.array_equal(driver.pictures(".duo canvas")[0][..., :3], zeuxis.sample(served.model, seeds=[0]).numpy()[0])


def test_a_click_on_the_map_looks_at_that_training_picture(
    look: Visit, visit: Visit, runs: dict[str, tuple[Served, str]]
) -> None:
    driver, pack = look("vae"), DataSpec.parse("digits").open(8, 1)
    driver.until("document.querySelector('.map .hint').textContent.includes('by the mean of their posterior')")
    driver.page.focus("canvas.encoded")
    for key in ("+", "+", "ArrowLeft", "Enter"):
        driver.page.keyboard.press(key)
    driver.until("document.querySelector('.posterior h3').textContent.startsWith('training picture')")
    driver.until(SETTLED)
    words = driver.page.inner_text(".posterior h3").split()
    index, group = int(words[2].rstrip(":")), words[3]
    place = index * len(pack) // min(2000, len(pack))
    shown = driver.pictures(".duo canvas")
    assert np.array_equal(shown[0][..., :1], pack.images[place]) and group == pack.classes[int(pack.labels[place])]  # type: ignore[index]
    again = visit(driver.link())
    again.until(f"document.querySelector('.posterior h3').textContent.startsWith('training picture {index}')")
    again.until(SETTLED)
    assert all(np.array_equal(a, b) for a, b in zip(again.pictures(".duo canvas"), shown))


def test_a_chain_runs_and_held_pixels_stay(look: Visit, runs: dict[str, tuple[Served, str]]) -> None:
    driver = look("rbm")
    driver.until("document.querySelector('.energy .hint').textContent.startsWith('Step 1,')")
    driver.page.click("button:visible:text-is('Hold the upper half')")
    driver.until(SETTLED)
    before = driver.pictures("canvas.visible")[0]
    driver.page.click("button:visible:text-is('Run')")
    driver.until("parseInt(document.querySelector('.energy .hint').textContent.slice(5)) > 12")
    driver.page.click("button:visible:text-is('Pause')")
    driver.until(SETTLED)
    after = driver.pictures("canvas.visible")[0]
    assert np.array_equal(after[:4], before[:4]) and not np.array_equal(after[4:], before[4:])
    driver.page.click("button:visible:text-is('Let all go')")
    driver.page.focus("canvas.visible")
    for key in ("ArrowRight", " ", "ArrowDown", " "):
        driver.page.keyboard.press(key)
    driver.until(SETTLED)
    assert driver.pictures("canvas.visible")[0][4:6, 4, 0].tolist() == [255, 255]


def test_a_filter_names_the_pictures_that_turn_it_on(look: Visit) -> None:
    driver = look("rbm")
    driver.until("document.querySelectorAll('.filters button').length === 20")
    light = driver.pictures(".filters canvas")[0]
    driver.page.locator(".filters button").nth(3).click()
    driver.until("document.querySelectorAll('.examples canvas').length === 16")
    assert driver.page.locator(".filters [aria-pressed=true]").count() == 1
    driver.page.click("#theme")
    assert not np.array_equal(driver.pictures(".filters canvas")[0], light), "paper is dark now"


@needs_axe
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 1024, 390])
@pytest.mark.parametrize("family", TABS)
def test_axe_finds_nothing_in_the_views(look: Visit, family: str, width: int, theme: str) -> None:
    driver = look(family, width=width, color_scheme=theme)
    if family == "diffusion":
        arrived(driver)
        driver.page.click("button:visible:text-is('Fork at this level')")
        arrived(driver, 1)
    driver.until(SETTLED)
    driver.check_accessible(width)


def rgb(images: Any) -> np.ndarray[Any, Any]:
    """One image (1 1 h w) as a canvas has it (h w 3)."""
    return np.repeat(to_uint8(images)[0], 3, axis=2)
