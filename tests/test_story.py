"""The story of a run: the same samples of every sheet, captions of its health, a film and a page; what is missing is said."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import zeuxis
from commandline import refused, typed
from zeuxis.errors import UsageError
from zeuxis.io import animation
from zeuxis.storage import RunFolder
from zeuxis.stories.captions import Captions
from zeuxis.stories.film import FILM_FPS, film
from zeuxis.stories.page import story_page
from zeuxis.stories.scenes import MOST_SCENES, Story, gather_story
from zeuxis.stories.sheets import Cut, read_tiles
from zeuxis.stories.stage import Stage
from zeuxis.training.log_file import log_lines
from zeuxis.training.settings import TrainSettings

SIZE = 8
CONFIG: dict[str, Any] = {
    "family": "gan",
    "data": "zeuxis:digits",
    "options": {"size": SIZE, "channels": 1, "hidden_dim": 8, "latent_dim": 4},
    "settings": {**vars(TrainSettings(steps=100))},
    "fingerprint": "",
    "images": 500,
    "versions": {},
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.chdir(tmp_path)
    return RunFolder.create(tmp_path / "runs", "a", CONFIG)


def sheet(run: RunFolder, step: int, *, columns: int = 8, rows: int = 8, size: int = SIZE) -> Path:
    """A contact sheet whose tile i has the grey 3 i, and in its last tile the step."""
    page = np.full((rows * (size + 2) + 2, columns * (size + 2) + 2), 255, np.uint8)
    for i in range(rows * columns):
        top, left = 2 + i // columns * (size + 2), 2 + i % columns * (size + 2)
        page[top : top + size, left : left + size] = 3 * i
    Image.fromarray(page).save(run.sheet_path(step))
    return run.sheet_path(step)


def rows(run: RunFolder, *steps: int, **terms: float) -> None:
    named = {name.replace("__", "/"): value for name, value in terms.items()}
    for step in steps:
        run.append_metrics({"step": step, "images": 8 * step, "generator/loss": 1.0, **named})


def at(story: Story, step: int) -> np.ndarray[Any, Any]:
    (scene,) = [scene for scene in story.scenes if scene.step == step]
    return np.asarray(scene.picture)


def test_the_same_samples_are_cut_out_of_every_sheet(run: RunFolder) -> None:
    sheet(run, 50)
    sheet(run, 100)
    story = gather_story(run)
    assert [scene.step for scene in story.scenes] == [0, 50, 100]
    grid, side = at(story, 50), story.cut.side
    assert grid.shape == (story.cut.height, story.cut.width, 3) and side == 112
    for i in range(16):
        row, column = divmod(i, 4)
        tile = grid[row * (side + 5) : row * (side + 5) + side, column * (side + 5) : column * (side + 5) + side]
        assert (tile == 3 * i).all()
    assert (grid[side : side + 5] == 255).all()


def test_the_first_picture_is_of_the_first_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that learns nothing draws at every step what the story shows at step 0."""
    monkeypatch.chdir(tmp_path)
    run_of = {"steps": 2, "batch_size": 8, "sample_every": 1, "seed": 5, "kernels": "standard", "device": "cpu"}
    still = {"lr": 0.0, "norm": "none", "base_channels": 4, "size": SIZE}
    story = gather_story(RunFolder(zeuxis.train("vae", "digits", **run_of, **still).path))
    assert [scene.step for scene in story.scenes] == [0, 1, 2]
    assert np.array_equal(at(story, 1), at(story, 2))
    # Of 64 samples, as a sheet has them, a product may be rounded otherwise than of 16.
    assert np.abs(at(story, 0).astype(int) - at(story, 1)).max() <= 1
    assert at(story, 0).std() > 2
    assert not any("first picture" in line for line in story.missing)


def test_what_is_missing_is_said(run: RunFolder) -> None:
    with pytest.raises(UsageError, match="no contact sheet yet; the first is due at step 100"):
        gather_story(run)
    sheet(run, 50)
    missing = " | ".join(gather_story(run).missing)
    for part in ("1 contact sheet: train longer", "no row of metrics", "stopped at step 50 of 100"):
        assert part in missing
    rows(run, 10, 50)
    with run.lock():
        missing = " | ".join(gather_story(run).missing)
    assert "no FID: it is measured with --evaluate-every" in missing and "still training at step 50" in missing
    sheet(run, 60)
    sheet(run, 70)
    rows(run, 60, **{"evaluation/FID[lite0]": 9.0})
    run.log("done at step 100: x")
    assert gather_story(run).missing == []


def test_a_run_from_other_weights_begins_with_its_first_sheet(run: RunFolder) -> None:
    run.write_config({**CONFIG, "settings": {**CONFIG["settings"], "init_from": "runs/9"}})
    sheet(run, 50)
    story = gather_story(run)
    assert [scene.step for scene in story.scenes] == [50]
    assert "the first picture is of step 50: what came before was not drawn" in story.missing


def test_sheets_that_cannot_be_read_are_left_out(run: RunFolder) -> None:
    sheet(run, 10).write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    sheet(run, 20, size=SIZE + 1)
    sheet(run, 30)
    story = gather_story(run)
    assert [scene.step for scene in story.scenes] == [0, 30]
    assert sum(line.startswith("left out: ") for line in story.missing) == 2
    run.sheet_path(30).unlink()
    with pytest.raises(UsageError, match="no contact sheet yet .left out"):
        gather_story(run)


def test_tiles_of_another_size_are_refused(run: RunFolder) -> None:
    with pytest.raises(UsageError, match="82 x 82 pixels: no sheet of tiles 9 pixels wide"):
        read_tiles(sheet(run, 10), SIZE + 1)


def test_of_very_many_sheets_some_are_shown(run: RunFolder) -> None:
    for step in range(1, MOST_SCENES + 31):
        sheet(run, step, rows=2)
    story = gather_story(run)
    steps = [scene.step for scene in story.scenes]
    assert steps[:2] == [0, 1] and steps[-1] == MOST_SCENES + 30 and len(steps) == MOST_SCENES + 1
    assert f"{MOST_SCENES} of {MOST_SCENES + 30} contact sheets are shown, evenly spaced" in story.missing


@pytest.mark.parametrize(
    ("family", "names"),
    [("pix2pix", ["source", "translation", "target"]), ("cyclegan", ["source", "translation", "target", "back"])],
)
def test_of_a_translator_sources_stand_beside_their_translations(run: RunFolder, family: str, names: list[str]) -> None:
    run.write_config({**CONFIG, "family": family, "data": "edges", "options": {"size": SIZE}})
    sheet(run, 50, columns=12, rows=6)
    story = gather_story(run)
    assert story.cut.names == names and story.cut.columns == len(names) and story.cut.count == 4 * len(names)
    assert at(story, 50)[story.cut.side + 10, 0].tolist() == [3 * len(names)] * 3  # the next example begins a row


@pytest.mark.parametrize(("size", "side"), [(8, 112), (28, 112), (32, 128), (64, 128), (128, 128), (256, 112)])
def test_tiles_are_enlarged_by_whole_numbers(size: int, side: int) -> None:
    assert Cut(size).side == side


def captions(run: RunFolder, **options: float) -> Captions:
    return Captions(run.metrics(), list(log_lines(run.path / "log.txt")), options)


def test_captions_say_where_the_run_is_and_how_it_is(run: RunFolder) -> None:
    (run.path / "log.txt").write_text(
        "2026-01-01 10:00:00  began: x\n2026-01-01 10:00:40  step 100  a 1\n2026-01-01 10:05:00  step 4000  a 1\n"
    )
    rows(run, 100, discriminator__prob_real=0.8, discriminator__prob_fake=0.2, samples__diversity=0.5)
    rows(
        run, 4000, **{"evaluation/FID[lite0]": 9.0, "evaluation/FID[lite0] low": 8.0, "evaluation/FID[lite0] high": 10}
    )
    told = captions(run)
    assert told.at(0).facts == "step 0" and "random" in told.at(0).health
    assert told.at(100).facts == "step 100, 800 images seen, 40 s of training"
    assert told.at(100).health == "D(real) 0.80, D(fake) 0.20; samples 0.50 times as diverse as real images"
    assert told.at(4000).facts == "step 4,000, 32,000 images seen, 5 min of training"
    assert told.at(4000).health.startswith("no failure mode found; D(real) 0.80")
    assert told.at(4000).health.endswith("FID 9.00 (8.00 to 10.0)")


def test_a_finding_is_the_caption(run: RunFolder) -> None:
    rows(run, 100, samples__diversity=0.9)
    rows(run, 4000, samples__diversity=0.1)
    told = captions(run, r1_gamma=1.0).at(4000)
    assert told.warns and told.health.startswith("collapse: ") and "raise --r1-gamma (now 1.0)" in told.health
    assert not captions(run).at(100).warns


@pytest.fixture
def told(run: RunFolder) -> Story:
    """A story of step 0 and three sheets, with curves."""
    for step in (20, 50, 100):
        sheet(run, step)
    rows(run, *range(1, 101, 3), discriminator__loss=0.5, samples__diversity=0.9)
    return gather_story(run)


def test_a_film_shows_each_picture_and_rests_at_its_end(told: Story) -> None:
    seen: list[tuple[int, int]] = []
    frames = list(film(told, seconds=3.0, progress=lambda done, total: seen.append((done, total))))
    assert len(frames) == 1 + 3 * 12 and seen[-1] == (len(frames), len(frames))
    assert {round(seconds, 3) for _, seconds in frames[1:-1]} == {round(1 / FILM_FPS, 3)} and frames[-1][1] > 2
    stage = Stage(told)
    assert all(picture.size == stage.size and not any(side % 2 for side in stage.size) for picture, _ in frames)
    for i, scene in enumerate(told.scenes):
        shown = np.asarray(frames[12 * i][0])
        box = shown[stage.top : stage.top + told.cut.height, 24 : 24 + told.cut.width]
        assert np.array_equal(box, np.asarray(scene.picture))


def test_the_mark_moves_along_the_curves(told: Story) -> None:
    stage = Stage(told)
    left = stage.charts_at[0]

    def mark(step: float) -> float:
        frame = np.asarray(stage.frame(told.scenes[1].picture, step, told.scenes[1].caption)).astype(int)
        field = frame[stage.top + 40 : stage.top + 100, left + 46 :]
        (columns,) = np.nonzero((np.abs(field - (120, 126, 138)) < 8).all(2).mean(0) > 0.7)
        return float(columns.mean())

    places = [mark(step) for step in (0, 25, 50, 75, 100)]
    assert np.allclose(np.diff(places), (places[-1] - places[0]) / 4, atol=1)
    assert [panel.name for panel in stage.panels] == ["generator/loss", "discriminator/loss", "samples/diversity"]


def test_a_story_without_rows_has_no_curves(run: RunFolder) -> None:
    sheet(run, 50)
    story = gather_story(run)
    assert Stage(story).panels == [] and Stage(story).size[0] < 560
    assert len(list(film(story))) == 25
    assert 'class="charts"' not in story_page(story)


def test_a_film_is_written_as_webp(told: Story, tmp_path: Path) -> None:
    animation.write_film(film(told, seconds=1.0), tmp_path / "story.webp", fps=FILM_FPS)
    with Image.open(tmp_path / "story.webp") as written:
        assert getattr(written, "n_frames", 1) > 4 and written.size == Stage(told).size
        assert written.info.get("loop") == 0
    with pytest.raises(UsageError, match="no film; expected a name that ends in .webp or .mp4"):
        animation.write_film(film(told), tmp_path / "story.gif", fps=FILM_FPS)


def test_a_film_is_written_as_mp4(told: Story, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    animation.write_film(film(told, seconds=1.0), tmp_path / "story.mp4", fps=FILM_FPS)
    with av.open(str(tmp_path / "story.mp4")) as written:
        stream = written.streams.video[0]
        assert (stream.width, stream.height) == Stage(told).size
        seconds = sum(each for _, each in film(told, seconds=1.0))
        assert sum(1 for _ in written.decode(video=0)) == pytest.approx(seconds * FILM_FPS, abs=2)


def scenes_of(page: str) -> list[dict[str, Any]]:
    (found,) = re.findall(r"^  const scenes = (.*);$", page, re.MULTILINE)
    return list(json.loads(found))


def test_the_page_has_all_that_it_shows_in_it(told: Story) -> None:
    page = story_page(told)
    assert not re.search(r"(?:src|href)=\"(?!data:)|url\(|@import|https?://", page)
    assert "default-src 'none'" in page and "$" not in re.sub(r"\$\{[^}]+\}", "", page)
    scenes = scenes_of(page)
    assert [scene["step"] for scene in scenes] == [0, 20, 50, 100]
    marks = [scene["mark"] for scene in scenes]
    assert marks == sorted(marks) and 0 < marks[0] < marks[-1] < 1
    assert scenes[0]["values"] == ["", "", ""] and scenes[-1]["values"] == ["1", "0.5", "0.9"]
    import base64

    picture = base64.b64decode(scenes[1]["picture"].partition(",")[2])
    with Image.open(io.BytesIO(picture)) as shown:
        assert shown.size == (told.cut.width, told.cut.height)


def test_text_from_the_files_ends_no_script_and_no_tag(run: RunFolder) -> None:
    evil = "</script><img src=x onerror=alert(1)>"
    sheet(run, 50)
    rows(run, 10, 50, **{f"a/{evil}": 1.0, "a/loss": 1.0})
    story = gather_story(run)
    caption = story.scenes[1].caption.__class__(evil, evil)
    scenes = [story.scenes[0], story.scenes[1].__class__(50, story.scenes[1].picture, caption)]
    page = story_page(Story(story.history.__class__(evil, evil, story.history.rows), story.cut, scenes, [evil]))
    assert "<img src=x" not in page and page.count("</script>") == 1
    assert scenes_of(page)[1]["facts"] == evil


def test_the_command(run: RunFolder, tmp_path: Path) -> None:
    assert "no contact sheet yet" in refused("story", "1")
    for step in (20, 50):
        sheet(run, step)
    rows(run, 10, 20, 50)
    code, out, err = typed("story", "1", "--out", "deep/story.html")
    assert code == 0 and out == f"wrote {Path('deep/story.html')}\n"
    assert "note: the run is stopped at step 50 of 100: the story ends there" in err
    assert zeuxis.story(run.path, "again.html") == [line[6:] for line in err.splitlines() if line.startswith("note: ")]
    assert Path("again.html").read_bytes() == Path("deep/story.html").read_bytes()
    assert "expected a name that ends in .webp, .mp4 or .html" in refused("story", "1", "--out", "story.gif")
    assert "expected 1 to 60" in refused("story", "1", "--seconds", "0")
    with pytest.raises(UsageError, match="seconds is 99; expected 1 to 60"):
        zeuxis.story(1, "story.webp", seconds=99)
    with pytest.raises(UsageError, match="expected a name that ends in"):
        zeuxis.story(1, "story")


PAGE = Path(__file__).parents[1] / "docs" / "runs.md"


def test_the_commands_of_the_page_run(run: RunFolder, tmp_path: Path) -> None:
    lines = re.findall(r"^zeuxis .*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(lines) >= 9
    other = RunFolder.create(tmp_path / "runs", "b", CONFIG)
    for each in (run, other):
        sheet(each, 50)
        rows(each, 10, 50)
    (tmp_path / "elsewhere").mkdir()
    for line in lines:
        words = line.partition("#")[0].split()[1:]
        if words[-1].endswith(".mp4"):
            pytest.importorskip("av")
        code, out, err = typed(*words)
        assert code == 0, (line, err)
        written = [Path(name) for name in out.split() if "wrote" in out and name != "wrote"]
        assert all(path.stat().st_size > 1000 for path in written)
