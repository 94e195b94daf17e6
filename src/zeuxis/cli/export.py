"""`zeuxis export`: a trained model as one file for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from zeuxis.cli.explore import ModelName
from zeuxis.cli.flags import verb
from zeuxis.cli.output import say
from zeuxis.cli.sampling import Code
from zeuxis.errors import UsageError


def register(app: App) -> None:
    """Add the command."""
    app.command(export_command, name=verb(export_command))


def export_command(
    model: ModelName,
    /,
    *,
    out: Annotated[
        Path | None, Parameter(help="the .onnx file (default: model.onnx in its run's folder, or here)")
    ] = None,
    family: Code = None,
) -> None:
    """Export the generator to ONNX: latents in, images out.

    Needs pip install 'zeuxis[export]'. The file's images are compared with the model's before it is written.
    """
    if out is not None and out.suffix != ".onnx":
        raise UsageError(f"--out is {out}; expected a .onnx file")
    from zeuxis import api

    written = api.export(model, out, family=family)
    say(f"wrote {written.path}: {written.size / 1e6:.1f} MB, within {written.difference:.0e} of the model")
