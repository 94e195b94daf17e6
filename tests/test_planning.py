"""Advice rests on recorded runs and measured steps, and each command that it gives is one that runs."""

from __future__ import annotations

import json
import math
import re
import shlex
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import known_quality
import standings
from commandline import refused, typed
from zeuxis import api, cli
from zeuxis.api.planning import suggest
from zeuxis.data import DataSpec, Pack
from zeuxis.data.checked import CheckedImages
from zeuxis.data.listing import Shape
from zeuxis.errors import UsageError
from zeuxis.training import advice as table
from zeuxis.training import planning, recorded
from zeuxis.training.advice import RULES, KnownPictures, rule_for, warnings_of_few
from zeuxis.training.config import Recipe
from zeuxis.training.planning import Advice, advise
from zeuxis.training.recorded import RecordedRun, alike, expected_fid, nearest_run, recorded_runs
from zeuxis.training.settings import TrainSettings


def test_the_table_in_the_package_is_that_of_the_bench() -> None:
    made = known_quality.text(standings.read(known_quality.RESULTS))
    assert known_quality.TABLE.read_text(encoding="utf-8") == made, "run: python bench/known_quality.py"


def test_the_table_has_means_over_seeds_and_families_alone() -> None:
    rows = standings.read(known_quality.RESULTS)
    three = [row for row in rows if (row["model"], row["data"], row["minutes"]) == ("dcgan", "avatars:5000", 15.0)]
    (found,) = (
        row for row in recorded_runs() if (row.family, row.data, row.minutes) == ("dcgan", "avatars:5000", 15.0)
    )
    assert len(three) == found.seeds == 3
    assert found.fid == pytest.approx(sum(standings.score(row, standings.FID)["value"] for row in three) / 3, abs=0.05)
    assert {row.family for row in recorded_runs()} & {"textbook", "pythae"} == set()
    assert found.speed(found.size) == pytest.approx(found.images / 15)
    assert found.speed(2 * found.size) == pytest.approx(found.images / 15 / 4), "four times the pixels"


def run(family: str, images: int, fid: float, data: str = "x", channels: int = 3, size: int = 64) -> RecordedRun:
    return RecordedRun(data, family, size, channels, 10.0, images, fid, 5.0, 1)


def test_fid_at_as_many_images() -> None:
    rows = [run("a", 100, 80.0), run("a", 400, 20.0), run("b", 100, 50.0)]
    assert expected_fid(rows, "a", 100) == pytest.approx(80) and expected_fid(rows, "a", 400) == pytest.approx(20)
    assert expected_fid(rows, "a", 200) == pytest.approx(40), "halfway between the logarithms"
    assert expected_fid(rows, "a", 10_000) == 20.0, "no better than any that was recorded"
    assert expected_fid(rows, "a", 25) == pytest.approx(160)
    assert expected_fid(rows, "a", 0) > 100 and expected_fid(rows, "c", 100) == math.inf
    assert (
        nearest_run(rows, "a", 150) == rows[0]
        and nearest_run(rows, "a", 390) == rows[1]
        and nearest_run(rows, "c", 1) is None
    )


def test_pictures_are_compared_with_the_set_most_like_them() -> None:
    names = ("dcgan", "vae", "diffusion")
    assert {row.data for row in alike(1, 28, names)} == {"fashion-mnist"}
    assert {row.data for row in alike(3, 64, names)} == {"avatars:5000"}, "most families were run on it"
    assert {(row.data, row.size) for row in alike(3, 128, ("pix2pix",))} == {("map-to-aerial", 128)}
    assert alike(3, 64, ()) == []


@pytest.fixture
def paces(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Seconds per step by family, in the place of measurements; 0.1 where it has none."""
    found: dict[str, float] = {}

    def plan(settings: Any, family: Any, options: Any, *, shape: Any) -> SimpleNamespace:
        seconds = found.get(family.family(), 0.1)
        return SimpleNamespace(
            steps=lambda time: time / seconds, seconds=lambda steps: steps * seconds, batch_size=32, device="cpu"
        )

    monkeypatch.setattr(planning, "plan_run", plan)
    return found


def folder_of(path: Path, sizes: list[tuple[int, int]], mode: str = "RGB") -> Path:
    path.mkdir()
    draw = np.random.default_rng(0)
    for i, (width, height) in enumerate(sizes):
        pixels = draw.integers(0, 255, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).convert(mode).save(path / f"{i}.png")
    return path


def check_commands(advice: Advice) -> None:
    """Every command is accepted: its flags are known and its values allowed."""
    for proposal in advice.proposals:
        words = shlex.split(proposal.command)
        assert words[:2] == ["zeuxis", "train"]
        cli.build(words[1:]).parse_args(words[1:], exit_on_error=False, print_error=False)


@pytest.mark.parametrize(
    ("sizes", "mode", "options"),
    [
        ([(200, 100)] * 3 + [(90, 80)] * 9, "RGB", {}),
        ([(40, 33)] * 9, "L", {"size": 32, "channels": 1}),
        ([(20, 16)] * 9, "RGB", {"size": 16}),
        ([(64, 64)] * 5, "LA", {"channels": 1}),
    ],
)
def test_a_folder_gets_its_form_and_commands_that_run(
    tmp_path: Path, paces: dict[str, float], sizes: list[tuple[int, int]], mode: str, options: dict[str, Any]
) -> None:
    folder = folder_of(tmp_path / "my own birds", sizes, mode)
    advice = api.plan(str(folder), minutes=7)
    (dcgan,) = (each for each in advice.proposals if each.family == "dcgan")
    assert dcgan.options == options and dcgan.settings == {}
    assert dcgan.steps == 4200 and dcgan.images == 134_400 and dcgan.epochs == pytest.approx(134_400 / len(sizes))
    assert len(advice.proposals) >= 4
    check_commands(advice)
    code, out, error = typed(*shlex.split(dcgan.command)[1:], "--dry-run", "--base-channels", "4")
    assert code == 0 and "in 7 minutes" in out, error
    assert f"{len(sizes)} images are few" in "\n".join(advice.lines())


def test_the_form_that_is_asked_for_is_planned(tmp_path: Path, paces: dict[str, float]) -> None:
    folder = folder_of(tmp_path / "birds", [(200, 100)] * 12)
    advice = api.plan(str(folder), size=128, channels=1)
    assert (advice.pictures.size, advice.pictures.channels) == (128, 1)
    assert all("--size 128 --channels 1" in each.command for each in advice.proposals)
    check_commands(advice)
    code, out, error = typed("data", str(folder), "--size", "32", "--out", str(tmp_path / "sheet.png"))
    assert code == 0, error
    assert "--size 32" in out.split("advice: ")[1].splitlines()[0]
    assert f"zeuxis plan {shlex.quote(str(folder))} --size 32 measures it" in out


def test_pairs_get_a_family_that_translates(tmp_path: Path, paces: dict[str, float]) -> None:
    one, two = folder_of(tmp_path / "a", [(70, 70)] * 4), folder_of(tmp_path / "b", [(70, 70)] * 4)
    three = folder_of(tmp_path / "c", [(70, 70)] * 4)
    for path in list(three.iterdir()):
        path.rename(three / f"other{path.name}")
    wide = folder_of(tmp_path / "wide", [(128, 64)] * 4)
    for data, family in (
        (f"{one} -> {two}", "pix2pix"),
        (f"{one} -> {three}", "cyclegan"),
        (f"edges -> {one}", "pix2pix"),
        (str(wide), "pix2pix"),
    ):
        advice = api.plan(data, minutes=5)
        assert [each.family for each in advice.proposals] == [family], data
        check_commands(advice)


def test_the_order_follows_the_pace(paces: dict[str, float]) -> None:
    pictures = KnownPictures("avatars", 5000, 64, 3, named=True)
    paces |= {"diffusion": 0.9, "dcgan": 0.05}
    early = advise(pictures, minutes=15)
    assert early.proposals[0].family == "dcgan"
    paces |= {"diffusion": 0.1}
    late = advise(pictures, minutes=60)
    assert late.proposals[0].family == "diffusion", "the best FID of all at as many images"
    assert late.proposals[0].command == "zeuxis train diffusion avatars --minutes 60"
    assert "sees about 1,200,000 images on this cpu, each 230 times; recorded: FID[lite0] 73" in late.first_line()
    assert [each.expected for each in late.proposals] == sorted(each.expected for each in late.proposals)
    text = "\n".join(late.lines())
    assert "avatars:5000 4" in text and "read the order of the families" in text
    assert json.loads(late.to_json())["advice"] == late.first_line()


def test_the_command_line_plans(paces: dict[str, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, error = typed("plan", "digits", "--minutes", "3", "--json")
    assert code == 0, error
    found = json.loads(out)
    assert found["minutes"] == 3 and found["pictures"]["count"] == 1437 and found["device"] == "cpu"
    families = {each["family"] for each in found["proposals"]}
    assert {"dcgan", "vae", "diffusion"} <= families
    code, out, _ = typed("plan", "digits", "--minutes", "3")
    assert code == 0 and out.startswith("zeuxis train ") and "seconds/step" in out
    assert "expected" in refused("plan", "digits", "--minutes", "0")
    assert "no-such-folder" in refused("plan", "./no-such-folder")
    code, _, error = typed("plan", str(tmp_path))
    assert code in (2, 4) and error.count("zeuxis: ") == 1
    assert not list(tmp_path.iterdir())


def test_data_ends_with_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the pace of the recorded machine: nothing is measured there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(planning, "plan_run", lambda *_, **__: pytest.fail("measured"))
    folder = folder_of(tmp_path / "my birds", [(100, 80)] * 6)
    code, out, error = typed("data", str(folder))
    assert code == 0, error
    advice, last, wrote = out.splitlines()[-3:]
    assert wrote.startswith("wrote ")
    command = advice.removeprefix("advice: ").partition(": 6 images are few; sees about")[0]
    words = shlex.split(command)
    assert words[:2] == ["zeuxis", "train"] and words[3] == str(folder) and "on the recorded machine" in advice
    assert words[2] == "dcgan" and "--augment" not in words, "it augments by itself"
    cli.build(words[1:]).parse_args(words[1:], exit_on_error=False, print_error=False)
    assert last == f"zeuxis plan {shlex.quote(str(folder))} measures it on this machine"
    code, out, _ = typed("data", str(folder), "--json")
    assert code == 0 and "advice" not in out and json.loads(out)["count"] == 6


def first(count: int, **known: Any) -> tuple[list[str], str]:
    """The words of the first command for so many pictures, and the line that it is in."""
    paired = known.get("paired")
    pictures = KnownPictures(**{"data": "food", "count": count, "size": 64, "channels": 3, "named": False, **known})
    found = advise(pictures, measure=False)
    check_commands(found)
    assert (rule_for(pictures) is None) == (paired is None and (count >= 5000 or pictures.named))
    return shlex.split(found.proposals[0].command), found.first_line()


def test_the_table_leads_from_the_pictures_to_a_command() -> None:
    words, line = first(542, side=300)
    assert words == shlex.split("zeuxis train dcgan food --minutes 30 --hold-out 20%")
    assert ": 542 images are few; sees about" in line and "FID[lite0] 191" in line
    assert f"each {542 * 0.8:.0f}" not in line
    words, line = first(2000, side=300)
    assert words[2:4] == ["dcgan", "food"] and "2,000 images in colour, neither few nor many; sees about" in line
    assert "FID[lite0] 540 on 1,906 emoji" in line
    words, line = first(5000, side=300)
    assert words[2:4] == ["dcgan", "food"] and words[-2:] == ["--hold-out", "20%"] and "--augment" not in words
    assert "recorded: FID[lite0]" in line and "few" not in line
    words, line = first(400, paired=True)
    assert words[2] == "pix2pix" and "400 pairs; sees" in line and words[-2:] == ["--hold-out", "20%"]
    words, line = first(400, paired=False)
    assert words[2] == "cyclegan" and "274 and 383" in line
    words, line = first(40, side=1600, photographs=True)
    assert " ".join(words[2:]) == "dcgan food --minutes 30 --resize-mode tiles --hold-out 20%"
    assert "FID[lite0] 692 on 3,980 tiles of 31 photographs" in line
    words, line = first(300, side=28, size=16, channels=1)
    assert words[2] == "dcgan" and "300 small grey images, and few; sees" in line and "211 on 500 garments" in line
    assert "--augment" not in words
    assert "--hold-out" not in first(90, side=100)[0], "a fifth of 90 are too few to compare with"
    assert "--hold-out" not in first(500, named=True)[0]


def test_at_another_size_the_pace_the_minutes_and_the_record_follow(tmp_path: Path) -> None:
    """A step costs as many pixels as it has: bench/results/growth.md."""
    pictures = KnownPictures("food", 5000, 64, 3, named=False)
    larger = pictures.shaped(128, None)
    near, far = (advise(each, minutes=30, measure=False) for each in (pictures, larger))
    assert far.proposals[0].images == pytest.approx(near.proposals[0].images / 4, abs=1)
    assert "--size 128" in far.proposals[0].command and "--channels" not in far.proposals[0].command
    assert "at 64 pixels" in far.first_line() and "at 64 pixels" in "\n".join(far.lines()[1:])
    assert "at 64 pixels" not in "\n".join(near.lines())
    for count in (500, 2000):
        few = replace(larger, count=count)
        rule = rule_for(few)
        assert rule is not None and (rule.minutes_at(64), rule.minutes_at(128), rule.minutes_at(32)) == (20, 80, 20)
        assert "all at 64 pixels" in advise(few, measure=False).first_line()
    folder = folder_of(tmp_path / "birds", [(200, 180)] * 12)
    asked = suggest(api.inspect_data(folder), folder, size=128)
    assert asked.minutes == 80 and "--minutes 80 --size 128" in asked.first_line()


def test_what_is_held_out_is_not_counted_as_seen() -> None:
    found = advise(KnownPictures("food", 542, 64, 3, named=False), measure=False)
    assert all(each.options == {} for each in found.proposals), "families augment by themselves where images are few"
    (dcgan,) = (each for each in found.proposals if each.family == "dcgan")
    assert dcgan.epochs == pytest.approx(dcgan.images / (0.8 * 542)), "what is held out is not seen"


@pytest.mark.parametrize(
    ("sizes", "mode"), [([(60, 200)] * 4, "pad"), ([(120, 160)] * 4, None), ([(130, 64)] * 4, "pad")]
)
def test_pictures_that_a_crop_would_cut_much_of_are_padded(
    tmp_path: Path, sizes: list[tuple[int, int]], mode: str | None
) -> None:
    folder = folder_of(tmp_path / "tall", sizes)
    found = suggest(api.inspect_data(folder), folder)
    assert {each.settings.get("resize_mode") for each in found.proposals} == {mode}
    check_commands(found)
    padded = suggest(api.inspect_data(folder, resize_mode="pad"), folder)
    assert {each.settings.get("resize_mode") for each in padded.proposals} == {"pad"}, "as they were looked at"


@pytest.mark.parametrize(
    ("mode", "colour", "padded"),
    [
        ("RGBA", (10, 20, 30, 0), True),  # cut-outs
        ("RGB", (255, 255, 255), True),  # products
        ("RGBA", (10, 20, 30, 255), False),  # opaque, in a file that could have been transparent
        ("RGB", (10, 20, 30), False),
    ],
)
def test_pictures_with_a_white_ground_are_padded_where_a_crop_would_cut_them(
    tmp_path: Path, mode: str, colour: tuple[int, ...], padded: bool
) -> None:
    def modes(name: str, size: tuple[int, int]) -> set[str | None]:
        folder = tmp_path / name
        folder.mkdir()
        for number in range(3):
            image = Image.new(mode, size, colour)
            image.paste((200, 0, 0, 255)[: len(mode)], (40, 40, 60 + number, 60))
            image.save(folder / f"{number}.png")
        Image.new("RGB", size, (90, 90, 90)).save(folder / "other.png")
        return {each.settings.get("resize_mode") for each in suggest(api.inspect_data(folder), folder).proposals}

    assert modes("wide", (100, 120)) == ({"pad"} if padded else {None})
    assert modes("square", (120, 120)) == {None}, "nothing of it is cut off"


def test_pictures_side_by_side_are_told_as_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = folder_of(tmp_path / "wide", [(128, 64)] * 4)
    code, out, error = typed("data", str(folder))
    assert code == 0, error
    assert f"advice: zeuxis train pix2pix {folder} --minutes 20: 4 pairs; sees about" in out


def test_each_line_of_the_table_names_the_record_behind_it() -> None:
    results = Path(known_quality.__file__).parent / "results"
    for rule in RULES:
        page = results / rule.row.partition(",")[0].removeprefix("bench/results/")
        assert page.is_file(), rule.row
        said = page.read_text(encoding="utf-8")
        assert rule.family in said
        if page.name == "few-images.md":
            assert all(figure in said for figure in re.findall(r"[\d,]+\d\d", rule.recorded)), rule.kind
    (few_images,) = (rule for rule in RULES if rule.kind == "images are few")
    assert re.search(r"FID\[lite0\] \d+ on \d+ photographs", few_images.recorded)


def test_the_guide_has_the_lines() -> None:
    guide = (Path(known_quality.__file__).parents[1] / "docs" / "own-pictures.md").read_text(encoding="utf-8")
    for rule in RULES:
        rows = [line for line in guide.splitlines() if line.startswith("| ") and f"`{rule.family}" in line]
        assert any(f"| {rule.minutes:g} |" in row for row in rows), rule.kind
    assert f"under {table.FEW_IMAGES:,} images" in guide and f"{100 * table.MUCH:.0f} %" in guide
    assert f"{100 * table.WHITE_MUCH:.0f} %" in guide
    assert f"| {table.FEW_IMAGES:,} to {table.SOME_IMAGES:,}, colour |" in guide


def few(count: int, options: dict[str, Any], hold_out: float | None, data: str = "./birds") -> list[str]:
    """The warnings at the start of a run on so many images."""
    pixels = CheckedImages(np.zeros((count, 1, 1, 1), np.uint8))
    pack = Pack(Path(), "birds", pixels, None, [], [], [], "", Shape(1, 1))
    recipe = Recipe("dcgan", DataSpec.parse(data), options, TrainSettings(hold_out=hold_out))
    return warnings_of_few(pack, recipe)


def test_few_images_are_warned_of_once(tmp_path: Path) -> None:
    (said,) = few(434, {"augment": "none"}, None)
    assert "\n" not in said and "--augment auto" in said and "--hold-out 20%" in said
    (said,) = few(434, {"augment": "auto"}, None)
    assert "--augment" not in said and "which augmentation follows" in said
    assert "augmentation" not in few(434, {}, None)[0], "a family without it"
    (told,) = few(434, {"augment": "auto"}, 0.2)
    assert told.startswith("warning: 434 images are few") and "--" not in told
    (told,) = few(434, {"augment": "auto"}, None, "satellite:434")
    assert "--" not in told, "a named set has a test split"
    assert few(1000, {"augment": "none"}, None) == []
    folder, out = folder_of(tmp_path / "birds", [(20, 20)] * 4), str(tmp_path / "runs")
    options = ["--size", "8", "--hidden-dim", "4", "--batch-size", "2", "--kernels", "standard", "--device", "cpu"]
    code, text, error = typed("train", "gan", str(folder), "--steps", "1", "--out", out, *options)
    assert code == 0, error
    assert (text + error).count("4 images are few") == 1
    (run,) = Path(out).glob("0*")
    code, text, error = typed("resume", str(run), "--steps", "2")
    assert code == 0 and "are few" not in text + error, error


def test_what_nothing_fits_is_said() -> None:
    with pytest.raises(UsageError, match="--minutes is 0"):
        advise(KnownPictures("x", 5, 64, 3, named=False), minutes=0)
    with pytest.raises(UsageError, match="no family takes images of 7 pixels"):
        advise(KnownPictures("x", 5, 7, 3, named=True), measure=False)


def test_recorded_runs_are_read_once() -> None:
    assert recorded.recorded_runs() is recorded.recorded_runs() and len(recorded_runs()) > 30
