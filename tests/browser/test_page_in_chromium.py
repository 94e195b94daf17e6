"""The page in a real Chromium: pictures, links, keyboard and accessibility; the short form, for every test run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import zeuxis
from driving import Driver, needs_axe
from page_client import serving
from release import long_but
from zeuxis.explore.candidates import Candidates
from zeuxis.explore.directions import Direction
from zeuxis.explore.expression import Vocabulary
from zeuxis.web.labelled import LABELLED, LabelledSamples
from zeuxis.web.served import Served, open_served

Visit = Callable[..., Driver]
SEEDS = [0, 7, 88, 12345, 2**31]
ALL = "canvas.live, .slot canvas, .nine canvas, .ten canvas, .thumb canvas"


def test_pictures_are_those_of_sample(visit: Visit, served: Served) -> None:
    driver, wanted = visit(), zeuxis.sample(served.model, seeds=SEEDS).numpy()
    for seed, picture in zip(SEEDS, wanted):
        driver.find(seed)
        assert np.array_equal(driver.picture(), picture), seed


def test_a_link_restores_the_view(visit: Visit) -> None:
    driver = visit()
    driver.find(14)
    driver.page.click(".uses button:text-is('A')")
    driver.page.click("button:text-is('Keep')")
    driver.page.click("button:text-is('5 rows')")
    driver.page.click(".uses button:text-is('End')")
    driver.settle()
    before, again = driver.pictures(ALL), visit(driver.link())
    after = again.pictures(ALL)
    assert len(after) == len(before) == 1 + 3 + 9 + 50 + 7
    assert all(np.array_equal(a, b) for a, b in zip(after, before))
    assert again.caption() == driver.caption() == "Seed 14"


def test_the_keyboard_does_everything(visit: Visit) -> None:
    driver = visit()
    press = driver.page.keyboard.press
    driver.tab_to("Wall of pictures")
    for key in ["Shift+ArrowRight"] * 3 + ["Shift+ArrowDown"] * 3:  # of three pictures from one seed to the next
        press(key)
    driver.settle()
    assert driver.caption() == "Seed 1"
    press("Enter")
    assert driver.page.locator(".thumb").count() == 7
    before = driver.pictures(".slot canvas")[1]
    driver.tab_to("seed 1, kept")
    press("b")
    driver.settle()
    assert not np.array_equal(driver.pictures(".slot canvas")[1], before)
    press("Delete")
    assert driver.page.locator(".thumb").count() == 6 and driver.focused().startswith("seed 0, kept")
    driver.tab_to("The result")
    press("Enter")
    driver.settle()
    assert driver.caption().startswith("A − B + C")
    driver.page.focus("canvas.wall")
    press("Home")
    press("+")
    driver.settle()
    assert driver.page.evaluate("zeuxis.walls[0].per") == 6
    press("ArrowRight")
    assert driver.page.evaluate("zeuxis.walls[0].centre.x") == 0.25 / 6


@needs_axe
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", long_but(390, among=[1440, 1024, 390]))
def test_axe_finds_nothing(visit: Visit, width: int, theme: str) -> None:
    driver = visit(width=width, color_scheme=theme)
    driver.page.click("button:text-is('Around this one')")
    driver.settle()
    driver.check_accessible(width)


def test_arithmetic_begins_with_the_sum_of_the_attributes(visit: Visit, folder: Path) -> None:
    served = open_served(folder, device="cpu")
    z = served.model.prior(range(64))  # type: ignore[attr-defined]
    rows = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 2).repeat(16, 1)
    words = Vocabulary((("smiling", "neutral"), ("woman", "man")))
    served.kept["directions attributes"] = [Direction("smiling", torch.ones(served.shape))]
    served.kept[LABELLED] = LabelledSamples(words, Candidates(z, rows, torch.arange(64)))
    with serving(served) as link:
        driver = visit(link)
        driver.until("document.querySelectorAll('.term p')[0].textContent === 'Asmiling woman'")
        again = visit(driver.link())
        assert again.page.locator(".term p span").all_inner_texts() == ["smiling woman", "neutral woman", "neutral man"]
        driver.settle()
        before = driver.pictures(".slot canvas, .nine canvas")
        assert all(np.array_equal(a, b) for a, b in zip(again.pictures(".slot canvas, .nine canvas"), before))
        again.page.click(".uses button:text-is('B')")
        assert again.page.inner_text(".term >> nth=1 >> span") == "seed 0"


@needs_axe
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_card_is_shown_as_it_is_meant(visit: Visit, theme: str) -> None:
    driver = visit(width=390, color_scheme=theme)
    driver.page.click("#card-open")
    assert driver.page.locator("#card-text > h3, #card-text th, #card-text li").all_inner_texts() == [
        "Faces of noise",
        "option",
        "value",
        "untrained",
        "small",
    ]
    links = driver.page.locator("#card-text a")
    assert [links.get_attribute(name) for name in ("href", "rel")] == [
        "https://example.org/noise",
        "noopener noreferrer",
    ]
    assert "<script>alert(1)</script> and [none](javascript:alert(1))" in driver.page.inner_text("#card-text")
    assert driver.page.locator("#card-text script").count() == 0
    driver.check_accessible(390)
    driver.page.keyboard.press("Escape")
    assert not driver.page.is_visible("#card-text")
