"""`zeuxis export`: a trained model as one file for other programs, or as a page."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from zeuxis.cli.explore import ModelName
from zeuxis.cli.flags import verb
from zeuxis.cli.output import say
from zeuxis.cli.sampling import Code
from zeuxis.errors import UsageError

OnnxFile = Annotated[Path | None, Parameter(help="the .onnx file (default: model.onnx in its run's folder, or here)")]
PageFile = Annotated[
    Path | None,
    Parameter(help="a page that needs no server: an .html file that opens by itself, or a folder for a web host"),
]
Sliders = Annotated[
    str | None,
    Parameter(help="sliders of the page: attributes of the data, as in smiling,glasses, or components (default: none)"),
]
RuntimeFiles = Annotated[
    Path | None,
    Parameter(help="folder or .tgz of onnxruntime-web for the page, without the network (default: fetched once)"),
]


def register(app: App) -> None:
    """Add the command."""
    app.command(export_command, name=verb(export_command))


def export_command(
    model: ModelName,
    /,
    *,
    out: OnnxFile = None,
    page: PageFile = None,
    directions: Sliders = None,
    runtime: RuntimeFiles = None,
    family: Code = None,
) -> None:
    """Export the generator to ONNX, or to a page that anyone can open.

    Needs pip install 'zeuxis[export]'. The images are compared with the model's before anything is written.
    """
    if page is not None:
        if out is not None:
            raise UsageError("--page and --out name two exports; ask for one at a time")
        words = [word.strip() for word in directions.split(",")] if directions else []
        _export_page(model, page, words, runtime, family)
        return
    if directions is not None or runtime is not None:
        raise UsageError(
            f"--{'directions' if directions is not None else 'runtime'} belongs to --page; give --page too"
        )
    if out is not None and out.suffix != ".onnx":
        raise UsageError(f"--out is {out}; expected a .onnx file")
    from zeuxis import api

    written = api.export(model, out, family=family)
    say(f"wrote {written.path}: {written.size / 1e6:.1f} MB, within {written.difference:.0e} of the model")


def _export_page(model: str, page: Path, directions: list[str], runtime: Path | None, family: str | None) -> None:
    """Write the page, with progress on stderr."""
    from zeuxis import api
    from zeuxis.runtime.progress import open_display

    write = partial(api.export_page, model, page, directions=directions, runtime=runtime, family=family)
    with open_display() as shown:
        written = write(report=shown.note, progress=partial(shown.work, "reading images"))
    say(
        f"wrote {page}: {written.size / 1e6:.1f} MB, weights in {written.precision}; "
        f"{'put it on a web host' if page.is_dir() else 'open it in a browser'}",
        "whoever has this page has the model, and with it what the model remembers of its training images",
    )
