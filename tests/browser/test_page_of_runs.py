"""Training, Evaluate and Compare in a real Chromium: what a run's files say as it grows, and models beside each other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from PIL import Image

import zeuxis
from driving import Driver, needs_axe
from page_client import serving
from test_page_runs import CONFIG, histogram
from zeuxis.families import find
from zeuxis.io.images import sheet
from zeuxis.metrics import extractors
from zeuxis.metrics.features import Extractor
from zeuxis.storage import RunFolder
from zeuxis.web.served import Served, open_served

Visit = Callable[..., Driver]
STEPS = (10, 20, 40)
VIEWS = ("training", "evaluate", "compare")


def saved(family: str, run: RunFolder, seed: int, **options: int) -> None:
    torch.manual_seed(seed)
    find(family)(size=16, channels=3, **options).save(run.model_path)


def row(step: int) -> dict[str, float]:
    values = {"discriminator/loss": 1 / step, "discriminator/prob_real": 0.7, "discriminator/prob_fake": 0.3}
    return {"step": step, "images": 8 * step, **values, "generator/adversarial": step / 10}


def add(run: RunFolder, step: int) -> None:
    """A row, a record of answers and a contact sheet of a step."""
    answers = {f"discriminator/prob_{kind}": histogram(at) for kind, at in (("real", 30), ("fake", step % 20))}
    run.append_histograms({"step": step, "images": 8 * step, **answers})
    pictures = torch.rand(64, 3, 16, 16, generator=torch.Generator().manual_seed(step)) * 2 - 1
    sheet(pictures, columns=8).save(run.sheet_path(step))
    run.append_metrics(row(step))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[RunFolder]:
    """Two runs on thirty pictures; the first has rows, sheets, answers and scores."""
    root = tmp_path_factory.mktemp("runs")
    (root / "pictures").mkdir()
    for i in range(30):
        pixels = np.random.default_rng(i).integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(root / "pictures" / f"{i:02}.png")
    config = {**CONFIG, "family": "gan", "data": str(root / "pictures")}
    one, two = (RunFolder.create(root / "runs", name, config) for name in "ab")
    saved("gan", one, 0, latent_dim=24, hidden_dim=16)
    saved("vae", two, 1, latent_dim=7)
    for step in STEPS:
        add(one, step)
    fid = "evaluation/FID[lite0]"
    one.append_metrics(
        {"step": 41, "images": 328, fid: 50.0, f"{fid} low": 45.0, f"{fid} high": 55.0, f"{fid} real": 5.0}
    )
    score = {"name": "precision[lite0]", "value": 0.5, "low": 0.4, "high": 0.6, "real": 0.9, "better": "higher"}
    report = {"about": {"samples": 200, "against": "30 images"}, "scores": [score], "warnings": ["few images"]}
    (one.path / "evaluation.json").write_text(json.dumps(report))
    return [one, two]


@pytest.fixture(scope="module")
def models(runs: list[RunFolder]) -> list[Served]:
    return [open_served(run.path, device="cpu") for run in runs]


@pytest.fixture(scope="module")
def link(models: list[Served]) -> Iterator[str]:
    eyes = Extractor("eyes", "eyes of runs", lambda values: values, lambda values: values.mean(1).flatten(1))
    with pytest.MonkeyPatch.context() as patch, serving(*models) as found:
        patch.setattr(extractors, "find_extractor", lambda name, *, device: eyes)
        yield found


def at(visit: Visit, name: str, **options: object) -> Driver:
    driver = visit(**options)
    driver.page.click(f"#tab-{name}")
    return driver


def shown(driver: Driver, step: int) -> None:
    """Wait until the contact sheet of a step is in sight."""
    driver.until(f"document.querySelector('.sheet').ariaLabel === 'samples at step {step}'")


def test_samples_on_a_scrubber(visit: Visit, runs: list[RunFolder]) -> None:
    driver = at(visit, "training")
    shown(driver, STEPS[-1])
    facts = driver.page.inner_text(".facts")
    assert "Stopped" in facts and "step 41 of 100" in facts and "328 images seen" in facts
    driver.page.focus(".scrub input")
    for key, step in (("Home", 10), ("ArrowRight", 20), ("End", 40), ("ArrowLeft", 20)):
        driver.page.keyboard.press(key)
        shown(driver, step)
        drawn, file = driver.pictures(".sheet")[0], np.asarray(Image.open(runs[0].sheet_path(step)).convert("RGB"))
        pictures = drawn[..., 3] == 255  # the gaps are seen through
        assert drawn.shape[:2] == file.shape[:2] and np.array_equal(drawn[..., :3][pictures], file[pictures])
        assert pictures.sum() == 64 * 16 * 16
    again = visit(driver.link())
    shown(again, 20)
    assert np.array_equal(again.pictures(".sheet")[0], driver.pictures(".sheet")[0])


def test_answers_and_losses(visit: Visit) -> None:
    driver = at(visit, "training")
    shown(driver, 40)
    driver.until("document.querySelector('.histogram')?.ariaLabel.includes('on fake images 0.01')")
    assert "on real images 0.76" in str(driver.page.get_attribute(".histogram", "aria-label"))
    driver.page.focus(".scrub input")
    driver.page.keyboard.press("Home")
    driver.until("document.querySelector('.histogram').ariaLabel.includes('on fake images 0.26')")
    charts = driver.page.eval_on_selector_all(".plot", "all => all.map((one) => one.ariaLabel)")
    assert charts[0] == "Mean probability of “real”: on real 0.7, on fake 0.3"
    assert [name.split(":")[0] for name in charts[1:]] == ["Losses of discriminator", "Losses of generator"]
    assert all((picture[..., 3] > 0).any() for picture in driver.pictures(".histogram, .all-steps"))
    driver.page.click(".all-steps", position={"x": 2, "y": 20})
    shown(driver, 10)


def test_a_run_that_grows_is_followed(visit: Visit, runs: list[RunFolder]) -> None:
    driver = at(visit, "training")
    shown(driver, 40)
    with runs[0].lock():
        add(runs[0], 60)
        shown(driver, 60)
        driver.until("document.querySelector('.facts').textContent.includes('step 60 of 100')")
        driver.until("document.querySelector('.facts b').textContent === 'Training'")
        driver.page.click("#tab-explore")
        driver.settle()
        add(runs[0], 80)
        driver.page.click("#tab-training")
        shown(driver, 80)
    driver.until("document.querySelector('.facts b').textContent === 'Stopped'")
    for step in (60, 80):
        runs[0].sheet_path(step).unlink()
    runs[0].truncate_metrics(50)
    shown(driver, 40)


def test_a_sample_is_taken_into_hand(visit: Visit, models: list[Served]) -> None:
    driver = at(visit, "training")
    shown(driver, 40)
    box = driver.page.locator(".sheet").bounding_box()
    assert box
    driver.page.mouse.click(box["x"] + box["width"] * 2.5 / 8, box["y"] + box["height"] * 1.5 / 8)
    driver.until("document.querySelector('.caption')?.textContent === 'Seed 10'")
    driver.settle()
    assert np.array_equal(driver.picture(), zeuxis.sample(models[0].model, seeds=[10]).numpy()[0])
    driver.page.click("#tab-training")
    driver.tab_to("Samples: arrows")
    for key in ("ArrowRight", "ArrowDown", "Enter"):  # from seed 10, where the pointer was
        driver.page.keyboard.press(key)
    driver.until("document.querySelector('.caption').textContent === 'Seed 19'")


def test_scores_and_the_nearest_training_pictures(visit: Visit, models: list[Served]) -> None:
    driver = at(visit, "evaluate")
    driver.until("document.querySelectorAll('.report tbody tr').length === 1")
    assert driver.page.inner_text(".report tbody tr").split("\t") == [
        "precision[lite0]",
        "0.5",
        "0.4 to 0.6",
        "0.9",
        "higher",
    ]
    label = str(driver.page.get_attribute(".over-time .plot", "aria-label"))
    assert label == "FID[lite0], lower is better: FID[lite0] 50, training images 5"
    driver.page.click("button:text-is('Find the nearest')")
    driver.until("document.querySelectorAll('.near-found li').length === 6")
    driver.until(
        "document.querySelector('.nearest [role=status]').textContent.includes('The nearest of 30 training pictures')"
    )
    data = models[0].data
    assert data is not None
    training = data.open(16, 3).images
    assert all(
        any(np.array_equal(found[..., :3], one) for one in training) for found in driver.pictures(".near-found canvas")
    )
    before = driver.page.inner_text(".near-found")
    driver.page.click("#tab-explore")
    driver.find(5)
    driver.page.click("#tab-evaluate")
    driver.until("document.querySelector('.near-held figcaption').textContent === 'seed 5'")
    driver.until(f"document.querySelector('.near-found').innerText !== {json.dumps(before)}")
    (held,) = driver.pictures(".near-live")
    assert np.array_equal(held[..., :3], zeuxis.sample(models[0].model, seeds=[5]).numpy()[0])


def test_one_pin_for_all_models(visit: Visit, models: list[Served]) -> None:
    driver = at(visit, "compare")
    driver.page.fill("#compare-seed", "7")
    driver.page.press("#compare-seed", "Enter")

    def same_seed(seed: int) -> None:
        driver.until(f"document.querySelector('.compare .hint').textContent === 'seed {seed}'")
        driver.settle()
        pinned = driver.pictures(".pinned")
        for picture, served in zip(pinned, models, strict=True):
            assert np.array_equal(picture[..., :3], zeuxis.sample(served.model, seeds=[seed]).numpy()[0])

    same_seed(7)
    driver.page.focus(".compared")
    driver.page.keyboard.press("Shift+ArrowUp")
    same_seed(6)
    driver.page.click("button[aria-label='Nearer'] >> visible=true")
    driver.settle()
    again = visit(driver.link())
    again.settle()
    assert all(
        np.array_equal(a, b)
        for a, b in zip(again.pictures(".compared canvas"), driver.pictures(".compared canvas"), strict=True)
    )
    driver.page.focus(".compared")
    driver.page.keyboard.press("Enter")
    driver.until("document.querySelector('.caption')?.textContent === 'Seed 6'")
    assert "precision[lite0] 0.5 (0.4 to 0.6)" in driver.page.text_content(".compared-row .scores")


@needs_axe
@pytest.mark.long
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_axe_finds_nothing_in_runs(visit: Visit, width: int, theme: str) -> None:
    driver = visit(width=width, color_scheme=theme)
    for name in VIEWS:
        driver.page.click(f"#tab-{name}")
        driver.settle()
        driver.check_accessible(width)
