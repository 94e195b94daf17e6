"""Directions on the page: attributes in the words of the data, components, and local components of one picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from page_client import Page, floats, opened, serving
from zeuxis.data import DataSpec
from zeuxis.explore import editing
from zeuxis.families import find
from zeuxis.web.served import Served, open_served


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """An untrained model, and a set of dark and bright squares as the data of its run."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    find("vae")(size=8, channels=1, latent_dim=8).save(folder / "model")
    chance = np.random.default_rng(0)
    for name, low in (("dark", 0), ("bright", 155)):
        (folder / "data" / name).mkdir(parents=True)
        for i in range(60):
            pixels = chance.integers(low, low + 100, (8, 8), np.uint8)
            Image.fromarray(pixels).save(folder / "data" / name / f"{i}.png")
    found = open_served(folder / "model", device="cpu")
    found.data = DataSpec.parse(folder / "data")
    return found


@pytest.fixture(scope="module")
def page(served: Served) -> Iterator[Page]:
    with serving(served) as link, opened(link) as found:
        yield found


def test_attributes_have_the_words_of_the_data(page: Page, served: Served) -> None:
    answer = page.ask("directions", kind="attributes")
    assert sorted(answer.fields["names"]) == ["bright", "dark"] and answer.numbers.shape == (2, 8)
    bright, dark = (answer.numbers[answer.fields["names"].index(name)] for name in ("bright", "dark"))
    assert np.dot(bright, dark) < 0, "one class away from the other"
    again = page.ask("directions", kind="attributes")
    assert np.array_equal(again.numbers, answer.numbers) and "directions attributes" in served.kept


def test_components_are_asked_for_once(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def found(*words: Any, **how: Any) -> list[Any]:
        asked.append(how)
        return [editing.Direction("component 1", torch.ones(8))]

    monkeypatch.setattr(editing, "unsupervised_directions", found)
    for _ in range(2):
        answer = page.ask("directions", kind="components")
        assert answer.fields["names"] == ["component 1"] and answer.numbers.tolist() == [[1.0] * 8]
    assert [how["space"] for how in asked] == ["z"]


def test_local_components_belong_to_a_latent(page: Page, served: Served) -> None:
    z = page.ask("prior", seeds=[0, 1]).numbers
    first, other = (page.ask("local", floats(row[None])) for row in z)
    assert first.fields["names"] == [f"local {i}" for i in range(1, 9)] and first.numbers.shape == (8, 8)
    lengths = np.linalg.norm(first.numbers, axis=1)
    assert np.allclose(lengths, 3 * served.spread, rtol=1e-4) and 2 < lengths[0] < 4
    assert not np.allclose(first.numbers, other.numbers)
    assert np.array_equal(page.ask("local", floats(z[:1])).numbers, first.numbers)


def test_what_is_kept_of_pictures_is_bounded(page: Page, served: Served) -> None:
    for seed in range(70):
        page.ask("local", floats(page.ask("prior", seeds=[seed]).numbers))
    assert len(served.kept) < 70


def test_where_there_are_none_it_is_said(tmp_path: Path) -> None:
    torch.manual_seed(0)
    find("rbm")(size=8, channels=1, latent_dim=8).save(tmp_path / "rbm")
    find("diffusion")(size=8, channels=1).save(tmp_path / "diffusion")
    of_no_run, of_lost_data = (open_served(tmp_path / "rbm", device="cpu") for _ in range(2))
    of_lost_data.data = DataSpec.parse(tmp_path)
    (tmp_path / "lost").mkdir()
    of_lost_data.data = DataSpec.parse(tmp_path / "lost")
    (tmp_path / "lost").rmdir()
    slow = open_served(tmp_path / "diffusion", device="cpu")
    with serving(of_no_run, of_lost_data, slow) as link, opened(link) as page:
        told = [page.ask("directions", kind="attributes", model=model).fields["error"] for model in range(3)]
    assert "is no run" in told[0] and "which is no longer there" in told[1] and "has no directions here" in told[2]
