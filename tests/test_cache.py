"""The cache is verified as it is read, private to its user, and bounded; what is damaged is made again or refused."""

from __future__ import annotations

import errno
import io
import logging
import os
import random
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import test_explore
import test_features
from commandline import typed
from release import RELEASE
from test_attributes import drawn
from test_data import opened, png, some, write
from zeuxis import explore
from zeuxis.data import Pack, PackSource, checked, downloads, pack
from zeuxis.errors import DataError, UsageError
from zeuxis.io import cache, files
from zeuxis.metrics import attributes, extractors, features
from zeuxis.metrics.features import Extractor, pack_features
from zeuxis.runtime import progress

# Row 19 of the reliability table asks for 300 damages, and for 3,000 before a version is released.
DAMAGES = 3000 if RELEASE else 300


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that no other test looks into."""
    monkeypatch.setenv("ZEUXIS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def damaged(data: bytes, count: int, draw: random.Random) -> Iterator[bytes | None]:
    """Contents of a file after damage, None for a file that is gone: at least `count` of them."""
    third = len(data) // 3
    middle = slice(third, 2 * third)
    yield from (None, b"", data[: len(data) // 2], data[:-1], data[1:], data + b"x", data + data, bytes(len(data)))
    yield data[:third] + bytes(third) + data[2 * third :]
    yield data[:third] + b"\xff" * third + data[2 * third :]
    yield data[:third] + data[middle][::-1] + data[2 * third :]
    for _ in range(count):
        at = draw.randrange(min(len(data), 128) if draw.random() < 0.3 else len(data))  # headers more often
        yield data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1 :]
    for _ in range(count // 4):
        yield exchanged(data, draw)


def exchanged(data: bytes, draw: random.Random) -> bytes:
    """Two bytes that differ, each in the place of the other; neighbours in half of the cases."""
    if draw.random() < 0.5 and (steps := [at for at in range(len(data) - 1) if data[at] != data[at + 1]]):
        one = draw.choice(steps)
        other = one + 1
    else:
        one = draw.randrange(len(data))
        other = draw.choice([at for at, byte in enumerate(data) if byte != data[one]])
    found = bytearray(data)
    found[one], found[other] = data[other], data[one]
    return bytes(found)


def put(path: Path, data: bytes | None) -> None:
    if data is None:
        path.unlink()
    else:
        path.write_bytes(data)


def two_classes(folder: Path) -> Path:
    draw = np.random.default_rng(0)
    contents = {f"{name}/{i}.png": png(tuple(draw.integers(0, 256, 3))) for name in "ab" for i in range(6)}
    return write(folder, contents | {"bad.png": b"x"})


def content(found: Pack) -> tuple[Any, ...]:
    """All that a pack can be asked for, each by another way than the others."""
    batch = PackSource(found, seed=3).batch(0, 2 * len(found))
    assert batch.label is not None and found.labels is not None
    rows = found.rows(np.arange(len(found))[::-1])
    values = batch.image.numpy().tobytes(), batch.label.tolist(), rows.tobytes(), found.labels.tolist()
    return (*values, found.images.tobytes(), found.classes, found.left_out, found.fingerprint, list(found.records()))


@pytest.mark.parametrize("length", [1, 3, 8, 16, 100, 200, 500, 3000])
def test_the_sum_of_any_other_bytes_is_another(length: int) -> None:
    """Of every flipped bit and of exchanged bytes, at lengths for which sums are taken in different ways."""
    data = bytes(byte % 256 for byte in np.random.default_rng(length).permutation(length).tolist())
    others = [data[:-1], data + b"\0", bytes(length), data[length // 2 :] + data[: length // 2] if length > 1 else b"x"]
    for at in range(length):
        others += [data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :] for bit in range(8)]
    others += [exchanged(data, random.Random(seed)) for seed in range(300 if length > 1 else 0)]
    sums = {each: cache.checksum(each) for each in {*others, data}}
    assert len({*sums.values()}) == len(sums) > 8 * length and all(len(each) == 32 for each in sums.values())


@pytest.mark.parametrize(
    "at_once", [pytest.param(True, marks=pytest.mark.long, id="small"), pytest.param(False, id="large")]
)
def test_no_damage_to_a_pack_is_ever_used(at_once: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pack of few bytes is verified as it is opened and built again, a large one is refused where it is read."""
    if not at_once:
        monkeypatch.setattr(pack, "_AT_ONCE", 0)
    data, refused, total = two_classes(tmp_path / "data"), 0, 0
    good = content(opened(data))
    path, kept = opened(data).path, tmp_path / "kept"
    shutil.copytree(path, kept)
    names = sorted(each.name for each in kept.iterdir())
    assert names == ["images.bin", "labels.npy", "pack.json", "records.bin", "shard.json"]
    for name in names:
        for bad in damaged((kept / name).read_bytes(), DAMAGES // 8, random.Random(name)):
            shutil.rmtree(path, ignore_errors=True)
            shutil.copytree(kept, path)
            put(path / name, bad)
            total += 1
            try:
                assert content(opened(data)) == good, (name, bad)
            except DataError as error:
                refused += 1
                assert name in str(error) and "start again" in str(error) and "\n" not in str(error)
                assert content(opened(data)) == good, "the next start builds it again"
    assert total >= DAMAGES // 2
    assert (refused == 0) == at_once


def test_files_of_another_pack_are_not_taken(tmp_path: Path) -> None:
    """All of their sums are right: but they are not what this folder is named for."""
    data, other = two_classes(tmp_path / "data"), write(tmp_path / "other", some(12, "a/{}.png"))
    good, path = content(opened(data)), opened(data).path
    for name in ("*", "images.bin", "records.bin", "shard.json"):
        for each in opened(other).path.glob(name):
            shutil.copy(each, path / each.name)
        assert content(opened(data)) == good


def test_a_block_is_verified_once_when_it_is_first_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "_AT_ONCE", 0)
    monkeypatch.setattr(checked, "_BLOCK", 4 * 8 * 8 * 3)  # four images
    data = write(tmp_path / "data", some(10))
    found = opened(data)
    sums: list[int] = []
    real = cache.checksum
    monkeypatch.setattr(cache, "checksum", lambda block: sums.append(len(block)) or real(block))
    found.rows(np.array([5, 4, 7]))
    assert sums == [768]
    found.rows(np.array([6, 9, -1]))
    assert sums == [768, 384]
    assert len(found.images) == 10 and sums == [768, 384, 768]
    found.rows(np.arange(10))
    PackSource(found, seed=0).batch(0, 50)
    assert np.array_equal(found.images, found.rows(np.arange(10))) and len(sums) == 3
    with (found.path / "images.bin").open("r+b") as file:
        file.seek(8 * 192)
        file.write(b"\1\2\3")
    again = opened(data)
    assert len(again.rows(np.arange(8))) == 8, "what is whole is of use"
    with pytest.raises(DataError, match=r"images\.bin is damaged: images 8 to 9 .* start again"):
        again.rows(np.array([8]))


def test_only_what_is_read_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By features, attributes and examples of attributes alike: what is whole is of use."""
    monkeypatch.setattr(pack, "_AT_ONCE", 0)
    monkeypatch.setattr(checked, "_BLOCK", 4 * 8 * 8 * 3)  # four images
    draw, size = np.random.default_rng(0), 8
    folders = {f"{'ab'[i % 2]}/{i:03}.png": png(tuple(draw.integers(0, 256, 3))) for i in range(200)}
    found = opened(write(tmp_path / "data", folders), size=size)
    verified: list[int] = []
    real = checked.CheckedImages._check
    monkeypatch.setattr(
        checked.CheckedImages, "_check", lambda self, block: verified.append(block) or real(self, block)
    )
    chosen = [np.random.default_rng(seed).permutation(200)[:30] // 4 for seed in (0, 1)]
    spoilt = next(block for block in range(25, 50) if block not in np.concatenate(chosen))
    with (found.path / "images.bin").open("r+b") as file:
        file.seek(4 * spoilt * size * size * 3)
        file.write(b"\1\2\3")
    extractor = Extractor("x", "x 1", features.bicubic, lambda values: values.mean((2, 3)))
    assert len(pack_features(extractor, found, np.array([1, 2, 90]))) == 3 and verified == [0, 22]
    monkeypatch.setattr(attributes, "MOST_IMAGES", 30)
    attributes._examples(found, attributes._task(found), 0)
    assert {*verified} == {0, 22, *chosen[0].tolist()}
    model = test_explore.ToyEncoder(size=8, latent_dim=test_explore.LATENT).requires_grad_(False)
    assert len(explore.encoded(model, found, count=30, seed=1)) == 30
    assert {*verified} == {0, 22, *np.concatenate(chosen).tolist()}
    with pytest.raises(DataError, match=f"images {4 * spoilt} to {4 * spoilt + 3} are not those that were written"):
        pack_features(extractor, found, np.array([4 * spoilt + 1]))


@pytest.mark.skipif(os.name == "nt", reason="no file that is open can be cut there")
def test_images_that_are_cut_while_they_are_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading them would end the process by SIGBUS."""
    monkeypatch.setattr(pack, "_AT_ONCE", 0)
    found = opened(
        write(
            tmp_path / "data",
            some(200),
        ),
        size=16,
    )
    source = PackSource(found, seed=0)
    source.batch(0, 400)
    os.truncate(found.path / "images.bin", 100)
    with pytest.raises(DataError, match="has 100 bytes, expected 153,600"):
        source.batch(0, 4)


def test_a_training_run_refuses_a_damaged_pack_and_the_next_one_builds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack, "_AT_ONCE", 0)
    monkeypatch.chdir(tmp_path)
    data = write(tmp_path / "data", some(12))
    path = opened(data).path / "images.bin"
    path.write_bytes(path.read_bytes()[:-3] + b"abc")
    wanted = ("train", "gan", str(data), "--size", "8", "--steps", "1", "--batch-size", "12", "--evaluate-every", "0")
    code, _, error = typed(*wanted)
    assert code == 4 and "images.bin is damaged" in error and "Traceback" not in error
    assert typed(*wanted)[0] == 0


def test_no_damage_to_features_is_ever_used(own: Path) -> None:
    asked: list[int] = []
    extractor = Extractor("x", "x 1", features.bicubic, lambda values: asked.append(1) or values.mean((2, 3)))
    images = test_features.Pictures(np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8))
    good = pack_features(extractor, images, np.arange(10))
    count = len(asked)
    for path in sorted((own / "features").iterdir()):
        kept = path.read_bytes()
        for bad in damaged(kept, DAMAGES // 10, random.Random(path.name)):
            put(path, bad)
            assert torch.equal(pack_features(extractor, images, np.arange(10)), good), bad
            count += 1
            assert len(asked) == count, "worked out again"
            path.write_bytes(kept)
    pack_features(extractor, images, np.arange(10))
    assert len(asked) == count


def test_no_damage_to_the_weights_of_a_network_is_ever_used(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = {"a": torch.arange(6.0), "b": torch.ones(2, 3)}
    given: list[int] = []

    def fetched(*_: object, **__: object) -> dict[str, bytes]:
        given.append(1)
        return {extractors._FILE: test_features._saved(weights)}

    monkeypatch.setattr(downloads, "fetched", fetched)
    extractors._lite0()
    for path in sorted((own / "features").iterdir()):
        kept = path.read_bytes()
        for bad in damaged(kept, DAMAGES // 10, random.Random(path.name)):
            put(path, bad)
            before = len(given)
            found = extractors._lite0()
            assert found.keys() == weights.keys() and all(torch.equal(found[name], weights[name]) for name in weights)
            assert len(given) == before + 1, "asked for again"
            path.write_bytes(kept)


def test_no_damage_to_an_attribute_network_is_ever_used(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = drawn(40)
    monkeypatch.setattr(attributes, "EPOCHS", 1)
    good = attributes.reader_for(images)
    trained: list[int] = []
    monkeypatch.setattr(attributes, "train_reader", lambda *_, **__: trained.append(1) or good)
    for path in sorted(each for each in (own / "attributes").rglob("reader*") if each.is_file()):
        kept = path.read_bytes()
        for bad in damaged(kept, DAMAGES // 20, random.Random(path.name)):
            put(path, bad)
            before = len(trained)
            found = attributes.reader_for(images)
            assert found.accuracy == good.accuracy and len(trained) == before + 1
            path.write_bytes(kept)
    assert attributes.reader_for(images) is not good, "it was read"


def test_no_damage_to_a_download_is_ever_used(own: Path) -> None:
    import gzip
    import hashlib

    plain, packed = b"plain" * 40, gzip.compress(b"packed" * 40)
    sums = {"p.bin": hashlib.sha256(plain).hexdigest(), "sub/q.gz": hashlib.sha256(b"packed" * 40).hexdigest()}
    origin = "there", lambda: {"p.bin": plain, "sub/q.gz": packed}
    unpack = {"p.bin": bytes, "sub/q.gz": gzip.decompress}
    good = {"p.bin": plain, "sub/q.gz": b"packed" * 40}
    downloads.fetched("set", sums, [origin], hint="h")
    for name in sums:
        path = own / "downloads" / "set" / name
        for bad in damaged(path.read_bytes(), DAMAGES // 10, random.Random(name)):
            kept = path.read_bytes()
            put(path, bad)
            found = downloads.fetched("set", sums, [origin], hint="h")
            assert {each: unpack[each](data) for each, data in found.items()} == good
            path.write_bytes(kept)


# Its size.


def build(folder: Path, name: str, used: float) -> Path:
    """A pack of 30,000 bytes of images, used at that time; nobody has it open."""
    path = opened(write(folder / name, some(100)), size=10).path
    os.utime(path, (used, used))
    return path


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEUXIS_CACHE_SIZE", "0.1 MB")


@pytest.mark.usefixtures("small")
def test_what_was_unused_for_longest_is_evicted_and_said(
    own: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = (build(tmp_path, name, used) for name, used in (("one", 1e9), ("two", 1e9 + 5)))
    assert first.exists() and second.exists() and not caplog.messages
    opened(tmp_path / "one", size=10)  # used now
    third = build(tmp_path, "three", 3e9)
    assert first.exists() and third.exists() and not second.exists()
    (message,) = caplog.messages
    assert message.startswith(f"cache over 0.1 MB: removed 1 entry of 0.0 MB, unused for longest ({second.name})")
    assert caplog.records[0].name == "zeuxis" and caplog.records[0].levelno == logging.WARNING
    assert sorted(path.name for path in (own / "packs").iterdir() if not path.name.startswith(".")) == sorted(
        (first.name, third.name)
    )
    again = opened(tmp_path / "two", size=10)
    assert len(again) == 100


@pytest.mark.usefixtures("small")
def test_what_any_process_has_open_stays(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    code = (
        "import sys\nfrom zeuxis.data import DataSpec\npack = DataSpec.parse(sys.argv[1]).open(10)\n"
        "print('open', flush=True)\nsys.stdin.read()\nprint(len(pack.records()), pack.images.sum())"
    )
    first = build(tmp_path, "one", 1e9)
    here = opened(write(tmp_path / "here", some(100)), size=10)
    command = [sys.executable, "-c", code, str(tmp_path / "one")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "open\n"
        for path in (first, here.path):
            os.utime(path, (1e9, 1e9))
        for i in range(4):
            build(tmp_path, f"more{i}", 2e9 + i)
        assert first.exists() and here.path.exists()
        out, _ = other.communicate()
    assert out.startswith("100 ")
    os.utime(first, (1e9, 1e9))
    build(tmp_path, "last", 3e9)
    assert not first.exists() and len(here.records()) == 100


@pytest.mark.usefixtures("small")
def test_a_volume_without_locks_keeps_what_may_be_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> bool:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("filelock.lock_descriptor", none)
    paths = [build(tmp_path, name, 1e9) for name in ("one", "two", "three")]
    assert all(path.exists() for path in paths)


@pytest.mark.usefixtures("small")
def test_features_and_networks_are_evicted_and_nothing_of_the_users_own(own: Path, tmp_path: Path) -> None:
    mine = write(own, {"packs/holiday/images.bin": b"x" * 200_000, "features/paper.safetensors": b"x" * 200_000})
    kept = ["packs/holiday/images.bin", "features/paper.safetensors", "features/lite0.safetensors"]
    cache.write_entry(own / "features" / "lite0.safetensors", b"x" * 200_000)
    monkeypatched = cache.folder("attributes", "a" * 32)
    cache.write_entry(monkeypatched / "reader.safetensors", b"x" * 50_000)
    cache.write_entry(cache.folder("features") / f"{'b' * 32}.safetensors", b"x" * 50_000)
    os.utime(monkeypatched, (1e9, 1e9))
    os.utime(own / "features" / f"{'b' * 32}.safetensors", (2e9, 2e9))
    with files.lock(monkeypatched):
        cache.make_room(100_000)
        assert (monkeypatched / "reader.safetensors").exists(), "it is in use"
        assert not list((own / "features").glob("b*"))
    cache.make_room(100_000)
    assert [path.name for path in monkeypatched.iterdir()] == [".lock"]
    assert all((mine / name).stat().st_size == 200_000 for name in kept)


@pytest.mark.parametrize(
    "text", ["20", "-1 GB", "1e3 GB", "nan GB", "GB", "20 GBB", "20 gigabytes", "20;GB", "٣ GB", "\0"]
)
def test_a_size_without_a_meaning_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {**os.environ, "ZEUXIS_CACHE_SIZE": text})
    with pytest.raises(UsageError, match="ZEUXIS_CACHE_SIZE is .* expected a number and KB, MB, GB or TB"):
        cache.size_limit()


@pytest.mark.parametrize(
    ("text", "size"),
    [("", 20e9), ("5 GB", 5e9), ("1.5tb", 1.5e12), (" 300MiB ", 300 << 20), ("0 kB", 0), ("Unlimited", float("inf"))],
)
def test_a_size_has_a_unit(text: str, size: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEUXIS_CACHE_SIZE", text)
    assert cache.size_limit() == size


def test_leftovers_of_any_build_are_removed_but_not_those_of_one_under_way(own: Path, tmp_path: Path) -> None:
    left = own / "packs" / f"gone-8x3-{'0' * 16}.tmp-{'a' * 12}"
    busy = own / "packs" / f"busy-8x3-{'1' * 16}.tmp-{'b' * 12}"
    draft, old = own / "features" / f".tmp-1-{'c' * 12}", own / "packs" / f".tmp-2-{'d' * 12}"
    for path in (left, busy, old):
        write(path, {"images.bin": b"x"})
        cache.folder("packs", f".{path.name.partition('.tmp')[0] or 'x'}")
    write(draft.parent, {draft.name: b"x"})
    (own / "packs" / f".gone-8x3-{'0' * 16}" / ".lock").touch()
    os.utime(old, (1e9, 1e9))
    with files.lock(own / "packs" / f".busy-8x3-{'1' * 16}"):
        opened(write(tmp_path / "data", some(2)))
    assert not left.exists() and not old.exists()
    assert busy.exists() and draft.exists(), "somebody may be writing there"


# Who may read it.


def modes(folder: Path) -> set[tuple[bool, int]]:
    return {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in [folder, *folder.rglob("*")]}


@pytest.fixture
def usual() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def filled(tmp_path: Path) -> None:
    opened(write(tmp_path / "data", some(2, "a/{}.png")))
    cache.write_entry(cache.folder("features") / "x.safetensors", b"x")
    downloads.fetched("set", {"a/b": _SHA}, [("there", lambda: {"a/b": b"x"})], hint="")


_SHA = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"


@pytest.mark.skipif(os.name == "nt", reason="no modes")
@pytest.mark.usefixtures("usual")
def test_a_cache_that_is_made_is_private(own: Path, tmp_path: Path) -> None:
    filled(tmp_path)
    locks = set(own.rglob(".lock"))
    assert {kind for kind in modes(own) if kind[0]} == {(True, 0o700)}
    assert {stat.S_IMODE(p.stat().st_mode) for p in own.rglob("*") if p.is_file() and p not in locks} == {0o600}


@pytest.mark.skipif(os.name == "nt", reason="no modes")
@pytest.mark.usefixtures("usual")
@pytest.mark.parametrize(
    ("mode", "inside"), [(0o755, (0o700, 0o600)), (0o775, (0o755, 0o644)), (0o1777, (0o755, 0o644))]
)
def test_the_mode_of_a_cache_that_is_there_is_kept(
    mode: int, inside: tuple[int, int], own: Path, tmp_path: Path
) -> None:
    """One that others may write into is shared on purpose: what is put into it is for them too."""
    own.mkdir()
    own.chmod(mode)
    filled(tmp_path)
    assert stat.S_IMODE(own.stat().st_mode) == mode
    path = opened(tmp_path / "data").path
    assert modes(path) == {(True, inside[0]), (False, inside[1])}
    assert modes(own / "features") == {(True, inside[0]), (False, inside[1])}


def test_a_run_shows_what_is_said_of_the_cache_on_its_display() -> None:
    stream = io.StringIO()
    with progress.noting(progress.Lines(stream)):
        cache.LOG.warning("%s was damaged", "a pack")
    cache.LOG.warning("afterwards")
    assert stream.getvalue() == "a pack was damaged\n"
