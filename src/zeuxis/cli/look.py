"""`zeuxis families`, `data` and `version`: what there is to work with."""

from __future__ import annotations

import platform
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

import zeuxis
from zeuxis.cli import flags
from zeuxis.cli.explore import check_png, write_picture
from zeuxis.options import ResizeMode


def register(app: App) -> None:
    """Add the commands."""
    for command in (families_command, data_command, version_command):
        app.command(command, name=flags.verb(command))


def families_command(
    *,
    matrix: Annotated[bool, Parameter(help="show the capabilities of each family", negative=())] = False,
) -> None:
    """List the families, one per line."""
    from zeuxis.families import names, summary

    if matrix:
        print("\n".join(_matrix()))
        return
    width = max(map(len, names()))
    for name in names():
        print(f"{name:{width}}  {summary(name)}")


def _matrix() -> list[str]:
    """Families down, abilities across, as a table in Markdown."""
    from zeuxis import api

    found = api.matrix()
    words = list(next(iter(found.values())))
    width = max(map(len, found))
    cells = {name: [("yes" if can[word] else "").ljust(len(word)) for word in words] for name, can in found.items()}
    rows = [[f"{name:{width}}", *marks] for name, marks in cells.items()]
    lines = [[f"{'family':{width}}", *words], ["-" * width, *("-" * len(word) for word in words)], *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def version_command() -> None:
    """Show the versions of Zeuxis, Python and the libraries it computes with."""
    print(f"zeuxis {zeuxis.__version__}, Python {platform.python_version()}, torch {metadata.version('torch')}")


def data_command(
    path: Annotated[str, Parameter(help="a folder, a zip, IDX files, or a named set such as avatars:5000")],
    /,
    *,
    size: Annotated[int | None, flags.flag("height and width of the images, in pixels", low=8, high=1024)] = None,
    channels: Annotated[int | None, flags.flag("image channels: 1 greyscale, 3 RGB", low=1, high=3)] = None,
    resize_mode: Annotated[
        ResizeMode,
        Parameter(help="how images become squares: centre crop, pad with white, or tiles at full resolution"),
    ] = "crop",
    max_images: Annotated[int | None, flags.flag("use only this many images, evenly spaced", low=1)] = None,
    json: Annotated[bool, Parameter(help="print the report as JSON", negative=())] = False,
    out: Annotated[Path | None, Parameter(help=".png file of the contact sheet (default: NAME-sheet.png here)")] = None,
) -> None:
    """Report on DATA: counts, sizes, classes, duplicates, and each file left out with the reason."""
    check_png(out)
    from zeuxis import api
    from zeuxis.runtime.progress import open_display

    with open_display() as shown:
        progress = partial(shown.work, "reading images")
        report = api.inspect_data(
            path, size=size, channels=channels, resize_mode=resize_mode, max_images=max_images, progress=progress
        )
    print(report.to_json() if json else "\n".join(report.lines()))
    if out is not None or not json:
        write_picture(report.sheet(), out or Path(f"{report.pack.name}-sheet.png"))
