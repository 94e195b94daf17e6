"""`zeuxis export`: a trained model as one file for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from zeuxis.cli.explore import ModelName
from zeuxis.cli.sampling import Code
from zeuxis.errors import UsageError


def register(app: App) -> None:
    """Add the command."""
    app.command(export)


def export(
    model: ModelName,
    /,
    *,
    out: Annotated[
        Path | None, Parameter(help="the .onnx file (default: model.onnx in its run's folder, or here)")
    ] = None,
    family: Code = None,
) -> None:
    """Write the generator as an ONNX file, for a web page or an app: latents in, images out.

    It needs pip install 'zeuxis[export]'. What the file draws is compared with what the model draws before it is written.
    """
    if out is not None and out.suffix != ".onnx":
        raise UsageError(f"--out is {out}; expected a .onnx file")
    from zeuxis import api

    written = api.export(model, out, family=family)
    print(f"wrote {written.path}: {written.size / 1e6:.1f} MB, within {written.difference:.0e} of the model")
