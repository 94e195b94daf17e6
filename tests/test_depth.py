"""Intensities of every depth have the scale of their kind of file, or are refused with the true reason."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from picture_files import Array, Chunk, encoded, png, tiff
from zeuxis.data import DataSpec
from zeuxis.io.images import Unusable, decode_whole

RAMP = np.tile(np.arange(64), (64, 1))
UNIT = RAMP / 63
COLOURS = np.stack([RAMP] * 3, 2)


def grey(data: bytes) -> Array:
    return decode_whole(data, 1)[..., 0].astype(int)


def refusal(data: bytes) -> str:
    with pytest.raises(Unusable) as caught:
        decode_whole(data, 1)
    return str(caught.value)


READ = {
    "16 bits": tiff((RAMP * 1040).astype("<u2")),
    "16 bits, big-endian": tiff((RAMP * 1040).astype(">u2")),
    "16 bits, big-endian, LZW": encoded(Image.fromarray((RAMP * 1040).astype(">u2")), "TIFF", compression="tiff_lzw"),
    "16 bits, white is 0": tiff((65520 - RAMP * 1040).astype("<u2"), photometric=0),
    "16 bits, PNG": png(RAMP * 1040, 16),
    "16 bits of colour": tiff((COLOURS * 1040).astype("<u2"), photometric=2),
    "16 bits of colour, big-endian": tiff((COLOURS * 1040).astype(">u2"), photometric=2),
    "12 bits, packed": tiff((RAMP * 65).astype(np.uint16), bits=12),
    "32 bits": tiff((RAMP.astype(np.uint64) * 68_174_084).astype("<u4")),
    "float": tiff(UNIT.astype("<f4")),
    "float, big-endian": tiff(UNIT.astype(">f4")),
    "float, white is 0": tiff((1 - UNIT).astype("<f4"), photometric=0),
}


@pytest.mark.parametrize("name", READ)
def test_the_scale_is_that_of_the_kind_of_file(name: str) -> None:
    assert np.abs(grey(READ[name]) - UNIT * 255).max() <= 1


USED = "rescale all pictures by one factor to 8 or 16 full bits"
REFUSED = {
    "8 bits in 16": (png(RAMP * 4, 16), f"at most 8 of its 16 bits are used; {USED}"),
    "10 bits in 16": (tiff((RAMP * 16).astype("<u2")), f"at most 10 of its 16 bits are used; {USED}"),
    "12 bits in 16": (tiff((RAMP * 65).astype(">u2")), f"at most 12 of its 16 bits are used; {USED}"),
    "14 bits in 16": (png(RAMP * 260, 16), f"at most 14 of its 16 bits are used; {USED}"),
    "12 bits in 16, colour": (png(COLOURS * 64, 16), f"at most 12 of its 16 bits are used; {USED}"),
    "8 bits in 16, colour": (png(COLOURS * 4, 16), f"at most 8 of its 16 bits are used; {USED}"),
    "8 bits in 16, colour TIFF": (
        tiff((COLOURS * 4).astype(">u2"), photometric=2),
        f"at most 8 of its 16 bits are used; {USED}",
    ),
    "8 bits in 16, with opacity": (
        png(np.stack([RAMP * 4, RAMP * 0 + 65535], 2), 16),
        f"at most 8 of its 16 bits are used; {USED}",
    ),
    "16 bits in 32": (tiff((RAMP * 1040).astype("<u4")), f"at most 16 of its 32 bits are used; {USED}"),
    "signed 32 bits": (tiff((RAMP * 30_000_000).astype("<i4")), f"at most 31 of its 32 bits are used; {USED}"),
    "negative 32 bits": (tiff((RAMP - 9).astype("<i4")), "negative values"),
    "signed 16 bits": (tiff((RAMP * 60 - 1024).astype("<i2")), "signed integers of 16 bits"),
    "signed 16 bits, big-endian": (tiff((RAMP * 500).astype(">i2")), "signed integers of 16 bits"),
    "signed 8 bits": (tiff(RAMP.astype("i1")), "signed integers of 8 bits"),
    "float of 255": (tiff((UNIT * 255).astype("<f4")), "outside of 0 to 1; rescale all pictures"),
    "float, negative": (tiff((UNIT - 0.5).astype("<f4")), "outside of 0 to 1; rescale all pictures"),
    "a NaN": (tiff(np.where(RAMP == 7, np.nan, UNIT).astype("<f4")), "a NaN or an infinity"),
    "an infinity": (tiff(np.where(RAMP == 7, -np.inf, UNIT).astype(">f4")), "a NaN or an infinity"),
    "half floats": (tiff(UNIT.astype("<f2")), "1 channel of 16-bit floating-point values, which is not read here"),
    "double floats": (tiff(UNIT.astype("<f8")), "1 channel of 64-bit floating-point values, which is not read here"),
    "float colours": (tiff(np.stack([UNIT] * 3, 2).astype("<f4"), photometric=2), "3 channels of 32-bit floating"),
    "signed colours": (tiff(COLOURS.astype("<i2"), photometric=2), "3 channels of 16-bit signed values"),
    "32 bits, big-endian": (tiff(RAMP.astype(">u4")), "1 channel of 32-bit unsigned values"),
    "2 channels": (tiff((COLOURS[..., :2] * 1040).astype("<u2")), "2 channels of 16-bit unsigned values"),
    "5 channels": (tiff(np.stack([RAMP] * 5, 2).astype("u1"), tags={338: 0}), "5 channels of 8-bit unsigned values"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_known_scale_is_refused_with_its_reason(name: str) -> None:
    data, reason = REFUSED[name]
    found = refusal(data)
    assert reason in found
    assert "damaged" not in found and "broken" not in found


@given(st.integers(0, 63), st.integers(0, 63), st.floats(0, 1, width=32))
def test_one_pixel_of_a_float_picture_moves_no_other(row: int, column: int, value: float) -> None:
    changed = UNIT.astype("<f4")
    changed[row, column] = value
    different = grey(tiff(changed)) != grey(READ["float"])
    different[row, column] = False
    assert not different.any()


def test_what_rounds_to_white_or_to_black_is_read() -> None:
    changed = UNIT.astype("<f4")
    changed[0, :2] = 1.0001, -0.0001
    found = grey(tiff(changed))
    assert found[0, :2].tolist() == [255, 0]
    assert (found[1:] == grey(READ["float"])[1:]).all()


def test_a_dark_picture_stays_dark() -> None:
    assert grey(tiff((UNIT * 0.1).astype("<f4"))).max() == 26
    assert grey(png(RAMP * 300, 16)).max() == 74
    for value in (0, 300):  # of one value nothing tells that its scale is another
        assert (grey(png(np.full((8, 8), value), 16)) == round(value / 257)).all()
    assert (grey(png(np.zeros((8, 8, 3)), 16)) == 0).all()


def test_a_set_leaves_out_what_is_on_another_scale(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(UNIT.astype("<f4")))
    (tmp_path / "b.tif").write_bytes(tiff((UNIT * 1.5).astype("<f4")))
    pack = DataSpec.parse(tmp_path).open(64, 1)
    assert [name for name, _ in pack.left_out] == ["b.tif"]
    assert np.abs(pack.images[0, ..., 0].astype(int) - UNIT * 255).max() <= 1


# Transparency of one value, as a PNG's chunk tRNS says.


def key(*values: int) -> Chunk:
    return b"tRNS", struct.pack(f">{len(values)}H", *values)


def test_a_transparent_grey_of_16_bits() -> None:
    values = np.full((8, 8), 0x9900)
    values[:, :4] = 0x9911
    found = grey(png(values, 16, key(0x9911)))
    assert (found[:, :4] == 255).all() and (found[:, 4:] == 152).all()


def test_a_transparent_colour_of_16_bits_and_not_one_with_the_same_upper_bits() -> None:
    values = np.zeros((8, 8, 3), int) + 0x5600
    values[:, :4] = 0x5612, 0x5634, 0x5678
    found = decode_whole(png(values, 16, key(0x5612, 0x5634, 0x5678)), 3)
    assert (found[:, :4] == 255).all() and (found[:, 4:] == 0x56).all()


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_transparent_grey_of_few_bits(bits: int) -> None:
    most = 2**bits - 1
    values = np.tile(np.arange(16) % (most + 1), (4, 1))
    expected = np.where(values == most - 1, 255, values * 255 // most)
    assert (grey(png(values, bits, key(most - 1))) == expected).all()


def test_opacity_of_16_bits() -> None:
    values = np.stack([np.full((8, 8), 20_000), np.full((8, 8), 32_768)], 2)
    assert np.abs(grey(png(values, 16)) - (78 * 128 / 255 + 127)).max() <= 1
    assert (grey(tiff(np.full((8, 8, 2), (0, 100), np.uint8), tags={338: 1})) == 155).all(), "times opacity already"


# A picture alone does not tell whether it is dark or on another scale; its set may.

DARK, BRIGHT = (RAMP * 60).astype("<u2"), (RAMP * 1040).astype("<u2")
DARK_COLOURS = np.stack([DARK] * 3, 2)
SETS: dict[str, tuple[dict[str, bytes], set[str]]] = {
    "dark among bright": ({"a.tif": tiff(DARK), "b.tif": tiff(BRIGHT)}, {"a.tif"}),
    "two dark, PNG and TIFF": (
        {"a.tif": tiff(DARK), "b.png": png(DARK, 16), "c.png": png(BRIGHT, 16)},
        {"a.tif", "b.png"},
    ),
    "colours": (
        {
            "a.tif": tiff(DARK_COLOURS, photometric=2),
            "b.png": png(COLOURS * 1040, 16),
            "c.png": png(DARK_COLOURS // 64, 16),
        },
        {"a.tif", "c.png"},
    ),
    "32 bits": ({"a.tif": tiff(DARK.astype("<u4")), "b.tif": tiff((RAMP * 68_174_084).astype("<u4"))}, {"a.tif"}),
}


def folder(at: Path, contents: dict[str, bytes]) -> Path:
    at.mkdir()
    for name, data in contents.items():
        (at / name).write_bytes(data)
    return at


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("form", ["folder", "zip", "tiles"])
def test_a_dark_picture_among_others_that_use_all_bits_is_dark(name: str, form: str, tmp_path: Path) -> None:
    contents, dark = SETS[name]
    source = folder(tmp_path / "data", contents)
    if form == "zip":
        with zipfile.ZipFile(tmp_path / "data.zip", "w") as file:
            for each, data in contents.items():
                file.writestr(each, data)
        source = tmp_path / "data.zip"
    pack = DataSpec.parse(source, resize_mode="tiles" if form == "tiles" else None).open(64, 1)
    assert len(pack) == len(contents) and pack.left_out == []
    for record, image in zip(pack.records(), pack.images):
        found = record["name"].rpartition("@")[2]
        if found in dark:
            assert abs(int(image.max()) - brightest(name, found)) < 1, "it is not brightened"
        else:
            assert np.abs(image[..., 0] - UNIT * 255).max() <= 1, "no dark picture moves it"
    (note,) = [text for text in pack.passed_over if "read as dark" in text]
    bits = 32 if name == "32 bits" else 16
    assert f"of {bits} bits, few of them used: read as dark, as others use all" in note and min(dark) in note
    assert ("and 1 more" in note) == (len(dark) == 2)


def brightest(name: str, found: str) -> float:
    """The brightest value of a dark picture in 8 bits."""
    if name == "32 bits":
        return 3780 / 16_843_009
    return 3780 // 64 / 257 if found == "c.png" else 3780 // 256 if name == "colours" else 3780 / 257


@pytest.mark.parametrize(
    "others",
    [
        {"b.tif": tiff((RAMP * 65).astype(">u2"))},
        {"b.png": encoded(Image.fromarray(RAMP.astype(np.uint8) * 4))},
        {"b.tif": tiff((RAMP.astype(np.uint64) * 68_174_084).astype("<u4"))},
        {"b.tif": tiff((RAMP * 0 + 300).astype("<u2")), "c.tif": tiff(UNIT.astype("<f4"))},
    ],
    ids=["12 bits in all", "8 bits", "another depth", "plain, and floats"],
)
def test_where_no_other_picture_shows_the_scale_it_is_refused(others: dict[str, bytes], tmp_path: Path) -> None:
    bright = {"z.png": encoded(Image.new("L", (64, 64), 9))}
    pack = DataSpec.parse(folder(tmp_path / "data", {"a.tif": tiff(DARK)} | others | bright)).open(64, 1)
    assert dict(pack.left_out)["a.tif"] == f"at most 12 of its 16 bits are used; {USED}"
    assert not any("read as dark" in text for text in pack.passed_over)


def test_a_negative_value_is_refused_whatever_the_others_are(tmp_path: Path) -> None:
    contents = {"a.tif": tiff((RAMP - 9).astype("<i4")), "b.tif": tiff((RAMP * 68_174_084).astype("<u4"))}
    pack = DataSpec.parse(folder(tmp_path / "data", contents)).open(64, 1)
    assert "negative values" in dict(pack.left_out)["a.tif"] and len(pack) == 1


def test_a_file_cannot_say_that_its_set_uses_all_bits(tmp_path: Path) -> None:
    text = (b"tEXt", b"zeuxis bits in use\x0016")
    contents = {"a.tif": tiff(DARK), "b.png": png(RAMP * 4, 8, text)}
    pack = DataSpec.parse(folder(tmp_path / "data", contents)).open(64, 1)
    assert [record.get("bits") for record in pack.records()] == [None] and len(pack.left_out) == 1
