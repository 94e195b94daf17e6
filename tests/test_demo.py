"""`zeuxis demo`: trained once, gone on with where it was stopped, and drawn as the commands draw."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from commandline import refused, typed
from zeuxis import api
from zeuxis.api import first_run
from zeuxis.errors import UsageError
from zeuxis.io.pictures import Figure


class Nothing(Figure):
    """The figure of an arithmetic that was not done."""

    def pil(self) -> Image.Image:
        return Image.new("RGB", (9, 9))


FIGURES = ["arithmetic.png", "interpolation.png", "samples.png"]


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A demonstration of small faces, whose arithmetic is asked for and not done: one step learns no smile."""
    calls: list[dict[str, Any]] = []

    def arithmetic(model: Any, terms: str, **given: Any) -> Any:
        calls.append({"terms": terms, "data": given["data"]})
        return Nothing()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(first_run, "DATA", "avatars:60")
    monkeypatch.setattr(first_run, "SIZE", 16)
    monkeypatch.setattr(first_run, "arithmetic", arithmetic)
    return calls


def steps(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def test_it_trains_and_draws_what_the_commands_draw(asked: list[dict[str, Any]]) -> None:
    code, out, err = typed("demo", "--minutes", "0")
    assert code == 0, err
    assert out.splitlines() == [f"wrote demo/{name}" for name in ("samples.png", "interpolation.png", "arithmetic.png")]
    assert sorted(path.name for path in Path("demo").glob("*.png")) == FIGURES
    assert asked == [{"terms": "smiling woman - neutral woman + neutral man", "data": "avatars:60"}]
    (run,) = Path("demo/runs").glob("0*")
    assert run.name == "00001-faces" and api.load(run).size == 16
    assert typed("sample", str(run), "-n", "64", "--out", "s.png")[0] == 0
    assert typed("interpolate", str(run), "--rows", "5", "--columns", "10", "--out", "i.png")[0] == 0
    assert Path("s.png").read_bytes() == Path("demo/samples.png").read_bytes()
    assert Path("i.png").read_bytes() == Path("demo/interpolation.png").read_bytes()


def test_a_run_that_had_its_minutes_is_only_drawn(asked: list[dict[str, Any]]) -> None:
    told: list[str] = []
    first = api.demo("faces", minutes=0, note=told.append)
    (run,) = Path("faces/runs").glob("0*")
    before, log = steps(run), (run / "log.txt").read_bytes()
    Path("faces/samples.png").unlink()
    assert api.demo("faces", minutes=0) == first == [Path("faces") / line.split("/")[1] for line in told]
    assert Path("faces/samples.png").exists() and len(list(Path("faces/runs").glob("0*"))) == 1
    assert steps(run) == before and (run / "log.txt").read_bytes() == log
    assert len(asked) == 2


def test_one_that_was_stopped_goes_on_for_what_is_left(
    asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    api.demo("faces", minutes=0)
    (run,) = Path("faces/runs").glob("0*")
    (run / "log.txt").write_text(
        "2026-11-30 02:00:00  began: dcgan on avatars:60\n"
        "2026-11-30 02:00:30  step 100  generator/loss 1\n"
        "2026-11-30 05:00:00  resumed at step 100: dcgan on avatars:60\n"
        "a line of something else\n"
        "2026-11-30 05:02:00  step 200  generator/loss 1\n"
    )
    gone_on: list[tuple[Path, float]] = []

    def resume(run: Path, *, minutes: float) -> Path:
        gone_on.append((run, minutes))
        return run

    monkeypatch.setattr(first_run.runs, "resume_run", resume)
    api.demo("faces", minutes=8)
    assert gone_on == [(run, 5.5)]
    with (run / "log.txt").open("a") as log:
        log.write("2026-11-30 05:02:00  done at step 200: model\n")
    api.demo("faces", minutes=2.5)
    assert len(gone_on) == 1
    api.demo("faces", minutes=3)
    assert gone_on[1] == (run, 0.5)


def test_too_few_minutes_are_told_as_that(asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    def arithmetic(model: Any, terms: str, **given: Any) -> Any:
        raise UsageError("none of 4096 samples is classified as 'smiling woman'")

    monkeypatch.setattr(first_run, "arithmetic", arithmetic)
    code, out, err = typed("demo", "--minutes", "0")
    assert code == 2 and out.count("wrote ") == 2
    assert "no faces yet (none of 4096 samples" in err and err.endswith("go on with more --minutes\n")


def test_what_cannot_be_is_refused(asked: list[dict[str, Any]]) -> None:
    assert "--minutes" in refused("demo", "--minutes", "-1")
    Path("demo").write_text("x")
    assert "demo" in refused("demo", "--minutes", "0")


def test_make_demo_is_this_command() -> None:
    makefile = (Path(__file__).parents[1] / "Makefile").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"^demo: .*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert recipe == "\t$(BIN)/zeuxis demo --out demo --minutes $(MINUTES)\n"
