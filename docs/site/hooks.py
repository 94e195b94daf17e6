"""What MkDocs does not do by itself: files outside docs/, the reference, the menu, and the check that a page needs no network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File
from pygments.formatters import HtmlFormatter

import notebooks
import pages
import reference

# Whatever a browser would fetch by itself to show a page, from another machine.
_FETCHED = re.compile(
    r"<(?:script|img|iframe|source|video|audio|embed)\b[^>]*\bsrc\s*=\s*[\"']?(?:https?:)?//[^\"'\s>]*"
    r"|<link\b[^>]*\bhref\s*=\s*[\"']?(?:https?:)?//[^\"'\s>]*"
    r"|url\(\s*[\"']?(?:https?:)?//[^)]*|@import\s+[\"'](?:https?:)?//[^\"']*"
)


# The theme keeps each cell on one line, and what stands in the last column would be cut off.
_TABLES = """\
.wy-table-responsive table td, .wy-table-responsive table th { white-space: normal }
.wy-table-responsive table td code { white-space: nowrap }
"""


def on_config(config: Any) -> None:
    """Give headings the anchors that they have on code forges."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = pages.slug


def on_files(files: Any, *, config: Any) -> None:
    """Add the pages outside docs/ and the colours of code, and set the menu."""
    for place, markdown in pages.outside().items():
        files.append(File.generated(config, place, content=markdown))
    for source in notebooks.sources():
        _add_notebook(files, config, source)
    colours = HtmlFormatter(style="default").get_style_defs(".highlight")
    files.append(File.generated(config, "code.css", content=f"{colours}\n{_TABLES}"))
    config.nav = pages.navigation()


def _add_notebook(files: Any, config: Any, source: Path) -> None:
    """Add the page of a notebook, which is executed if need be, and its pictures; the notebook itself is in docs/."""
    markdown, pictures = notebooks.page(notebooks.executed(source), source.stem)
    place, link = pages.place(source), f"[{source.name}]({source.name})"
    text = f"{pages.in_site(markdown, source)}\nThis page is the notebook {link}, as it ran when the site was built.\n"
    files.append(File.generated(config, place, content=text))
    for name, content in pictures.items():
        files.append(File.generated(config, f"{Path(place).parent.as_posix()}/{name}", content=content))


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str | None:
    """Write the reference into a page of docs/, and let its links find what stands elsewhere in the site."""
    if page.file.generated_by:
        return None
    return pages.in_site(reference.expanded(markdown), pages.GUIDE / page.file.src_uri)


def on_post_build(*, config: Any) -> None:
    """Fail where a built page would fetch anything from another machine."""
    for path in sorted(Path(config.site_dir).rglob("*")):
        if path.suffix in {".html", ".css"} and (found := _FETCHED.search(path.read_text(encoding="utf-8"))):
            raise PluginError(f"{path} would fetch {found[0]!r} over the network; expected only files of the site")
