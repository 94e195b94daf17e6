"""A person's own photograph on the page: read, cropped, encoded, inverted, upscaled; and whatever else is sent."""

from __future__ import annotations

import threading
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from websockets.exceptions import ConnectionClosed

from page_asked import ask, client, only, served
from page_client import PATIENCE, serving
from page_client import opened as connected
from picture_files import encoded, png, with_chunks
from toys import Sound, SoundEncoder, SoundStyleBased, SoundSuperResolution, SoundTranslator
from zeuxis import api, families
from zeuxis.errors import UsageError
from zeuxis.explore.inversion import Search
from zeuxis.io.images import from_uint8, to_uint8
from zeuxis.metrics import extractors, vgg
from zeuxis.model import Model
from zeuxis.web import photos, upscaling
from zeuxis.web.protocol import write_reply
from zeuxis.web.requests import BadRequest, Reply
from zeuxis.web.served import open_served

WRONG = [None, True, "1", 1.5, -1, 1 << 70, [], {}]  # where a whole number is expected


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def toy(kind: type[Model], **options: Any) -> Model:
    torch.manual_seed(0)
    return kind(**{"size": 16, **options}).eval().requires_grad_(False)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A feature network that is not trained, and short descents."""
    torch.manual_seed(0)
    monkeypatch.setattr(extractors, "vgg16", lambda device: vgg.VGG().requires_grad_(False))
    monkeypatch.setattr(photos, "Search", lambda perceptual: Search(steps=60, restarts=4, perceptual=perceptual))
    monkeypatch.setattr(photos.Search, "perceptual", 0.2, raising=False)
    monkeypatch.setattr(photos.Search, "restarts", 4, raising=False)


def opened(by: Any, image: Image.Image, kind: str = "PNG") -> Reply:
    return only(ask(photos.answer_open, served(toy(SoundEncoder)), by, encoded(image, kind)))


# Opening


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_photograph_of_each_format_is_kept_and_shown(kind: str) -> None:
    by = client()
    reply = opened(by, Image.fromarray(noise(40, 60)), kind)
    assert (reply.fields["width"], reply.fields["height"]) == (60, 40)
    assert np.asarray(reply.pictures).shape == (1, 40, 60, 3)
    kept = by.photos.get(reply.fields["photo"])
    assert np.array_equal(np.asarray(kept), np.asarray(reply.pictures)[0])
    write_reply(1, reply, done=True, raw=True)


def test_a_photograph_is_upright_on_white_and_bounded() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # it was held on its side
    wide = Image.new("RGBA", (3000, 300), (255, 0, 0, 0))
    turned = photos.read_photo(encoded(wide, exif=exif))
    assert turned.size == (round(300 * photos.PHOTO_SIDE / 3000), photos.PHOTO_SIDE)
    assert photos.read_photo(encoded(Image.new("L", (40_000, 1)))).size == (photos.PHOTO_SIDE, 1)
    assert turned.mode == "RGB" and turned.getextrema() == ((255, 255),) * 3
    assert photos.read_photo(png(noise(5, 4, 1)[..., 0], 8)).mode == "L"
    by = client()
    shown = np.asarray(opened(by, Image.new("RGB", (1500, 20))).pictures)
    assert shown.shape == (1, 14, photos.PREVIEW_SIDE, 3), "the preview is smaller than what is kept"


BAD = {
    "empty file": b"",
    "not an image": b"hello, this is no picture",
    "a PDF": b"%PDF-1.7 " + bytes(100),
    "cut short": encoded(Image.fromarray(noise(64, 64)))[:3000],
    "broken header": b"\x89PNG\r\n\x1a\n" + bytes(200),
    "over 64 megapixels": with_chunks(
        (b"IHDR", b"\0\0\xff\xff\0\0\xff\xff\x08\2\0\0\0"), (b"IDAT", zlib.compress(b""))
    ),
}


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_file_is_refused_in_one_line(reason: str) -> None:
    by = client()
    with pytest.raises(UsageError, match=f"this file cannot be used: .*{reason}.*; give a PNG") as error:
        ask(photos.answer_open, served(toy(Sound)), by, BAD[reason])
    assert "\n" not in str(error.value) and len(by.photos) == 0


def test_bombs_are_refused_before_they_are_decoded() -> None:
    """Headers that promise far more than is read, in a file of a few bytes."""
    by, asked = client(), served(toy(Sound))
    tracemalloc.start()
    for i in range(200):
        side = (9000 + 257 * i).to_bytes(4, "big")
        bomb = with_chunks((b"IHDR", side + side + b"\x08\2\0\0\0"), (b"IDAT", zlib.compress(bytes(1000))))
        with pytest.raises(UsageError, match="over 64 megapixels"):
            ask(photos.answer_open, asked, by, bomb)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 8 << 20


@settings(max_examples=60)
@given(st.binary(max_size=300), st.sampled_from(["", "PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"]))
def test_any_bytes_are_a_photograph_or_one_line(rubbish: bytes, kind: str) -> None:
    start = encoded(Image.fromarray(noise(9, 9)), kind)[:60] if kind else b""
    try:
        found = photos.read_photo(start + rubbish)
    except UsageError as error:
        assert "\n" not in str(error)
    else:
        assert found.mode in ("L", "RGB")


def test_a_client_keeps_a_few_photographs() -> None:
    by = client()
    first, *_, last = (opened(by, Image.new("RGB", (8, 8), (i, 0, 0))).fields["photo"] for i in range(9))
    assert len(by.photos) < 9
    with pytest.raises(UsageError, match="no longer here; open it again"):
        ask(photos.answer_encode, served(toy(SoundEncoder)), by, photo=first, crop=[0, 0, 8])
    ask(photos.answer_encode, served(toy(SoundEncoder)), by, photo=last, crop=[0, 0, 8])


# Encoding and inversion


@pytest.mark.parametrize("channels", [1, 3])
def test_a_square_is_encoded_at_once(channels: int) -> None:
    model, by = toy(SoundEncoder, channels=channels), client()
    pixels = noise(40, 60)
    photo = opened(by, Image.fromarray(pixels)).fields["photo"]
    reply = only(ask(photos.answer_encode, served(model), by, photo=photo, crop=[20, 10, 16]))
    square = Image.fromarray(pixels[10:26, 20:36]).convert("RGB" if channels == 3 else "L")
    wanted = from_uint8(np.asarray(square).reshape(1, 16, 16, channels))
    assert torch.allclose(reply.pictures[0], wanted[0], atol=1e-6)
    latent = torch.as_tensor(reply.numbers)
    assert torch.allclose(latent, api.encode(model, wanted))
    assert torch.equal(reply.pictures[1:], api.decode(model, latent).tensor)
    assert reply.fields["psnr"] == pytest.approx(
        float(-10 * torch.log10((reply.pictures[0] - reply.pictures[1]).square().mean() / 4)),
        abs=0.01,
    )


@pytest.mark.parametrize("kind", [Sound, SoundStyleBased])
def test_descent_finds_a_picture_of_the_model_itself(kind: type[Sound], quick: None) -> None:
    model, by = toy(kind), client()
    asked = served(model)
    truth = asked.drawn_by.decode(asked.space.prior([99_999]))
    photo = opened(by, Image.fromarray(to_uint8(truth)[0])).fields["photo"]
    replies = ask(photos.answer_invert, asked, by, photo=photo, crop=[0, 0, 16])
    assert [reply.fields["stage"] for reply in replies[:: len(replies) - 1]] == ["search", "descent"]
    assert all(reply.more for reply in replies[:-1]) and not replies[-1].more
    steps = [reply.fields["step"] for reply in replies if reply.fields["stage"] == "descent"]
    assert sorted(set(steps)) == list(range(61)) and replies[-1].fields["steps"] == 60
    assert replies[-1].fields["psnr"] > replies[0].fields["psnr"] + 3
    latent = torch.as_tensor(replies[-1].numbers)
    assert latent.shape == (1, *asked.shape)
    assert torch.allclose(asked.drawn_by.decode(latent), replies[-1].pictures[1:], atol=1e-5)
    for reply in replies:
        write_reply(1, reply, done=True, raw=True)


def test_descent_does_without_features_that_cannot_be_fetched(monkeypatch: pytest.MonkeyPatch, quick: None) -> None:
    def offline(device: str) -> vgg.VGG:
        raise UsageError("connect to the package index once")

    monkeypatch.setattr(extractors, "vgg16", offline)
    by = client()
    photo = opened(by, Image.fromarray(noise(16, 16))).fields["photo"]
    last = ask(photos.answer_invert, served(toy(Sound)), by, photo=photo, crop=[0, 0, 16])[-1]
    assert last.fields["perceptual"] is False and last.fields["step"] == 60


def test_a_descent_that_nobody_watches_leaves_gradients_as_they_were(quick: None) -> None:
    by = client()
    photo = opened(by, Image.fromarray(noise(16, 16))).fields["photo"]
    request = photos.Request.read({"op": "photo.invert", "photo": photo, "crop": [0, 0, 16]}, b"", models=1)
    with torch.no_grad():
        steps = photos.answer_invert(served(toy(Sound)), by, request)
        while (reply := next(steps)) is None or isinstance(reply, float) or reply.fields["stage"] == "search":
            assert not torch.is_grad_enabled()
        steps.close()
        assert not torch.is_grad_enabled()


def test_larger_images_are_searched_among_fewer_samples() -> None:
    assert [photos._draws(size) for size in (16, 64, 128, 256, 1024)] == [2048, 2048, 512, 128, 128]


def test_a_model_without_latents_says_so() -> None:
    by = client()
    photo = opened(by, Image.fromarray(noise(16, 16))).fields["photo"]
    for operation in (photos.answer_encode, photos.answer_invert):
        with pytest.raises(UsageError, match="these families"):
            ask(operation, served(toy(SoundTranslator)), by, photo=photo, crop=[0, 0, 16])
    with pytest.raises(UsageError, match="cannot encode"):
        ask(photos.answer_encode, served(toy(Sound)), by, photo=photo, crop=[0, 0, 16])


CROPS = [None, 3, "0,0,8", [], [0], [0, 0], [0, 0, 0], [0, 0, 9], [1, 0, 8], [0, 0, 8, 7], [0, 0, 8, 8, 8], [-1, 0, 4]]
CROPS += [[0.5, 0, 4], [0, 0, "8"], [0, 0, True], [0, 0, 1 << 40], [0, 0, 8, 0], [2048, 2048, 1]]


@pytest.mark.parametrize("crop", CROPS, ids=str)
def test_a_malformed_crop_is_no_error_of_the_server(crop: Any) -> None:
    by = client()
    photo = opened(by, Image.fromarray(noise(8, 8))).fields["photo"]
    for operation, kind in ((photos.answer_encode, SoundEncoder), (photos.answer_invert, Sound)):
        with pytest.raises(BadRequest):
            ask(operation, served(toy(kind)), by, photo=photo, crop=crop)


@pytest.mark.parametrize("photo", WRONG, ids=str)
def test_a_malformed_photograph_is_no_error_of_the_server(photo: Any) -> None:
    with pytest.raises(BadRequest):
        ask(photos.answer_encode, served(toy(SoundEncoder)), client(), photo=photo, crop=[0, 0, 8])


# Upscaling


@pytest.mark.parametrize("channels, mode", [(3, "RGB"), (3, "L"), (1, "RGB"), (1, "L")])
def test_tiles_are_the_upscaled_photograph(channels: int, mode: str) -> None:
    model, by = toy(SoundSuperResolution, channels=channels, source_channels=channels), client()
    image = Image.fromarray(noise(150, 90)).convert(mode)
    photo = opened(by, image).fields["photo"]
    replies = ask(upscaling.answer_upscale, served(model), by, photo=photo, crop=[3, 5, 80, 140])
    part = image.crop((3, 5, 83, 145))
    wanted, scale = np.asarray(api.enlarge(model, part).pil()), model.scale
    assert len(replies) == replies[0].fields["tiles"] == 6 and [reply.more for reply in replies] == [True] * 5 + [False]
    found = np.zeros((2, 140 * scale, 80 * scale, wanted.shape[2] if wanted.ndim == 3 else 1), np.uint8)
    for reply in replies:
        pictures, x, y = np.asarray(reply.pictures), reply.fields["x"], reply.fields["y"]
        found[:, y : y + pictures.shape[1], x : x + pictures.shape[2]] = pictures
    assert np.abs(found[1].astype(int).squeeze() - wanted).max() <= 1, "but for the rounding of sums"
    bicubic = part.resize((80 * scale, 140 * scale), Image.Resampling.BICUBIC)
    assert np.array_equal(found[0].squeeze(), np.asarray(bicubic))
    first = replies[0].fields
    assert abs(first["x"] - 40 * scale) < 64 * scale and abs(first["y"] - 70 * scale) < 64 * scale, "the middle first"


def test_only_so_much_is_upscaled_on_the_page() -> None:
    model, by = toy(SoundSuperResolution), client()
    photo = opened(by, Image.new("RGB", (600, 20))).fields["photo"]
    with pytest.raises(UsageError, match=r"513 x 20 pixels are more than the page upscales \(512 x 512\)"):
        ask(upscaling.answer_upscale, served(model), by, photo=photo, crop=[0, 0, 513, 20])
    with pytest.raises(UsageError, match="cannot do super-resolution"):
        ask(upscaling.answer_upscale, served(toy(Sound)), by, photo=photo, crop=[0, 0, 20])
    with pytest.raises(BadRequest):
        ask(upscaling.answer_upscale, served(model), by, photo=photo, crop=[0, 0, 21])


# Over the socket


def test_photographs_come_over_the_socket_and_larger_ones_end_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    families.find("vae")(size=16, latent_dim=8).save(tmp_path / "model")
    with serving(open_served(tmp_path / "model", device="cpu")) as link:
        with connected(link) as page:
            told = page.ask("photo.open", encoded(Image.fromarray(noise(300, 300)), "BMP"), lane="photo")
            assert told.fields["ok"] and told.fields["pictures"]["coding"] == "jpeg"
            found = page.ask("photo.encode", lane="found", photo=told.fields["photo"], crop=[0, 0, 300])
            assert found.pictures.shape == (2, 16, 16, 3) and found.numbers.shape == (1, 8)
            bad = page.ask("photo.open", b"no picture", lane="photo")
            assert not bad.fields["ok"] and bad.fields["error"].startswith("this file cannot be used: not an image")
        # Of what no message may have the server reads no more; the rest, still on its way, may reset the connection first.
        beyond = ("photo.open", photos.PHOTO_BYTES + (1 << 13), (1009, None))
        for op, size, codes in (beyond, ("photo.encode", 1 << 21, (1007,))):
            with connected(link) as page, pytest.raises(ConnectionClosed) as closed:
                page.ask(op, bytes(size), lane="photo")
            assert (closed.value.rcvd.code if closed.value.rcvd else None) in codes, op
        with connected(link) as page:
            assert page.ask("prior", seeds=[1]).fields["ok"], "the server goes on"


def test_pictures_are_drawn_while_a_large_photograph_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The photograph is read by another thread: it is let go on only when a picture has been drawn meanwhile."""
    drawn = threading.Event()

    def slow(data: bytes) -> Image.Image:
        assert drawn.wait(PATIENCE)
        return Image.new("RGB", (8, 8))

    monkeypatch.setattr(photos, "read_photo", slow)
    torch.manual_seed(0)
    families.find("vae")(size=16, latent_dim=8).save(tmp_path / "model")
    with serving(open_served(tmp_path / "model", device="cpu")) as link, connected(link) as page:
        opening = page.send("photo.open", bytes(100), lane="photo")
        page.send("decode", bytes(4 * 8), lane="hand", n=1)
        assert page.receive()[1].fields["pictures"]["n"] == 1
        drawn.set()
        number, told = page.receive()
        assert number == opening and told.fields["width"] == 8
