"""The pages of the site: where each file of the repository stands in it, what they link to, and the order of `docs/index.md`."""

from __future__ import annotations

import json
import os
import posixpath
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from prose import FENCE, INLINE

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs"
_LINK = re.compile(r"\]\((?P<target>[^()\s]+)\)")
_CODE_OR_LINK = re.compile(f"{FENCE.pattern}|{INLINE.pattern}|{_LINK.pattern}", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t]*#*$", re.MULTILINE)
_SECTION = re.compile(r"^##[ \t]+(.+?)[ \t]*$", re.MULTILINE)
# Files that become pages, by suffix (LICENSE and Makefile have none), and what colours them.
_LANGUAGES = {
    "": "text",
    ".cff": "yaml",
    ".jsonl": "json",
    ".py": "python",
    ".toml": "toml",
    ".txt": "text",
    ".yaml": "yaml",
}


def links(markdown: str) -> Iterator[str]:
    """The targets of the links and pictures of a page; what stands in code is none."""
    for match in _CODE_OR_LINK.finditer(markdown):
        if match["target"]:
            yield match["target"]


def relinked(markdown: str, change: Callable[[str], str]) -> str:
    """The page with other targets; code is left alone."""

    def changed(match: re.Match[str]) -> str:
        return f"]({change(match['target'])})" if match["target"] else match[0]

    return _CODE_OR_LINK.sub(changed, markdown)


def slug(heading: str, separator: str = "-") -> str:
    """The anchor of a heading, as code forges make it of its text (Python-Markdown's own drops and joins more)."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", separator)


def anchors(markdown: str) -> set[str]:
    """The anchors of a page's headings."""
    headings = _HEADING.findall(FENCE.sub("", markdown))
    return {slug(re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("*", "")) for heading in headings}


def place(path: Path) -> str:
    """Where a file or folder of the repository, given as an absolute path, stands in the site."""
    inside = path.relative_to(ROOT).as_posix()
    if GUIDE in path.parents:
        return re.sub(r"\.ipynb$", ".md", inside.removeprefix("docs/"))
    if path.is_dir():
        return f"{inside}/index.md"
    folder, name = posixpath.split(inside)
    if name == "README.md" and folder:
        return f"{folder}/index.md"
    return posixpath.join(folder, name.lower()) if name.endswith(".md") else f"{inside}.md"


def located(target: str, page: Path) -> tuple[Path, str] | None:
    """The file or folder that a link of a page means, and the anchor in it; None for addresses elsewhere.

    A folder that has a README is that README.
    """
    if re.match(r"[a-z]+:", target):
        return None
    name, _, anchor = target.partition("#")
    path = Path(os.path.normpath(page.parent / name)) if name else page
    readme = path / "README.md"
    return readme if readme.is_file() else path, anchor


def in_site(markdown: str, page: Path) -> str:
    """The page with links to where in the site their targets stand, and code in lists where Python-Markdown sees it."""

    def change(target: str) -> str:
        found = located(target, page)
        if found is None or target.startswith("#"):
            return target
        path, anchor = found
        relative = posixpath.relpath(place(path), posixpath.dirname(place(page)) or ".")
        return f"{relative}#{anchor}" if anchor else relative

    return FENCE.sub(lambda match: textwrap.dedent(match[0]), relinked(markdown, change))


def guide() -> list[Path]:
    """The pages under docs/, notebooks too."""
    return sorted([*GUIDE.rglob("*.md"), *GUIDE.glob("notebooks/*.ipynb")])


def outside() -> dict[str, str]:
    """The files outside docs/ that pages link to, and those that these link to: place in the site -> the page there."""
    found: dict[str, str] = {}
    waiting, seen = guide(), set(guide())
    while waiting:
        page = waiting.pop()
        text = as_markdown(page)
        if GUIDE not in page.parents:
            found[place(page)] = in_site(text, page)
        linked = [each[0] for each in (located(target, page) for target in links(text)) if each]
        new = [path for path in dict.fromkeys(linked) if _is_outside(path) and path not in seen]
        seen.update(new)
        waiting += new
    return found


def _is_outside(path: Path) -> bool:
    there = ROOT in path.parents and GUIDE not in path.parents and path.exists()
    return there and (path.is_dir() or path.suffix in {".md", *_LANGUAGES})


def as_markdown(path: Path) -> str:
    """A file or folder as a page of Markdown; of a notebook what it says and runs, without outputs."""
    if path.suffix == ".ipynb":
        cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(path.read_bytes())["cells"]]
        return "\n\n".join(text if kind == "markdown" else f"```python\n{text}\n```" for kind, text in cells)
    if path.is_dir():
        names = [each.name for each in sorted(path.iterdir()) if each.name[0] not in "._"]
        return f"# {path.name}\n\n" + "".join(f"- [{name}]({path.name}/{name})\n" for name in names)
    text = path.read_text(encoding="utf-8")
    return text if path.suffix == ".md" else f"# {path.name}\n\n````{_LANGUAGES[path.suffix]}\n{text}\n````\n"


def navigation() -> list[Any]:
    """The menu: the pages that `docs/index.md` links to, under its headings; a page brings along those of its own folder."""
    index = GUIDE / "index.md"
    text = index.read_text(encoding="utf-8")
    parts = _SECTION.split(text)
    seen = {index}
    menu: list[Any] = [place(index)]
    for title, part in zip(parts[1::2], parts[2::2]):
        if below := [place(page) for page in _linked(part, index, seen)]:
            menu.append({title: below})
    menu[1:1] = [place(page) for page in _linked(parts[0], index, seen)]
    results = sorted(set(outside()) - {place(page) for page in seen})
    return [*menu, {"Results": [name for name in results if name.startswith("bench/") and not name.endswith(".py.md")]}]


def _linked(markdown: str, page: Path, seen: set[Path], folder: Path | None = None) -> Iterator[Path]:
    """The pages in the folder that part of a page links to and that are not in the menu yet, each with those of its own."""
    for target in links(markdown):
        path = (located(target, page) or (page, ""))[0]
        if (
            path.suffix in {".md", ".ipynb"}
            and (folder or ROOT) in path.parents
            and path.is_file()
            and path not in seen
        ):
            seen.add(path)
            yield path
            yield from _linked(as_markdown(path), path, seen, path.with_suffix(""))
