"""The documentation is true where that can be checked: its commands parse, its links and pictures exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from zeuxis import cli

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted(ROOT.glob("bench/**/*.md")),
]
LINK = re.compile(r"\]\(([^)#]+)")
CODE = re.compile(r"`(zeuxis \w+ [^`]+)`")
NOT_MEANT_TO_RUN = re.compile(r"\b[A-Z]+\b|my_module|mine:|\.\.\.|--help|\[")


def commands() -> Iterator[tuple[str, str]]:
    """Every command line of the pages, as (page, line)."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        typed = [line.strip() for line in text.splitlines() if line.strip().startswith("zeuxis ")]
        for line in [*typed, *CODE.findall(text)]:
            if not NOT_MEANT_TO_RUN.search(line):
                yield page.name, line


def test_there_are_commands_to_check() -> None:
    assert len(set(commands())) > 25


@pytest.mark.parametrize(("page", "line"), sorted(set(commands())))
@pytest.mark.usefixtures("elsewhere")
def test_command_parses(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    for place, word in enumerate(words):
        if word == "--config":
            Path(words[place + 1]).write_text("steps: 20k\n")
    cli.build(words).parse_args(words, exit_on_error=False, print_error=False)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_exist(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_picture_is_shown() -> None:
    shown = {Path(target).name for page in PAGES for target in LINK.findall(page.read_text(encoding="utf-8"))}
    assert {path.name for path in (ROOT / "docs" / "pictures").iterdir()} <= shown
