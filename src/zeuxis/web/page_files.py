"""The files of the page by path, for the server and for a page without one; with the typeface that Pillow carries."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from PIL import ImageFont

PAGE = Path(__file__).parent / "page"
TYPEFACE = "aileron.ttf"  # Aileron (CC0), that of the project's figures
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ttf": "font/ttf",
    ".txt": "text/plain; charset=utf-8",
}


BEGINNING = "start.js"  # of the page of a server
_MODULE = re.compile(r'^(?:import|export)\b[^;]*?"zeuxis/([^"]+)";', re.MULTILINE)
_START = re.compile(r'<script type="module" src="[^"]+"></script>')


def page_contents(folder: Path = PAGE) -> dict[str, bytes]:
    """The files by path; no typeface where this Pillow was built without, and a browser then takes its own."""
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in KINDS
    }
    font = getattr(ImageFont.load_default(20), "path", None)
    if font is not None:
        found[TYPEFACE] = font.getvalue()
    return found


def modules_of(page: Mapping[str, bytes], beginning: str) -> set[str]:
    """The modules among the files that a beginning needs, itself included."""
    found, new = set[str](), {beginning}
    while new:
        found |= new
        new = {name for module in new for name in _MODULE.findall(page.get(module, b"").decode())} - found
    return found & page.keys()


def preloading(page: Mapping[str, bytes]) -> bytes:
    """index.html that asks for all modules at once; else each waits for the one that names it."""
    links = [f'<link rel="modulepreload" href="{name}">' for name in sorted(modules_of(page, BEGINNING))]
    return _START.sub(lambda match: "\n".join([*links, match[0]]), page["index.html"].decode()).encode()
