"""What every test shares: one thread, a cache of its own, quiet Hypothesis profiles, slow tests only when asked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: the test processes share the cores

import hypothesis
import pydantic  # noqa: F401  (as a user's family may: where it is loaded, cyclopts holds values against annotations)
import pytest

from release import RELEASE
from waiting import PATIENCE
from zeuxis.data import workers

# Whatever terminal the tests were started from.
os.environ |= {"COLUMNS": "80", "LINES": "24"}
for _name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
    os.environ.pop(_name, None)

hypothesis.settings.register_profile(
    "zeuxis",
    deadline=None,
    derandomize=not RELEASE,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],  # it is the machine that may be slow
)
hypothesis.settings.load_profile("zeuxis")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Packs go to a cache that all processes of this test run share, never to the user's."""
    base = tmp_path_factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    os.environ["ZEUXIS_CACHE"] = str(root / "zeuxis-cache")


@pytest.fixture(scope="session", autouse=True)
def _patient_workers() -> None:
    """Processes that decode may begin as late as a busy machine lets them."""
    workers._PATIENCE = PATIENCE


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What `zeuxis train` asked the api for."""
    asked: list[dict[str, Any]] = []

    def train(family: Any, data: str, settings: Any, options: dict[str, Any], *, began: Any) -> Path:
        asked.append({"family": family.family(), "data": data, "settings": settings, "options": options})
        return Path("runs/00000-x")

    monkeypatch.setattr("zeuxis.api.training.train_with", train)
    return asked


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Commands write into the current folder."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("here"))
    yield
    os.chdir(before)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if RELEASE:
        return
    for item in items:
        if item.get_closest_marker("long") and "ZEUXIS_LONG" not in os.environ:
            item.add_marker(pytest.mark.skip(reason="long: `make long` runs it, or `make browser`"))
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="slow: set ZEUXIS_RELEASE=1"))
