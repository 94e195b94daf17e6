"""Images in every mode come out right, damaged ones say why they cannot, and what is drawn can be read again."""

from __future__ import annotations

import io
import os
import random
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps, PngImagePlugin

from release import RELEASE
from waiting import quick
from zeuxis.errors import DiskFullError, UsageError
from zeuxis.io import animation, images
from zeuxis.io.images import Unusable, decode_square, decode_whole

SCALE = 21 if RELEASE else 1
Array = np.ndarray[Any, Any]


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def flat(mode: str, color: Any, kind: str = "PNG", size: tuple[int, int] = (40, 40), **options: Any) -> bytes:
    return encoded(Image.new(mode, size, color), kind, **options)


def png16(values: Array, colour: int = 0) -> bytes:
    """A PNG of 16 bits, written by hand: Pillow writes no colour of that depth."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)), (b"IDAT", zlib.compress(rows))]
    chunks = [
        struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in [*parts, (b"IEND", b"")]
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def gradient(width: int = 60, height: int = 40) -> Image.Image:
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 255 - x], 2).astype(np.uint8))


def scans(side: int, count: int) -> bytes:
    """A progressive JPEG with so many scans more than its encoder wrote; each is a header alone, and goes over all pixels."""
    data = encoded(gradient(side, side).convert("L"), "JPEG", progressive=True, quality=30)
    return data[:-2] + b"\xff\xda\0\x08\1\1\0\0\0\x10" * count + data[-2:]


# Modes: the colour of a flat image is known.

MODES = {
    "1 bit": (flat("1", 1), (255, 255, 255)),
    "grey": (flat("L", 77), (77, 77, 77)),
    "grey with opacity": (flat("LA", (0, 128)), (127, 127, 127)),
    "grey with a transparent value": (flat("L", 9, transparency=9), (255, 255, 255)),
    "RGB": (flat("RGB", (10, 200, 30)), (10, 200, 30)),
    "RGB with a transparent colour": (flat("RGB", (1, 2, 3), transparency=(1, 2, 3)), (255, 255, 255)),
    "RGBA opaque": (flat("RGBA", (10, 200, 30, 255)), (10, 200, 30)),
    "RGBA half": (flat("RGBA", (200, 0, 100, 128)), (227, 127, 177)),
    "RGBA clear": (flat("RGBA", (200, 0, 100, 0)), (255, 255, 255)),
    "palette": (encoded(Image.new("RGB", (40, 40), (10, 200, 30)).quantize(4)), (10, 200, 30)),
    "GIF": (flat("RGB", (0, 128, 255), "GIF"), (0, 128, 255)),
    "GIF transparent": (flat("P", 0, "GIF", transparency=0), (255, 255, 255)),
    "BMP": (flat("RGB", (10, 200, 30), "BMP"), (10, 200, 30)),
    "TIFF": (flat("RGB", (10, 200, 30), "TIFF", compression="tiff_lzw"), (10, 200, 30)),
    "TIFF CMYK": (flat("CMYK", (0, 255, 255, 0), "TIFF"), (255, 0, 0)),
    "JPEG CMYK": (flat("CMYK", (0, 255, 255, 0), "JPEG", quality=100), (255, 0, 0)),
    "TIFF float": (flat("F", 0.5, "TIFF"), (128, 128, 128)),
    "TIFF 32 bits": (flat("I", 2**31 - 1, "TIFF"), (127, 127, 127)),
    "WebP": (flat("RGB", (10, 200, 30), "WEBP", lossless=True), (10, 200, 30)),
    "WebP half": (flat("RGBA", (200, 0, 100, 128), "WEBP", lossless=True), (227, 127, 177)),
    "JPEG": (flat("RGB", (10, 200, 30), "JPEG", quality=100), (10, 200, 30)),
    "16 bits grey": (png16(np.full((40, 40), 0x4D4D)), (77, 77, 77)),
    "16 bits grey, dark": (png16(np.full((40, 40), 300)), (1, 1, 1)),
    "16 bits TIFF": (encoded(Image.fromarray(np.full((40, 40), 0x4D4D, np.uint16)), "TIFF"), (77, 77, 77)),
    "16 bits RGB": (png16(np.full((40, 40, 3), 0x4D4D), colour=2), (77, 77, 77)),
}


@pytest.mark.parametrize("resize_mode", ["crop", "pad"])
@pytest.mark.parametrize("size", [8, 40, 64])
@pytest.mark.parametrize("name", MODES)
def test_every_mode_gives_the_colour_that_is_seen(name: str, size: int, resize_mode: str) -> None:
    data, colour = MODES[name]
    off = 3 if "JPEG" in name else 1
    pixels = decode_square(data, size, 3, resize_mode)
    assert pixels.shape == (size, size, 3) and pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - colour).max() <= off
    grey = round(0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2])
    assert np.abs(decode_square(data, size, 1, resize_mode).astype(int) - grey).max() <= off


def test_16_bits_are_scaled_not_cut() -> None:
    ramp = np.linspace(0, 65535, 64).round().astype(np.uint16)[None].repeat(64, 0)
    expected = np.rint(ramp / 257)
    assert np.abs(decode_square(png16(ramp), 64, 1)[..., 0] - expected).max() == 0


def test_palette_with_opacity_is_mixed_with_white() -> None:
    image = Image.new("P", (32, 32), 0)
    image.paste(1, (0, 0, 16, 32))
    image.putpalette([0, 0, 0, 200, 0, 100])
    pixels = decode_square(encoded(image, transparency=bytes([0, 128])), 32, 3)
    assert np.abs(pixels[:, :14].astype(int) - (227, 127, 177)).max() <= 1
    assert (pixels[:, 18:] == 255).all()


def test_hidden_colour_does_not_bleed() -> None:
    """Clear pixels that are red inside: averaged without their opacity they would tint the edge."""
    array = np.zeros((64, 64, 4), np.uint8)
    array[:, :32] = (255, 0, 0, 0)
    array[:, 32:] = (0, 0, 255, 255)
    pixels = decode_square(encoded(Image.fromarray(array)), 8, 3).astype(int)
    assert (pixels[..., 0] <= pixels[..., 1] + 1).all()  # white to blue has as much red as green


@pytest.mark.parametrize("resize_mode", ["crop", "pad"])
@pytest.mark.parametrize("shape", [(60, 40), (40, 60), (50, 50), (41, 60)])
@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_says_what_is_up(turn: int, shape: tuple[int, int], resize_mode: str) -> None:
    upright = gradient(*shape)
    undo = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}  # the inverse of what a viewer does
    do = {2: 0, 3: 3, 4: 1, 5: 5, 7: 6}
    stored = upright.transpose(undo[turn] if turn in undo else Image.Transpose(do[turn])) if turn > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = turn
    for kind in ("PNG", "TIFF"):
        data = encoded(stored, kind, exif=exif)
        seen = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
        assert np.array_equal(np.asarray(seen), np.asarray(upright)), "the test itself"
        difference = decode_square(data, 16, 3, resize_mode).astype(int) - decode_square(
            encoded(upright), 16, 3, resize_mode
        )
        assert np.abs(difference).max() <= 1, kind


def held(upright: Image.Image, turn: int, kind: str, **options: Any) -> bytes:
    """A file whose pixels are stored as a camera that was held so stores them."""
    undo = [None, None, 0, 3, 1, 5, 2, 6, 4][turn]  # the transposition that a viewer undoes
    exif = Image.Exif()
    exif[0x0112] = turn
    return encoded(upright if undo is None else upright.transpose(Image.Transpose(undo)), kind, exif=exif, **options)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_inversion_and_translation_see_what_is_up(turn: int, kind: str, tmp_path: Path) -> None:
    """All of an image, its shorter side brought to a size, and its opacity."""
    upright = gradient(60, 40)
    data = held(upright, turn, kind)
    assert np.array_equal(decode_whole(data, 3), np.asarray(upright))
    smaller = [decode_whole(each, 1, shorter=20).astype(int) for each in (data, encoded(upright))]
    assert smaller[0].shape == (20, 30, 1) and np.abs(smaller[0] - smaller[1]).max() <= 1
    clear = upright.convert("RGBA")
    clear.paste((0, 0, 0, 0), (0, 0, 9, 5))
    (tmp_path / "x").write_bytes(held(clear, turn, kind))
    assert np.array_equal(np.asarray(images.read_layers(tmp_path / "x")), np.asarray(clear.convert("RGBa")))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_halves_are_those_of_the_upright_image(turn: int, kind: str) -> None:
    upright = Image.new("RGB", (96, 48), "red")
    upright.paste("blue", (48, 0, 96, 48))
    upright.paste("lime", (0, 0, 96, 8))
    options: dict[str, Any] = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    data = held(upright, turn, kind, **options)
    for half, inside in (("left", (255, 0, 0)), ("right", (0, 0, 255))):
        found = decode_square(data, 48, 3, half).astype(int)
        assert np.abs(found[12:] - inside).max() <= 8, half
        assert np.abs(found[:5] - (0, 255, 0)).max() <= 8, "what is up"


@pytest.mark.parametrize("turn", range(1, 9))
def test_halves_of_a_jpeg_that_is_decoded_smaller(turn: int) -> None:
    upright = gradient(600, 300)
    data = held(upright, turn, "JPEG", quality=98)
    for half in ("left", "right"):
        assert (
            np.abs(decode_square(data, 32, 3, half).astype(int) - decode_square(encoded(upright), 32, 3, half)).max()
            <= 6
        )


def test_exif_in_a_jpeg_that_is_decoded_smaller() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = gradient(600, 400)
    data = encoded(upright.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=98, exif=exif)
    assert np.abs(decode_square(data, 32, 3).astype(int) - decode_square(encoded(upright), 32, 3)).max() <= 4


# Geometry.


def test_crop_takes_the_middle_and_pad_takes_all() -> None:
    image = Image.new("RGB", (120, 40), "red")
    image.paste("blue", (40, 0, 80, 40))
    crop, pad = (decode_square(encoded(image), 30, 3, resize_mode) for resize_mode in ("crop", "pad"))
    assert (crop == (0, 0, 255)).all()
    assert (pad[:10] == 255).all() and (pad[20:] == 255).all()
    assert np.abs(pad[12:18, 12:18].astype(int) - (0, 0, 255)).max() <= 4  # Lanczos overshoots a little
    assert np.abs(pad[12:18, :8].astype(int) - (255, 0, 0)).max() <= 4


def test_an_image_of_the_target_size_is_left_as_it_is() -> None:
    array = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    assert np.array_equal(decode_square(encoded(Image.fromarray(array)), 32, 3), array)
    assert np.array_equal(decode_square(encoded(Image.fromarray(array), "BMP"), 32, 3, "pad"), array)


def test_resizing_is_antialiased() -> None:
    stripes = np.zeros((512, 512), np.uint8)
    stripes[:, ::2] = 255
    pixels = decode_square(encoded(Image.fromarray(stripes)), 32, 1)
    assert np.abs(pixels.astype(int) - 128).max() <= 2, "fine stripes become grey, not coarse stripes"


@pytest.mark.parametrize(("mode", "off"), [("RGB", 3), ("RGBA", 3), ("L", 3), ("P", 3), ("I;16", 3)])
def test_bands_and_averaging_do_not_show(mode: str, off: int) -> None:
    """A large image goes through bands and a first averaging; it must look as if resized at once."""
    smooth = gradient(3000, 2100)
    if mode == "I;16":
        smooth = smooth.convert("L")
        image = Image.fromarray(np.asarray(smooth).astype(np.uint16) * 257)
    else:
        image = smooth.quantize(256, dither=Image.Dither.NONE) if mode == "P" else smooth.convert(mode)
        smooth = image.convert("RGB")
    at_once = smooth.convert("RGB").resize((48, 48), Image.Resampling.LANCZOS, box=(450, 0, 2550, 2100))
    assert np.abs(decode_square(encoded(image), 48, 3).astype(int) - np.asarray(at_once)).max() <= off


def decibels(one: Array, other: Array) -> float:
    return float(10 * np.log10(255**2 / np.square(one.astype(float) - other).mean()))


@pytest.mark.parametrize(("size", "least"), [((172, 200), 38), ((178, 218), 38), ((260, 300), 43), ((500, 427), 41)])
def test_a_jpeg_that_is_decoded_smaller_looks_the_same(size: tuple[int, int], least: float) -> None:
    """In decibels, against a decode in full: far nearer than with another filter."""
    datasets = pytest.importorskip("sklearn.datasets")
    reduced, bilinear = [], []
    for photo in map(Image.fromarray, datasets.load_sample_images().images):
        for left, top in ((0, 0), (140, 0), (70, 27), (0, 27)):
            part = photo.crop((left, top, left + 500, top + 400)).resize(size, Image.Resampling.LANCZOS)
            data = encoded(part, "JPEG", quality=92)
            side = min(size)
            box = ((size[0] - side) / 2, (size[1] - side) / 2, (size[0] + side) / 2, (size[1] + side) / 2)
            whole = Image.open(io.BytesIO(data)).convert("RGB")
            full = np.asarray(whole.resize((64, 64), Image.Resampling.LANCZOS, box=box))
            reduced.append(decibels(decode_square(data, 64, 3), full))
            bilinear.append(decibels(np.asarray(whole.resize((64, 64), Image.Resampling.BILINEAR, box=box)), full))
            grey = np.asarray(Image.fromarray(full).convert("L"))
            assert decibels(decode_square(data, 64, 1)[..., 0], grey) > 37
    assert np.mean(reduced) > least and np.mean(reduced) > np.mean(bilinear) + 3


def test_grey_of_a_jpeg_is_its_luminance_however_it_is_stored() -> None:
    image = gradient(200, 200)
    wanted = np.asarray(image.convert("L").resize((64, 64), Image.Resampling.LANCZOS)).astype(int)
    for options in ({}, {"keep_rgb": True}, {"progressive": True}, {"subsampling": 0}):
        grey = decode_square(encoded(image, "JPEG", quality=98, **options), 64, 1)
        assert np.abs(grey[..., 0] - wanted).max() <= 3, options
    for mode in ("L", "CMYK"):
        grey = decode_square(encoded(image.convert(mode), "JPEG", quality=98), 64, 1)
        assert np.abs(grey[..., 0] - wanted).max() <= 4, mode


@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(1, 40),
    st.sampled_from([1, 3]),
    st.sampled_from(["crop", "pad"]),
)
def test_any_shape_becomes_the_shape(width: int, height: int, size: int, channels: int, resize_mode: str) -> None:
    pixels = decode_square(flat("RGB", (9, 9, 9), "BMP", (width, height)), size, channels, resize_mode)
    assert pixels.shape == (size, size, channels)
    assert (pixels == 9).any()


@pytest.mark.parametrize("size", [(65535, 1), (1, 65535), (1, 1), (20000, 30)])
def test_extreme_shapes(size: tuple[int, int]) -> None:
    for kind in ("PNG", "JPEG", "TIFF"):
        for resize_mode in ("crop", "pad"):
            assert decode_square(
                flat("RGB", (9, 9, 9), kind, (min(size[0], 65500), min(size[1], 65500))), 16, 3, resize_mode
            ).shape == (16, 16, 3)


def test_the_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue", "green")]
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        options = {"lossless": True} if kind == "WEBP" else {}
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert np.abs(decode_square(data, 8, 3).astype(int) - (255, 0, 0)).max() <= 1, kind


# What cannot be used.


def refusal(data: bytes) -> str:
    with pytest.raises(Unusable) as caught:
        decode_square(data, 16, 3)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_refusals_say_why() -> None:
    photo = encoded(gradient(300, 300), "JPEG", quality=95)
    assert refusal(b"") == "empty file"
    assert refusal(b"<!DOCTYPE html><html></html>") == "not an image of the six formats (HTML or XML)"
    assert refusal(b"%PDF-1.7 ...") == "not an image of the six formats (a PDF)"
    assert refusal(b"hello") == "not an image"
    assert refusal(photo[: len(photo) * 3 // 4]) == "cut short"
    assert refusal(photo[:40]) == "broken header"
    assert refusal(encoded(gradient())[:-60]) == "cut short"
    assert refusal(b"\x89PNG\r\n\x1a\n" + b"\0" * 50) == "broken header"
    assert refusal(b"RIFF\0\0\0\0WAVE") == "not an image"
    ppm, tga = encoded(gradient(), "PPM"), encoded(gradient(), "TGA")
    assert refusal(ppm) == refusal(tga) == "not an image", "formats beyond the six are never opened"


def header_only(width: int, height: int) -> bytes:
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head)) + b"\0\0\0\0IDAT"


@pytest.mark.parametrize("size", [(8001, 8000), (65535, 65535), (2**31 - 1, 2**31 - 1)])
def test_too_many_pixels_are_found_in_the_header(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.Image, "load", lambda image: pytest.fail("its pixels are wanted"))
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: pytest.fail("its pixels are wanted"))
    assert refusal(header_only(*size)).startswith("over 64 megapixels")


def test_a_bomb_of_64_megapixels_needs_little_more_than_its_own_memory() -> None:
    """In a process of its own: a black RGBA PNG (256 MB decoded) within 300 MB, and ten times what Pillow takes."""
    code = """if True:
        import io, resource, struct, sys, time, zlib
        from PIL import Image
        from zeuxis.io import images
        images.decode_square(open(sys.argv[1], 'rb').read(), 64, 3)
        before, times = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, [time.process_time()]
        images.decode_square(open(sys.argv[2], 'rb').read(), 64, 3)
        rise = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        times.append(time.process_time())
        Image.open(sys.argv[2]).load()
        times.append(time.process_time())
        print(rise // 1024, (times[1] - times[0]) / (times[2] - times[1]))
    """
    pytest.importorskip("resource")
    import subprocess
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder, "small.png"), Path(folder, "large.png")
        small.write_bytes(flat("RGBA", (0, 0, 0, 0)))
        large.write_bytes(flat("RGBA", (0, 0, 0, 0), size=(8000, 8000), compress_level=1))
        done = subprocess.run([sys.executable, "-c", code, small, large], capture_output=True, text=True, check=True)
    rise, ratio = map(float, done.stdout.split())
    assert rise < 300, f"{rise} MB"
    assert ratio < 10  # usually 2


def test_a_floating_point_image_that_is_no_picture() -> None:
    assert "floating point" in refusal(flat("F", -5.0, "TIFF"))
    assert "floating point" in refusal(flat("F", float("nan"), "TIFF"))
    assert "floating point" in refusal(flat("F", 1e9, "TIFF"))
    assert "floating point" in refusal(flat("F", 77.0, "TIFF")), "a scale of 255 would be told by the picture alone"


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"]
)
def test_broken_metadata_does_not_concern_the_pixels(exif: bytes) -> None:
    plain = decode_square(encoded(gradient(), "JPEG"), 16, 3)
    assert np.array_equal(decode_square(encoded(gradient(), "JPEG", exif=exif), 16, 3), plain)
    assert np.array_equal(decode_square(encoded(gradient(), "JPEG", icc_profile=b"broken"), 16, 3), plain)
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "x" * 100_000, zip=True)
    assert np.array_equal(
        decode_square(encoded(gradient(), pnginfo=text), 16, 3), decode_square(encoded(gradient()), 16, 3)
    )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("exif", [b"garbage", b"M\xd7\0*\0\0\0\x08", b"MM\0*\0\0", b"II*\0\x08\0\0\0\xff\xff\x12\1"])
def test_broken_exif_says_nothing_of_what_is_up(exif: bytes, kind: str) -> None:
    """Of PNG and WebP it is read when the orientation is asked for, and what Pillow raises is no error of its own."""
    options = {"lossless": True} if kind == "WEBP" else {}
    plain, broken = (encoded(gradient(), kind, **options, **more) for more in ({}, {"exif": b"Exif\0\0" + exif}))
    assert broken != plain
    assert np.array_equal(decode_square(broken, 16, 3), decode_square(plain, 16, 3))
    assert np.array_equal(decode_whole(broken, 3), decode_whole(plain, 3))


def seeds() -> list[tuple[str, bytes]]:
    """Good files of 12 kinds, small, for the mutations."""
    image, exif = gradient(33, 29), Image.Exif()
    exif[0x0112] = 5
    frames = {"save_all": True, "append_images": [image.rotate(90), image.rotate(180)]}
    return [
        ("png", encoded(image)),
        ("png grey 16", png16(np.arange(900).reshape(30, 30) * 70)),
        ("png palette", encoded(image.quantize(9), transparency=3)),
        ("png rgba", encoded(image.convert("RGBA"))),
        ("jpeg", encoded(image, "JPEG", exif=exif)),
        ("jpeg progressive", encoded(image, "JPEG", progressive=True)),
        ("jpeg cmyk", encoded(image.convert("CMYK"), "JPEG")),
        ("webp animated", encoded(image, "WEBP", **frames)),
        ("gif animated", encoded(image, "GIF", **frames)),
        ("bmp", encoded(image, "BMP")),
        ("tiff lzw", encoded(image, "TIFF", compression="tiff_lzw", exif=exif)),
        ("tiff float", encoded(Image.new("F", (30, 30), 0.5), "TIFF")),
    ]


def mutated(data: bytes, rng: random.Random) -> bytes:
    kind, parts = rng.randrange(5), bytearray(data)
    if kind == 0:
        return data[: rng.randrange(len(data))]
    if kind == 1:  # the header is where it hurts
        for _ in range(rng.randint(1, 4)):
            parts[rng.randrange(min(len(parts), 128))] = rng.randrange(256)
    elif kind == 2:
        for _ in range(rng.randint(1, 8)):
            parts[rng.randrange(len(parts))] ^= 1 << rng.randrange(8)
    elif kind == 3:
        at = rng.randrange(len(parts))
        parts[at : at + rng.randint(1, 64)] = rng.randbytes(rng.randint(0, 64))
    else:
        at = rng.randrange(len(parts) - 4)
        parts[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f"])
    return bytes(parts)


@pytest.mark.parametrize(("name", "data"), seeds(), ids=[name for name, _ in seeds()])
def test_mutated_images_end_in_pixels_or_a_reason(name: str, data: bytes) -> None:
    """CI: 12 kinds x 400 mutations, and every cut at a 64th byte; a release: 21 times as many."""
    resource = pytest.importorskip("resource")
    rng = random.Random(name)
    good = decode_square(data, 16, 3)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cases = [data[:i] for i in range(0, len(data), 64)] + [mutated(data, rng) for _ in range(400 * SCALE)]
    for case in cases:
        try:
            with quick(2.0):
                assert decode_square(case, 16, 3).shape == (16, 16, 3)
        except Unusable as error:
            assert str(error) and "\n" not in str(error)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < 300
    assert np.array_equal(decode_square(data, 16, 3), good), "a good one decodes the same afterwards"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(UsageError, match="not a regular file"):
        images.read_square(tmp_path / "a.png", size=8)


# Tensors.


def test_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(flat("RGB", (255, 0, 127)))
    tensor = images.read_square(tmp_path / "a.png", size=8)
    assert tensor.shape == (1, 3, 8, 8) and tensor.dtype == torch.float32
    assert torch.allclose(tensor[0, :, 0, 0], torch.tensor([1.0, -1.0, 127 / 127.5 - 1]))
    for name in ("no.png", "."):
        with pytest.raises(UsageError):
            images.read_square(tmp_path / name, size=8)


def test_uint8_and_back_is_the_same() -> None:
    array = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    tensor = images.from_uint8(array)
    assert tensor.min() == -1 and tensor.max() == 1
    assert np.array_equal(images.to_uint8(tensor), array)
    assert images.to_uint8(torch.tensor([-9.0, 9.0]).view(1, 1, 1, 2)).ravel().tolist() == [0, 255]


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (7, 3), (12, 4), (16, 4), (32, 8), (50, 10), (64, 8)])
def test_sheet_fills_its_rows_where_it_can(count: int, columns: int) -> None:
    page = images.sheet(torch.zeros(count, 3, 9, 9), gap=1)
    assert page.size == (columns * 10 + 1, -(-count // columns) * 10 + 1)


def test_sheet() -> None:
    tensors = torch.stack([torch.full((3, 4, 4), value) for value in (-1.0, 0.0, 0.5, -0.5, -1.0)])
    sheet = np.asarray(images.sheet(tensors, columns=3, scale=2, gap=1))
    assert sheet.shape == (2 * 8 + 3 * 2, 3 * 8 + 4 * 2, 3)
    assert (sheet[:2] == 255).all() and (sheet[:, :2] == 255).all()
    assert (sheet[2:10, 2:10] == 0).all() and (sheet[12:20, 12:20] == 0).all()
    assert (sheet[12:20, 22:30] == 255).all(), "the page where no image is"
    assert images.sheet(tensors[:, :1]).mode == "L"
    with pytest.raises(UsageError, match="no images"):
        images.sheet(tensors[:0])


def test_write_png(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = gradient()
    images.write_png(image, tmp_path / "a.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), np.asarray(image))

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(DiskFullError):
        images.write_png(Image.new("RGB", (9, 9)), tmp_path / "a.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), np.asarray(image)), "the old one is kept"


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["webp", "gif", "mp4"])
def test_animation(kind: str, channels: int, tmp_path: Path) -> None:
    frames = torch.linspace(-1, 1, 5).view(5, 1, 1, 1).expand(5, channels, 33, 47)
    path = tmp_path / f"walk.{kind}"
    if kind == "mp4":
        av = pytest.importorskip("av")
        animation.write(frames, path, fps=10)
        with av.open(str(path)) as file:
            assert file.streams.video[0].average_rate == 10
            read = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
        assert read[0].shape == (32, 46, 3)
    else:
        animation.write(frames, path, fps=10)
        with Image.open(path) as file:
            assert file.n_frames == 5 and file.info["loop"] == 0
            read = []
            for i in range(5):
                file.seek(i)
                read.append(np.asarray(file.convert("RGB")))
                assert file.info["duration"] == 100
    assert len(read) == 5
    for i, frame in enumerate(read):
        assert np.abs(frame.astype(int) - round(255 * i / 4)).max() <= 4


def test_animation_is_enlarged_pixel_by_pixel(tmp_path: Path) -> None:
    frames = torch.tensor([-1.0, 1.0]).repeat(2, 3, 4, 2)  # columns black and white
    animation.write(frames, tmp_path / "large.gif", scale=3)
    with Image.open(tmp_path / "large.gif") as file:
        assert file.size == (12, 12)
        row = np.asarray(file.convert("L"))[5]
    assert row.tolist() == ([0] * 3 + [255] * 3) * 2


def test_animation_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = torch.zeros(2, 3, 8, 8)
    with pytest.raises(UsageError, match=r"\.webp, \.gif or \.mp4"):
        animation.write(frames, tmp_path / "walk.avi")
    with pytest.raises(UsageError, match="0 frames"):
        animation.write(frames[:0], tmp_path / "walk.gif")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UsageError, match="zeuxis\\[video\\]"):
        animation.write(frames, tmp_path / "walk.mp4")


# Files that mean more work or memory than their pixels do.


@pytest.mark.parametrize("count", [1000, 50_000])
def test_a_jpeg_of_very_many_scans_is_refused_before_any_of_them_is_decoded(count: int, tmp_path: Path) -> None:
    data = scans(16, count)
    with quick(0.5), pytest.raises(Unusable, match="over 1,000 scans"):
        decode_square(data, 8, 3)
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + len(data[2:60_000])) + data[2:60_000]
    (tmp_path / "a.jpg").write_bytes(data[:2] + thumbnail + data[2:])
    with pytest.raises(UsageError, match="over 1,000 scans"):
        images.read_whole(tmp_path / "a.jpg")


def test_what_lies_beside_the_scans_of_a_jpeg_is_not_counted() -> None:
    """A video after the picture, as phones write it, or a thumbnail, has any bytes."""
    good = scans(16, 900)
    expected = decode_square(good, 8, 1)
    assert np.array_equal(decode_square(good + b"\xff\xda" * 5000, 8, 1), expected)
    inside = b"\xff\xe1" + struct.pack(">H", 2 + 20_000) + b"\xff\xda" * 10_000
    assert np.array_equal(decode_square(good[:2] + inside + good[2:], 8, 1), expected)
    restarts = encoded(gradient(64, 64), "JPEG", restart_marker_blocks=1)
    assert np.array_equal(decode_square(restarts + b"\xff\xda" * 5000, 64, 3), decode_square(restarts, 64, 3))


@pytest.mark.parametrize(("side", "refused"), [(256, False), (4096, False), (16384, True), (60_000, True)])
def test_a_tile_of_a_tiff_is_bounded_however_small_its_image_is(side: int, refused: bool) -> None:
    data = zlib.compress(bytes(side * side) if side <= 4096 else bytes(1 << 20), 9)
    values = {256: 8, 257: 8, 258: 8, 259: 8, 262: 1, 277: 1, 322: side, 323: side, 324: 8, 325: len(data)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in values.items())
    file = b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(values)) + entries + bytes(4)
    if refused:
        with pytest.raises(Unusable, match=f"tiles of {side} x {side} pixels"):
            decode_square(file, 8, 1)
    else:
        assert not decode_square(file, 8, 1).any()
