"""The page's server: what it answers equals what the command line draws, and its jobs take turns."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import zeuxis
from page_client import Page, floats, opened, serving
from zeuxis.families import find
from zeuxis.io.images import to_uint8
from zeuxis.web.served import Served, open_served


@pytest.fixture(scope="module", params=["vae", "rbm", "stylegan2"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Served:
    folder = tmp_path_factory.mktemp("models") / request.param
    torch.manual_seed(0)
    find(request.param)(size=16, channels=1, latent_dim=24).save(folder)
    return open_served(folder, device="cpu")


@pytest.fixture(scope="module")
def link(served: Served) -> Iterator[str]:
    with serving(served) as found:
        yield found


@pytest.fixture
def page(link: str) -> Iterator[Page]:
    with opened(link) as found:
        yield found


def test_pictures_of_seeds_are_those_of_sample(page: Page, served: Served) -> None:
    seeds = [0, 7, 88, 12345, 2**31]
    latents = page.ask("prior", seeds=seeds).numbers
    drawn = page.ask("decode", floats(latents), n=len(seeds)).pictures
    assert np.array_equal(drawn, to_uint8(zeuxis.sample(served.model, seeds=seeds)))


def test_the_model_is_described(link: str, served: Served) -> None:
    with urllib.request.urlopen(f"{link}api/model") as response:
        told = json.load(response)
    (model,) = told["models"]
    assert told["version"] == 1 and model["family"] == served.model.family() and model["size"] == 16
    assert len(model["hash"]) == 12 and model["latent"]["shape"] == list(served.shape)
    styles, plain = "styles" in model["capabilities"], model["latent"]["prior"] == "normal"
    assert (model["latent"]["space"] == "w") == styles and plain == (model["family"] == "vae")


def test_a_model_by_its_number(page: Page, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="1007"):
        page.ask("prior", seeds=[0], model=1)
