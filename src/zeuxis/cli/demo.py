"""`zeuxis demo`: from nothing to faces, and three figures of their latent space."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from zeuxis.cli import flags
from zeuxis.cli.output import say


def register(app: App) -> None:
    """Add the command."""
    app.command(demo_command, name=flags.verb(demo_command))


def demo_command(
    *,
    minutes: Annotated[float, Parameter(converter=flags.bounded(flags.number, 0))] = 8.0,
    out: Path = Path("demo"),
) -> None:
    """Train a DCGAN on drawn faces, and draw samples, interpolation and arithmetic.

    Given again, it goes on where it was stopped.

    Parameters
    ----------
    minutes
        minutes of training in all
    out
        folder of the three figures, and of the run under runs/
    """
    from zeuxis import api

    api.demo(out, minutes=minutes, note=say)
