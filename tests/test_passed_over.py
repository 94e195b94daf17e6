"""What of the data is not learned from is said: pages, frames, borders, files left out; in the report and by `train`."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from commandline import typed
from test_data import opened, png, some, write, zipped
from waiting import quick
from zeuxis.data.passed_over import by_reason
from zeuxis.data.report import inspect
from zeuxis.io.frames import count_frames


def stack(count: int, kind: str, size: tuple[int, int] = (16, 16), **options: Any) -> bytes:
    """A file of so many pages or frames that differ."""
    pages = [Image.new("RGB", size, (7 * i % 256, 40, 90)) for i in range(count)]
    buffer = io.BytesIO()
    pages[0].save(buffer, kind, save_all=True, append_images=pages[1:], **options)
    return buffer.getvalue()


def said(source: Path, **options: Any) -> str:
    return "\n".join(inspect(opened(source, **options)).lines())


# Pages and frames.


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "PNG", "WEBP"])
@pytest.mark.parametrize("count", [1, 2, 50])
def test_pages_and_frames_are_counted(kind: str, count: int) -> None:
    data = stack(count, kind)
    assert count_frames(data) == count_frames(io.BytesIO(data)) == count
    with Image.open(io.BytesIO(data)) as image:
        assert getattr(image, "n_frames", 1) == count


def test_pages_of_every_kind_of_tiff_are_counted() -> None:
    assert count_frames(stack(5, "TIFF", big_tiff=True)) == 5
    order, page = ">", b"".join
    entries = page((n.to_bytes(2, "big") + (4).to_bytes(2, "big") + (1).to_bytes(4, "big")) for n in (254,))
    first = (1).to_bytes(2, "big") + entries + (0).to_bytes(4, "big") + (26).to_bytes(4, "big")
    for kind, count in ((0, 2), (2, 2), (1, 1), (4, 1)):
        second = (1).to_bytes(2, "big") + entries + kind.to_bytes(4, "big") + (8).to_bytes(4, "big")
        assert count_frames(b"MM\0*" + (8).to_bytes(4, "big") + first + second) == count, (order, kind)


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "PNG", "WEBP"])
def test_damaged_files_are_counted_without_harm(kind: str) -> None:
    data, rng = stack(9, kind), random.Random(0)
    for cut in range(0, len(data), max(1, len(data) // 60)):
        assert 1 <= count_frames(data[:cut]) <= 9
    for _ in range(300):
        broken = bytearray(data)
        for _ in range(4):
            broken[rng.randrange(len(data))] = rng.randrange(256)
        with quick(2.0):
            assert count_frames(bytes(broken)) >= 1
    for other in (b"", b"GIF8", b"II*\0", b"\xff\xd8\xff\xe0", png(kind="JPEG"), b"text"):
        assert count_frames(other) == 1


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("mode", ["crop", "pad", "tiles"])
def test_unused_pages_are_said_with_their_number(packed: bool, mode: str, tmp_path: Path) -> None:
    files = {"cells.tif": stack(50, "TIFF"), "cat.gif": stack(7, "GIF"), "one.png": png(), "two.tif": stack(1, "TIFF")}
    source = zipped(tmp_path / "a.zip", files) if packed else write(tmp_path / "data", files)
    (text,) = (line for line in said(source, resize_mode=mode).splitlines() if line.startswith("pages "))
    assert "2 files with several pages or frames" in text
    assert "cells.tif (1 of 50 pages used)" in text and "cat.gif (1 of 7 pages used)" in text
    assert "one.png" not in text and "two.tif" not in text
    report = inspect(opened(source, resize_mode=mode))
    assert report.as_dict()["several"] == [("cat.gif", 7), ("cells.tif", 50)]


def test_pages_are_counted_in_processes_of_their_own_too(tmp_path: Path) -> None:
    files = some(150) | {f"s{i}.tif": stack(3, "TIFF") for i in range(9)}
    assert len(inspect(opened(write(tmp_path, files))).several) == 9


# What the crop cuts off.


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ([(16, 9)] * 3, "44 % of each picture is cut off; --resize-mode pad keeps it"),
        ([(9, 16)] * 2, "44 % of each picture is cut off"),
        ([(16, 8), (8, 8)], "25 % of a picture is cut off on average, 50 % at most; --resize-mode pad keeps it"),
    ],
)
def test_what_the_crop_cuts_off_is_said(sizes: list[tuple[int, int]], told: str, tmp_path: Path) -> None:
    write(tmp_path, {f"{i}.png": png((i, 9, 9), size) for i, size in enumerate(sizes)})
    assert told in said(tmp_path)
    assert "cut off" not in said(tmp_path, resize_mode="pad")


def test_nothing_is_said_of_squares(tmp_path: Path) -> None:
    write(tmp_path, {"a.png": png(), "b.png": png("blue", (100, 100))})
    pack = opened(tmp_path)
    assert pack.passed_over == [] and "cropped " not in said(tmp_path) and "pages" not in said(tmp_path)


# Files left out.


def test_the_summary_comes_first_and_last(tmp_path: Path) -> None:
    lines = inspect(opened(write(tmp_path, some(3) | {"a.txt": b"x", "b.png": b""}))).lines()
    assert lines[0] == lines[-1] and "3 images" in lines[0] and "left out 2 files" in lines[0]


def test_files_left_out_are_grouped_by_reason(tmp_path: Path) -> None:
    junk = {f"{i}.mp3": b"sound" for i in range(200)} | {f"{i}.jpg": png(kind="JPEG")[:200] for i in range(10, 13)}
    report = inspect(opened(write(tmp_path, some(3) | junk | {"notes.pdf": b"%PDF"})))
    lines = report.lines()
    assert len(lines) < 20 and sum("mp3" in line for line in lines) == 3
    assert "  and 197 more, 200 in all: not an image (--all lists them)" in lines
    assert sum(".jpg: " in line for line in lines) == 3, "few are all listed"
    every = report.lines(every=True)
    assert sum("mp3: not an image" in line for line in every) == 200 and not any("more" in line for line in every)
    assert len(report.as_dict()["left_out"]) == 204


def test_reasons_that_differ_in_numbers_alone_are_one_reason() -> None:
    lines = by_reason([(f"{i}.png", f"has no value for {i!r} in t.csv (line {i})") for i in range(9)])
    assert len(lines) == 4 and lines[0] == "  0.png: has no value for 0 in t.csv (line 0)"
    assert lines[-1] == "  and 6 more, 9 in all: for such reasons (--all lists them)"


def test_the_command_lists_all_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "birds", some(2) | {f"{i}.mp3": b"x" for i in range(30)})
    short, full = (typed("data", "birds", *words)[1].splitlines() for words in ((), ("--all",)))
    assert sum(".mp3" in line for line in short) == 3 and sum(".mp3" in line for line in full) == 30
    assert short.count(short[0]) == 2 and any(line.startswith("wrote ") for line in short)


# Training says it too.


def test_training_says_what_it_passes_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = {f"{split}/{i}.png": png((9 * i, 9, 9), (32, 16)) for split in ("train", "test") for i in range(3)}
    write(tmp_path / "birds", files | {"train/s.tif": stack(50, "TIFF"), "test/x.mp3": b"x"})
    words = ("--steps", "1", "--batch-size", "2", "--size", "16", "--device", "cpu", "--kernels", "standard")
    code, out, told = typed("train", "gan", "./birds", *words)
    assert code == 0, told
    for part in ("1 of 50 pages used", "43 % of a picture is cut off", "test and train are splits", "left out 1 file"):
        assert part in out + told, part
