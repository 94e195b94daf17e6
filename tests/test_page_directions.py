"""Directions on the page: attributes in the words of the data, components, and local components of one picture."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from page_client import Page, floats, opened, serving
from zeuxis.data import DataSpec
from zeuxis.explore import editing
from zeuxis.explore.directions import Direction, towards
from zeuxis.families import find
from zeuxis.metrics import attributes
from zeuxis.web import directions
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
    assert np.array_equal(again.numbers, answer.numbers) and isinstance(served.kept["directions attributes"], list)


def test_attributes_are_those_of_the_library(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a model without an encoder a classifier reads the samples; how far it is, is told."""
    monkeypatch.setattr(attributes, "EPOCHS", 2)
    torch.manual_seed(0)
    find("gan")(size=8, channels=1, latent_dim=8).save(tmp_path / "model")
    plain = open_served(tmp_path / "model", device="cpu")
    plain.data = served.data
    with serving(plain) as link, opened(link) as page:
        told = list(page.stream("directions", kind="attributes"))
    assert {"reading the images", "learning to read attributes"} <= {answer.fields.get("stage") for answer in told}
    editor = editing.editor(plain.model, data=served.data)  # type: ignore[arg-type]
    wanted = {words[0]: towards(at, editor.among, editor.words).step for at, words in enumerate(editor.words.names)}
    assert told[-1].fields["names"] == list(wanted)
    assert np.array_equal(told[-1].numbers, torch.stack(list(wanted.values())).numpy())


class Counting:
    """A search that goes on until it is let free."""

    def __init__(self) -> None:
        self.begun, self.steps, self.free = 0, 0, threading.Event()

    def __call__(self, served: Served, space: object) -> directions.DirectionSearch:
        self.begun += 1
        while not self.free.is_set():
            self.steps += 1
            yield "counting", self.steps, 10**9
        return [Direction("counted", torch.ones(served.shape))]


@pytest.fixture
def counting(served: Served, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counting]:
    """Instead of the search for components."""
    found = Counting()
    monkeypatch.setitem(directions.KINDS, "components", found)
    served.kept.pop("directions components", None)
    yield found
    found.free.set()
    served.kept.pop("directions components", None)


def test_who_comes_second_waits_for_the_same_search(page: Page, counting: Counting) -> None:
    numbers = [page.send("directions", lane=f"waits {i}", kind="components") for i in range(2)]
    waiting, told = set(numbers), set[int]()
    while waiting:
        number, answer = page.receive()
        if answer.fields["done"]:
            assert answer.fields["names"] == ["counted"]
            waiting.discard(number)
        elif answer.fields["done_of"][0]:
            told.add(number)
        if len(told) == 2:
            counting.free.set()
    assert counting.begun == 1 and told == set(numbers)
    assert page.ask("directions", kind="components").fields["names"] == ["counted"] and counting.begun == 1


def test_a_search_is_stopped_and_goes_on_for_the_next(page: Page, counting: Counting) -> None:
    first = page.send("directions", lane="components", kind="components")
    while page.receive()[1].fields.get("stage") != "counting":
        pass
    stop, ended = page.send("stop", lane="components"), set[int]()
    while ended != {first, stop}:
        number, answer = page.receive()
        if answer.fields["done"]:
            ended.add(number)
            assert number != first or answer.fields["cancelled"]
    rested = counting.steps
    assert page.ask("sum").fields["names"] == [] and counting.steps == rested, "nobody waits: no step is taken"
    counting.free.set()
    assert page.ask("directions", kind="components").fields["names"] == ["counted"]
    assert counting.begun == 1


def test_components_are_those_of_the_library(page: Page, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directions, "SAMPLES", 128)
    answer = page.ask("directions", kind="components")
    wanted = editing.unsupervised_directions(served.model, count=8, samples=128)
    assert answer.fields["names"] == [each.name for each in wanted]
    assert np.array_equal(answer.numbers, torch.stack([each.step for each in wanted]).numpy())


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
    assert "is no run" in told[0] and "which is no longer there" in told[1] and "too many to compare" in told[2]
