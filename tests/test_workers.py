"""Processes that decode images and are stopped, hang or are left alone: none holds up a build, and none is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from test_data import opened, png, processes_of, reasons, some, write, zipped
from test_images import scans
from waiting import PATIENCE, wait_for
from zeuxis.data import pairs, tiles, workers
from zeuxis.data.image_files import folder_listing
from zeuxis.data.listing import WHOLE, Picture, Shape
from zeuxis.data.readers import Files, Members
from zeuxis.errors import DataError

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and FIFOs")

# At green images the children open a FIFO that nobody writes to, as a hard-mounted network folder would hold them up.
HANGS = """
import os
from pathlib import Path
from zeuxis.io import images
here, fitted, whole = Path(__file__).parent, images.fitted, images.fitted_whole
def hanging(pixels):
    if pixels[0, 0].tolist() in ([0, 255, 0], [150]):
        (here / f"hangs-{os.getpid()}").touch()
        open(here / "fifo").read()
    return pixels
images.fitted = lambda *given: hanging(fitted(*given))
images.fitted_whole = lambda *given: hanging(whole(*given))
"""


def hangs(child: Any, folder: Path) -> bool:
    return (folder / f"hangs-{child.pid}").exists()


@pytest.fixture
def hanging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a module that the children import at their start."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "sitecustomize.py").write_text(textwrap.dedent(HANGS))
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """All children that were started; each has ended when the test has."""
    children: list[Any] = []
    start = workers._Children.start

    def noted(self: workers._Children) -> Any:
        children.append(start(self))
        return children[-1]

    monkeypatch.setattr(workers._Children, "start", noted)
    monkeypatch.setattr(workers, "cores", lambda: 2)
    return children


def late_when(condition: Callable[[Any], bool], monkeypatch: pytest.MonkeyPatch) -> None:
    """Children are late as soon as this holds for one that owes an answer, by an event and not by the clock."""

    def late(self: workers._Watch) -> list[Any]:
        with self._lock:
            return [child for child in self._silent if condition(child)]

    monkeypatch.setattr(workers._Watch, "late", late)
    monkeypatch.setattr(workers, "_PATIENCE", 0.5)


def test_a_decoder_that_hangs_costs_one_image(hanging: Path, made: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    late_when(lambda child: hangs(child, hanging), monkeypatch)
    write(hanging / "data", some(130) | {name: png("lime") for name in ("17.png", "18.png", "129.png")})
    pack = opened(hanging / "data")
    assert reasons(pack) == dict.fromkeys(("17.png", "18.png", "129.png"), "no answer in 0.5 s")
    assert len(pack) == 127
    assert all(child.poll() is not None for child in made)
    assert sum(hangs(child, hanging) for child in made) == 6, "each image was given two tries"


@pytest.mark.parametrize("count", [1, 2])
def test_a_child_that_is_stopped_loses_no_image(
    count: int, tmp_path: Path, made: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ready, stopped = workers._Children.ready, list[Any]()

    def stopping(self: workers._Children) -> bool:
        answer = ready(self)
        for child in made[:count]:
            os.kill(child.pid, signal.SIGSTOP)
            stopped.append(child)
        return answer

    late_when(stopped.__contains__, monkeypatch)
    monkeypatch.setattr(workers._Children, "ready", stopping)
    pack = opened(write(tmp_path, some(300)))
    assert len(pack) == 300 and pack.left_out == []
    assert len(made) == 2 + count and all(child.poll() is not None for child in made)


def test_a_child_that_is_stopped_at_its_start(tmp_path: Path, made: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    late_when(lambda child: child is made[0], monkeypatch)
    monkeypatch.setattr(workers, "_CHILD", f"import os; os.kill(os.getpid(), {int(signal.SIGSTOP)})")
    assert len(opened(write(tmp_path, some(120)))) == 120, "this process does the work"
    assert all(child.poll() is not None for child in made)


def test_one_core_has_a_child_that_can_be_ended_too(
    hanging: Path, made: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "cores", lambda: 1)
    late_when(lambda child: hangs(child, hanging), monkeypatch)
    pack = opened(write(hanging / "data", some(100) | {"50.png": png("lime")}))
    assert reasons(pack) == {"50.png": "no answer in 0.5 s"} and len(pack) == 99


def test_where_nothing_answers_the_build_ends(hanging: Path, made: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A network folder that is gone for a while would else leave a pack without most of its images."""
    monkeypatch.setattr(workers, "_MOST_LOST", 2)
    late_when(lambda child: hangs(child, hanging), monkeypatch)
    write(hanging / "data", {f"{i}.png": png("lime") for i in range(100)})
    with pytest.raises(DataError, match=r"more than 2 images in a row got no answer .* check the disk .* start again"):
        opened(hanging / "data")
    assert all(child.poll() is not None for child in made)


class Silent:
    """A child that never answers."""

    def __init__(self) -> None:
        self.kills = 0

    def kill(self) -> None:
        self.kills += 1


def test_the_watch_ends_who_owes_an_answer_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = workers._Watch()
    silent, busy, idle = children = [Silent() for _ in range(3)]
    for child in children:
        watch.expect(child)  # type: ignore[arg-type]
    watch.done(idle)  # type: ignore[arg-type]
    for _ in range(workers._CHECKS):
        assert watch.late() == []
        watch.expect(busy)  # type: ignore[arg-type]
    assert watch.late() == [silent]
    watch.close()
    monkeypatch.setattr(workers, "_PATIENCE", 0.01)
    watch = workers._Watch()
    watch.expect(silent)  # type: ignore[arg-type]
    wait_for(lambda: silent.kills, "the end of the silent child")
    assert watch.ended == {silent}
    watch.close()
    assert busy.kills == idle.kills == 0 and not watch._thread.is_alive()


def slow(colour: str = "lime", side: int = 12) -> bytes:
    """An image in a file of so many bytes that what it asks of a decoder has no bound that is known."""
    return png(colour, (side, side)) + bytes(1 << 16)


def test_few_images_that_may_take_long_have_the_same_limit(
    hanging: Path, made: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    late_when(lambda child: hangs(child, hanging), monkeypatch)
    asked: list[str] = []
    ask = workers._Children.ask
    monkeypatch.setattr(workers._Children, "ask", lambda *given: asked.extend(given[2]) or ask(*given))
    large = {"2.png": slow("red"), "5.png": slow(), "7.png": slow("blue")}
    data = write(hanging / "data", some(9) | large | {"notes.txt": bytes(1 << 17)})
    pack = opened(data)
    assert {*asked} == {*large}, "the others are decoded at once"
    assert reasons(pack) == {"5.png": "no answer in 0.5 s", "notes.txt": reasons(pack)["notes.txt"]} and len(pack) == 8
    assert [record["name"] for record in pack.records()] == [f"{i}.png" for i in (0, 1, 2, 3, 4, 6, 7, 8)]
    assert pack.images[2, 0, 0].tolist() == [255, 0, 0] and pack.images[6, 0, 0].tolist() == [0, 0, 255]
    assert reasons(opened(zipped(hanging / "data.zip", some(9) | large))) == {"5.png": "no answer in 0.5 s"}
    assert all(child.poll() is not None for child in made)


def test_photographs_that_are_searched_for_sharp_places_have_it_too(
    hanging: Path, made: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    late_when(lambda child: hangs(child, hanging), monkeypatch)
    data = write(hanging / "data", {"0.png": slow("red", 40), "1.png": slow("lime", 40), "2.png": png("red", (40, 40))})
    content = tiles.cut(folder_listing(data))
    assert content.items == ["20,20@0.png", "20,20@2.png"] and content.left_out == [("1.png", "no answer in 0.5 s")]
    pack = opened(data, resize_mode="tiles")
    assert len(pack) == 2 and reasons(pack) == {"1.png": "no answer in 0.5 s"}


def test_the_look_for_sources_beside_their_images_has_it_too(
    hanging: Path, made: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    late_when(lambda child: hangs(child, hanging), monkeypatch)
    wide = {f"{i}.png": png("red", (24, 12)) for i in range(3)}
    assert pairs.side_by_side(folder_listing(write(hanging / "data", wide | {"5.png": slow()})))
    assert not pairs.side_by_side(folder_listing(write(hanging / "data", {"6.png": slow("red")})))
    assert made and all(child.poll() is not None for child in made)


def test_other_processes_decode_what_this_one_does(tmp_path: Path, made: list[Any]) -> None:
    """At their own height and width too, which an answer then tells."""
    contents = {f"{i}.png": png("teal", (30 + i, 50 - i)) + bytes(1 << 16) for i in range(7)} | {"8.png": b"x" * 70_000}
    content = folder_listing(write(tmp_path, contents)).gather()
    for shape in (Shape(8, 3), Shape(8, 1, WHOLE), Shape(16, 3, WHOLE)):
        here, there = (list(workers.decoded(content, shape, processes=count)) for count in (1, 2))
        assert [type(each) for each in here] == [Picture] * 7 + [str] and here[7] == there[7]
        for one, other in zip(here[:7], there):
            assert isinstance(one, Picture) and isinstance(other, Picture)
            assert np.array_equal(one.pixels, other.pixels) and one[1:] == other[1:]
    assert len(made) == 6


QUICK = {
    "small.png": (png(), True),
    "of many bytes.png": (slow(), False),
    "of many pixels.png": (png(size=(1200, 1200)), False),
    "no image.txt": (bytes(1 << 20), True),
    "damaged.png": (png()[:20] + bytes(50), True),
}


@pytest.mark.parametrize("name", QUICK)
def test_what_is_quick_has_few_bytes_and_few_pixels(name: str, tmp_path: Path) -> None:
    data, quick = QUICK[name]
    assert Files(str(write(tmp_path, {name: data}))).is_quick(name) is quick
    assert Members(str(zipped(tmp_path / "a.zip", {name: data}))).is_quick(name) is (quick and len(data) < 1 << 16)
    assert tiles.Tiles(Files(str(tmp_path))).is_quick(f"8,8@{name}") is quick
    assert Files(str(tmp_path)).is_quick("gone.png"), "it is refused at once"


def test_the_slowest_file_that_is_quick(tmp_path: Path) -> None:
    """The most scans that are accepted over the most pixels: decoded here, in a time that an image may take."""
    data = scans(1024, 990)
    reader = Files(str(write(tmp_path, {"a.jpg": data})))
    begin = time.process_time()
    assert reader.is_quick("a.jpg") and reader.picture("a.jpg", Shape(1024, 1)).size == (1024, 1024)
    assert time.process_time() - begin < PATIENCE


BUILD = """
import signal, sys
from zeuxis.data import DataSpec, workers
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs without
workers.cores = lambda: 2
DataSpec.parse(sys.argv[1]).open(8)
"""


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_child_that_hangs_outlives_its_build(number: signal.Signals, hanging: Path) -> None:
    data = write(hanging / "data", some(100) | {"3.png": png("lime")})
    cache = hanging / "cache"
    paths = os.pathsep.join([str(hanging), *filter(None, sys.path)])
    environment = {**os.environ, "ZEUXIS_CACHE": str(cache), "PYTHONPATH": paths}
    command = [sys.executable, "-c", BUILD, str(data)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        wait_for(lambda: list(hanging.glob("hangs-*")), "a child that hangs")
        process.send_signal(number)
        assert process.wait(PATIENCE) != 0
    try:
        wait_for(lambda: not processes_of(cache), "the end of the children")
    finally:
        for child in processes_of(cache):
            os.kill(int(child), signal.SIGKILL)
