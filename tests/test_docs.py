"""The documentation is true where that can be checked: commands parse, links lead somewhere, sentences are short, code runs."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import pages
import prose
import reference
import zeuxis
from commandline import typed
from zeuxis import cli, families
from zeuxis.io import files

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
INDEX = DOCS / "index.md"
GUIDE = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *pages.guide()]
PAGES = [*GUIDE, ROOT / "CHANGELOG.md", *sorted(ROOT.glob("bench/**/*.md"))]
CODE = re.compile(r"`(zeuxis [\w-]+ [^`]+)`")
NOT_MEANT_TO_RUN = re.compile(r"\b[A-Z]+\b|my_module|mine:|\.\.\.|--help|\[")


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def read(page: Path) -> str:
    return pages.as_markdown(page)


def commands() -> Iterator[tuple[str, str]]:
    """Every command line of the pages, as (page, line), but for the page whose lines `test_coming_from` runs."""
    for page in (page for page in PAGES if page.name != "coming-from.md"):
        text = read(page)
        lines = [line.strip() for line in text.splitlines() if line.strip().startswith("zeuxis ")]
        for line in [*lines, *CODE.findall(text)]:
            if not NOT_MEANT_TO_RUN.search(line):
                yield named(page), line


def test_there_are_commands_to_check() -> None:
    assert len(set(commands())) > 25


@pytest.fixture(scope="module")
def template(elsewhere: None) -> Iterator[None]:
    """The family that `zeuxis new-family my_family.py` writes, to be imported from here."""
    code, _, error = typed("new-family", "my_family.py")
    assert code == 0, error
    sys.path.insert(0, str(Path.cwd()))
    yield
    sys.path.remove(str(Path.cwd()))


@pytest.mark.parametrize(("page", "line"), sorted(set(commands())))
@pytest.mark.usefixtures("elsewhere")
def test_command_parses(page: str, line: str, request: pytest.FixtureRequest) -> None:
    if "my_family" in line:
        request.getfixturevalue("template")
    words = shlex.split(line, comments=True)[1:]
    for place, word in enumerate(words):
        if word == "--config":
            Path(words[place + 1]).write_text("steps: 20k\n")
    cli.build(words).parse_args(words, exit_on_error=False, print_error=False)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_pictures_and_anchors_exist(page: Path) -> None:
    for target in pages.links(read(page)):
        if (found := pages.located(target, page)) is not None:
            path, anchor = found
            assert path.exists(), f"{named(page)} links to {target}"
            if anchor and path.suffix == ".md":
                headings = pages.anchors(reference.expanded(read(path)))
                assert anchor in headings, f"{named(page)} links to {target}; {named(path)} has no such heading"


def test_every_picture_is_shown() -> None:
    shown = {Path(target).name for page in PAGES for target in pages.links(read(page))}
    assert {path.name for path in (DOCS / "pictures").iterdir()} <= shown


def linked(page: Path) -> set[Path]:
    return {found[0] for found in (pages.located(target, page) for target in pages.links(read(page))) if found}


def test_the_index_links_every_page() -> None:
    assert {*DOCS.glob("*.md")} - {INDEX} <= linked(INDEX)
    assert ROOT / "CONTRIBUTING.md" in linked(INDEX)
    assert {*pages.guide()} - {INDEX} <= linked(INDEX) | linked(DOCS / "reference.md")


@pytest.mark.parametrize("page", GUIDE, ids=named)
def test_no_sentence_is_very_long(page: Path) -> None:
    longest = prose.count([read(page)]).longest
    assert len(prose.words(longest)) <= prose.LONGEST, longest


def test_few_sentences_are_long() -> None:
    total = prose.count([read(page) for page in GUIDE])
    assert total.sentences > 300
    assert total.share <= 0.03, f"{total.long} of {total.sentences} sentences have over {prose.LONG} words"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_lists_are_lists_to_every_reader_of_markdown(page: Path) -> None:
    """Python-Markdown, which builds the site, wants an empty line before a list, and does not nest by two spaces."""
    before = ""
    for line in prose.FENCE.sub("", read(page)).splitlines():
        if re.match(r"(?:[-*+]|\d+\.) ", line):
            assert not before.strip() or re.match(r"(?:[-*+]|\d+\.) |\s", before), f"no empty line before {line!r}"
        assert not re.match(r" {1,3}(?:[-*+]|\d+\.) ", line), f"indent by four spaces: {line!r}"
        before = line


def python_of(page: Path, word: str) -> str:
    """The one block of Python on a page that has the word."""
    (found,) = [
        code for code in re.findall(r"^```python\n(.*?)^```$", read(page), re.MULTILINE | re.DOTALL) if word in code
    ]
    return str(found)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The whole family of `docs/your-own-family.md`, in a file of the current folder."""
    (tmp_path / "tiny.py").write_text(python_of(DOCS / "your-own-family.md", "class TinyGAN"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "tiny:TinyGAN"
    sys.modules.pop("tiny", None)


def test_the_whole_family_of_the_page_is_trained_and_drawn(tiny: str) -> None:
    for line in (
        f"train {tiny} digits --steps 4 --batch-size 8 --device cpu --kernels standard",
        f"sample 1 -n 4 --family {tiny} --out samples.png",
        f"interpolate 1 --rows 2 --columns 3 --family {tiny} --out rows.png",
    ):
        code, _, error = typed(*line.split())
        assert code == 0, error
    (run,) = Path("runs").glob("00001-*")
    weights = files.read_tensors(run / "model" / "model.safetensors")
    assert {name.split(".")[0] for name in weights} == {"generator"}


def test_the_whole_family_of_the_page_passes_the_check(tiny: str) -> None:
    from zeuxis.testing import check_family

    check_family(families.find(tiny))


def test_the_citation_is_of_this_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= cited.keys()
    assert cited["version"] == zeuxis.__version__
    assert f"## [{cited['version']}] - {cited['date-released']}" in read(ROOT / "CHANGELOG.md")


def test_commits_are_checked_as_make_lint_does() -> None:
    (recipe,) = re.findall(r"^lint:.*\n((?:\t.*\n)+)", read(ROOT / "Makefile"), re.MULTILINE)
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    asked = [line.strip().replace("$(BIN)", ".venv/bin") for line in recipe.splitlines()]
    assert [hook["entry"] for hook in hooks] == asked
    assert {hook["language"] for hook in hooks} == {"system"}
