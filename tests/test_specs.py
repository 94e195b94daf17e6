"""What a person types about data: what each text means, that it is given back, and that it is parsed once."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from commandline import typed
from zeuxis import loading
from zeuxis.data import DataSpec, derived_sources, meaning, specs
from zeuxis.data.catalog import NamedSet, set_names
from zeuxis.data.image_files import FileSet
from zeuxis.data.specs import TASKS, PairSpec, SingleSpec
from zeuxis.errors import UsageError
from zeuxis.explore.examples import examples
from zeuxis.storage import RunFolder

TEXTS = [
    "avatars",
    "avatars:5000",
    "avatars/test",
    "maps.relief/test:9",
    "birds",
    "./avatars",
    "/somewhere/birds.zip",
    "avatars.zip",
    "edges",
    "",
    "a -> b",
    "edges -> avatars:80",
    "left -> scans",
    "maps.map -> maps.aerial",
    "map-to-aerial",
    "map-to-aerial/test:7",
    "x" * 5000,
    "a\0b",
]


def held_out(text: str, count: int) -> tuple[str, ...] | None:
    """As texts."""
    found = DataSpec.parse(text).held_out(count)
    return found and tuple(map(str, found))


# What a text means.


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_given_back(text: str) -> None:
    spec = DataSpec.parse(text)
    assert str(spec) == text
    assert DataSpec.parse(str(spec)) == spec and DataSpec.parse(spec) == spec
    assert (spec.resize_mode, spec.max_images) == ("crop", None)


def test_one_set_is_a_name_or_a_path() -> None:
    for name in set_names():
        assert DataSpec.parse(name) == SingleSpec(NamedSet(name))
    assert DataSpec.parse("maps.relief/test:9") == SingleSpec(NamedSet("maps", "relief", "test", 9))
    for path in ("avatars.zip", "mnist.relief", "maps.", "nothing", "maps/../x", "./avatars", "edges", "left"):
        assert DataSpec.parse(path) == SingleSpec(FileSet(path))
    assert DataSpec.parse(Path("here/birds")) == SingleSpec(FileSet(f"here{os.sep}birds"))
    with pytest.raises(UsageError, match="maps.lamps"):
        DataSpec.parse("maps.lamps").open()


BOTH = [
    "digits",
    "maps/train",
    "photos:9",
    "avatars/test:5",
    "maps.relief",
    "night/test",
    "fashion-mnist",
    "map-to-aerial",
]


@pytest.mark.parametrize("word", BOTH)
def test_a_word_that_could_mean_a_path_too_is_refused(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names both spellings, and each of them is read; so it is at both ends of pairs."""
    monkeypatch.chdir(tmp_path)
    path = word.partition(":")[0]
    known = DataSpec.parse(word)
    Path(path).mkdir(parents=True)
    texts = [word] if isinstance(known, PairSpec) else [word, f"{word} -> here", f"here -> {word}", f"edges -> {word}"]
    for text in texts:
        with pytest.raises(UsageError) as caught:
            DataSpec.parse(text)
        assert f"./{path} " in str(caught.value) and f"zeuxis:{word} " in str(caught.value)
    assert DataSpec.parse(f"./{path}") == SingleSpec(FileSet(f"./{path}"))
    assert DataSpec.parse(f"zeuxis:{word}") == known
    assert DataSpec.parse(str(tmp_path / path)) == SingleSpec(FileSet(str(tmp_path / path)))
    assert DataSpec.parse(f"{path}{os.sep}").images == FileSet(f"{path}{os.sep}"), "a separator at the end"


def test_a_split_of_ones_own_folder_is_not_that_of_a_named_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("maps").mkdir()
    for word in ("maps/test", "maps/val", "maps:3"):
        with pytest.raises(UsageError, match="zeuxis:maps"):
            DataSpec.parse(word)
    assert DataSpec.parse("maps.relief").images == NamedSet("maps", "relief"), "no folder is called so"
    Path("night").write_bytes(b"a file counts too")
    with pytest.raises(UsageError, match=r"\./night "):
        DataSpec.parse("night")


@pytest.mark.parametrize("word", [*derived_sources.DERIVATIONS, "left", "right"])
def test_two_folders_of_ones_own_are_read_whatever_the_first_is_called(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = PairSpec(FileSet("pictures"), source=word)
    assert DataSpec.parse(f"{word} -> pictures") == made
    Path(word).mkdir()
    read = PairSpec(FileSet("pictures"), source=FileSet(f"./{word}"))
    assert DataSpec.parse(f"{word} -> pictures") == read
    assert DataSpec.parse(str(read)) == DataSpec.stored(str(read)) == read
    assert DataSpec.parse(f"zeuxis:{word} -> pictures") == made
    with pytest.raises(UsageError, match=rf"\./{word} .*zeuxis:{word} "):
        DataSpec.parse(f"{word} -> avatars")


def test_a_path_object_is_always_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("avatars", "maps.relief", "day-to-night", "edges"):
        spec = DataSpec.parse(Path(name))
        assert spec == SingleSpec(FileSet(f"./{name}")) and DataSpec.parse(str(spec)) == spec
        assert str(spec.absolute()) == str(tmp_path / name)


@pytest.mark.parametrize("word", ["zeuxis:birds", "zeuxis:", "zeuxis:./photos", "zeuxis:edges", "here -> zeuxis:grey"])
def test_what_zeuxis_does_not_know_by_name_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="known by name"):
        DataSpec.parse(word)


@pytest.mark.parametrize(
    "text", ["photos", "maps/test:5", "day-to-night/test", "edges -> digits", "maps.map -> maps.aerial"]
)
def test_what_a_run_stored_means_what_it_meant(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever folders are there when it is read again; so it was stored before there was a mark for names too."""
    monkeypatch.chdir(tmp_path)
    meant = DataSpec.parse(text)
    for name in ("photos", "maps/test", "night", "day-to-night/test", "edges", "digits", "maps.map", "maps.aerial"):
        Path(name).mkdir(parents=True)
    stored = str(meant.absolute())
    assert stored == text and DataSpec.stored(stored) == meant
    with pytest.raises(UsageError, match="zeuxis:"):
        DataSpec.parse(text)
    for own in ("./photos", "./edges -> ./pictures", "./left -> ./right"):
        assert DataSpec.stored(str(DataSpec.parse(own).absolute())) == DataSpec.parse(own).absolute()


def test_pairs_have_two_ends() -> None:
    assert DataSpec.parse("a -> b/c") == PairSpec(FileSet("b/c"), source=FileSet("a"))
    assert DataSpec.parse("  edges ->  avatars ") == PairSpec(NamedSet("avatars"), source="edges")
    assert DataSpec.parse("left -> scans") == PairSpec(FileSet("scans"), source="left")
    assert DataSpec.parse("map-to-aerial") == DataSpec.parse("maps.map -> maps.aerial")
    assert DataSpec.parse("map-to-aerial/test:7") == DataSpec.parse("maps.map/test:7 -> maps.aerial/test:7")
    assert DataSpec.parse("grey-to-colour:9") == DataSpec.parse("grey -> avatars:9")


def test_a_path_that_exists_goes_before_arrows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x -> y").mkdir()
    assert DataSpec.parse("x -> y") == SingleSpec(FileSet("x -> y")), "what exists is a path"
    for name in ("x", "y"):
        Path(name).mkdir()
    with pytest.raises(UsageError, match="rename"):
        DataSpec.parse("x -> y")


def test_every_task_is_of_sets_that_are_here() -> None:
    for task in TASKS:
        spec = DataSpec.parse(task)
        assert isinstance(spec, PairSpec) and spec.known and isinstance(spec.images, NamedSet)
        assert isinstance(spec.source, NamedSet) or spec.source in derived_sources.DERIVATIONS
        assert spec.held_out(7) is not None
        assert spec.size and spec.channels and spec.source_channels


def test_only_views_of_the_same_things_are_known_to_be_pairs() -> None:
    for known in ("edges -> here", "left -> here", "maps.map/test:5 -> maps.aerial/test", "avatars -> avatars.glasses"):
        assert isinstance(spec := DataSpec.parse(known), PairSpec) and spec.known
    for other in ("a -> b", "mnist -> mnist/test", "maps.map -> maps.aerial/test", "maps.map -> night.day"):
        assert isinstance(spec := DataSpec.parse(other), PairSpec) and not spec.known


@pytest.mark.parametrize(
    ("text", "size", "channels", "source_channels"),
    [
        ("digits", 8, 1, None),
        ("openmoji.line", 64, 1, None),
        ("somewhere", None, None, None),
        ("line-to-colour", 64, 3, 1),
        ("edges -> somewhere", None, None, 1),
        ("small -> photos", 96, 3, 3),
        ("small -> somewhere", None, None, None),
        ("blur -> digits", 8, 1, None),
        ("left -> digits", 8, 1, None),
        ("a -> digits", 8, 1, None),
        ("digits -> a", None, None, 1),
    ],
)
def test_named_sets_decide_sizes_and_channels(
    text: str, size: int | None, channels: int | None, source_channels: int | None
) -> None:
    spec = DataSpec.parse(text)
    assert (spec.size, spec.channels, spec.source_channels) == (size, channels, source_channels)


def test_what_is_held_out_is_so_on_both_ends() -> None:
    assert held_out("map-to-aerial", 50) == ("maps.map -> maps.aerial", "maps.map/test:50 -> maps.aerial/test:50")
    assert held_out("edges -> avatars:80", 50) == ("edges -> avatars:80", "edges -> avatars/test:50")
    assert held_out("a -> b", 50) is None
    assert held_out("edges -> here", 50) is None
    assert held_out("mnist -> fashion-mnist", 50) is None, "nothing says that these belong together"
    assert held_out("avatars", 50) == ("avatars", "avatars/test:50")
    assert held_out("here", 50) is None


@pytest.mark.parametrize("text", ["digits", "grey -> digits"])
def test_a_limit_is_of_what_is_learned_from(text: str) -> None:
    own, unseen = DataSpec.parse(text, resize_mode="pad", max_images=9).held_out(50) or pytest.fail("nothing")
    assert (own.resize_mode, own.max_images) == ("pad", 9)
    assert (unseen.resize_mode, unseen.max_images) == ("pad", None)


def test_paths_are_found_again_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text, expected in (
        ("a -> b", f"{tmp_path / 'a'} -> {tmp_path / 'b'}"),
        ("edges -> a", f"edges -> {tmp_path / 'a'}"),
        ("edges", f"{tmp_path / 'edges'}"),
        ("../a.zip", f"{tmp_path.parent / 'a.zip'}"),
    ):
        spec = DataSpec.parse(text, resize_mode="pad", max_images=3).absolute()
        assert str(spec) == expected and (spec.resize_mode, spec.max_images) == ("pad", 3)
        assert spec.absolute() == spec
    for same in ("map-to-aerial", "map-to-aerial/test:7", "maps.map -> maps.aerial", "avatars:5", str(tmp_path)):
        assert str(DataSpec.parse(same).absolute()) == same


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("/home/me/birds", "birds"),
        ("/home/me/birds.zip", "birds.zip"),
        ("birds/", "birds"),
        ("/", "folder"),
        ("avatars/test:5", "avatars/test:5"),
        ("/home/me/a -> /mnt/b", "a -> b"),
        ("edges -> /home/me/birds", "edges -> birds"),
        ("map-to-aerial/test:7", "map-to-aerial/test:7"),
    ],
)
def test_a_title_does_not_say_where_data_lies(text: str, title: str) -> None:
    assert DataSpec.parse(text).title == title


def test_tiles_suit_files_alone(tmp_path: Path) -> None:
    folder, packed, table = tmp_path / "folder", tmp_path / "a.zip", tmp_path / "a.idx"
    folder.mkdir()
    zipfile.ZipFile(packed, "w").close()
    table.write_bytes(b"\0\0\x08\1\0\0\0\0")
    for text, expected in (
        (str(folder), "tiles"),
        (str(packed), "tiles"),
        (f"small -> {folder}", "tiles"),
        (str(table), "crop"),
        (f"left -> {folder}", "crop"),
        (f"{folder} -> {folder}", "crop"),
        ("small -> photos", "crop"),
        ("nowhere", "crop"),
        ("a\0b", "crop"),
    ):
        spec = DataSpec.parse(text, max_images=7)
        assert spec.resized("auto", suits="tiles").resize_mode == expected
        assert spec.resized("pad", suits="tiles") == DataSpec.parse(text, resize_mode="pad", max_images=7)
        assert spec.resized("auto", suits="crop") == spec


@pytest.mark.parametrize("chosen", [{"resize_mode": "stretch"}, {"resize_mode": ""}, {"max_images": 0}])
def test_a_selection_that_cannot_be_is_refused(chosen: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="expected"):
        DataSpec.parse("avatars", **chosen)


def test_single_images_and_pairs_are_not_mistaken_for_each_other(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a -> b gives two sets; name one: b"):
        DataSpec.parse("a -> b").open(8)
    with pytest.raises(UsageError, match="pairs are needed"):
        DataSpec.parse("digits").open_pairs((8, 1), (8, 1))


# Parsed once.


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words of which it was decided whether they are names or paths."""
    words: list[str] = []
    resolve = meaning.image_set

    def told(word: str) -> meaning.ImageSet:
        words.append(word)
        return resolve(word)

    for module in (specs, meaning):  # the second for the sources of pairs
        monkeypatch.setattr(module, "image_set", told)
    return words


def folder(path: Path, count: int = 24) -> Path:
    path.mkdir()
    for i in range(count):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (16, 16, 3), np.uint8)).save(path / f"{i}.png")
    return path


COMMON = ("--steps", "2", "--batch-size", "4", "--device", "cpu", "--threads", "1", "--kernels", "standard")


@pytest.mark.parametrize(
    ("words", "once"),
    [
        (("gan", "digits"), ["digits"]),
        (("gan", "here", "--size", "16"), ["here"]),
        (("pix2pix", "grey", "here", "--size", "16"), ["here"]),
        (("cyclegan", "here", "there", "--size", "16"), ["here", "there"]),
    ],
)
def test_a_run_parses_its_data_once(
    words: tuple[str, ...], once: list[str], resolved: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("here", "there"):
        folder(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    code, _, complaint = typed("train", *words, *COMMON)
    assert code == 0, complaint
    assert sorted(resolved) == once
    (run,) = Path("runs").glob("0*")
    stored = str(RunFolder.open(run).config["data"])
    assert stored == str(DataSpec.parse(" -> ".join(word for word in words[1:3] if word[0] != "-")).absolute())
    assert str(loading.data_of(run)) == stored
    resolved.clear()
    assert typed("resume", str(run), "--steps", "3")[0] == 0
    assert len(resolved) == len(once)


def test_every_command_that_reads_data_refuses_what_could_be_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And takes both spellings; a run resumes though a folder of the set's name appears; so does a copy of its options."""
    monkeypatch.chdir(tmp_path)
    assert typed("train", "gan", "digits", *COMMON)[0] == 0
    folder(tmp_path / "digits")
    for words in (
        ("data", "digits"),
        ("train", "gan", "digits"),
        ("train", "gan", "digits", "--dry-run"),
        ("train", "pix2pix", "here", "digits"),
        ("train", "pix2pix", "digits", "here"),
        ("evaluate", "1", "digits"),
        ("interpolate", "1", "--from", "digits:1", "--to", "zeuxis:digits:2"),
        ("interpolate", "1", "--from", "zeuxis:digits:2", "--to", "digits/test"),
        ("invert", "1", "digits"),
        ("edit", "1", "+ 3", "--seeds", "1", "--data", "digits"),
        ("directions", "1", "3", "--data", "digits"),
        ("arithmetic", "1", "3 - 2 + 1", "--data", "digits"),
    ):
        code, out, complaint = typed(*words)
        assert (code, out) == (2, "") and "./digits" in complaint and "zeuxis:digits" in complaint, words
    config = str(RunFolder.open("runs/00001-gan-digits").path / "config.yaml")
    assert typed("resume", "1", "--steps", "3")[0] == typed("train", "--config", config, "--steps", "2")[0] == 0
    assert typed("train", "gan", "./digits", "--size", "16", *COMMON)[0] == 0
    stored = [str(RunFolder.open(run).config["data"]) for run in sorted(Path("runs").glob("0*"))]
    assert stored == ["digits", "digits", str(tmp_path / "digits")]
    assert typed("invert", "1", "zeuxis:digits:3", "--number", "1", "--steps", "1", "--restarts", "1")[0] == 0


def test_what_pictures_show_is_parted_from_the_name_of_their_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    known = examples("digits:3", range(2), size=8, channels=1)
    (tmp_path / "digits").mkdir()
    for kind in ("robin", "wren"):
        folder(tmp_path / "digits" / kind, 2)
    assert torch.equal(examples("zeuxis:digits:3", range(2), size=8, channels=1), known)
    assert examples("./digits:robin", range(2), size=8, channels=1).shape == (2, 1, 8, 8)
    with pytest.raises(UsageError, match=r"\./digits .*zeuxis:digits"):
        examples("digits:robin", range(2), size=8, channels=1)
    Image.new("L", (8, 8)).save(tmp_path / "night", "PNG")
    with pytest.raises(UsageError, match=r"\./night .*zeuxis:night"):
        examples("night", range(1), size=8, channels=1)
