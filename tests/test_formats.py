"""Files of other formats are named by what they are, with what to do; none is called damaged."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from picture_files import encoded, tiff
from zeuxis.data import DataSpec
from zeuxis.errors import DataError
from zeuxis.io import formats
from zeuxis.io.images import Unusable, decode_square


def box(brand: bytes, *others: bytes) -> bytes:
    return (16 + 4 * len(others)).to_bytes(4, "big") + b"ftyp" + brand + b"\0\0\0\0" + b"".join(others)


def sof(marker: int, bits: int) -> bytes:
    comment = b"\xff\xfe\0\x08words!"
    return b"\xff\xd8" + comment + bytes([0xFF, marker, 0, 11, bits, 0, 16, 0, 16, 1, 1, 17, 0])


NAMED = {
    "HEIC": box(b"heic", b"mif1", b"heic"),
    "HEIC of a newer camera": box(b"heix", b"mif1", b"heix"),
    "HEIC by its structure": box(b"mif1", b"mif1", b"heic"),
    "AVIF": box(b"avif", b"mif1", b"miaf"),
    "AVIF by its structure": box(b"mif1", b"avif"),
    "a camera's RAW": box(b"crx ", b"crx ", b"isom"),
    "video (MP4": box(b"isom", b"mp41"),
    "video (QuickTime)": b"\0\0\0\x08wide\0\0\0\0mdat",
    "video (Matroska": b"\x1a\x45\xdf\xa3\x9f",
    "video (AVI)": b"RIFF\0\0\0\0AVI LIST",
    "JPEG XL": b"\xff\x0a\x7f",
    "JPEG XL in boxes": b"\0\0\0\x0cJXL \r\n\x87\n",
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n",
    "JPEG 2000 without boxes": b"\xff\x4f\xff\x51\0",
    "JPEG-LS": sof(0xF7, 8),
    "JPEG of 12 bits": sof(0xC1, 12),
    "JPEG of 16 bits": sof(0xC3, 16),
    "DICOM": b"\0" * 128 + b"DICM",
    "Photoshop": b"8BPS\0\1",
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "SVG after a comment": b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- made by hand -->\n<svg/>",
    "a PDF": b"%PDF-1.4",
    "PostScript": b"%!PS-Adobe",
    "OpenEXR": b"\x76\x2f\x31\x01",
    "HDF5": b"\x89HDF\r\n",
    "a camera's RAW file": b"FUJIFILMCCD-RAW 0201",
}


@pytest.mark.parametrize("name", NAMED)
def test_other_formats_are_named(name: str) -> None:
    with pytest.raises(Unusable) as caught:
        decode_square(NAMED[name].ljust(600, b"\0"), 16, 3)
    expected = (
        name.partition(" of a newer")[0].partition(" by its")[0].partition(" in boxes")[0].partition(" without")[0]
    )
    assert expected.partition(" after")[0] in str(caught.value)
    assert not {"damaged", "broken", "cut"} & set(str(caught.value).split())


def test_what_is_named_comes_with_what_to_do() -> None:
    for place, magic, kind, advice in formats._OTHERS:
        assert formats.named(b"\0" * place + magic) == f"{kind}, which is not read here; {advice}"
        assert not formats.looks_like_image(b"\0" * place + magic)
    assert formats.named(b"hello") == formats.named(b"") == ""


def test_tiffs_that_are_previews_of_a_camera_s_picture() -> None:
    small = np.zeros((16, 16), np.uint8)
    assert decode_square(tiff(small), 8, 1).max() == 0
    for tags in ({50706: 1}, {254: 1, 330: 8}):
        with pytest.raises(Unusable, match="RAW"):
            decode_square(tiff(small, tags=tags), 8, 1)
    with pytest.raises(Unusable, match="compression 34887"):
        decode_square(tiff(small, tags={259: 34887}), 8, 1)


def test_a_folder_and_a_zip_say_the_same(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "a.png").write_bytes(encoded(Image.new("RGB", (8, 8))))
    (tmp_path / "scan.dcm").write_bytes(NAMED["DICOM"])
    (tmp_path / "photo.jpg").write_bytes(NAMED["HEIC"])
    with zipfile.ZipFile(tmp_path.with_suffix(".zip"), "w") as archive:
        for path in tmp_path.iterdir():
            archive.write(path, path.name)
    for data in (tmp_path, tmp_path.with_suffix(".zip")):
        left_out = dict(DataSpec.parse(data).open(8).left_out)
        assert left_out["scan.dcm"].startswith("DICOM, which") and left_out["photo.jpg"].startswith("HEIC, which")
    with pytest.raises(DataError, match="is HEIC, which is not read here; convert it"):
        DataSpec.parse(tmp_path / "photo.jpg").open(8)
