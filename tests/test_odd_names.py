"""What comes from outside is shown and never obeyed: names of files, classes, attributes, columns, tables and runs."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from commandline import typed
from zeuxis import cli
from zeuxis.escaping import ascii_json, markdown, printable, table_cell
from zeuxis.judging.comparison import ComparedRun, Comparison
from zeuxis.judging.report import read_evaluation
from zeuxis.runtime.progress import Bar, Lines, Tick
from zeuxis.storage import RunFolder
from zeuxis.web import server

# A title of the window, a cleared screen, C1 codes, overrides of direction, a line of its own, a bell, a deletion.
ODD = "=1\x1b]0;owned\x07\x1b[2J\x9b31m\u202eexe\u2066\u200f\r\nzeuxis: INJECTED\x08\x7f<b>|`x`"
NAMES = [
    ODD,
    "\x1b[8m",
    "a\nzeuxis: INJECTED",
    "\u202eabc",
    "\x9b2J",
    "a\x00b",
    "\u2028zeuxis: INJECTED",
    "\ud800",
    "\x85b",
]


def harmless(text: str) -> bool:
    """Whether a terminal shows all of it as it is, on the lines that were meant."""
    shown = all(char.isprintable() or char in "\n\u00a0\u200c\u200d" for char in text)
    return shown and not re.search(r"^zeuxis: INJECTED", text, re.MULTILINE)


# Escapes


@pytest.mark.parametrize("name", NAMES)
def test_control_characters_are_shown_as_escapes(name: str) -> None:
    shown = printable(name)
    assert harmless(shown) and "\n" not in shown and "\\" in shown
    assert shown.encode("ascii", "backslashreplace").decode("unicode_escape") == name.encode(
        "ascii", "backslashreplace"
    ).decode("unicode_escape")


@pytest.mark.parametrize(
    "name", ["Übung 1.png", "猫", "می‌خواهم", "👩‍🎨", "a\u00a0b", "שלום", "e\u0301", "C:\\x", "😀", "\u3000", "x" * 500]
)
def test_names_that_people_have_stay(name: str) -> None:
    assert printable(name) == name


@given(st.text())
def test_any_text_is_made_harmless(text: str) -> None:
    shown = printable(text)
    assert all(char.isprintable() or char in "\u200c\u200d" or char.isspace() for char in shown)
    assert not set(shown) & set("\n\r\t\v\f\x1b\x85\u2028\u2029\x1c\x1d\x1e\x1f") and len(shown.splitlines()) <= 1


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_a_cell_is_no_formula(start: str) -> None:
    cell = table_cell(f"{start}HYPERLINK(A1)")
    assert cell.startswith("'") and not cell[1:].startswith(("\t", "\r", "\n"))
    assert table_cell(f"a{start}b")[0] == "a" and table_cell("") == ""


def test_json_is_of_printable_ascii() -> None:
    text = ascii_json({name: [name] for name in NAMES if "\ud800" not in name})
    assert text.replace("\n", "").isprintable() and text.isascii()
    assert json.loads(text) == {name: [name] for name in NAMES if "\ud800" not in name}


def test_markdown_has_no_markup_of_others() -> None:
    text = markdown("![x](http://a) <script> | `code` [y](javascript:1) \\")
    assert not re.search(r"(?<!\\)[\[\]<>|`!]", text)


def test_displays_show_escapes() -> None:
    for display, stream in ((Lines, io.StringIO()), (Bar, io.StringIO())):
        with display(stream) as shown:
            shown.note(f"warning: {ODD}")
            shown.work(ODD, 1, 1)
            shown.tick(Tick(1, 2, 0.5, 1.0, 1.0, {f"{ODD}/loss": 1.0, f"{ODD}/x": 2.0}))
        text = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", stream.getvalue().replace("\r", ""))  # the bar's own
        assert "\\x1b]0;owned\\x07" in text or display is Bar
        assert harmless(text), text


def test_the_log_is_shown_by_cat(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, "x", {})
    run.log(f"began: vae on {ODD}")
    text = (run.path / "log.txt").read_text()
    assert harmless(text) and text.count("\n") == 1


# Every command


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images whose folders, files, classes and table have odd names, and two runs on them."""
    here = tmp_path_factory.mktemp("odd")
    data = here / f"data {ODD}"
    for kind in (f"dark {ODD}", "light"):
        (data / kind).mkdir(parents=True)
        for i in range(24):
            shade = 10 * i if kind == "light" else 5 * i
            Image.new("RGB", (16, 16), (shade, 2 * i, 5)).save(data / kind / f"{i} {ODD}.png")
    (data / "light" / f"broken {ODD}.png").write_bytes(b"no picture")
    shutil.copy(data / "light" / f"1 {ODD}.png", data / "light" / f"same {ODD}.png")
    table = here / f"labelled {ODD}"
    table.mkdir()
    rows = [["file", f"smiling {ODD}", "glasses"]]
    for i in range(8):
        Image.new("RGB", (16, 16), (10 * i, 20 * i, 5)).save(table / f"{i} {ODD}.png")
        rows.append([f"{i} {ODD}.png", str(i % 2), str(i // 4)])
    rows += [[f"gone {ODD}.png", "1", "0"], [f"2 {ODD}.png", ODD, "perhaps"]]
    with (table / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    (table / "eyes.py").write_text("def look(images):\n    return images.flatten(1)[:, :8]\n")
    return here


OPTIONS = ["--size", "16", "--base-channels", "4", "--steps", "2", "--batch-size", "4", "--kernels", "standard"]


def all_commands(run: str, odd: Path) -> list[list[str]]:
    data, table = f"data {ODD}", f"labelled {ODD}"
    picture = f"{data}/light/1 {ODD}.png"
    return [
        ["train", "vae", data, *OPTIONS],
        ["train", "vae", f"missing {ODD}", *OPTIONS],
        ["train", ODD, data],
        ["train", f"a:{ODD}", data],
        ["train", "vae", data, f"--{ODD}", "1"],
        ["train", "--config", "options.yaml"],
        ["train", "--config", "names.yaml"],
        ["train", "pix2pix", table, data, "--dry-run"],
        ["resume", run, "--steps", "3"],
        ["resume", f"missing {ODD}"],
        ["runs"],
        ["runs", ".", "--json"],
        ["runs", f"missing {ODD}"],
        ["curves", run, "1", "--out", f"curves {ODD}.png"],
        ["curves", f"missing {ODD}"],
        ["story", run, "--out", f"story {ODD}.html"],
        ["story", f"missing {ODD}"],
        ["branch", run, "--steps", "5", "--name", f"branch {ODD}", "--out", f"branches {ODD}"],
        ["branch", f"missing {ODD}", f"--{ODD}", "1"],
        ["verify", run],
        ["verify", f"missing {ODD}"],
        ["sweep", "vae", data, "--seed", f"0-1{ODD}"],
        ["sweep", "vae", data, "--seed", "0-1", *OPTIONS, "--name", f"sweep {ODD}"],
        ["plan", f"missing {ODD}"],
        ["plan", data, data, "--minutes", "1"],
        ["families"],
        ["models"],
        ["models", "--json"],
        ["publish", run, "me/odd", "--out", f"published {ODD}"],
        ["publish", f"missing {ODD}", "me/odd"],
        ["completion", "bash"],
        ["completion", ODD],
        ["demo", "--out", picture],
        ["data", data, "--out", f"{ODD}.png"],
        ["data", data, "--all", "--json"],
        ["data", table, "--all", "--out", "b.png"],
        ["sample", run, "--out", f"{ODD}.png"],
        ["sample", run, "--help"],
        ["sample", f"missing {ODD}"],
        ["sample", run, "--family", f"a:{ODD}"],
        ["interpolate", run, "--rows", "1"],
        ["interpolate", run, "--from", f"{table}:{ODD}", "--to", picture],
        ["arithmetic", run, "--plus", "1", "--minus", "2"],
        ["arithmetic", run, "smiling - glasses", "--data", table],
        ["arithmetic", run, f"smiling {ODD} - {ODD}", "--data", table],
        ["invert", run, picture, "--out", f"{ODD}.safetensors"],
        ["edit", run, picture, f"+ {ODD}", "--data", data],
        ["edit", run, picture, "+ nothing", "--data", table],
        ["directions", run, ODD],
        ["mix", run],
        ["translate", run, picture],
        ["evaluate", run, data, "--images", "20", "--features", "eyes:look"],
        ["evaluate", run, data, "--images", "20", "--features", f"{ODD}"],
        ["evaluate", run, data, "--images", "20", "--features", "eyes:look", "--json"],
        ["compare", run, run],
        ["compare", run, f"{run}/../missing"],
        ["export", run, "--out", f"{ODD}.onnx"],
        ["explore", run, "--no-browser", "--port", "0", "--device", "cpu"],
        ["explore", f"missing {ODD}"],
        ["version"],
        ["new-family", f"{ODD}.py"],
        [ODD],
    ]


def for_a_moment(served: Any, listening: Any, host: str, told: Any, *, engine: str) -> None:
    """Serve as `zeuxis explore` does, and end as soon as the link is told."""
    with server.running(served, listening, host) as (link, _):
        told(link)


@pytest.mark.long
def test_no_command_prints_what_a_terminal_obeys(odd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(odd)
    monkeypatch.setattr(server, "serve_page", for_a_moment)
    monkeypatch.syspath_prepend(odd / f"labelled {ODD}")
    (odd / "options.yaml").write_text(json.dumps({"family": ODD, "data": ODD}))
    (odd / "names.yaml").write_text(json.dumps({"family": "vae", ODD: 1, "data": ODD}))
    code, out, err = typed("train", "vae", f"data {ODD}", *OPTIONS, "--out", "first")
    assert code == 0, err
    run = f"00007-{ODD}"
    Path(out.split()[-1]).rename(run)
    commands, codes = all_commands(run, odd), dict[str, int]()
    assert {words[0] for words in commands} >= set(cli.ORDER)
    for words in commands:
        for more in ([], ["--debug"]):
            code, out, err = typed(*words, *more)
            assert harmless(out) and harmless(err), (words, out, err)
            codes[words[0]] = min(code, codes.get(words[0], 99))
    assert {name for name, code in codes.items() if code} == {"demo", "mix", "translate", "new-family", ODD}, codes
    for folder in [Path(run), *Path("runs").glob("0*")]:
        assert harmless((folder / "log.txt").read_text())
        assert harmless((folder / "model" / "README.md").read_text().replace("\t", " "))


# compare


class Tags(HTMLParser):
    """The tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.add(tag)


@pytest.mark.parametrize(
    "name", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "<script>alert(1)</script>", ODD]
)
def test_a_comparison_holds_no_formula_and_no_page_of_others(name: str, tmp_path: Path) -> None:
    row = {"value": -1.5, "low": -2.0, "high": -1.0, "real": None, "better": "lower"}
    about = {"weights": "x", "data": name, "features": name, "samples": 3, "model": name, "against": name}
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps({"about": about, "scores": [{"name": name, **row}], "warnings": [name]}))
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"about": {**about, "data": "x"}, "scores": [], "warnings": []}))
    images = torch.zeros(2, 3, 8, 8)
    found = Comparison(
        [ComparedRun(name, read_evaluation(path), images), ComparedRun("b", read_evaluation(other), images)]
    )
    rows = list(csv.reader(io.StringIO(found.to_csv())))
    assert len(rows) == 2 and rows[1][2] == "-1.5", "a number stays one"
    for cell in rows[1][:2]:
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r")) and harmless(cell)
    assert all(harmless(line) for line in map(printable, found.lines()))
    page = found.to_html()
    assert harmless(page) and Tags(page).found == {"meta", "title", "style", "table", "tr", "th", "td", "p", "img"}
    assert found.picture().height > 0
