"""The page's server: what it answers equals what the command line draws, and its jobs take turns."""

from __future__ import annotations

import io
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import zeuxis
from page_client import Page, floats, opened, serving
from zeuxis.families import find
from zeuxis.io.images import to_uint8
from zeuxis.web.protocol import read_frame, split_pictures, write_reply
from zeuxis.web.requests import Reply
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
    assert np.array_equal(drawn, zeuxis.sample(served.model, seeds=seeds).numpy())


def test_the_model_is_described(link: str, served: Served) -> None:
    with urllib.request.urlopen(f"{link}api/model") as response:
        told = json.load(response)
    (model,) = told["models"]
    assert told["version"] == 1 and model["family"] == served.model.family() and model["size"] == 16
    assert len(model["hash"]) == 12 and model["latent"]["shape"] == list(served.shape)
    styles, plain = "styles" in model["capabilities"], model["latent"]["prior"] == "normal"
    assert (model["latent"]["space"] == "w") == styles and plain == (model["family"] == "vae")


@pytest.mark.parametrize(("side", "raw", "coding"), [(64, True, "raw"), (64, False, "jpeg"), (257, True, "jpeg")])
def test_pictures_are_raw_on_this_machine_and_jpeg_beyond(side: int, raw: bool, coding: str) -> None:
    across = torch.linspace(-1, 1, side).expand(side, side)
    pictures = torch.stack([across, across.T, -across]).repeat(2, 1, 1, 1)
    number, fields, payload = read_frame(
        write_reply(7, Reply(pictures=pictures, numbers=across[:1]), done=True, raw=raw)
    )
    form = fields["pictures"]
    assert (number, form) == (7, {"n": 2, "h": side, "w": side, "c": 3, "coding": coding})
    wanted = to_uint8(pictures)
    if coding == "raw":
        found, used = np.frombuffer(payload, np.uint8, wanted.size).reshape(wanted.shape), wanted.size
    else:
        parts, used = split_pictures(payload, fields["lengths"]), sum(fields["lengths"])
        found = np.stack([np.asarray(Image.open(io.BytesIO(part))) for part in parts])
    assert np.abs(found.astype(int) - wanted).max() <= (0 if coding == "raw" else 8)
    numbers = np.frombuffer(payload[used + -used % 4 :], np.float32)
    assert fields["numbers"] == {"shape": [1, side]} and np.array_equal(numbers, across[0].numpy())


@pytest.mark.parametrize("channels", [1, 4])
def test_grey_and_transparent_pictures_are_jpeg_too(channels: int) -> None:
    pixels = np.full((1, 300, 20, channels), 128, np.uint8)
    _, fields, payload = read_frame(write_reply(1, Reply(pictures=pixels), done=False, raw=True))
    picture = Image.open(io.BytesIO(payload))
    assert fields["lengths"] == [len(payload)] and picture.size == (20, 300)
    assert picture.mode == ("L" if channels == 1 else "RGB") and not fields["done"]


def test_a_model_by_its_number(page: Page, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="1007"):
        page.ask("prior", seeds=[0], model=1)
