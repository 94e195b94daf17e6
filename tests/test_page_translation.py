"""Image-to-image models on the page: sources that are drawn, made of photographs, or taken from the run's data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from page_asked import ask, client, only, served
from picture_files import encoded
from toys import Sound, SoundSuperResolution
from zeuxis import api, families
from zeuxis.data import derived_sources
from zeuxis.errors import UsageError
from zeuxis.io.images import to_uint8
from zeuxis.model import Model
from zeuxis.web import photos, translation
from zeuxis.web.requests import BadRequest
from zeuxis.web.translation import SourceKind, kind_of

SIZE = 32


def noise(height: int = SIZE, width: int = SIZE, channels: int = 3) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


def made(family: str, **options: Any) -> Model:
    torch.manual_seed(0)
    model = families.find(family)(**{"size": SIZE, "base_channels": 4, **options})
    return model.drop_training_only().eval().requires_grad_(False)


def drawn(model: Model, pixels: np.ndarray[Any, Any], **fields: Any) -> torch.Tensor:
    h, w, c = pixels.shape
    fields = {"h": h, "w": w, "c": c, **fields}
    return torch.as_tensor(
        only(ask(translation.answer_translate, served(model), client(), pixels.tobytes(), **fields)).pictures
    )


# Drawn sources


def test_a_drawn_source_is_translated_with_the_noise_of_its_seed() -> None:
    model, pixels = made("pix2pix", source_channels=1), noise(channels=1)
    found = [drawn(model, pixels, seed=seed, direction="forward") for seed in (0, 0, 7)]
    assert torch.equal(found[0], api.translate(model, pixels, seed=0).tensor)
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_both_directions_of_a_model_are_drawn_in() -> None:
    model, grey, colour = made("cyclegan", source_channels=1), noise(channels=1), noise()
    assert drawn(model, grey).shape == (1, 3, SIZE, SIZE)
    back = drawn(model, colour, direction="back", seed=5)  # a seed that a deterministic model does not need
    assert torch.equal(back, api.translate(model, colour, direction="back").tensor)


@pytest.mark.parametrize(
    "fields",
    [
        {"h": SIZE - 1},
        {"h": 0},
        {"h": 1 << 40},
        {"w": None},
        {"c": 1},
        {"c": 4},
        {"c": "3"},
        {"direction": "back"},
        {"direction": 3},
        {"direction": ""},
        {"seed": -1},
        {"seed": 2**62 + 1},
        {"seed": 1.0},
        {"seed": "0"},
    ],
    ids=str,
)
def test_a_malformed_source_is_no_error_of_the_server(fields: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        drawn(made("pix2pix"), noise(), **fields)


@pytest.mark.parametrize("shape", [(8, 8, 3), (SIZE, 8, 3), (600, SIZE, 3), (SIZE, SIZE, 1), (SIZE, SIZE, 4)], ids=str)
def test_a_source_of_another_shape_is_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(BadRequest):
        drawn(made("pix2pix"), noise(*shape))


def test_a_model_of_another_kind_says_what_can_be_done() -> None:
    with pytest.raises(UsageError, match="cannot translate images"):
        drawn(Sound(size=16), noise(16, 16))
    with pytest.raises(UsageError, match="open the view Upscale"):
        drawn(SoundSuperResolution(size=SIZE), noise())


# Photographs as sources


@pytest.mark.parametrize("way", translation.PHOTO_AS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_photograph_becomes_a_source_in_the_way_of_the_data(way: str, channels: int) -> None:
    model, by = made("pix2pix", source_channels=channels), client()
    photo = only(ask(photos.answer_open, served(model), by, encoded(Image.fromarray(noise(50, 70)))))
    fields = {"photo": photo.fields["photo"], "crop": [4, 6, 40], "way": way}
    found = np.asarray(only(ask(translation.answer_photo, served(model), by, **fields)).pictures)
    square = Image.fromarray(noise(50, 70)[6:46, 4:44])
    small = Image.fromarray(to_uint8(photos.cropped(square, (0, 0, 40, 40), SIZE, 3))[0])
    wanted = small if way == "photo" else getattr(derived_sources, way)(small)
    assert np.array_equal(found[0].squeeze(), np.asarray(wanted.convert("L" if channels == 1 else "RGB")))
    with pytest.raises(BadRequest):
        ask(translation.answer_photo, served(model), by, **fields | {"way": "small"})
    with pytest.raises(BadRequest):
        ask(translation.answer_photo, served(model), by, **fields | {"crop": [4, 6, 40, 39]})


def test_regions_of_a_photograph_take_the_colours_of_the_palette() -> None:
    model, by, palette = made("pix2pix"), client(), [10, 20, 30, 200, 100, 50]
    halves = noise(50, 70) // 4
    halves[:25] += 190
    photo = only(ask(photos.answer_open, served(model), by, encoded(Image.fromarray(halves))))
    fields = {"photo": photo.fields["photo"], "crop": [0, 0, 50], "way": "labels"}
    found = np.asarray(only(ask(translation.answer_photo, served(model), by, **fields, palette=palette)).pictures)
    assert {tuple(colour) for colour in found.reshape(-1, 3).tolist()} == {(10, 20, 30), (200, 100, 50)}
    for wrong in ([], [1, 2], [1, 2, 256], [1, 2, 3.5], [1, 2, True], [0] * 600, "red"):
        with pytest.raises(BadRequest):
            ask(translation.answer_photo, served(model), by, **fields, palette=wrong)


# Sources of the data


def scenes(folder: Path, count: int = 20) -> None:
    """Pictures of a few plain areas, with a little noise."""
    folder.mkdir()
    random = np.random.default_rng(1)
    for i in range(count):
        picture = np.full((SIZE, SIZE, 3), (110, 200, 255), np.int16)
        picture[16:] = (90, 180, 60)
        picture[8:24, 8 : 12 + i % 8] = (220, 40, 40)
        noisy = (picture + random.integers(-9, 10, picture.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{i:02}.png")


def test_sources_of_the_data_are_shown_with_their_palette(tmp_path: Path) -> None:
    scenes(tmp_path / "scenes")
    model = served(made("pix2pix"), f"labels -> {tmp_path / 'scenes'}")
    reply = only(ask(translation.answer_sources, model, client()))
    assert (reply.fields["kind"], reply.fields["way"], reply.fields["count"]) == ("labels", "labels", 20)
    palette = [tuple(colour) for colour in reply.fields["palette"]]
    assert set(palette) <= set(derived_sources.PALETTE) and palette[0] in ((110, 200, 255), (90, 180, 60))
    pictures = np.asarray(reply.pictures)
    assert pictures.shape == (translation.SOURCES_SHOWN, SIZE, SIZE, 3)
    later = np.asarray(only(ask(translation.answer_sources, model, client(), start=18)).pictures)
    assert np.array_equal(later[2:], pictures[:10]), "after the last comes the first"


def test_the_images_are_the_sources_of_the_way_back(tmp_path: Path) -> None:
    scenes(tmp_path / "scenes")
    model = served(made("cyclegan", source_channels=1), f"edges -> {tmp_path / 'scenes'}")
    forward = only(ask(translation.answer_sources, model, client(), direction="forward"))
    assert (forward.fields["kind"], forward.fields["way"]) == ("edges", "edges")
    assert np.asarray(forward.pictures).shape[3] == 1 and forward.fields["palette"] == [[255] * 3, [0] * 3]
    back = only(ask(translation.answer_sources, model, client(), direction="back"))
    assert (back.fields["kind"], back.fields["way"]) == ("photo", "photo")
    assert np.asarray(back.pictures).shape[3] == 3


@pytest.mark.parametrize("data", [None, "no-such-folder -> none-either"])
def test_data_that_is_not_here_leaves_a_pad_and_a_palette(data: str | None) -> None:
    reply = only(ask(translation.answer_sources, served(made("pix2pix"), data), client()))
    assert reply.pictures is None and reply.fields["count"] == 0
    assert reply.fields["palette"][0] == [255, 255, 255] and len(reply.fields["palette"]) > 8


@pytest.mark.parametrize("start", [-1, 2**62 + 1, 0.5, "0", [1]], ids=str)
def test_a_malformed_start_is_no_error_of_the_server(start: Any) -> None:
    with pytest.raises(BadRequest):
        ask(translation.answer_sources, served(made("pix2pix")), client(), start=start)


def test_kinds_of_sources_are_told_apart() -> None:
    lines = np.full((4, SIZE, SIZE, 3), 255, np.uint8)
    lines[:, 10, 4:20] = 0
    lines[:, 11, 4:20] = np.arange(100, 116)[:, None]  # greys along a line
    assert kind_of(lines) == SourceKind("edges", [(255, 255, 255), (0, 0, 0)])
    assert kind_of(255 - lines[..., :1]) == SourceKind("edges", [(0, 0, 0), (255, 255, 255)])
    labels = np.zeros((4, SIZE, SIZE, 3), np.uint8)
    labels[:, :8], labels[:, 8] = (200, 30, 30), noise(1, SIZE)[0]
    assert kind_of(labels) == SourceKind("labels", [(0, 0, 0), (200, 30, 30)])
    assert kind_of(np.broadcast_to(noise(channels=1), (2, SIZE, SIZE, 1))).kind == "grey"
    photo = kind_of(noise()[None])
    assert photo.kind == "photo" and 2 <= len(photo.palette) <= 16
