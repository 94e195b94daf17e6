"""The tools of the documentation: counting sentences, links from page to site, the reference written from the code."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path

import pytest

import pages
import prose
import reference
import zeuxis
from zeuxis import cli, families, model
from zeuxis.model import options_of
from zeuxis.training.settings import TrainSettings


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    """The pages of the reference as the site has them, by name."""
    folder = pages.GUIDE / "reference"
    return {page.stem: reference.expanded(page.read_text(encoding="utf-8")) for page in folder.iterdir()}


def found(markdown: str) -> list[str]:
    return [sentence for block in prose.blocks(markdown) for sentence in prose.sentences(block)]


@pytest.mark.parametrize(
    ("markdown", "sentences"),
    [
        ("One. Two!  Three?\nFour", ["One.", "Two!", "Three?", "Four"]),
        ("It is 0.5 of v1.2, e.g. Adam (Karras et al. 2020, eq. 7). `a.b` is `x y z`.", None),
        (
            'He says "no." She does (so.) Both end... and go on.',
            ['He says "no."', "She does (so.)", "Both end... and go on."],
        ),
        ("# A heading. Two.\n\nText\n=====\n\n| a. B. | c |\n|---|---|\n\n---\n", ["Text"]),
        ("Before:\n\n```\ncode. Code.\n```\n\n    more. Code.\n\nAfter", ["Before:", "After"]),
        ("- one\n  goes on\n- Two. Three\n\n  Four\n1. five", ["one goes on", "Two.", "Three", "Four", "five"]),
        ("![A picture. Its text.](x.png)\n\n[a link](y.md) and [another][z]\n\n[z]: w.md", ["a link and another"]),
        ("<!-- not. This. -->\n<b>\n\n> Quoted.\n> Twice.", ["Quoted.", "Twice."]),
    ],
)
def test_sentences(markdown: str, sentences: list[str] | None) -> None:
    expected = ["It is 0.5 of v1.2, e.g. Adam (Karras et al. 2020, eq. 7).", "`x` is `x`."]
    assert found(markdown) == (expected if sentences is None else sentences)


def test_long_sentences_are_counted() -> None:
    page = f"{'word ' * 31}.\n\n{'word ' * 30}.\n\nShort, with `{'code ' * 50}` - and a dash."
    assert prose.count([page, "One more."])[:2] == (4, 1)
    assert prose.count([page]).share == pytest.approx(1 / 3)
    assert len(prose.words(prose.count([page]).longest)) == 31
    assert len(prose.words("Short, with `x` - and a dash.")) == 6


def test_links_are_found_and_changed_outside_code_alone() -> None:
    page = "[`a`](b.md#c) ![d](e.png)\n\n```\n[no](f.md)\n```\n\n`[no](g.md)` and [h](https://i.org)"
    assert list(pages.links(page)) == ["b.md#c", "e.png", "https://i.org"]
    changed = pages.relinked(page, lambda target: target.upper())
    assert changed == page.replace("b.md#c", "B.MD#C").replace("e.png", "E.PNG").replace(
        "https://i.org", "HTTPS://I.ORG"
    )


def test_anchors_are_those_of_code_forges() -> None:
    page = "# `wgan_gp`: the *critic's* distance\n## A & B (2014), [more](x.md)\n```\n# none\n```\n### z -> w ###\n"
    assert pages.anchors(page) == {"wgan_gp-the-critics-distance", "a--b-2014-more", "z---w"}


@pytest.mark.parametrize(
    ("target", "written"),
    [
        ("rbm.md#numbers", "rbm.md#numbers"),
        ("#here", "#here"),
        ("../README.md", "readme.md"),
        ("../bench/README.md", "bench/index.md"),
        ("../bench", "bench/index.md"),
        ("../bench/results", "bench/results/index.md"),
        ("../bench/results/quality.md#a", "bench/results/quality.md#a"),
        ("../src/zeuxis/families/rbm.py", "src/zeuxis/families/rbm.py.md"),
        ("https://onnx.ai", "https://onnx.ai"),
    ],
)
def test_links_lead_to_where_the_site_has_the_file(target: str, written: str) -> None:
    assert pages.in_site(f"[x]({target})", pages.GUIDE / "judging.md") == f"[x]({written})"
    deeper = pages.in_site(f"[x](../{target})", pages.GUIDE / "reference" / "python.md")
    assert target.startswith(("#", "http")) or deeper == f"[x](../{written})"
    back = pages.in_site("[x](../../docs/judging.md#b)", pages.ROOT / "bench" / "results" / "speed.md")
    assert back == "[x](../../judging.md#b)"


def test_code_in_a_list_stands_at_the_margin() -> None:
    page = "- item:\n\n  ```\n  a\n    b\n  ```\n"
    assert pages.in_site(page, pages.GUIDE / "judging.md") == "- item:\n\n```\na\n  b\n```\n"


def test_what_pages_link_to_is_in_the_site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, text in {
        "docs/index.md": "[r](../README.md)\n\n## Start\n\n[a](a.md), [b](b.md)\n\n## More\n\n[c](../CONTRIBUTING.md) [a](a.md)",
        "docs/a.md": "[code](../src/x.py)",
        "docs/b.md": "[in](b/in.md) [study](../bench/results/s.md)",
        "docs/b/in.md": "",
        "README.md": "[a](docs/a.md) ![p](docs/p.png)",
        "CONTRIBUTING.md": "[licence](LICENSE.md)",
        "LICENSE.md": "free",
        "src/x.py": "print('[no](z.md)')",
        "bench/results/s.md": "[all](../results)",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    monkeypatch.setattr(pages, "GUIDE", tmp_path / "docs")
    site = pages.outside()
    study, listing = "bench/results/s.md", "bench/results/index.md"
    assert site.keys() == {"readme.md", "contributing.md", "license.md", "src/x.py.md", study, listing}
    assert site["readme.md"] == "[a](a.md) ![p](p.png)"
    assert site[listing] == "# results\n\n- [s.md](s.md)\n" and "print" in site["src/x.py.md"]
    menu = ["index.md", "readme.md", {"Start": ["a.md", "b.md", "b/in.md"]}, {"More": ["contributing.md"]}]
    assert pages.navigation() == [*menu, {"Results": [listing, study]}]


def test_the_reference_has_every_public_name(written: dict[str, str]) -> None:
    headings = {line[3:] for text in written.values() for line in text.splitlines() if line.startswith("## ")}
    errors = {name for name in zeuxis.__all__ if f"| `{name}` |" in written["python"]}
    kinds = {name for name in model.__all__ if isinstance(getattr(model, name), type)}
    assert set(zeuxis.__all__) | kinds <= headings | errors
    assert not [text for text in written.values() if "<!-- reference" in text]
    with pytest.raises(KeyError):
        reference.expanded("<!-- reference: nothing -->")


WITHOUT_ERRORS = {"available_models", "matrix", "option", "runs"}


def test_every_function_says_which_errors_it_raises() -> None:
    """Those of a wrong input, in its docstring, which is the reference."""
    functions = {name: value for name in zeuxis.__all__ if inspect.isfunction(value := getattr(zeuxis, name))}
    silent = {name for name, value in functions.items() if not re.search(r"`\w+Error`", value.__doc__ or "")}
    assert silent <= WITHOUT_ERRORS, f"{', '.join(sorted(silent - WITHOUT_ERRORS))}: name the errors in the docstring"
    assert functions.keys() >= {"sample", "interpolate", "train", "evaluate"} and functions.keys() >= WITHOUT_ERRORS


def test_the_reference_has_every_option(written: dict[str, str]) -> None:
    text = written["options"]
    for name in families.names():
        section = text.split(f"\n### {name}\n")[1].split("\n### ")[0]
        assert families.summary(name) in section
        for f in options_of(families.find(name)):
            assert f"| `--{f.name.replace('_', '-')}` | `{f.default!r}` |" in section
    for f in dataclasses.fields(TrainSettings):
        assert f"| `--{f.name.replace('_', '-')}` | `{f.default!r}` |" in text.split("\n### ")[0]


def test_the_reference_has_every_command(written: dict[str, str]) -> None:
    headings = [line for line in written["commands"].splitlines() if line.startswith("## ")]
    assert sorted(headings) == sorted(f"## zeuxis {name}" for name in cli.ORDER)
    assert "zeuxis train FAMILY DATA" in written["commands"] and "* `--steps" in written["commands"]


def test_tables_of_the_reference_are_whole(written: dict[str, str]) -> None:
    for text in written.values():
        rows = [re.sub(r"`[^`]+`", "`x`", line) for line in text.splitlines() if line.startswith("| ")]
        assert {line.count(" | ") for line in rows} <= {2, 3}
