"""Colours of every embedded profile become those that were meant, in sRGB; what is written says that it is sRGB."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from picture_files import Array, Chunk, encoded, png
from waiting import quick
from zeuxis.data import DataSpec
from zeuxis.data.report import inspect
from zeuxis.io import animation, colour, images
from zeuxis.io.colour import BROKEN, CONVERTED, SRGB, matrix_profile
from zeuxis.io.images import Unusable, decode_square, decode_whole

P3 = matrix_profile(
    (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06), (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
)
ADOBE = matrix_profile((0.3127, 0.329, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06), (2.2,))
PROPHOTO = matrix_profile((0.3457, 0.3585, 0.7347, 0.2653, 0.1596, 0.8404, 0.0366, 0.0001), (1.8,))
LINEAR = matrix_profile(SRGB, (1.0,))
WIDE = {"Display P3": P3, "Adobe RGB": ADOBE, "ProPhoto": PROPHOTO, "linear": LINEAR}
MEANT = np.array([[(200, 60, 60), (60, 160, 60), (60, 60, 200), (230, 190, 160)]], np.uint8).repeat(12, 0).repeat(12, 1)
BUILT_IN = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def stored(profile: bytes, meant: Array = MEANT) -> Image.Image:
    """The pixels by which a file with this profile shows what is meant."""
    target = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.profileToProfile(Image.fromarray(meant), BUILT_IN, target, outputMode="RGB") or Image.new(
        "RGB", (1, 1)
    )


def off(found: Array, meant: Array = MEANT) -> int:
    """The largest difference inside the patches, whose borders are resampled."""
    inside = np.abs(found.astype(int) - meant)[2:10]
    return int(inside[:, [x for x in range(48) if 2 <= x % 12 < 10]].max())


@pytest.fixture(autouse=True)
def forget() -> None:
    colour._found.cache_clear()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("name", WIDE)
def test_an_embedded_profile_is_followed(name: str, kind: str) -> None:
    profile, options = WIDE[name], {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}
    data = encoded(stored(profile), kind, icc_profile=profile, **options.get(kind, {}))
    most = 12 if name == "linear" else 6 if kind == "JPEG" or name == "ProPhoto" else 3  # 8 linear bits are coarse
    assert off(decode_whole(data, 3)) <= most
    assert off(decode_square(data, 48, 3, "pad")[18:30]) <= most
    assert (
        np.abs(decode_whole(data, 1)[..., 0].astype(int) - np.asarray(Image.fromarray(MEANT).convert("L")))[
            6, 6::12
        ].max()
        <= most
    )


def test_colours_are_converted_before_they_are_averaged() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[::2] = 255
    plain, linear = (
        decode_square(encoded(Image.fromarray(stripes), icc_profile=each), 8, 3) for each in (None, LINEAR)
    )
    assert np.abs(plain.astype(int) - linear).max() <= 1, "black and white are the same in both, and so is their mean"


def test_a_jpeg_that_is_decoded_smaller_is_converted_in_grey_too() -> None:
    image = stored(P3).resize((768, 192), Image.Resampling.NEAREST)
    data = encoded(image, "JPEG", quality=95, icc_profile=P3)
    expected = np.asarray(Image.fromarray(MEANT).convert("L"))[6, 6::12].astype(int)
    found = decode_square(data, 48, 1, "pad")[24, [6, 18, 30, 42], 0]
    assert np.abs(found - expected).max() <= 2
    ignored = decode_square(encoded(image, "JPEG", quality=95), 48, 1, "pad")[24, [6, 18, 30, 42], 0]
    assert np.abs(ignored - expected).max() > 5, "the test itself"


def test_opacity_and_palettes_keep_their_colours() -> None:
    image = stored(P3)
    clear = image.copy()
    clear.putalpha(128)
    found = decode_whole(encoded(clear, icc_profile=P3), 3)
    assert off(found, np.rint(MEANT * (128 / 255) + 127).astype(np.uint8)) <= 3
    palette = image.quantize(8, dither=Image.Dither.NONE)
    assert off(decode_whole(encoded(palette, icc_profile=P3), 3)) <= 4


def grey_profile(gamma: float) -> bytes:
    """Version 2: white, and one curve."""
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    name = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"grey\0" + b"\0" * 79
    tags = {b"desc": name, b"cprt": b"text\0\0\0\0none\0\0\0\0", b"wtpt": white, b"kTRC": curve}
    table, data = struct.pack(">I", len(tags)), b""
    for key, value in tags.items():
        table += key + struct.pack(">II", 132 + 12 * len(tags) + len(data), len(value))
        data += value
    head = struct.pack(
        ">I4sI4s4s4s12x4s28x", 132 + 12 * len(tags) + len(data), b"", 0x02400000, b"mntr", b"GRAY", b"XYZ ", b"acsp"
    )
    return (head + struct.pack(">3i", 63190, 65536, 54061)).ljust(128, b"\0") + table + data


def srgb_of(linear: Array) -> Array:
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255


@pytest.mark.parametrize("gamma", [1.0, 1.8])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_curve_of_grey_is_followed(bits: int, gamma: float) -> None:
    ramp = np.tile(np.arange(0, 256, 4), (8, 1))
    data = png(ramp * (257 if bits == 16 else 1), bits, (b"iCCP", b"g\0\0" + zlib.compress(grey_profile(gamma))))
    found = decode_whole(data, 1)[..., 0]
    assert np.abs(found - srgb_of((ramp / 255) ** gamma)).max() <= 2
    assert np.array_equal(decode_whole(data, 3)[..., 2], found), "grey stays grey"


def test_a_grey_picture_with_a_profile_of_colours() -> None:
    ramp = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (8, 1))
    found = decode_whole(encoded(Image.fromarray(ramp), "JPEG", quality=100, icc_profile=PROPHOTO), 1)[..., 0]
    assert np.abs(found - srgb_of((ramp / 255) ** 1.8)).max() <= 4
    assert np.array_equal(decode_whole(encoded(Image.fromarray(ramp), icc_profile=P3), 1)[..., 0], ramp), (
        "the same curve"
    )


def cmyk_profile() -> bytes:
    """A press without black ink's help: a table of 2 points a side, from CMYK to Lab, ICC version 2."""
    points = np.array(np.meshgrid(*[[0, 1]] * 4, indexing="ij")).reshape(4, 16)
    brightness = np.rint(65280 * (1 - points[:3].mean(0)) * (1 - points[3])).astype(int)
    table = b"".join(struct.pack(">3H", level, 0x8000, 0x8000) for level in brightness)
    lut = b"mft2\0\0\0\0" + bytes([4, 3, 2, 0]) + struct.pack(">9i", *[65536 if i % 4 == 0 else 0 for i in range(9)])
    lut += struct.pack(">2H", 2, 2) + struct.pack(">2H", 0, 65535) * 4 + table + struct.pack(">2H", 0, 65535) * 3
    start = 132 + 12
    head = struct.pack(">I4sI4s4s4s12x4s28x", start + len(lut), b"", 0x02400000, b"prtr", b"CMYK", b"Lab ", b"acsp")
    head += struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + struct.pack(">I4sII", 1, b"A2B0", start, len(lut)) + lut


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_inks_are_read_by_their_profile(kind: str) -> None:
    image = Image.new("CMYK", (32, 32), (255, 0, 0, 0))
    data = encoded(image, kind, icc_profile=cmyk_profile(), **({"quality": 100} if kind == "JPEG" else {}))
    assert images.decode_whole(encoded(image, kind), 3)[0, 0].tolist()[0] < 5, "cyan, where nothing else is said"
    found = decode_whole(data, 3)[0, 0].astype(int)
    assert found.max() - found.min() <= 2 and 140 < found[0] < 180, "the grey that this press makes of cyan"


# What is sRGB stays as it is, bit by bit.


@pytest.mark.parametrize(
    "profile", [BUILT_IN.tobytes(), matrix_profile(SRGB, (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))]
)
def test_profiles_of_srgb_change_nothing(profile: bytes) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 160, 3), np.uint8)
    for kind, image in (
        ("PNG", Image.fromarray(noise)),
        ("JPEG", Image.fromarray(noise)),
        ("JPEG", Image.fromarray(noise[..., 0])),
    ):
        for channels in (1, 3):
            plain, tagged = (
                decode_square(encoded(image, kind, **more), 32, channels) for more in ({}, {"icc_profile": profile})
            )
            assert np.array_equal(plain, tagged)
    assert colour.conversion(Image.open(io.BytesIO(encoded(Image.fromarray(noise), icc_profile=profile)))) == (None, "")


# PNG chunks and EXIF.


def gama(value: float) -> Chunk:
    return b"gAMA", struct.pack(">I", round(value * 100_000))


def chrm(*values: float) -> Chunk:
    return b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in values))


P3_CORNERS = (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
ICCP: Callable[[bytes], Chunk] = lambda profile: (b"iCCP", b"x\0\0" + zlib.compress(profile))  # noqa: E731
SAME = {
    "nothing": (),
    "gAMA of sRGB": (gama(0.45455),),
    "gAMA and cHRM of sRGB": (gama(0.45455), chrm(*SRGB)),
    "sRGB before gAMA": ((b"sRGB", b"\0"), gama(1.0)),
    "cICP of sRGB": ((b"cICP", bytes([1, 13, 0, 1])),),
    "cICP before iCCP": ((b"cICP", bytes([1, 13, 0, 1])), ICCP(LINEAR)),
}


@pytest.mark.parametrize("name", SAME)
def test_chunks_that_say_srgb(name: str) -> None:
    assert np.array_equal(decode_whole(png(MEANT, 8, *SAME[name]), 3), MEANT)


OTHER = {
    "gAMA": ((gama(1.0),), LINEAR, 12),
    "cHRM": ((chrm(*P3_CORNERS),), P3, 3),
    "gAMA and cHRM": ((gama(1.0), chrm(*SRGB)), LINEAR, 12),
    "cICP": ((b"cICP", bytes([12, 13, 0, 1])), P3, 3),
    "iCCP before sRGB": ((ICCP(P3), (b"sRGB", b"\0")), P3, 3),
}


@pytest.mark.parametrize("name", OTHER)
def test_chunks_that_say_another_space(name: str) -> None:
    chunks, profile, most = OTHER[name]
    given: Any = chunks if isinstance(chunks[0], tuple) else (chunks,)
    assert off(decode_whole(png(np.asarray(stored(profile)), 8, *given), 3)) <= most


@pytest.mark.parametrize("transfer", [16, 18])
def test_high_dynamic_range_is_refused(transfer: int) -> None:
    with pytest.raises(Unusable, match="high dynamic range"):
        decode_square(png(MEANT, 8, (b"cICP", bytes([9, transfer, 0, 1]))), 16, 3)


def test_a_camera_s_adobe_rgb_without_a_profile() -> None:
    def directory(tag: int, kind: int, count: int, value: bytes) -> bytes:
        return struct.pack("<HHHI", 1, tag, kind, count) + value + b"\0\0\0\0"

    first, second = (directory(tag, 4, 1, struct.pack("<I", place)) for tag, place in ((0x8769, 26), (0xA005, 44)))
    exif = b"Exif\0\0II*\0\x08\0\0\0" + first + second + directory(1, 2, 4, b"R03\0")
    data = encoded(stored(ADOBE), "JPEG", quality=100, subsampling=0, exif=exif)
    assert off(decode_whole(data, 3)) <= 6


# Broken and hostile profiles.

MADE_BAD = {
    "empty": b"",
    "words": b"broken",
    "cut": P3[:300],
    "another signature": P3[:36] + b"none" + P3[40:],
    "a link of devices": P3[:12] + b"link" + P3[16:],
    "of a press": P3[:16] + b"CMYK" + P3[20:],
    "no space that is known": P3[:16] + b"9CLR" + P3[20:],
    "all tags far away": P3[:128] + struct.pack(">I", 9) + b"\xff" * (len(P3) - 132),
    "100 million tags": P3[:128] + struct.pack(">I", 100_000_000) + P3[132:],
    "large": P3.ljust(5 << 20, b"\0"),
    "all black": matrix_profile(SRGB, (1.0, 0.0, 0.0, 0.0, 0.04)),
}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("name", MADE_BAD)
def test_a_bad_profile_is_passed_over_with_a_note(name: str, kind: str) -> None:
    if not MADE_BAD[name] and kind != "PNG":
        return  # Pillow embeds none
    image, options = Image.fromarray(MEANT), {"lossless": True} if kind == "WEBP" else {}
    data = (
        png(MEANT, 8, ICCP(MADE_BAD[name]))
        if kind == "PNG"
        else encoded(image, kind, icc_profile=MADE_BAD[name], **options)
    )
    with quick(2.0):
        assert np.array_equal(decode_whole(data, 3), decode_whole(encoded(image, kind, **options), 3))
    with images.opened(data) as opened:
        assert colour.conversion(opened) == (None, BROKEN)


@pytest.mark.parametrize(
    "chunk",
    [
        (b"iCCP", b"x\0\0not compressed"),
        (b"iCCP", b"x\0\0" + zlib.compress(b"\0" * (200 << 20), 9)),
        chrm(0, 0, 0, 0, 0, 0, 0, 0),
        chrm(0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3),
        gama(0),
        gama(40_000),
        (b"cICP", b"\xff\xff\xff\xff"),
    ],
    ids=["not compressed", "200 MB", "cHRM of 0", "cHRM in one point", "gAMA of 0", "gAMA of 40,000", "cICP of 255"],
)
def test_a_bad_chunk_is_passed_over_with_a_note(chunk: Chunk) -> None:
    data = png(MEANT, 8, chunk)
    assert np.array_equal(decode_whole(data, 3), MEANT)
    with images.opened(data) as opened:
        assert colour.conversion(opened) == (None, BROKEN)


def test_mutated_profiles_end_in_pixels() -> None:
    rng = random.Random(0)
    for kind in (P3, cmyk_profile(), grey_profile(1.8)):
        image = Image.new(
            {b"CMYK": "CMYK", b"GRAY": "L"}.get(kind[16:20], "RGB"), (16, 16), 200 if kind[16:20] == b"GRAY" else None
        )
        for _ in range(150):
            parts = bytearray(kind)
            for _ in range(rng.randint(1, 6)):
                parts[rng.randrange(len(parts))] = rng.randrange(256)
            with quick(2.0):
                assert decode_square(encoded(image, "JPEG", icc_profile=bytes(parts)), 8, 3).shape == (8, 8, 3)


# From end to end.


def test_training_and_inversion_see_the_same_colours_and_the_report_says_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    encodings = {"wide.png": {"icc_profile": P3}, "bad.png": {"icc_profile": b"broken"}, "plain.png": {}}
    for name, more in encodings.items():
        image = stored(P3) if name == "wide.png" else Image.fromarray(MEANT)
        (tmp_path / name).write_bytes(encoded(image.crop((0, 0, 12, 12)), **more))
    pack = DataSpec.parse(tmp_path).open(12, 3)
    for record, pixels in zip(pack.records(), pack.images):
        assert np.abs(pixels[2:10, 2:10].astype(int) - MEANT[0, 0]).max() <= 3
        read = images.read_square(tmp_path / record["name"], size=12)
        assert np.array_equal(images.to_uint8(read)[0], pixels)
        assert np.array_equal(images.to_uint8(images.read_whole(tmp_path / record["name"]))[0], pixels)
    report = inspect(pack)
    assert sorted(report.notes) == [(CONVERTED, 1, ["wide.png"]), (BROKEN, 1, ["bad.png"])]
    assert f"colours     1 image: each {BROKEN} (bad.png)" in report.lines()
    assert caplog.messages == [f"{str(tmp_path / 'bad.png')!r}: {BROKEN}"] * 2, "whatever reads one picture says so"


def test_what_is_written_says_that_it_is_srgb(tmp_path: Path) -> None:
    import torch

    source = images.read_layers(_saved(tmp_path / "a.png", stored(P3), icc_profile=P3))
    images.write_png(source, tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as written:
        assert written.info == {"srgb": 0}, "and nothing of the source's profile"
        assert off(np.asarray(written)) <= 3
    assert images.png(source) == images.png(source.copy())
    animation.write(torch.zeros(2, 3, 8, 8), tmp_path / "c.webp")
    with Image.open(tmp_path / "c.webp") as moving:
        assert colour._found(moving.info["icc_profile"], "RGB") == (None, "")


def test_a_video_says_that_it_is_srgb(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    frames = images.from_uint8(MEANT.repeat(4, 0).repeat(4, 1)[None]).expand(3, -1, -1, -1)
    animation.write(frames, tmp_path / "a.mp4")
    with av.open(str(tmp_path / "a.mp4")) as file:
        about = file.streams.video[0].codec_context
        assert (about.color_primaries, about.color_trc, about.colorspace) == (1, 13, 1)
        frame = next(file.decode(video=0)).reformat(format="rgb24", src_colorspace="ITU709").to_ndarray()
    assert np.abs(frame[24, 24::48].astype(int) - MEANT[6, 6::12]).max() <= 4


def _saved(path: Path, image: Image.Image, **options: Any) -> Path:
    path.write_bytes(encoded(image, **options))
    return path
