"""A real Chromium, and a model behind the page's server: skipped, with the reason, where either is not there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from driving import Driver
from models import saved_model
from page_client import serving
from zeuxis.explore.directions import Direction
from zeuxis.web import directions
from zeuxis.web.served import Served, open_served

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here drives a browser."""
    for item in items:
        if Path(__file__).parent not in item.path.parents:
            continue
        item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="module")
def chromium() -> Iterator[object]:
    """The browser; of a module, since its event loop may not outlive the tests that use it."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not installed: pip install playwright"
    )
    found = os.environ.get("ZEUXIS_CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        pytest.skip("there is no Chromium here; the page is not driven")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small untrained model: its pictures are noise, but each latent has its own."""
    return saved_model("vae", tmp_path_factory.mktemp("models") / "faces")


@pytest.fixture(scope="module")
def served(folder: Path) -> Served:
    return open_served(folder, device="cpu")


@pytest.fixture(scope="module", autouse=True)
def _known_directions() -> Iterator[None]:
    """Components that cost nothing: those of features take a network minutes on a busy machine."""

    def components(served: Served, space: object) -> directions.DirectionSearch:
        yield "drawing samples", 1, 2
        steps = torch.randn(3, *served.shape, generator=torch.Generator().manual_seed(1)) / 2
        return [Direction(f"component {k + 1}", step) for k, step in enumerate(steps)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(directions.KINDS, "components", components)
        yield


@pytest.fixture(scope="module")
def link(served: Served) -> Iterator[str]:
    with serving(served) as found:
        yield found


@pytest.fixture
def visit(chromium: object, link: str) -> Iterator[Callable[..., Driver]]:
    """Opens the page in a context of its own; at the end none of them may have seen an error or a foreign request."""
    drivers: list[Driver] = []

    def opened(path: str = "", **options: object) -> Driver:
        driver = Driver(chromium, path if path.startswith("http") else link + path, **options)
        drivers.append(driver)
        return driver

    yield opened
    for driver in drivers:
        driver.close()
        assert driver.errors == []
        assert driver.foreign == []
