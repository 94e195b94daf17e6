"""Sources, packs, the order of training and the report: what comes in comes out right, and what is bad stops nothing."""

from __future__ import annotations

import gzip
import importlib
import io
import itertools
import json
import math
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from faults import renew
from release import RELEASE
from waiting import PATIENCE, least_seconds, quick, wait_for, wait_for_file
from zeuxis.data import Attribute, DataSpec, Pack, PackSource, order, workers
from zeuxis.data.image_files import natural
from zeuxis.data.listing import Listing
from zeuxis.data.order import Order, permutation
from zeuxis.data.report import inspect
from zeuxis.errors import DataError, UsageError, ZeuxisError
from zeuxis.io import files, images

SCALE = 20 if RELEASE else 1
GOLDEN = [[2, 4, 6, 8, 5, 1, 7, 0, 9, 3], [4, 6, 9, 7, 2, 0, 3, 1, 5, 8]]  # orders that must never change
COLOURS = ["red", "lime", "blue", "black", "yellow", "cyan", "magenta", "gray"]


def png(colour: Any = "red", size: tuple[int, int] = (12, 12), kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return buffer.getvalue()


def write(folder: Path, contents: dict[str, bytes]) -> Path:
    for name, data in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def zipped(path: Path, contents: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in contents.items():
            file.writestr(name, data)
    return path


def some(count: int, form: str = "{}.png") -> dict[str, bytes]:
    """Images that all differ."""
    return {form.format(i): png((i * 37 % 256, i * 91 % 256, i % 256)) for i in range(count)}


def opened(source: Path, **options: Any) -> Pack:
    chosen = {name: options.pop(name) for name in ("resize_mode", "max_images") if name in options}
    return DataSpec.parse(source, **chosen).open(**{"size": 8, **options})


def listed(source: str | Path) -> Listing:
    return DataSpec.parse(source).images.listing()


def names(pack: Pack) -> list[str]:
    return [record["name"] for record in pack.records()]


def reasons(pack: Pack) -> dict[str, str]:
    return dict(pack.left_out)


# Sources.


def test_a_folder_is_read_in_natural_order(tmp_path: Path) -> None:
    write(tmp_path, {f"{name}.png": png() for name in ("img10", "img9", "b/1", "a/2", "a/10", "IMG1", "img09")})
    assert names(opened(tmp_path)) == [
        "IMG1.png",
        "a/2.png",
        "a/10.png",
        "b/1.png",
        "img09.png",
        "img9.png",
        "img10.png",
    ]


@given(st.lists(st.text("ab/019.", max_size=9), max_size=9))
def test_natural_order_is_an_order(each: list[str]) -> None:
    assert sorted(sorted(each, key=natural), key=lambda name: (natural(name), name)) == sorted(
        each, key=lambda name: (natural(name), name)
    )


def test_what_cannot_be_used_is_listed_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = png((9, 200, 7), (300, 300), "JPEG")
    write(tmp_path, {"good.png": png(), "empty.png": b"", "page.jpg": b"<html>", "cut.jpg": photo[:-200]})
    write(tmp_path, {"notes.txt": b"hello", ".hidden.png": png(), ".git/a.png": png(), "wrong.jpg": png("blue")})
    (tmp_path / "nowhere.png").symlink_to("no such file")
    (tmp_path / "circle.png").symlink_to("circle.png")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "up").symlink_to(tmp_path, target_is_directory=True)
    os.mkfifo(tmp_path / "fifo.png")
    with socket.socket(socket.AF_UNIX) as unix:
        monkeypatch.chdir(tmp_path)  # a socket's path is short
        unix.bind("socket.png")
    pack = opened(tmp_path)  # a FIFO that is opened is waited for, for ever
    assert names(pack) == ["good.png", "wrong.jpg"], "the content counts, not the ending"
    found = reasons(pack)
    assert found.pop("nowhere.png").startswith("cannot be read: ")
    assert found.pop("circle.png").startswith("cannot be read: ")
    assert found == {
        "empty.png": "empty file",
        "page.jpg": "not an image of the six formats (HTML or XML)",
        "cut.jpg": "cut short",
        "notes.txt": "not an image",
        ".hidden.png": "hidden",
        ".git": "hidden",
        "sub/up": "a link to a folder that is read already",
        "fifo.png": "not a regular file",
        "socket.png": "not a regular file",
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path) -> None:
    write(tmp_path, {"good.png": png(), "closed.png": png(), "sub/a.png": png()})
    (tmp_path / "closed.png").chmod(0)
    (tmp_path / "sub").chmod(0)
    pack = opened(tmp_path)
    (tmp_path / "sub").chmod(0o755)
    assert names(pack) == ["good.png"]
    assert reasons(pack)["closed.png"] == "no permission to read it"
    assert "sub/" in reasons(pack)


def test_links_are_followed_and_each_folder_is_read_once(tmp_path: Path) -> None:
    write(tmp_path / "real", {"a.png": png(), "deep/b.png": png("blue")})
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    assert names(opened(tmp_path / "link")) == ["a.png", "deep/b.png"]
    (tmp_path / "real" / "same.png").symlink_to("a.png")
    (tmp_path / "real" / "x").symlink_to("deep", target_is_directory=True)
    assert names(opened(tmp_path / "real")) == ["a.png", "deep/b.png", "same.png"]


def test_any_name_that_a_file_can_have(tmp_path: Path) -> None:
    odd = [
        "ünï©ødé 😀.png",
        "new\nline.png",
        "a'\"b.png",
        "-rf.png",
        "\u202egnp.exe",
        "$HOME;`ls`.png",
        "x" * 250 + ".png",
    ]
    write(tmp_path, {name: png() for name in odd})
    raw = os.fsencode(tmp_path) + b"/\xff\xfe.png"
    Path(os.fsdecode(raw)).write_bytes(png())
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xe9\x1b[31m.txt")).write_bytes(b"text")
    report = inspect(opened(tmp_path))
    assert report.count == len(odd) + 1
    assert reasons(report.pack) == {"\\xe9\\x1b[31m.txt": "not an image"}
    text = "\n".join(report.lines()) + report.to_json()
    assert text.isprintable() or all(c.isprintable() or c == "\n" for c in text)
    text.encode()


def test_unusable_sources(tmp_path: Path) -> None:
    """Exit 4 and one line where there is nothing to use, exit 2 where the spec is wrong."""
    empty = tmp_path / "empty"
    empty.mkdir()
    bad = write(tmp_path / "bad", {"a.png": b"", "b.txt": b"text", "c.jpg": png()[:40]})
    text = tmp_path / "a.txt"
    text.write_text("text")
    (tmp_path / "broken.zip").write_bytes(zipped(tmp_path / "a.zip", some(3)).read_bytes()[:-30])
    nothing = zipped(tmp_path / "nothing.zip", {"a.txt": b"text"})
    for source in (empty, bad, text, tmp_path / "broken.zip", nothing):
        with pytest.raises(DataError) as caught:
            opened(source)
        assert "\n" not in str(caught.value) and caught.value.exit_code == 4
    with pytest.raises(DataError, match=r"bad has no usable image \(a.png: empty file and 2 more\)"):
        opened(bad)
    for spec in (tmp_path / "no", "avatar", "a\0b", "/dev/null", "avatars/evening", "x" * 5000, ""):
        with pytest.raises(UsageError):
            DataSpec.parse(spec).open(8)
    with pytest.raises(UsageError, match="did you mean fashion-mnist"):
        DataSpec.parse("fashion-mist").open(8)


@pytest.mark.parametrize(
    "options",
    [{"size": 0}, {"size": 9999}, {"channels": 2}, {"resize_mode": "stretch"}, {"max_images": 0}, {"max_images": -5}],
)
def test_options_out_of_bounds(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        opened(write(tmp_path, some(2)), **options)


def test_a_folder_named_like_a_data_set_has_a_slash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "digits", some(2))
    monkeypatch.chdir(tmp_path)
    assert len(opened(Path("./digits").resolve())) == 2
    assert len(DataSpec.parse("./digits").open(8)) == 2
    assert len(DataSpec.parse(Path("digits")).open(8)) == 2, "a path that is no text is one too"
    assert listed("zeuxis:digits").name == "digits"
    with pytest.raises(UsageError, match=r"\./digits .*zeuxis:digits"):
        listed("digits")


# Classes and attributes.


def classes(pack: Pack) -> list[str]:
    assert pack.labels is not None and pack.labels.dtype == np.int64
    return [pack.classes[label] for label in pack.labels]


def test_class_folders(tmp_path: Path) -> None:
    write(tmp_path, {"cat/1.png": png(), "cat/deep/2.png": png(), "dog/1.png": png(), "bird/x.txt": b"none"})
    pack = opened(tmp_path)
    assert pack.classes == ["cat", "dog"] and classes(pack) == ["cat", "cat", "dog"]
    write(tmp_path, {"README.txt": b"no image at the root is no harm"})
    assert opened(tmp_path).classes == ["cat", "dog"]
    write(tmp_path, {"root.png": png()})
    assert opened(tmp_path).labels is None, "an image beside the folders: they are no classes"


def test_class_folders_within_one_folder(tmp_path: Path) -> None:
    assert classes(opened(write(tmp_path, {f"pets/{n}/1.png": png() for n in ("10", "9")}))) == ["9", "10"]
    assert opened(write(tmp_path / "one", {"only/1.png": png(), "only/2.png": png()})).labels is None


def test_zip_equals_folder(tmp_path: Path) -> None:
    contents = some(7, "a/{}.png") | some(5, "b/x{}.png") | {"a/cut.png": png()[:50], "note.txt": b"text"}
    folder = opened(write(tmp_path / "data", contents))
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        pack = opened(zipped(tmp_path / f"{method}.zip", dict(reversed(contents.items())), method))
        assert np.array_equal(pack.images, folder.images)
        assert list(pack.records()) == list(folder.records()) and reasons(pack) == reasons(folder)
        assert classes(pack) == classes(folder)
        assert pack.fingerprint == folder.fingerprint, "the same content"


def test_zips_that_are_traps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MOST_BYTES", 1 << 20)
    path = zipped(tmp_path / "a.zip", {"good.png": png(), "../../evil.png": png("blue"), "/abs.png": png("lime")})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bomb.png", b"\x89PNG\r\n\x1a\n" + bytes(2 << 20))
        file.writestr("lzma.png", png(), zipfile.ZIP_LZMA)
        file.writestr("inner.zip", path.read_bytes())
        file.writestr("__MACOSX/._good.png", b"x")
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("good.png", png("blue"))
    pack = opened(path)
    assert names(pack) == ["/abs.png", "good.png"]
    assert reasons(pack) == {
        "../../evil.png": "hidden",
        "bomb.png": "over 1 MB",
        "lzma.png": "packed in a way that is not read here (neither stored nor deflated)",
        "inner.zip": "not an image of the six formats (a zip)",
        "__MACOSX/._good.png": "hidden",
        "good.png": "its name is there twice",
    }
    assert not list(tmp_path.parent.rglob("evil.png")), "nothing is unpacked to the disk"


def test_a_zip_that_lies_about_sizes_or_is_encrypted(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.png": png(), "b.png": png("blue")})
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")
    data[entry + 8] |= 1  # the first member says it is encrypted
    path.write_bytes(data)
    assert names(opened(path)) == ["b.png"]
    data[entry + 8] &= 0xFE
    struct.pack_into("<I", data, entry + 24, 10)  # says it is smaller than it is
    (tmp_path / "b.zip").write_bytes(data)
    assert names(opened(tmp_path / "b.zip")) == ["b.png"]


ROWS = [("1.png", "dog"), ("sub/2.png", "cat"), ("10.png", "dog")]
TABLES: dict[str, tuple[str, str]] = {
    "csv": ("labels.csv", "file,label\n1.png,dog\nsub/2.png,cat\n10.png,dog\n"),
    "semicolons": ("x.csv", "Label;File\ndog;1.png\ncat;sub/2.png\ndog;10.png\n"),
    "tabs, byte order mark, CRLF": ("y.tsv", "\ufeffimage\tclass\r\n1.png\tdog\r\nsub/2.png\tcat\r\n10.png\tdog\r\n"),
    "no header": ("z.csv", "1.png,dog\nsub/2.png,cat\n10.png,dog\n"),
    "names without folder or ending": ("labels.csv", "id,breed\n1,dog\n2,cat\n10,dog\n"),
    "more columns": ("train.csv", 'n,id,when,label\n1,1.png,"a, b",dog\n2,2.png,x,cat\n3,10.png,y,dog\n'),
    "json": ("labels.json", json.dumps(dict(ROWS))),
    "json of StyleGAN": ("dataset.json", json.dumps({"labels": ROWS})),
    "json of objects": ("meta.json", json.dumps([{"file_name": name, "label": label} for name, label in ROWS])),
}


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("form", TABLES)
def test_tables_of_classes(form: str, packed: bool, tmp_path: Path) -> None:
    name, text = TABLES[form]
    contents = {each: png(colour) for (each, _), colour in zip(ROWS, COLOURS)} | {name: text.encode()}
    source = zipped(tmp_path / "a.zip", contents) if packed else write(tmp_path, contents)
    pack = opened(source)
    assert dict(zip(names(pack), classes(pack))) == dict(ROWS)
    assert pack.left_out == [] and pack.attributes == []


def test_integers_as_classes_keep_their_order(tmp_path: Path) -> None:
    rows = [[f"00000/img{i}.png", i % 12] for i in range(24)]
    write(tmp_path, {name: png() for name, _ in rows} | {"dataset.json": json.dumps({"labels": rows}).encode()})
    pack = opened(tmp_path)
    assert pack.classes == [str(i) for i in range(12)]
    assert pack.labels is not None and pack.labels.tolist() == [i % 12 for i in range(24)]


ATTRIBUTE_TABLES = {
    "csv": ("attributes.csv", "file,Smiling,Eyeglasses,Wearing_Hat\na.png,1,0,1\nb.png,0,1,1\n"),
    "CelebA": ("list_attr_celeba.csv", "image_id,Smiling,Eyeglasses,Wearing_Hat\na.png,1,-1,1\nb.png,-1,1,1\n"),
    "words": ("a.csv", "file,smiling,eyeglasses,wearing hat\na.png,true,no,yes\nb.png,False,yes,TRUE\n"),
    "json": (
        "attributes.json",
        json.dumps(
            {
                "a.png": {"smiling": True, "eyeglasses": False, "wearing_hat": 1},
                "b.png": {"smiling": False, "eyeglasses": True, "wearing_hat": 1},
            }
        ),
    ),
}


@pytest.mark.parametrize("form", ATTRIBUTE_TABLES)
def test_tables_of_attributes(form: str, tmp_path: Path) -> None:
    name, text = ATTRIBUTE_TABLES[form]
    others = {"list_bbox.csv": b"image_id,x,y\na.png,5,7\nb.png,8,9\n", "c.png": png("blue")}
    pack = opened(write(tmp_path, {"a.png": png(), "b.png": png("lime"), name: text.encode()} | others))
    assert pack.attributes == [
        Attribute("smiling", "neutral"),
        Attribute("eyeglasses", "no eyeglasses"),
        Attribute("wearing hat", ""),
    ]
    assert pack.labels is not None and pack.labels.dtype == np.uint8
    assert pack.labels.tolist() == [[1, 0, 1], [0, 1, 1]]
    assert reasons(pack)["c.png"] == f"has no row in {name}"
    assert "list_bbox.csv" in reasons(pack)


def test_tables_that_are_none(tmp_path: Path) -> None:
    """They are named with a reason, and the folders count as if they were not there."""
    tables = {
        "a.csv": b"\xff\xfe\x00broken",
        "b.json": b"{",
        "c.json": b"[" * 100_000,
        "d.csv": b"city,people\nUlm,126000\n",
        "e.csv": b"",
        "f.csv": b"file,score\n1.png,0.5\n2.png,0.7\n,,,\n",
        "g.json": b'{"labels": null}',
        "h.json": b'{"x/1.png": [1.5, 2.5]}',
        "i.csv": ("file,note\n1.png," + "x" * 200_000).encode(),
    }
    pack = opened(write(tmp_path, {"x/1.png": png(), "y/2.png": png("blue")} | tables))
    assert set(reasons(pack)) >= set(tables) - {"f.csv"}
    left = write(tmp_path / "plain", {"x/1.png": png(), "y/2.png": png("blue"), "d.csv": tables["d.csv"]})
    assert opened(left).classes == ["x", "y"]


def idx(array: np.ndarray[Any, Any]) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files(packed: bool, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 8, 8), np.uint8)
    shrink = gzip.compress if packed else bytes
    ending = ".gz" if packed else ""
    path = tmp_path / f"t-images-idx3-ubyte{ending}"
    path.write_bytes(shrink(idx(pixels)))
    assert opened(path).labels is None
    (tmp_path / f"t-labels-idx1-ubyte{ending}").write_bytes(shrink(idx(np.arange(20) % 3)))
    pack = opened(path, channels=1)
    assert np.array_equal(pack.images[..., 0], pixels)
    assert pack.labels is not None and pack.labels.tolist() == (np.arange(20) % 3).tolist()
    assert pack.classes == ["0", "1", "2"]
    colour = tmp_path / "colour"
    colour.write_bytes(shrink(idx(pixels[:18].reshape(6, 8, 8, 3))))
    assert np.array_equal(opened(colour).images, pixels[:18].reshape(6, 8, 8, 3))


def test_idx_files_that_are_wrong(tmp_path: Path) -> None:
    good = idx(np.zeros((4, 8, 8)))
    wrong = {
        "cut": good[:-1],
        "header": good[:9],
        "kind": good[:2] + b"\x0d" + good[3:],
        "huge": struct.pack(">HBBIII", 0, 8, 3, 2**31, 2**31, 2**31),
        "flat": idx(np.zeros(9)),
        "none": idx(np.zeros((0, 8, 8))),
        "gzip": gzip.compress(good)[:-9],
        "bomb": gzip.compress(struct.pack(">HBBIII", 0, 8, 3, 1, 9, 9) + bytes(50 << 20)),
    }
    for name, data in wrong.items():
        (tmp_path / name).write_bytes(data)
        if name == "bomb":
            assert len(opened(tmp_path / name)) == 1
        else:
            with pytest.raises(DataError):
                opened(tmp_path / name)
    (tmp_path / "a-images-idx3-ubyte").write_bytes(good)
    (tmp_path / "a-labels-idx1-ubyte").write_bytes(idx(np.zeros(3)))
    with pytest.raises(DataError, match="one for each"):
        opened(tmp_path / "a-images-idx3-ubyte")


def test_mutated_zips_tables_and_idx_files_end_in_our_errors(tmp_path: Path) -> None:
    table = "file,label\n" + "".join(f"{i}.png,{'ab'[i % 2]}\n" for i in range(5))
    good = zipped(tmp_path / "good.zip", some(5) | {"labels.csv": table.encode()}).read_bytes()
    plain = idx(np.arange(128).reshape(2, 8, 8))
    rng = random.Random(0)
    for i in range(150 * SCALE):
        name, data = ("a.zip", bytearray(good)) if i % 3 else ("a-idx3-ubyte", bytearray(plain))
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(data)) if rng.random() < 0.5 else len(data) - 1 - rng.randrange(len(data) // 2)
            data[at] = rng.randrange(256)
        renew(tmp_path / name, data[: rng.randrange(len(data))] if rng.random() < 0.1 else data)
        try:
            with quick(2.0):
                assert listed(tmp_path / name).gather().items is not None
                assert len(opened(tmp_path / name)) > 0
        except ZeuxisError as error:
            assert "\n" not in str(error)


# Packs.


def test_a_pack_is_opened_again_at_once_and_identical(tmp_path: Path) -> None:
    write(tmp_path, some(7, "a/{}.png") | some(5, "b/{}.png") | {"bad.png": b"x"})
    seen: list[tuple[int, int]] = []
    first = opened(tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (13, 13) and seen == sorted(seen)
    again = opened(tmp_path, progress=lambda done, total: pytest.fail("it was built again"))
    assert isinstance(again.images, np.memmap) and not again.images.flags.writeable
    assert np.array_equal(first.images, again.images)
    assert first.labels is not None and again.labels is not None and np.array_equal(first.labels, again.labels)
    for field in ("path", "name", "classes", "attributes", "left_out", "fingerprint", "shape"):
        assert getattr(first, field) == getattr(again, field)
    assert len(again) == 12 and again.images.shape == (12, 8, 8, 3)


def test_what_changes_a_pack(tmp_path: Path) -> None:
    write(tmp_path, some(6))
    first = opened(tmp_path)
    for options in ({"size": 9}, {"channels": 1}, {"resize_mode": "pad"}, {"max_images": 3}):
        other = opened(tmp_path, **options)
        assert other.path != first.path and other.fingerprint != first.fingerprint
    write(tmp_path, {"0.png": png("white")})
    changed = opened(tmp_path)
    assert changed.path != first.path and changed.fingerprint != first.fingerprint
    assert (changed.images[0] == 255).all()
    write(tmp_path, {"new.png": png()})
    assert len(opened(tmp_path)) == 7


def test_limit_takes_evenly(tmp_path: Path) -> None:
    write(tmp_path, some(10, "a/{}.png") | some(10, "b/{}.png"))
    assert names(opened(tmp_path, max_images=4)) == ["a/0.png", "a/5.png", "b/0.png", "b/5.png"]
    assert len(opened(tmp_path, max_images=99)) == 20


def test_many_files_in_parallel_are_what_one_process_gives(tmp_path: Path) -> None:
    contents = some(150, "{}.png") | {f"bad{i}.png": png()[: 20 + i] for i in range(20)}
    content = listed(write(tmp_path, contents)).gather()
    shape = opened(tmp_path, max_images=1).shape
    one = list(workers.decoded(content, shape, processes=1))
    many = list(workers.decoded(content, shape, processes=3))
    assert len(one) == len(many) == 170
    for a, b in zip(one, many):
        assert isinstance(a, str) == isinstance(b, str)
        if isinstance(a, str) or isinstance(b, str):
            assert a == b
        else:
            assert np.array_equal(a.pixels, b.pixels) and tuple(a)[1:] == tuple(b)[1:]


def test_processes_that_decode_do_not_wait_for_torch() -> None:
    code = "import sys, zeuxis.data.child; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_a_decoder_that_crashes_costs_one_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that the children import at their start kills them at green images."""
    (tmp_path / "sitecustomize.py").write_text(
        textwrap.dedent("""
            import os
            from zeuxis.io import images
            fitted = images.fitted
            def deadly(image, *rest):
                pixels = fitted(image, *rest)
                if pixels[0, 0].tolist() == [0, 255, 0]:
                    os._exit(9)
                return pixels
            images.fitted = deadly
        """)
    )
    contents = some(130) | {"17.png": png("lime"), "99.png": png("lime")}
    write(tmp_path / "data", contents)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(workers, "cores", lambda: 2)
    pack = opened(tmp_path / "data")
    assert reasons(pack) == dict.fromkeys(("17.png", "99.png"), "the decoder crashed (exit 9)")
    assert len(pack) == 128


def test_children_that_cannot_start_leave_the_work_to_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "cores", lambda: 2)
    monkeypatch.setattr(workers, "_CHILD", "raise SystemExit(1)")
    assert len(opened(write(tmp_path, some(120)))) == 120


def test_files_that_vanish_or_change_while_they_are_read(tmp_path: Path) -> None:
    content = listed(write(tmp_path, some(3))).gather()
    (tmp_path / "1.png").unlink()
    os.mkfifo(tmp_path / "1.png")
    (tmp_path / "2.png").unlink()
    shape = opened(write(tmp_path / "other", some(1))).shape
    results = list(workers.decoded(content, shape))
    assert not isinstance(results[0], str)
    assert results[1:] == ["not a regular file", "no longer there, or a link to nothing"]


def test_training_goes_on_when_the_files_are_gone(tmp_path: Path) -> None:
    source = PackSource(opened(write(tmp_path / "data", some(9))), seed=0)
    before = source.batch(0, 9).image
    for path in (tmp_path / "data").iterdir():
        path.unlink()
    assert torch.equal(source.batch(0, 9).image, before)


@pytest.mark.parametrize("name", ["images.bin", "pack.json", "labels.npy"])
def test_a_damaged_pack_is_built_again(name: str, tmp_path: Path) -> None:
    pack = opened(write(tmp_path, some(3, "a/{}.png") | some(3, "b/{}.png")))
    before = np.array(pack.images)
    for damage in (b"", b"garbage", None):
        if damage is None:
            (pack.path / name).unlink()
        else:
            (pack.path / name).write_bytes(damage)
        again = opened(tmp_path)
        assert np.array_equal(again.images, before) and again.fingerprint == pack.fingerprint
        assert again.labels is not None and again.labels.tolist() == [0, 0, 0, 1, 1, 1]


SCRIPT = """
import signal
import sys
import time
from pathlib import Path
from zeuxis.data import DataSpec, workers
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs without
workers.cores = lambda: 2
def tell(done, total):
    Path(sys.argv[2]).write_text(str(done))
    while sys.argv[3] == "waits":
        time.sleep(0.01)
pack = DataSpec.parse(sys.argv[1]).open(32, progress=tell)
print(len(pack), pack.fingerprint)
"""


def builder(spec: str, cache: Path, mark: Path, then: str = "goes on") -> subprocess.Popen[str]:
    environment = {**os.environ, "ZEUXIS_CACHE": str(cache)}
    command = [sys.executable, "-c", SCRIPT, spec, str(mark), then]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def processes_of(cache: Path) -> list[str]:
    """Every process that has the cache's path in its environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if os.fsencode(f"ZEUXIS_CACHE={cache}") in (path / "environ").read_bytes():
                found.append(path.name)
        except OSError:
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_builder_that_is_stopped_leaves_no_process_and_a_cache_that_works(
    number: signal.Signals, tmp_path: Path
) -> None:
    data, cache = (
        write(tmp_path / "data", {f"{i}.jpg": png((i % 256, 9, 9), (600, 600), "JPEG") for i in range(300)}),
        tmp_path / "cache",
    )
    first = builder(str(data), cache, tmp_path / "mark", "waits")
    wait_for_file(tmp_path / "mark")
    first.send_signal(number)
    _, error = first.communicate(timeout=PATIENCE)
    wait_for(lambda: not processes_of(cache), "the end of every process")
    assert first.returncode != 0
    assert error.count("Traceback") <= 1, "Ctrl-C is told once, by the program itself"
    second = builder(str(data), cache, tmp_path / "mark2")
    assert second.communicate(timeout=PATIENCE)[0].startswith("300 ")
    assert not list((cache / "packs").glob("*.tmp-*")), "leftovers are swept"


def test_two_builders_build_once(tmp_path: Path) -> None:
    data, cache = write(tmp_path / "data", some(300)), tmp_path / "cache"
    both = [builder(str(data), cache, tmp_path / f"mark{i}") for i in range(2)]
    answers = [each.communicate(timeout=PATIENCE)[0] for each in both]
    assert answers[0] == answers[1] and answers[0].startswith("300 ")
    assert sum((tmp_path / f"mark{i}").exists() for i in range(2)) == 1


def test_a_full_disk(tmp_path: Path) -> None:
    """Exit 5, one line, and nothing of the attempt left behind."""
    pytest.importorskip("resource")
    data, cache = write(tmp_path / "data", some(200)), tmp_path / "cache"
    code = f"""if True:
        import resource, signal, sys
        from zeuxis.data import DataSpec
        from zeuxis.errors import DiskFullError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            DataSpec.parse({str(data)!r}).open(32)
        except DiskFullError as error:
            print(error)
    """
    environment = {**os.environ, "ZEUXIS_CACHE": str(cache)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert "could not be written" in done.stdout and done.stdout.count("\n") == 1
    assert [path.name for path in (cache / "packs").iterdir() if not path.name.startswith(".")] == []


@pytest.mark.parametrize("count", [100_000 if RELEASE else 1_500])
def test_a_folder_of_many_files(count: int, tmp_path: Path) -> None:
    data = png()
    for i in range(count):
        (tmp_path / f"{i}.png").write_bytes(data)
    assert len(opened(tmp_path, size=2)) == count
    again, listed = least_seconds(
        lambda: opened(tmp_path, size=2), lambda: [entry.stat() for entry in sorted(os.scandir(tmp_path), key=str)]
    )
    assert again < 30 * listed  # usually 3


# The order of training.


@pytest.fixture(scope="module")
def seven(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """Seven images in two classes; image i is all of the value 30 i."""
    folder = tmp_path_factory.mktemp("seven")
    contents = {f"{'ab'[i % 2]}/{i}.png": png((30 * i,) * 3) for i in range(7)}
    return opened(write(folder, contents))


def values(image: torch.Tensor) -> list[int]:
    return ((image[:, 0, 0, 0] + 1) * 127.5 / 30).round().int().tolist()


@given(st.integers(0, 2**70), st.integers(0, 10**12), st.integers(1, 30), st.integers(1, 30))
@settings(max_examples=60 * SCALE)
def test_order_is_a_function_of_seed_and_position(seven: Pack, seed: int, start: int, size: int, cut: int) -> None:
    whole = PackSource(seven, seed=seed).batch(start, size)
    other = PackSource(seven, seed=seed)
    other.batch(start + 1000, 3)  # what was asked before does not matter
    first = min(cut, size)
    parts = [other.batch(start, first)] + ([other.batch(start + first, size - first)] if size > first else [])
    assert torch.equal(torch.cat([part.image for part in parts]), whole.image)
    assert whole.label is not None
    assert torch.equal(torch.cat([part.label for part in parts if part.label is not None]), whole.label)


@given(st.integers(0, 2**64), st.integers(0, 10**6))
@settings(max_examples=40)
def test_every_epoch_has_every_image_once(seven: Pack, seed: int, epoch: int) -> None:
    assert sorted(values(PackSource(seven, seed=seed).batch(7 * epoch, 7).image)) == list(range(7))


def test_epochs_and_seeds_differ_and_all_orders_occur() -> None:
    orders = [tuple(permutation(5, seed=seed, epoch=epoch)) for seed in range(40) for epoch in range(40)]
    assert len(set(orders)) == 120
    first = np.bincount([order[0] for order in orders], minlength=5)
    assert first.min() > 250 and first.max() < 390, "each is first about 320 times"
    assert len({tuple(permutation(1000, seed=0, epoch=epoch)) for epoch in range(20)}) == 20


def test_the_order_is_the_same_on_every_machine_and_in_every_version() -> None:
    assert permutation(10, seed=0, epoch=0).tolist() == GOLDEN[0]
    assert permutation(10, seed=1, epoch=3).tolist() == GOLDEN[1]


@pytest.mark.parametrize("n", [1, 2, 3, 5, 7, 16, 17, 99, 255, 256, 257, 1000, 1023, 1025, 65_537])
def test_the_order_of_many_is_a_bijection(n: int) -> None:
    orders = [order.permuted(np.arange(n), n, seed=seed, epoch=epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert all(np.array_equal(np.sort(each), np.arange(n)) for each in orders)
    assert n < 16 or len({each.tobytes() for each in orders}) == 3


def test_the_order_of_many_never_changes() -> None:
    assert order.permuted(np.arange(8), 10**7, seed=0, epoch=0).tolist() == MANY[0]
    assert order.permuted(np.arange(10**12 - 4, 10**12), 10**12, seed=2**70, epoch=9).tolist() == MANY[1]


def test_the_order_of_many_is_even() -> None:
    """Over 2000 epochs: where an image comes, which image comes at a place, and how far neighbours are apart."""
    stats = importlib.import_module("scipy.stats")  # most tests of this file need no second of importing it
    n, cells, epochs = 2000, 20, 2000
    found = np.stack([order.permuted(np.arange(n), n, seed=5, epoch=epoch) for epoch in range(epochs)])
    where = np.argsort(found, axis=1)
    for values in (where[:, 0], where[:, 1234], found[:, 0], found[:, 777], (found[:, 1] - found[:, 0]) % n):
        assert stats.chisquare(np.bincount(values * cells // n, minlength=cells)).pvalue > 1e-4
    pairs = np.bincount(found[:, 0] * cells // n * cells + found[:, 1] * cells // n, minlength=cells**2)
    assert stats.chisquare(pairs).pvalue > 1e-4
    fixed = (found == np.arange(n)).sum(1)
    assert abs(fixed.mean() - 1) < 5 / math.sqrt(epochs), "a random permutation has one fixed point on average"
    assert abs(stats.kendalltau(np.arange(n), found[0]).statistic) < 5 * math.sqrt(4 / 9 / n)


def test_many_positions_are_one_order_by_any_number_of_ranks() -> None:
    n = order.MOST_SORTED + 1
    several, start = Order(n, 3), n - 100
    whole = several.places(start, 256)
    assert whole[:100].tolist() == order.permuted(np.arange(n - 100, n), n, seed=3, epoch=0).tolist()
    assert whole[100:].tolist() == order.permuted(np.arange(156), n, seed=3, epoch=1).tolist()
    for ranks in (2, 4):
        share = 256 // ranks
        shares = [Order(n, 3).places(start + rank * share, share) for rank in range(ranks)]
        assert np.array_equal(np.concatenate(shares), whole)
    assert not several._epochs, "no epoch is kept"
    with quick(0.02):
        several.places(12345, 64 * 64)
    few = Order(order.MOST_SORTED, 3)
    assert np.array_equal(few.places(7, 9), permutation(order.MOST_SORTED, seed=3, epoch=0)[7:16])
    assert len(few._epochs) == 1, "runs of before go on in their order"


MANY = [
    [3102668, 2816783, 7176072, 8954293, 2610481, 6188473, 8764740, 9177972],
    [767800408, 94867371475, 458584638903, 905328719270],
]


def test_batches_are_what_models_want(seven: Pack) -> None:
    source = PackSource(seven, seed=3)
    image, other, label = source.batch(5, 4)
    assert other is None and label is not None
    assert image.shape == (4, 3, 8, 8) and image.dtype == torch.float32
    assert image.is_contiguous(memory_format=torch.channels_last)
    assert image.min() >= -1 and image.max() <= 1
    assert source.columns == {"image", "label"}
    assert label.dtype == torch.int64 and label.tolist() == [2 * (v % 2) // 2 for v in values(image)]


def test_attributes_in_batches(tmp_path: Path) -> None:
    table = b"file,smiling,hat\n0.png,1,0\n1.png,0,1\n"
    source = PackSource(opened(write(tmp_path, some(2) | {"a.csv": table})), seed=0)
    label = source.batch(0, 2).label
    assert label is not None and label.dtype == torch.float32
    assert sorted(label.tolist()) == [[0, 1], [1, 0]]
    plain = PackSource(opened(write(tmp_path / "plain", some(2))), seed=0)
    assert plain.columns == {"image"} and plain.batch(0, 2).label is None


def test_mirror_swaps_half_of_them_by_seed_and_position(tmp_path: Path) -> None:
    halves = Image.new("RGB", (8, 8), "black")
    halves.paste("white", (0, 0, 4, 8))
    buffer = io.BytesIO()
    halves.save(buffer, "PNG")
    pack = opened(write(tmp_path, {"a.png": buffer.getvalue(), "b.png": buffer.getvalue()}))
    source = PackSource(pack, seed=0, hflip=True)
    left = source.batch(0, 2000).image[:, 0, 0, 0] > 0
    assert 880 < left.sum() < 1120
    assert torch.equal(source.batch(700, 9).image[:, 0, 0, 0] > 0, left[700:709])
    right = source.batch(0, 2000).image[:, 0, 0, -1] > 0
    assert torch.equal(right, ~left)


def test_training_reads_as_fast_as_pixels_are_copied(tmp_path: Path) -> None:
    pack = opened(write(tmp_path, some(500)), size=64)
    source, starts, places = PackSource(pack, seed=0), itertools.count(0, 32), torch.arange(0, 480, 15)
    pixels = torch.from_numpy(np.array(pack.images))
    reading, copying = least_seconds(
        lambda: source.batch(next(starts), 32), lambda: pixels[places].float() / 127.5 - 1, turns=60
    )
    assert reading < 5 * copying  # usually a half


# The report.


def test_report(tmp_path: Path) -> None:
    contents = (
        some(6, "cat/{}.png") | some(3, "dog/{}.png") | {"dog/big.png": png("blue", (40, 30)), "dog/no.txt": b"x"}
    )
    contents |= {"dog/grey.gif": png((9, 9, 9), (16, 16), "GIF"), "dog/grey.png": png((9, 9, 9), (16, 16))}
    report = inspect(opened(write(tmp_path, contents), size=10))
    assert report.count == 12 and report.smallest == (12, 12) and report.largest == (40, 30)
    assert dict(report.sizes) == {"12 x 12": 9, "40 x 30": 1, "16 x 16": 2} and report.enlarged == 0
    assert dict(report.modes)["RGB"] == 11
    assert report.classes == [("cat", 6), ("dog", 6)]
    assert report.same_files == [[f"cat/{i}.png", f"dog/{i}.png"] for i in range(3)]
    assert report.same_pixels == [["dog/grey.gif", "dog/grey.png"]]
    assert report.left_out == [("dog/no.txt", "not an image")]
    text = "\n".join(report.lines())
    for part in ("12 images", "12 x 12 (9)", "cat (6), dog (6)", "cat/0.png = dog/0.png", "dog/no.txt: not an image"):
        assert part in text
    assert json.loads(report.to_json())["count"] == 12 and report.as_dict()["shape"]["size"] == 10
    assert report.first_images(5).shape == (5, 3, 10, 10) and report.sheet().size[0] > 30


def test_report_of_attributes(tmp_path: Path) -> None:
    table = b"file,smiling,hat\n0.png,1,0\n1.png,0,1\n2.png,1,1\n3.png,1,1\n"
    report = inspect(opened(write(tmp_path, some(4) | {"a.csv": table}), size=20))
    assert report.attributes == [("smiling", "neutral", 3), ("hat", "no hat", 3)]
    assert "smiling (or neutral) 75 %" in "\n".join(report.lines())
    assert report.enlarged == 4 and report.classes == []


def test_the_cache_is_where_files_say(tmp_path: Path) -> None:
    assert opened(write(tmp_path, some(1))).path.parent == files.cache_dir() / "packs"


# Names that other systems wrote.


def renamed_zip(path: Path, contents: dict[str, bytes], names: dict[str, bytes]) -> Path:
    """A zip whose members have these bytes as names, without saying that they are UTF-8; each as long as its ASCII one."""
    zipped(path, contents)
    data = path.read_bytes()
    for old, new in names.items():
        assert len(old) == len(new) and data.count(old.encode()) == 2
        data = data.replace(old.encode(), new)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "form",
    [
        lambda name: name.replace("/", "\\"),
        lambda name: f"./{name}",
        lambda name: f".\\{name}".replace("/", "\\"),
        lambda name: name.replace("/", "//"),
        lambda name: name.replace("/", "/./"),
    ],
    ids=["backslashes", "dot", "dot and backslashes", "two slashes", "dot within"],
)
def test_a_zip_of_any_tool_is_read_like_a_folder(form: Any, tmp_path: Path) -> None:
    contents = some(3, "a/{}.PNG") | some(2, "b/deep/x{}.WEBP") | {"b/note.txt": b"text"}
    junk = {"__MACOSX/a/._0.PNG": b"x", "a/.DS_Store": b"x", "a/": b"", "b/deep/": b""}
    folder = opened(write(tmp_path / "data", contents))
    pack = opened(zipped(tmp_path / "a.zip", {form(name): data for name, data in (contents | junk).items()}))
    assert list(pack.records()) == list(folder.records()) and pack.fingerprint == folder.fingerprint
    assert classes(pack) == classes(folder) == ["a"] * 3 + ["b"] * 2
    assert reasons(pack) == {"__MACOSX/a/._0.PNG": "hidden", "a/.DS_Store": "hidden", **reasons(folder)}


def test_a_zip_with_a_table_and_backslashes(tmp_path: Path) -> None:
    files = {"in\\a.png": png(), "in\\b.png": png("blue"), "in\\labels.csv": b"file,label\r\na.png,x\r\nb.png,y\r\n"}
    assert classes(opened(zipped(tmp_path / "a.zip", files))) == ["x", "y"]
    many = {f"{'ab'[i % 2]}\\{name}": data for i, (name, data) in enumerate(some(200).items())}
    assert len(opened(zipped(tmp_path / "many.zip", many))) == 200, "in processes of their own too"


def test_names_in_a_zip_that_do_not_say_their_encoding(tmp_path: Path) -> None:
    contents = {"xx.png": png(), "y.png": png("blue"), "zzz.png": png("lime")}
    raw = {"xx.png": "é.png".encode(), "y.png": "é.png".encode("cp437"), "zzz.png": "e\u0301.png".encode()}
    pack = opened(renamed_zip(tmp_path / "a.zip", contents, {"xx.png": raw["xx.png"], "zzz.png": raw["zzz.png"]}))
    assert sorted(names(pack)) == sorted(["é.png", "e\u0301.png", "y.png"])
    pack = opened(renamed_zip(tmp_path / "b.zip", contents, {"y.png": raw["y.png"]}))
    assert "é.png" in names(pack)


def test_classes_come_in_natural_order(tmp_path: Path) -> None:
    kinds = ["class10", "class2", "class1", "10", "9", "b", "B", "é"]
    pack = opened(write(tmp_path, {f"{kind}/{i}.png": png() for i, kind in enumerate(kinds)}))
    assert pack.classes == ["9", "10", "B", "b", "class1", "class2", "class10", "é"]
    rows = "".join(f"{kind}/{i}.png,{kind}\n" for i, kind in enumerate(kinds))
    assert opened(write(tmp_path, {"t.csv": f"file,label\n{rows}".encode()})).classes == pack.classes


def test_class_folders_in_two_unicode_forms_are_one_class(tmp_path: Path) -> None:
    write(tmp_path, {"Vo\u0308gel/1.png": png(), "V\u00f6gel/2.png": png(), "Hunde/3.png": png()})
    pack = opened(tmp_path)
    assert pack.classes == ["Hunde", "V\u00f6gel"] and sorted(classes(pack)) == ["Hunde", "V\u00f6gel", "V\u00f6gel"]


# Folders of splits.


@pytest.mark.parametrize("splits", [("train", "test"), ("Train", "val", "test"), ("training", "validation")])
def test_splits_are_no_classes(splits: tuple[str, ...], tmp_path: Path) -> None:
    """The folders within them are; the images of all are used, and that is said."""
    files = {f"birds/{s}/{k}/{i}.png": png(COLOURS[i]) for s in splits for k in ("robin", "wren") for i in range(2)}
    for source in (write(tmp_path / "data", files), zipped(tmp_path / "a.zip", files)):
        pack = opened(source)
        assert pack.classes == ["robin", "wren"] and len(pack) == 4 * len(splits)
        assert [name.split("/")[2] for name in names(pack)] == classes(pack)
        ((which, what),) = pack.notes
        assert which == " and ".join(sorted(splits)) and f".../{splits[0]}" in what and "all are used" in what
    flat = opened(write(tmp_path / "flat", {f"{split}/{i}.png": png() for split in splits for i in range(2)}))
    assert flat.labels is None and len(flat.notes) == 1
    assert opened(tmp_path / "data" / "birds" / splits[0]).notes == []


def test_folders_beside_those_of_splits_are_classes(tmp_path: Path) -> None:
    pack = opened(write(tmp_path, {f"{kind}/1.png": png() for kind in ("train", "bus", "test")}))
    assert pack.classes == ["bus", "test", "train"] and pack.notes == []
    assert opened(write(tmp_path / "one", {"train/1.png": png(), "train/2.png": png()})).notes == []


def test_an_image_beside_class_folders_is_said_to_end_the_classes(tmp_path: Path) -> None:
    write(tmp_path, {"cat/1.png": png(), "dog/1.png": png(), "root.png": png()})
    assert opened(tmp_path).notes == [
        ("root.png", "lies in no folder of a class (1 such), so the folders are no classes")
    ]
