"""Images held out of training: the same whatever else is in the folder, on one side each, and what evaluations compare with."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from commandline import refused, typed
from zeuxis import api, families, loading
from zeuxis.data import DataSpec, Pack, holding_out, pack
from zeuxis.data.batches import PackSource, open_pairs_of
from zeuxis.data.holding_out import HoldOut
from zeuxis.data.listing import Listing, Shape
from zeuxis.data.order import Order
from zeuxis.data.pairs import Pairs
from zeuxis.data.places import given_again
from zeuxis.data.records import ImageRecords
from zeuxis.data.specs import PairSpec
from zeuxis.errors import DataError, UsageError
from zeuxis.judging.reference import choose_reference
from zeuxis.judging.super_resolution import choose_photographs
from zeuxis.judging.training_data import selected
from zeuxis.judging.translation import choose_pairs, source_examples
from zeuxis.training import contact_sheets
from zeuxis.training.config import read_recipe
from zeuxis.training.settings import TrainSettings

Array = np.ndarray[Any, Any]
TINY = {"size": 8, "channels": 1, "hidden_dim": 4, "batch_size": 4, "steps": 6, "device": "cpu", "kernels": "standard"}


def noisy(folder: Path, count: int, *, first: int = 0, sides: tuple[int, int] = (9, 8)) -> Path:
    """Files of noise that all differ, named by numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(first, first + count):
        pixels = np.random.default_rng(i).integers(0, 256, (*sides, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def parts(data: str | Path, share: float = 0.3, **shape: Any) -> tuple[Pack, Pack]:
    """What is learned from, and what is held out, of single images."""
    found = DataSpec.parse(data, hold_out=share).held_out(10**6)
    assert found is not None
    learned, unseen = (each.open(**{"size": 8, **shape}) for each in found)
    return learned, unseen


def stems(found: Pack) -> set[str]:
    return {Path(record["name"]).stem for record in found.records()}


# Which images.


def test_each_image_is_on_one_side_as_it_was_read(tmp_path: Path) -> None:
    folder = noisy(tmp_path / "birds", 60)
    whole = DataSpec.parse(folder).open(8)
    learned, unseen = parts(folder)
    assert stems(learned) | stems(unseen) == stems(whole) and not stems(learned) & stems(unseen)
    assert 8 <= len(unseen) <= 30, "about 18 of 60"
    assert len({whole.fingerprint, learned.fingerprint, unseen.fingerprint}) == 3
    for part in (learned, unseen):
        assert part.places is not None and part.images.shape == (len(part), 8, 8, 3)
        places = part.places.every()
        assert np.array_equal(part.images, whole.images[places]) and part.stored.nbytes == part.images.size
        assert np.array_equal(part.rows(np.array([2, 0])), whole.images[places[[2, 0]]])
        # As it was when places were numbers: runs of then resume.
        assert part.fingerprint == hashlib.sha256(whole.fingerprint.encode() + places.tobytes()).hexdigest()
    assert f"birds: --hold-out 30% keeps {len(unseen)} images unseen" in learned.passed_over
    opened = DataSpec.parse(folder, hold_out=0.3).open(8)
    assert opened.fingerprint == learned.fingerprint, "what opens is what is learned from"


def test_the_side_of_an_image_follows_from_its_file_alone(tmp_path: Path) -> None:
    folder = noisy(tmp_path / "birds", 40)
    learned, unseen = parts(folder)
    for other in (parts(folder, channels=1), parts(folder, size=16)):
        assert [stems(part) for part in other] == [stems(learned), stems(unseen)]
    noisy(folder, 30, first=40)
    more = parts(folder)
    assert stems(learned) < stems(more[0]) and stems(unseen) < stems(more[1])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for path in folder.iterdir():
        shutil.copy(path, elsewhere / f"x{path.name}")
    assert stems(parts(elsewhere)[1]) == {f"x{name}" for name in stems(more[1])}
    zipped = shutil.make_archive(str(tmp_path / "zipped"), "zip", folder)
    assert stems(parts(zipped)[1]) == stems(more[1])


def test_images_in_memory_have_sides_too(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3), np.uint8)
    for data in (pixels, (pixels, np.arange(50) % 3)):
        found = DataSpec.parse(data, hold_out=0.3).held_out(1)
        assert found is not None
        learned, unseen = (each.open(8) for each in found)
        assert learned.places is not None and len(learned) + len(unseen) == 50
        assert np.array_equal(learned.images, pixels[learned.places.every()])
    made = api.train("gan", pixels, hold_out=0.3, out=tmp_path / "runs", **{**TINY, "channels": 3, "steps": 2})
    made.resume(steps=3, data=pixels)
    assert read_recipe(made.config).images == len(learned)


def test_the_sides_of_a_share_never_change() -> None:
    """Another salt or hash would move images of runs that are to be resumed."""
    hold_out = HoldOut(0.2, unseen=True)
    digests = [hashlib.blake2b(str(i).encode(), digest_size=16).hexdigest() for i in range(10_000)]
    unseen = [digest for digest in digests if hold_out.has(digest)]
    assert [digests.index(digest) for digest in unseen[:6]] == GOLDEN
    assert abs(len(unseen) - 2000) < 5 * 40, "five standard deviations"
    assert all(HoldOut(0.5, unseen=True).has(digest) for digest in unseen), "a larger share holds the smaller one"
    assert not any(HoldOut(0.2).has(digest) for digest in unseen)


GOLDEN = [2, 3, 5, 16, 33, 35]


def test_equal_files_are_on_one_side(tmp_path: Path) -> None:
    folder = noisy(tmp_path, 30)
    for path in list(folder.iterdir()):
        shutil.copy(path, folder / f"{path.stem}.copy.png")
    for part in parts(folder):
        found = [name.partition(".")[0] for name in stems(part)]
        assert all(found.count(name) == 2 for name in found)


def test_tiles_of_one_photograph_are_on_one_side(tmp_path: Path) -> None:
    folder = noisy(tmp_path, 16, sides=(210, 200))
    shutil.copy(folder / "3.png", folder / "again.png")
    found = DataSpec.parse(folder, resize_mode="tiles", hold_out=0.4).held_out(1)
    assert found is not None
    sides = [{record["name"].partition("@")[2] for record in each.open(32).records()} for each in found]
    assert not sides[0] & sides[1] and len(sides[0] | sides[1]) == 17
    assert ("3.png" in sides[0]) == ("again.png" in sides[0])
    whole = DataSpec.parse(folder, resize_mode="crop", hold_out=0.4).held_out(1)
    assert whole is not None and {f"{stem}.png" for stem in stems(whole[1].open(32))} == sides[1]


def test_packs_of_tiles_alone_are_built_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of before have the digests of tiles, which say nothing of the photograph."""
    listing = Listing("x", "folder 1", lambda: pytest.fail("gathered"))

    def keys() -> list[str]:
        return [pack._key(listing, Shape(32, 3, mode), None) for mode in ("crop", "pad", "tiles")]

    now = keys()
    monkeypatch.setattr(pack, "RECIPE", 99)
    assert [old == new for old, new in zip(keys(), now)] == [True, True, False]
    told = f'[{pack._FORMAT}, "folder 1", [32, 3, "crop"], null]'
    assert now[0] == hashlib.sha256(told.encode()).hexdigest()[:16], "packs of before are found"


def test_which_of_many_are_held_out_is_kept_beside_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding_out, "_MANY", 20)
    folder, read, lots = noisy(tmp_path / "birds", 30), list[int](), ImageRecords.lots_by_shard
    monkeypatch.setattr(ImageRecords, "lots_by_shard", lambda self: read.append(1) or lots(self))
    found = [part.fingerprint for part in parts(folder)]
    assert read == [1], "both parts are of one share"
    assert [part.fingerprint for part in parts(folder)] == found and read == [1]
    assert [part.fingerprint for part in parts(folder, 0.4)] != found and read == [1, 1]
    kept = DataSpec.parse(folder).open(8).path / "held-out-0.3.bits"
    assert len(kept.read_bytes()) == 4, "a bit for each image"
    kept.write_bytes(b"\xff" * 4)
    assert [part.fingerprint for part in parts(folder)] == found and read == [1] * 3, "what is damaged is made again"
    parts(noisy(tmp_path / "few", 12), 0.5)
    assert read == [1] * 5 and not [*DataSpec.parse(tmp_path / "few").open(8).path.glob("held-out*")]


def test_labels_and_a_limit_go_along(tmp_path: Path) -> None:
    for number, name in enumerate(("robin", "wren")):
        noisy(tmp_path / name, 20, first=100 * number)
    for part in parts(tmp_path):
        assert part.classes == ["robin", "wren"] and part.labels is not None
        known = [int(record["name"].startswith("wren")) for record in part.records()]
        assert known == part.labels.tolist()
        batch, order = PackSource(part, seed=3).batch(5, 9).label, Order(len(part), 3).places(5, 9)
        assert batch is not None and batch.tolist() == [known[place] for place in order]
    some = DataSpec.parse(tmp_path, hold_out=0.3, max_images=20).held_out(1)
    assert some is not None and sum(len(each.open(8)) for each in some) == 20


def test_a_side_without_an_image_is_refused(tmp_path: Path) -> None:
    one = noisy(tmp_path / "one", 1)
    with pytest.raises(DataError, match=r"--hold-out 0.1% holds out none of the 1 image of one; give a larger share"):
        DataSpec.parse(one, hold_out=0.001).open(8)
    with pytest.raises(DataError, match=r"--hold-out 99.9% holds out all of the 1 image of one; give a smaller share"):
        DataSpec.parse(one, hold_out=0.999).open(8)
    some = noisy(tmp_path / "some", 5)
    for share, unseen in ((0.001, False), (0.001, True), (0.999, False), (0.999, True)):
        with pytest.raises(DataError, match="of the 5 images of some"):
            HoldOut(share, unseen).chosen(
                HoldOut(share).is_held_out(DataSpec.parse(some).open(8).records().lots()), "some"
            )


# Pairs.


def pair_parts(data: str, *, paired: bool, share: float = 0.4) -> tuple[Pairs, Pairs]:
    found = DataSpec.parse(data, hold_out=share).held_out(10**6)
    assert found is not None
    learned, unseen = (each.open_pairs((8, 3), (8, 3), paired=paired) for each in found)
    return learned, unseen


def named(found: Pairs) -> tuple[set[str], set[str]]:
    source, image = (
        {Path(each.records()[place]["name"]).stem for place in places}
        for each, places in zip((found.source, found.image), found.places)
    )
    return source, image


def test_a_pair_is_on_the_side_of_its_image(tmp_path: Path) -> None:
    one, two = noisy(tmp_path / "one", 40, first=500), noisy(tmp_path / "two", 40)
    for number in range(40):
        (one / f"{500 + number}.png").rename(one / f"{number}.png")
    unseen = stems(parts(two, 0.4)[1])
    for data in (f"{one} -> {two}", f"grey -> {two}", f"edges -> {two}"):
        found = pair_parts(data, paired=True)
        assert [named(each) for each in found] == [(stems_of(40) - unseen,) * 2, (unseen, unseen)], data
        assert len({each.fingerprint for each in found}) == 2
        assert any("keeps" in line for line in found[0].image.passed_over)


def stems_of(count: int) -> set[str]:
    return {str(number) for number in range(count)}


def test_halves_of_a_file_are_on_its_side(tmp_path: Path) -> None:
    folder = noisy(tmp_path, 30, sides=(8, 16))
    learned, unseen = pair_parts(str(folder), paired=True)
    assert named(unseen) == (stems(parts(folder, 0.4)[1]),) * 2 and len(learned) + len(unseen) == 30


def test_two_sets_that_are_no_pairs_are_each_parted_by_their_own(tmp_path: Path) -> None:
    one, two = noisy(tmp_path / "one", 30), noisy(tmp_path / "two", 50, first=100)
    learned, unseen = pair_parts(f"{one} -> {two}", paired=False)
    assert named(unseen) == (stems(parts(one, 0.4)[1]), stems(parts(two, 0.4)[1]))
    assert named(learned) == (stems(parts(one, 0.4)[0]), stems(parts(two, 0.4)[0]))
    known, _ = pair_parts(f"grey -> {two}", paired=False)
    sources, images = named(known)
    assert not sources & images and sources | images == stems(parts(two, 0.4)[0]), "no pair is seen"


@pytest.mark.parametrize("name", ["pix2pix", "cyclegan"])
def test_translators_are_judged_by_what_is_held_out(tmp_path: Path, name: str) -> None:
    """Of pairs, by pairs; where nothing says which images belong together, by two sets."""
    one, two = noisy(tmp_path / "one", 90, first=100 if name == "cyclegan" else 0), noisy(tmp_path / "two", 90)
    model = families.find(name)(size=16, base_channels=4)
    data = DataSpec.parse(f"{one} -> {two}", hold_out=0.4)
    found = choose_pairs(model, data, count=25)
    unseen = stems(parts(two, 0.4)[1])
    assert found.held_out and found.test.paired == model.paired and len(found.test) == 25
    assert named(found.test)[1] < unseen and not named(found.training)[1] & unseen
    assert "of" in found.name and found.name.endswith("(--hold-out 40%: never learned from)")
    few = DataSpec.parse(f"{one} -> {two}", hold_out=0.1)
    with pytest.raises(DataError, match="train with a larger --hold-out, or on more images"):
        choose_pairs(model, few, count=25)
    assert source_examples(model, few, 4).shape == (4, 3, 16, 16), "to look at, a few are enough"
    derived = choose_pairs(model, DataSpec.parse(f"grey -> {two}", hold_out=0.4), count=30)
    assert derived.test.paired and named(derived.test)[0] == named(derived.test)[1] <= unseen


def test_photographs_are_held_out_with_their_tiles(tmp_path: Path) -> None:
    folder = noisy(tmp_path, 12, sides=(150, 140))
    model = families.find("srgan")(size=32, base_channels=4, blocks=1, vgg_weight=0.0)
    data = DataSpec.parse(f"small -> {folder}", resize_mode="tiles", hold_out=0.4)
    test = choose_photographs(model, data, count=100)
    learned = open_pairs_of(data, model, paired=True)
    seen = {learned.image.records()[place]["name"].partition("@")[2] for place in learned.places[1]}
    assert test.held_out and len(test.photographs) + len(seen) == 12
    whole = {path.name: np.asarray(Image.open(path))[1:149].tobytes() for path in folder.iterdir()}
    shown = {np.asarray(photo).tobytes() for photo in test.photographs}
    assert shown == {pixels for name, pixels in whole.items() if name not in seen}
    assert len(choose_photographs(model, data, count=2).photographs) == 2


# Runs.


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that holds images out, and nothing else special."""
    root = tmp_path_factory.mktemp("held-out")
    folder = noisy(root / "birds", 120)
    return api.train("gan", str(folder), hold_out=0.4, out=root / "runs", **TINY).path


def newest(run: Path) -> dict[str, str]:
    """Digests of the newest checkpoint and the metrics."""
    (step,) = run.glob(f"checkpoints/step-{6:08d}")
    kept = [run / "metrics.jsonl", *step.iterdir()]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}


def test_a_run_with_images_held_out_resumes_exactly(run: Path, tmp_path: Path) -> None:
    data, out = run.parents[1] / "birds", tmp_path / "runs"
    again = api.train("gan", str(data), hold_out=0.4, out=out, **{**TINY, "steps": 3})
    again.resume(steps=6)
    assert newest(again.path) == newest(run)
    other = api.train("gan", str(data), hold_out=0.4, out=out, **{**TINY, "steps": 1, "seed": 5})
    assert read_recipe(other.config).fingerprint == read_recipe(again.config).fingerprint, "whatever the seed"


def test_a_run_says_what_it_held_out(run: Path) -> None:
    folder = run.parents[1] / "birds"
    learned, _ = parts(folder, 0.4, channels=1)
    config = (run / "config.yaml").read_text()
    assert "hold_out: 0.4" in config and f"images: {len(learned)}" in config
    card = (run / "model" / "README.md").read_text()
    assert "--hold-out 0.4" in card and f"on {len(learned)} images" in card
    own = loading.data_of(run)
    assert own is not None and own.hold_out == HoldOut(0.4) and own.open(8, 1).fingerprint == learned.fingerprint
    for data in (str(folder), own):
        assert selected(run, DataSpec.parse(data)).hold_out == HoldOut(0.4)
    assert given_again(folder, own.absolute()).hold_out == HoldOut(0.4)
    assert selected(run, DataSpec.parse("digits")).hold_out is None


def test_evaluate_compares_with_what_is_held_out(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "coarse_pixels.py").write_text("def look(x): return x[:, 0, ::2, ::2].flatten(1)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    learned, unseen = parts(run.parents[1] / "birds", 0.4, channels=1)
    words = ["evaluate", str(run), "--features", "coarse_pixels:look", "--no-path-length"]
    for data in ([], [str(run.parents[1] / "birds")]):
        code, out, error = typed(*words[:2], *data, *words[2:], "--json", "--out", "scores")
        assert code == 0, error
        about = json.loads(out)["about"]
        assert about["held_out"] is True and about["hold_out"] == 0.4
        assert about["against"] == f"{len(unseen)} held-out images of birds (--hold-out 40%: never learned from)"
        assert about["training_images"] == about["searched_for_copies"] == len(learned)
        assert not any("nothing is held out" in text for text in json.loads(out)["warnings"])
    chosen = choose_reference(DataSpec.parse(run.parents[1] / "birds", hold_out=0.4), count=30, size=8, channels=1)
    assert chosen.reference_pack.fingerprint == unseen.fingerprint and len(chosen.reference) == 30
    few = DataSpec.parse(run.parents[1] / "birds", hold_out=0.05)
    with pytest.raises(DataError, match="at least 20 are needed; train with a larger --hold-out, or on more images"):
        choose_reference(few, count=30, size=8, channels=1)


def test_evaluations_of_other_shares_are_not_compared_in_silence(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "coarse_pixels.py").write_text("def look(x): return x[:, 0, ::2, ::2].flatten(1)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    runs = []
    for share in (0.4, 0.5):
        found = api.train("gan", str(run.parents[1] / "birds"), hold_out=share, out=tmp_path / "runs", **TINY)
        api.evaluate(found.model, images=20, features="coarse_pixels:look", path_length=False).save(found.path)
        runs.append(found.path)
    text = "\n".join(api.compare(runs, columns=1).lines())
    assert "evaluated differently (hold_out: 0.4; 0.5)" in text


def test_the_share_of_a_named_set_is_taken_of_what_is_learned_from() -> None:
    found = DataSpec.parse("digits", hold_out=0.25).held_out(70)
    assert found is not None and [str(each) for each in found] == ["digits", "digits"]
    learned, unseen = (each.open(8, 1) for each in found)
    assert len(learned) + len(unseen) == len(DataSpec.parse("digits").open(8, 1)) and unseen.name == "digits"


def test_a_translator_draws_pairs_that_it_never_sees(tmp_path: Path) -> None:
    folder = noisy(tmp_path / "birds", 60)
    options = {"size": 16, "base_channels": 4, "batch_size": 2, "steps": 1, "kernels": "standard", "device": "cpu"}
    made = api.train("pix2pix", f"grey -> {folder}", hold_out=0.4, out=tmp_path / "runs", **options)
    recipe = read_recipe(made.config)
    assert isinstance(recipe.data, PairSpec) and recipe.data.hold_out == HoldOut(0.4)
    source = contact_sheets._held_out(recipe, made.model)
    assert source is not None and named(source.pairs)[1] <= stems(parts(folder, 0.4)[1])


# What is typed.


@pytest.mark.parametrize(
    "typed_share", ["0%", "100%", "120%", "0", "1", "-20%", "lots", "20 per cent", "%", "nan", "1e999"]
)
def test_a_share_that_cannot_be_is_one_line(typed_share: str) -> None:
    text = refused("train", "dcgan", "digits", f"--hold-out={typed_share}")
    assert "--hold-out" in text and ("expected 0.001 to 0.999" in text or "one such as 20% or 0.2" in text)


@pytest.mark.parametrize("share", [0, 0.0, 1.0, 1.2, -0.2, True, "20%", float("nan")])
def test_a_value_that_is_no_share_is_refused(share: Any) -> None:
    with pytest.raises(UsageError, match="--hold-out is "):
        TrainSettings(hold_out=share)
    if isinstance(share, float):
        with pytest.raises(UsageError, match="--hold-out is "):
            DataSpec.parse("digits", hold_out=share)


@pytest.mark.parametrize(("words", "share"), [(["20%"], 0.2), (["0.2"], 0.2), ([" 33.3 %"], 0.333), (["7%"], 0.07)])
def test_a_share_is_typed_in_percent_too(words: Sequence[str], share: float, training: list[dict[str, Any]]) -> None:
    code, _, error = typed("train", "dcgan", "birds", "--hold-out", *words)
    assert code == 0, error
    assert training[0]["settings"].hold_out == share


def test_a_file_of_options_has_the_share(tmp_path: Path, training: list[dict[str, Any]], run: Path) -> None:
    (tmp_path / "options.yaml").write_text("family: vae\ndata: birds\nhold-out: 20%\n")
    for path in (tmp_path / "options.yaml", run / "config.yaml"):
        code, _, error = typed("train", "--config", str(path))
        assert code == 0, error
    assert [each["settings"].hold_out for each in training] == [0.2, 0.4]


def test_a_dry_run_and_a_sweep_take_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--hidden-dim", "4", "--size", "8", "--device", "cpu"]
    assert typed("train", "gan", "digits", "--hold-out", "20%", "--dry-run", *options)[0] == 0
    code, out, error = typed("sweep", "gan", "digits", "--hold-out", "10%,0.2", "--steps", "1", "--dry-run", *options)
    assert code == 0, error
    assert "hold_out 0.1" in out and "hold_out 0.2" in out
    assert "--hold-out" in refused("sweep", "gan", "digits", "--hold-out", "10%,lots")


def test_a_file_that_somebody_changed_is_refused(run: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(run, broken)
    config = (broken / "config.yaml").read_text()
    for wrong in ("twenty", "20", "[0.2]", "7.5"):
        (broken / "config.yaml").write_text(config.replace("hold_out: 0.4", f"hold_out: {wrong}"))
        with pytest.raises(UsageError, match=r"hold.out is "):
            loading.data_of(broken)
    (broken / "config.yaml").write_text(config.replace("hold_out: 0.4", "hold_out: 0.3"))
    with pytest.raises(DataError, match="has changed since the run began"):
        api.resume(broken, steps=7)
