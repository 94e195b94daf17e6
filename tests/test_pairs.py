"""Two columns of images: which belong together, from where they come, and in what order they are learned."""

from __future__ import annotations

import io
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from zeuxis.data import DataSpec, derived_sources
from zeuxis.data.batches import PairSource
from zeuxis.data.catalog import _earth, _places, avatars, maps, openmoji
from zeuxis.data.listing import Shape
from zeuxis.data.pairs import Pairs
from zeuxis.data.specs import Form
from zeuxis.errors import DataError, UsageError

Array = np.ndarray[Any, Any]
COLOUR, GREY = (16, 3), (16, 1)


def opened(text: str, *, paired: bool = True, source: Form = COLOUR, image: Form = COLOUR) -> Pairs:
    return DataSpec.parse(text).open_pairs(source, image, paired=paired)


def plain(path: Path, value: int, *, size: tuple[int, int] = (16, 16)) -> None:
    """An image of one grey, as a file."""
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.new("RGB", size, (value, value, value)).save(path)


def two_folders(root: Path, count: int = 6) -> str:
    """Files of the same names but for their endings, whose greys say which they are: i, and 100 + i."""
    for i in range(count):
        plain(root / "a" / f"{i}.png", i)
        plain(root / "b" / f"{i}.bmp", 100 + i)
    return f"{root / 'a'} -> {root / 'b'}"


# Which images belong together.


def test_files_of_the_same_name_are_pairs(tmp_path: Path) -> None:
    spec = two_folders(tmp_path)
    plain(tmp_path / "a" / "alone.png", 50)
    (tmp_path / "b" / "3.bmp").write_bytes(b"BM broken")
    found = opened(spec)
    assert len(found) == 5 and found.name == "a-to-b"
    greys = (
        [found.source.images[i, 0, 0, 0] for i in found.places[0]],
        [found.image.images[i, 0, 0, 0] for i in found.places[1]],
    )
    assert greys == ([0, 1, 2, 4, 5], [100, 101, 102, 104, 105])
    assert ("alone.png", "has no partner in b") in found.source.left_out


def test_a_name_that_several_files_have_makes_no_pair(tmp_path: Path) -> None:
    spec = two_folders(tmp_path)
    twins = sorted(path.name for path in (tmp_path / "a").iterdir() if path.stem == "2")
    plain(tmp_path / "a" / "2.jpg", 77)
    found = opened(spec)
    assert [found.source.images[i, 0, 0, 0] for i in found.places[0]] == [0, 1, 3, 4, 5]
    reason = "is not the only one of this name, but for the ending, here or in b"
    assert {name for name, why in found.source.left_out if why == reason} == {*twins, "2.jpg"}
    assert found.fingerprint == opened(spec).fingerprint != opened(spec, paired=False).fingerprint


def test_folders_without_a_name_in_common_are_refused_or_unpaired(tmp_path: Path) -> None:
    two_folders(tmp_path)
    plain(tmp_path / "c" / "other.png", 7)
    spec = f"{tmp_path / 'a'} -> {tmp_path / 'c'}"
    with pytest.raises(DataError, match="no name is in both a .* and c .*cyclegan"):
        opened(spec)
    apart = opened(spec, paired=False)
    assert [len(places) for places in apart.places] == [6, 1] and len(apart) == 6


def test_pictures_side_by_side_are_halved(tmp_path: Path) -> None:
    for i in range(3):
        page = Image.new("RGB", (64, 32), (i, i, i))
        page.paste((200 + i,) * 3, (32, 0, 64, 32))
        page.save(tmp_path / f"{i}.png")
    for spec, first in ((str(tmp_path), 0), (f"left -> {tmp_path}", 0), (f"right -> {tmp_path}", 200)):
        found = opened(spec)
        assert len(found) == 3
        for i in range(3):
            assert (found.source.images[i] == first + i).all()
            assert (found.image.images[i] == 200 - first + i).all()


# EXIF orientation, and how a camera that was held so stores an upright image.
HELD = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def held(page: Image.Image, turn: int, path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    (page.transpose(HELD[turn]) if turn in HELD else page).save(path, exif=exif)


@pytest.mark.parametrize("ending", ["png", "webp", "tif"])
def test_pictures_side_by_side_are_halved_upright(ending: str, tmp_path: Path) -> None:
    for turn in range(1, 9):
        page = Image.new("RGB", (32, 16), (turn, turn, turn))
        page.paste((200 + turn,) * 3, (16, 0, 32, 16))
        page.paste((100, 100, 100), (0, 0, 32, 4))  # what is up
        held(page, turn, tmp_path / f"{turn}.{ending}")
    found = opened(str(tmp_path))  # each is twice as wide as high, as it is seen
    assert len(found) == 8 and {tuple(record["size"]) for record in found.source.records()} == {(32, 16)}
    most = 12 if ending == "webp" else 0
    for i in range(8):
        for pack, value in ((found.source, i + 1), (found.image, 201 + i)):
            inside = pack.images[i].astype(int)
            assert np.abs(inside[8:] - value).max() <= most and np.abs(inside[:3] - 100).max() <= most, i + 1


@pytest.mark.parametrize("turn", range(1, 9))
def test_sources_are_derived_of_upright_images(turn: int, tmp_path: Path) -> None:
    page = Image.new(
        "RGB", (16, 16), (250, 250, 250)
    )  # of the size that is learned: a turned reduction rounds otherwise
    page.paste((200, 30, 30), (1, 2, 6, 13))
    for name, each in (("upright", 1), ("held", turn)):
        (tmp_path / name).mkdir()
        held(page, each, tmp_path / name / "1.png")
    for way in ("edges", "grey", "blur", "labels"):
        one, other = (opened(f"{way} -> {tmp_path / name}").source.images for name in ("upright", "held"))
        assert np.array_equal(one, other)


def test_single_images_are_no_pairs(tmp_path: Path) -> None:
    two_folders(tmp_path)
    for spec in (str(tmp_path / "a"), "avatars:3"):
        with pytest.raises(UsageError, match="pairs are needed.*edges"):
            opened(spec)


# What is made of the images themselves.


def test_sources_are_made_of_the_images(tmp_path: Path) -> None:
    page = Image.new("RGB", (16, 16), (250, 250, 250))
    page.paste((200, 30, 30), (4, 4, 12, 12))
    page.save(tmp_path / "square.png")
    lines = opened(f"edges -> {tmp_path}", source=GREY).source.images[0, ..., 0]
    assert set(np.unique(lines)) == {0, 255}
    assert (lines[6:10, 6:10] == 255).all() and (lines[:2] == 255).all(), "nothing where nothing changes"
    assert all((lines[8, a:b] == 0).sum() == 1 for a, b in ((2, 6), (10, 14))), "one pixel at each border"
    grey = opened(f"grey -> {tmp_path}", source=GREY).source.images[0, ..., 0]
    assert np.array_equal(grey, np.asarray(page.convert("L")))
    flat = opened(f"labels -> {tmp_path}").source.images[0]
    assert {tuple(colour) for colour in flat.reshape(-1, 3).tolist()} <= set(derived_sources.PALETTE)
    blurred = opened(f"blur -> {tmp_path}").source.images[0].astype(int)
    assert 0 < np.abs(np.diff(blurred[8, :, 1])).max() < 200


def test_what_sources_are_made_of_is_decoded_once(tmp_path: Path) -> None:
    for i in range(5):
        plain(tmp_path / f"{i}.png", 2 * i)
    found = opened(f"grey -> {tmp_path}", source=GREY)
    assert [int(image[0, 0, 0]) for image in found.source.images] == [0, 2, 4, 6, 8]
    assert found.image.path == DataSpec.parse(tmp_path).open(16).path


# The order in which they are learned.


def test_pairs_stay_together_in_every_order(tmp_path: Path) -> None:
    found = opened(two_folders(tmp_path))
    for hflip in (False, True):
        source = PairSource(found, seed=3, hflip=hflip)
        batch = source.batch(4, 20)
        assert batch.source is not None
        one, two = ((each[:, 0, 0, 0] + 1) * 127.5 for each in (batch.source, batch.image))
        torch.testing.assert_close(two - one, torch.full((20,), 100.0))
        assert len(set(one[2:8].round().tolist())) == 6, "an epoch has each once"
        again = PairSource(found, seed=3, hflip=hflip).batch(9, 5)
        assert torch.equal(again.image, batch.image[5:10])


def test_both_sides_of_a_pair_are_mirrored_alike(tmp_path: Path) -> None:
    for i in range(8):
        for folder in ("a", "b"):
            page = Image.new("RGB", (16, 16))
            page.paste((255,) * 3, (0, 0, 8, 16))
            (tmp_path / folder).mkdir(exist_ok=True)
            page.save(tmp_path / folder / f"{i}.png")
    batch = PairSource(opened(f"{tmp_path / 'a'} -> {tmp_path / 'b'}"), seed=0, hflip=True).batch(0, 64)
    assert batch.source is not None and torch.equal(batch.source, batch.image)
    assert 16 < int((batch.image[:, 0, 0, 0] > 0).sum()) < 48


def test_unpaired_sets_have_orders_of_their_own(tmp_path: Path) -> None:
    batch = PairSource(opened(two_folders(tmp_path, 40), paired=False), seed=0).batch(0, 40)
    assert batch.source is not None
    one, two = (((each[:, 0, 0, 0] + 1) * 127.5).round() for each in (batch.source, batch.image))
    assert sorted(one.tolist()) == list(range(40)) and sorted(two.tolist()) == list(range(100, 140))
    assert int((two - one == 100).sum()) < 8


def test_known_pairs_are_hidden_from_who_learns_without() -> None:
    found = opened("avatars.plain:10 -> avatars.glasses:10", paired=False)
    assert [places.tolist() for places in found.places] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    names = [[record["name"] for record in pack.records()] for pack in (found.source, found.image)]
    assert names == [list(map(str, range(10)))] * 2
    with pytest.raises(DataError, match="one pair"):
        opened("avatars.plain:1 -> avatars.glasses:1", paired=False)


# Views of named sets.


def test_glasses_are_all_that_differs() -> None:
    found = opened("plain-to-glasses:6", source=(32, 3), image=(32, 3))
    for i in range(6):
        assert np.array_equal(found.source.images[i], avatars.draw_avatar(i, size=32, change={"glasses": False}))
        assert np.array_equal(found.image.images[i], avatars.draw_avatar(i, size=32, change={"glasses": True}))
    for pack, has in ((found.source, 0), (found.image, 1)):
        assert pack.labels is not None
        assert (pack.labels[:, [a.name for a in pack.attributes].index("glasses")] == has).all()


def columns(places: Array) -> set[int]:
    """All columns of pixels that the largest cut around any of the places has."""
    half = _places._LARGEST // 2
    return {column for left in set(places[:, 1].tolist()) for column in range(left - half, left + half)}


def test_places_are_parted_by_longitude() -> None:
    """Training and test, and both halves of training, have no pixel in common, and all are where land is."""
    random = np.random.default_rng(0)
    land = np.kron(random.random((_earth.HEIGHT // 50, _earth.WIDTH // 50)) < 0.4, np.ones((50, 50))).astype(bool)
    train, test = (_places.places(land, split) for split in ("train", "test"))
    middle = len(train) // 2
    parts = [columns(each) for each in (train[:middle], train[middle:], test)]
    assert len(train) % 2 == 0 and min(map(len, parts)) > 500
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
    for top, left in train[::97]:
        assert land[top - 32 : top + 32, left - 32 : left + 32].mean() >= 0.3


def test_all_pictures_of_a_place_show_the_same_degrees() -> None:
    across = np.broadcast_to(np.arange(_earth.WIDTH) / _earth.WIDTH * 255, (_earth.HEIGHT, _earth.WIDTH))
    large = np.repeat(across.astype(np.uint8)[..., None], 3, 2)
    small = np.array(Image.fromarray(large).resize((4096, 2048), Image.Resampling.BOX))
    for size in (64, 128):
        cuts = [
            _places.EarthCuts(lambda each=each: each).picture("900,2000", Shape(size, 3)).pixels
            for each in (large, small)
        ]
        assert np.abs(cuts[0].astype(int) - cuts[1]).max() <= 1
    assert _places.EarthCuts(lambda: large).picture("900,2000", Shape(64, 3)).size == (64, 64)


def test_lines_go_on_across_the_border_of_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.array([[170, 10], [190, 10], [190, -10], [170, -10]], "<f4")
    files = {"gshhs_i.dat": points.tobytes(), "gshhsmeta_i.dat": b"1 9.0 4 -10 10 0 32 0\n"}
    monkeypatch.setattr(_earth, "files", lambda name, sums: files)
    lines = list(maps._lines("gshhs"))
    assert [kind for kind, _ in lines] == [1, 1]
    assert [line[0] for _, line in lines] == [(-150.0, 1200.0), (5250.0, 1200.0)]


def test_an_emoji_of_lines_has_only_its_lines() -> None:
    svg = (
        b'<svg id="emoji" viewBox="0 0 72 72" xmlns="http://www.w3.org/2000/svg"><g id="color"><rect fill="#f00" x="10" '
        b'y="10" width="50" height="50"/></g><g id="line"><rect x="20" y="20" width="10" height="10"/></g></svg>'
    )
    drawn = {}
    for view, channels in openmoji.OPENMOJI.views.items():
        image = Image.open(io.BytesIO(openmoji._drawn(openmoji._layers(svg, view), 62)))
        drawn[view] = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    assert drawn["line"][20, 20] == 0 and drawn["line"][50, 50] == 255 and (drawn["line"] == 255).mean() > 0.9
    assert drawn["colour"][50, 50].tolist() == [255, 0, 0] and drawn["colour"][20, 20].tolist() == [0, 0, 0]


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_of_pairs_are_the_same_in_every_unicode_form(forms: tuple[Any, Any], tmp_path: Path) -> None:
    for folder, form, first in (("a", forms[0], 0), ("b", forms[1], 100)):
        for i, name in enumerate(("Vögel/é", "Vögel/ñ", "zoë")):
            plain(tmp_path / folder / f"{unicodedata.normalize(form, name)}.png", first + i)
    found = opened(f"{tmp_path / 'a'} -> {tmp_path / 'b'}")
    one, two = (pack.images[places, 0, 0, 0] for pack, places in zip((found.source, found.image), found.places))
    assert sorted(one.tolist()) == [0, 1, 2] and (two - one == 100).all()
    plain(tmp_path / "a" / f"{unicodedata.normalize(forms[1], 'zoë')}.png", 50)
    assert len(opened(f"{tmp_path / 'a'} -> {tmp_path / 'b'}")) == 2, "two of one name are in no pair"
