"""The notebooks of docs/notebooks as pages: executed by a kernel, then written as Markdown with their outputs.

    python docs/site/notebooks.py lecture.ipynb executed.ipynb     executes one by hand

What was executed is kept in build/notebooks until the notebook or the package changes.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbclient
import nbformat

from pages import GUIDE, ROOT

FOLDER = GUIDE / "notebooks"
_KEPT = ROOT / "build" / "notebooks"
_SECONDS = 900  # for a cell, on the slowest machine
_ALT = 200  # characters of the text that stands for a picture
_TABLE = re.compile(r"<table.*</table>", re.DOTALL)


def sources() -> list[Path]:
    """The notebooks, in the order of their names."""
    return sorted(FOLDER.glob("*.ipynb"))


def executed(source: Path) -> Any:
    """The notebook with its outputs; an error in a cell is raised."""
    kept = _KEPT / f"{source.stem}-{_digest(source)}.ipynb"
    if not kept.is_file():
        notebook = run(read(source))
        kept.parent.mkdir(parents=True, exist_ok=True)
        for old in kept.parent.glob(f"{source.stem}-*.ipynb"):
            old.unlink()
        kept.write_text(nbformat.writes(notebook), encoding="utf-8")  # type: ignore[no-untyped-call]
    return read(kept)


def read(path: Path) -> Any:
    """The notebook in a file, checked against its format."""
    notebook = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)  # type: ignore[no-untyped-call]
    nbformat.validate(notebook)
    return notebook


def run(notebook: Any) -> Any:
    """The notebook, executed by a kernel of this Python in an empty folder."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        client = nbclient.NotebookClient(notebook, timeout=_SECONDS, kernel_name="python3", resources=resources)
        client.execute(env={**environment, "IPYTHONDIR": folder})
    return notebook


def page(notebook: Any, stem: str) -> tuple[str, dict[str, bytes]]:
    """The notebook as Markdown, and the pictures beside it by their names."""
    pictures: dict[str, bytes] = {}
    blocks: list[str] = []
    for cell in notebook.cells:
        blocks.append(cell.source if cell.cell_type == "markdown" else f"```python\n{cell.source}\n```")
        for output in cell.get("outputs", ()):
            blocks += _shown(output, stem, pictures)
    return "\n\n".join(blocks) + "\n", pictures


def _shown(output: Any, stem: str, pictures: dict[str, bytes]) -> Iterator[str]:
    """What a reader sees of an output: a picture, else a table or a live bar, else text."""
    if output.output_type == "stream":
        yield f"```text\n{output.text.rstrip()}\n```"
        return
    if output.output_type == "error":
        yield "```text\n" + "\n".join(output.traceback) + "\n```"
        return
    data = output.data
    text = " ".join(data.get("text/plain", "").split())[:_ALT]
    if "image/png" in data:
        name = f"{stem}-{len(pictures) + 1}.png"
        pictures[name] = base64.b64decode(data["image/png"])
        yield f"![{text.replace('[', '(').replace(']', ')')}]({name})"
    elif "text/html" in data:
        table = _TABLE.search(data["text/html"])
        yield re.sub(r"\n\s*\n", "\n", table[0] if table else data["text/html"])
    elif "text/plain" in data:
        yield f"```text\n{data['text/plain']}\n```"


def _digest(source: Path) -> str:
    """What the outputs depend on: the notebook and the package."""
    digest = hashlib.sha256(source.read_bytes())
    for path in sorted((ROOT / "src" / "zeuxis").rglob("*.py")):
        digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(nbformat.writes(run(read(Path(sys.argv[1])))), encoding="utf-8")  # type: ignore[no-untyped-call]
