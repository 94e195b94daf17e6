"""`zeuxis families`, `data` and `version`: what there is to work with."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

import zeuxis
from zeuxis import registry
from zeuxis.cli import flags
from zeuxis.cli.explore import check_png, write_picture
from zeuxis.cli.output import say, say_aside
from zeuxis.cli.planning import Channels, Size, say_advice
from zeuxis.errors import UsageError
from zeuxis.io.paths import check_apart
from zeuxis.options import ResizeMode
from zeuxis.runtime import launch

if TYPE_CHECKING:
    from zeuxis.data import DataSpec
    from zeuxis.data.report import DataReport


def register(app: App) -> None:
    """Add the commands."""
    for command in (families_command, data_command, version_command):
        app.command(command, name=flags.verb(command))


def families_command(
    *,
    matrix: Annotated[bool, Parameter(help="show the capabilities of each family", negative=())] = False,
) -> None:
    """List the families, one per line."""
    width = max(map(len, registry.names()))
    lines = _matrix() if matrix else [f"{name:{width}}  {registry.summary(name)}" for name in registry.names()]
    say(*lines)
    for note in [*registry.notes(), *(_broken() if matrix else ())]:
        say_aside(f"note: {note}")


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


def _broken() -> Iterator[str]:
    """Why families of installed packages are not in the matrix."""
    from zeuxis import families

    for name in registry.installed():
        try:
            families.find(name)
        except UsageError as error:
            yield str(error)


Mode = Annotated[
    ResizeMode, Parameter(help="how images become squares: centre crop, pad with white, or tiles at full resolution")
]


def version_command() -> None:
    """Show the versions of Zeuxis, Python and the libraries it computes with."""
    say(f"zeuxis {zeuxis.__version__}, Python {platform.python_version()}, torch {metadata.version('torch')}")


def data_command(
    path: Annotated[str, Parameter(help="a folder, zip, tars, Parquet, IDX files, or a set such as avatars:5000")],
    /,
    *,
    size: Size = None,
    channels: Channels = None,
    resize_mode: Mode = "crop",
    max_images: Annotated[int | None, flags.flag("use only this many images, evenly spaced", low=1)] = None,
    every: Annotated[
        bool, Parameter(name="--all", help="list every file left out, not three of each reason", negative=())
    ] = False,
    json: Annotated[bool, Parameter(help="print the report as JSON", negative=())] = False,
    out: Annotated[Path | None, Parameter(help=".png file of the contact sheet (default: NAME-sheet.png here)")] = None,
) -> None:
    """Report on DATA: counts, sizes, classes, duplicates, and the files left out, by reason."""
    check_png(out)
    from zeuxis.data import DataSpec
    from zeuxis.data.places import paths_of

    spec = DataSpec.parse(path, resize_mode=resize_mode, max_images=max_images)
    if launch.rank():  # of many processes each builds shards of the pack, and the first one reports
        spec.open(size or spec.size or 64, channels or spec.channels or 3)
        return
    check_apart(out, read := paths_of(spec))
    report = _inspected(spec, size, channels)
    say(*(report.to_json().splitlines() if json else report.lines(every=every)))
    if not json:
        say_advice(report, path, size=size, channels=channels)
    if out is not None or not json:
        _write_sheet(report, out, read)


def _inspected(spec: DataSpec, size: int | None, channels: int | None) -> DataReport:
    """The report, while the display shows what is read."""
    from zeuxis import api
    from zeuxis.runtime.progress import open_display

    with open_display() as shown:
        return api.inspect_data(spec, size=size, channels=channels, progress=partial(shown.work, "reading images"))


def _write_sheet(report: DataReport, out: Path | None, read: Sequence[str]) -> None:
    """Write the contact sheet, without --out beside the data, yet not among it."""
    place = out or Path(f"{report.pack.name}-sheet.png")
    try:
        check_apart(place, read)
    except UsageError as error:
        say(f"no contact sheet: {error}")
    else:
        write_picture(report.sheet(), place)
