"""The files of the page by path, for the server and for a page without one; with the typeface that Pillow carries."""

from __future__ import annotations

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
