"""Packs in shards: the same as in one piece, built on after a kill, by several processes, and repaired shard by shard."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commandline import typed
from test_cache import content, two_classes
from test_data import opened, some, write
from test_depth import SETS, folder
from waiting import PATIENCE
from zeuxis.data import DataSpec, Pack, PackSource, building, pack, place_sets
from zeuxis.data.idx import _FileRows
from zeuxis.data.listing import Numbered
from zeuxis.data.place_sets import PlaceSet
from zeuxis.data.records import Texts
from zeuxis.data.report import inspect
from zeuxis.errors import DataError, UsageError
from zeuxis.io import cache, files

HOSTILE = ["a.png", "", "ä/ö.png", "\udcff\udc80.png", "\ud800", "a\nb\0c", "日本.png"]


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that no other test looks into."""
    monkeypatch.setenv("ZEUXIS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of five items, verified when they are read."""
    monkeypatch.setattr(building, "SHARD_ITEMS", 5)
    monkeypatch.setattr(pack, "_AT_ONCE", 0)


def in_one(data: Path, own: Path, monkeypatch: pytest.MonkeyPatch) -> Pack:
    """The pack of one shard, in a cache of its own."""
    with monkeypatch.context() as patch:
        patch.setattr(building, "SHARD_ITEMS", 1 << 16)
        patch.setenv("ZEUXIS_CACHE", str(own.with_name("other")))
        return opened(data)


def parts_of(own: Path) -> list[Path]:
    return [path for path in (own / "packs").iterdir() if path.name.endswith(cache.PARTS)]


# What is in them.


@pytest.mark.usefixtures("few")
def test_shards_hold_what_one_piece_holds(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = two_classes(tmp_path / "data")
    whole, found = in_one(data, own, monkeypatch), opened(data)
    assert len(whole) == len(found) == 12 and len(list(found.path.glob("images*.bin"))) == 3
    assert content(whole) == content(found)
    assert content(opened(data)) == content(whole), "opened, not built"
    some_places = np.array([11, 0, 5, 4, -1, 0])
    assert np.array_equal(found.rows(some_places), whole.images[some_places])
    ours, theirs = (inspect(each).as_dict() | {"pack": None} for each in (found, whole))
    assert ours == theirs
    part = found.at(PlaceSet(np.isin(np.arange(12), [1, 4, 5, 11])))
    assert [record["name"] for record in part.records()] == [whole.records()[i]["name"] for i in (1, 4, 5, 11)]
    assert part.records()[-1] == whole.records()[11] and np.array_equal(part.images, whole.images[[1, 4, 5, 11]])
    assert part.records()[1:3] == list(whole.records())[4:6]
    assert part.records().names[2:] == [whole.records()[i]["name"] for i in (5, 11)]


def test_a_shard_without_an_image_is_one(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "SHARD_ITEMS", 5)
    data = write(tmp_path / "data", {f"a{i}.png": b"x" for i in range(7)} | some(4, "b{}.png"))
    whole, found = in_one(data, own, monkeypatch), opened(data)
    assert len(found) == 4 and len(found.left_out) == 7 and found.fingerprint == whole.fingerprint
    assert np.array_equal(found.images, whole.images) and list(found.records()) == list(whole.records())
    with pytest.raises(DataError, match="has no usable image"):
        opened(write(tmp_path / "none", {f"a{i}.png": b"x" for i in range(7)}))


@pytest.mark.parametrize("name", sorted(SETS))
def test_the_scale_of_a_set_is_that_of_all_shards(
    name: str, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "SHARD_ITEMS", 1)
    data = folder(tmp_path / "data", SETS[name][0])
    found, whole = opened(data, size=64, channels=1), in_one(data, own, monkeypatch)
    assert len(found) == len(whole) == len(SETS[name][0]) and found.notes == whole.notes
    assert list(found.records()) == list(whole.records())


def test_records_take_any_text() -> None:
    texts = Texts.of(HOSTILE)
    assert list(texts) == HOSTILE and texts[-1] == HOSTILE[-1] and texts[1:3] == HOSTILE[1:3]
    with pytest.raises(IndexError):
        texts[len(HOSTILE)]


def test_items_by_number_are_made_as_they_are_asked_for() -> None:
    items = Numbered([("", 3)])
    assert list(items) == ["0", "1", "2"] and items[-1] == "2" and items[1:] == ["1", "2"]
    several = Numbered([("a", 2), ("b", 0), ("c", 1)])
    assert list(several) == ["a/0", "a/1", "c/0"] and len(several) == 3
    with pytest.raises(IndexError):
        several[3]


def test_a_large_idx_file_stays_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 4, 5, 3), np.uint8)
    head = b"\0\0\x08\x04" + b"".join(n.to_bytes(4, "big") for n in pixels.shape)
    path = tmp_path / "train-images.idx"
    path.write_bytes(head + pixels.tobytes())
    before = opened(path, size=4, resize_mode="pad")
    monkeypatch.setattr("zeuxis.data.idx._AT_ONCE", 0)
    listing = DataSpec.parse(path).images.listing()
    reader: Any = listing.gather().reader
    assert isinstance(reader.array, _FileRows)
    assert all(np.array_equal(reader.array[i], pixels[i]) for i in (3, 0, 8))
    monkeypatch.setattr(pack, "_FORMAT", 0)  # another pack
    assert opened(path, size=4, resize_mode="pad").fingerprint == before.fingerprint
    path.write_bytes((head + pixels.tobytes())[:-1])
    with pytest.raises(DataError, match=r"says 9 x 4 x 5 x 3 and has 559 bytes; use another copy"):
        opened(path, size=4)


@pytest.mark.parametrize("n", [1, 511, 512, 513, 5000])
def test_a_set_of_places_gives_those_of_a_list(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place_sets, "_AT_ONCE", 7)
    monkeypatch.setattr(place_sets, "_PART", 64)
    draw = np.random.default_rng(n)
    for chosen in (draw.random(n) < 0.1, draw.random(n) < 0.9, np.ones(n, bool), np.arange(n) == n - 1):
        found, wanted = PlaceSet(chosen), np.flatnonzero(chosen)
        assert len(found) == len(wanted) and np.array_equal(found.every(), wanted)
        numbers = draw.integers(-len(wanted), len(wanted), 40) if len(wanted) else np.empty(0, int)
        assert np.array_equal(found.at(numbers), wanted[numbers])
        assert np.array_equal(np.concatenate([*found.parts()]), wanted)
        first, last = sorted(draw.integers(0, n + 1, 2).tolist())
        assert np.array_equal(found.between(first, last), wanted[(wanted >= first) & (wanted < last)])
        for beyond in (len(wanted), -len(wanted) - 1):
            with pytest.raises(IndexError, match="there are"):
                found.at(np.array([beyond]))


@pytest.mark.usefixtures("few")
def test_labels_stay_on_the_disk_and_are_missed_where_they_are_cut(own: Path, tmp_path: Path) -> None:
    data = two_classes(tmp_path / "data")
    found, again = opened(data), opened(data)
    assert isinstance(found.labels, np.memmap) and found.labels.tolist() == [0] * 6 + [1] * 6
    kept = (found.path / "images-1.bin").stat().st_ino
    os.truncate(found.path / "labels.npy", 130)
    with pytest.raises(DataError, match=r"labels.npy is damaged: it has 130 bytes, expected 224; .* start again"):
        PackSource(again, seed=0).batch(0, 4)
    assert len(parts_of(own)) == 1
    now = opened(data)
    assert now.labels is not None and now.labels.tolist() == [0] * 6 + [1] * 6
    assert (now.path / "images-1.bin").stat().st_ino == kept


# How they are built.

SCRIPT = """
import os, signal, sys
from zeuxis.data import DataSpec, building
building.SHARD_ITEMS = 40
seen = []
def tell(done, total):
    seen.append(done)
    if done > int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
pack = DataSpec.parse(sys.argv[1]).open(8, progress=tell)
print(len(pack), pack.fingerprint, len(seen))
"""


def builder(data: Path, kill_at: int = 10**9, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, str(data), str(kill_at)]
    return subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True)


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL there")
def test_a_killed_build_goes_on_from_the_shards_that_are_whole(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write(tmp_path / "data", some(190))
    first = builder(data, kill_at=130)
    first.communicate(timeout=PATIENCE)
    assert first.returncode == -signal.SIGKILL
    (parts,) = parts_of(own)
    assert sorted(path.name for path in parts.glob("*.json")) == ["shard-1.json", "shard-2.json", "shard.json"]
    cache.make_room(0)
    assert parts.exists(), "what is whole stays while there is room"
    kept = (parts / "images-2.bin").stat().st_ino
    monkeypatch.setattr(building, "SHARD_ITEMS", 40)
    told: list[int] = []
    found = opened(data, progress=lambda done, total: told.append(done))
    assert len(found) == 190 and told == sorted(told) and 120 < told[0] < told[-1] == 190
    assert found.fingerprint == in_one(data, own, monkeypatch).fingerprint and not parts_of(own)
    (made,) = (path for path in (own / "packs").iterdir() if not path.name.startswith("."))
    assert (made / "images-2.bin").stat().st_ino == kept
    assert {path.suffix for path in made.iterdir()} == {".bin", ".json"}, "no draft is left"


@pytest.mark.long
def test_two_builders_share_the_shards(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `torchrun` starts them."""
    data = write(tmp_path / "data", some(190))
    group = {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    both = [builder(data, **group, RANK=str(rank), LOCAL_RANK=str(rank)) for rank in range(2)]
    answers = [each.communicate(timeout=PATIENCE)[0].split() for each in both]
    assert [answer[:2] for answer in answers] == [["190", in_one(data, own, monkeypatch).fingerprint]] * 2


@pytest.mark.usefixtures("few")
def test_each_rank_begins_with_its_own_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    real = building.PackBuild._make_shard
    monkeypatch.setattr(
        building.PackBuild,
        "_make_shard",
        lambda self, folder, number, among: made.append(number) or real(self, folder, number, among),
    )
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2", "RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert len(opened(write(tmp_path / "data", some(23)))) == 23 and made == [1, 3, 0, 2, 4]


def test_the_command_builds_shards_in_every_process(tmp_path: Path, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "birds", some(3))
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2", "RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert typed("data", "birds", "--size", "8") == (0, "", "")
    assert len([path for path in (own / "packs").iterdir() if not path.name.startswith(".")]) == 1
    monkeypatch.setenv("RANK", "0")
    code, said, _ = typed("data", "birds", "--size", "8")
    assert code == 0 and said.startswith("birds: 3 images") and (tmp_path / "birds-sheet.png").exists()


@pytest.mark.usefixtures("few")
def test_a_shard_of_other_items_is_made_again(own: Path, tmp_path: Path) -> None:
    """Neither is one that lacks a file or has a shorter one."""
    data = write(tmp_path / "data", some(22))
    good = content_of(opened(data))
    path = opened(data).path
    parts = path.with_name(path.name + cache.PARTS)
    path.rename(parts)
    (parts / "pack.json").unlink()
    (parts / "shard.json").write_bytes((parts / "shard-1.json").read_bytes())
    (parts / "records-1.bin").unlink()
    (parts / "images-2.bin").write_bytes(b"x")
    (parts / "shard-3.json").write_bytes(b"{")
    kept = (parts / "shard-4.json").stat().st_mtime_ns
    assert content_of(opened(data)) == good and not parts_of(own)
    assert (path / "shard-4.json").stat().st_mtime_ns == kept


def content_of(found: Pack) -> tuple[Any, ...]:
    return found.images.tobytes(), found.fingerprint, list(found.records()), found.left_out


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("name", ["images-2.bin", "records-2.bin", "shard-2.json", "images.bin"])
def test_a_damaged_shard_alone_is_made_again(name: str, own: Path, tmp_path: Path) -> None:
    data = two_classes(tmp_path / "data")
    good, path = content(opened(data)), opened(data).path
    kept = (path / "images-1.bin").stat().st_ino
    (path / name).write_bytes((path / name).read_bytes()[:-1] + b"?")
    found = opened(data)
    with pytest.raises(DataError, match=r"start again"):
        content(found)
    assert len(parts_of(own)) == 1
    assert content(opened(data)) == good and (path / "images-1.bin").stat().st_ino == kept


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("name", ["pack.json", "shard.json", "images-2.bin", "records-2.bin", "labels.npy"])
def test_what_is_missing_when_a_pack_is_opened_is_made_again(name: str, tmp_path: Path) -> None:
    data = two_classes(tmp_path / "data")
    good, path = content(opened(data)), opened(data).path
    kept = (path / "images-1.bin").stat().st_ino
    (path / name).unlink()
    assert content(opened(data)) == good and (path / "images-1.bin").stat().st_ino == kept


@pytest.mark.usefixtures("few")
def test_shards_are_opened_when_they_are_read(tmp_path: Path) -> None:
    found = opened(write(tmp_path / "data", some(23)))
    stored: Any = found.stored
    assert sorted(stored._files) == [0]
    PackSource(found, seed=0)
    found.rows(np.array([12, 22]))
    assert sorted(stored._files) == [0, 2, 4]


def test_what_was_begun_is_evicted_as_anything_else(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"birds-8x3-{'0' * 16}{cache.PARTS}"
    parts = write(own / "packs" / name, {"images.bin": b"x" * 9000, "shard.json": b"{}"})
    cache.folder("packs", f".{name.removesuffix(cache.PARTS)}")
    monkeypatch.setenv("ZEUXIS_CACHE_SIZE", "10 KB")
    with cache.building(parts):
        os.utime(parts, (1e9, 1e9))
        cache.make_room(5000)
        assert parts.exists(), "somebody is building it"
    cache.make_room(500)
    assert parts.exists()
    cache.make_room(5000)
    assert not parts.exists()
    empty = write(own / "packs" / name, {"images.bin": b"x"})
    cache.make_room(0)
    assert not empty.exists(), "no shard of it is whole"


@pytest.mark.parametrize("wait", [False, True])
@pytest.mark.parametrize("at", ["make", "lock"])
def test_a_shard_is_claimed_although_the_pack_is_finished_just_then(
    wait: bool, at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever finishes the pack removes the folders of all claims, at any moment."""
    name = "make_folder" if at == "make" else "lock" if wait else "lock_if_free"
    real, calls = getattr(files, name), list[int]()

    def removed_first(path: Path, **how: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            shutil.rmtree(tmp_path / "shards", ignore_errors=True)
            if at == "make":
                with files.explained(path):
                    raise FileNotFoundError(2, "No such file or directory")
        return real(path, **how)

    monkeypatch.setattr(files, name, removed_first)
    with building._claimed(tmp_path, 3, wait=wait) as mine:
        assert mine and len(calls) == 2
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError), building._claimed(tmp_path / "file", 3, wait=wait):
        pass
