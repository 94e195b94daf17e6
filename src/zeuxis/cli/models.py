"""`zeuxis models`: the models that are installed, ready to be sampled by their names."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from zeuxis.cli.flags import verb
from zeuxis.cli.output import say, say_aside

if TYPE_CHECKING:
    from zeuxis.api.models import ModelSummary

_TOLD = ("FID", "SSIM")  # the scores that the table has room for


def register(app: App) -> None:
    """Add the command."""
    app.command(models_command, name=verb(models_command))


def models_command(
    *, json: Annotated[bool, Parameter(help="print the list as JSON, with all scores", negative=())] = False
) -> None:
    """List the installed models, which every command takes by name."""
    from zeuxis import api
    from zeuxis.escaping import ascii_json
    from zeuxis.judging.report import table_lines

    found = api.available_models()
    if json:
        say(*ascii_json([{**dataclasses.asdict(each), "folder": str(each.folder)} for each in found]).splitlines())
        return
    if not found:
        say_aside("no models are installed; install some with: pip install zeuxis-models")
        return
    heads = ("model", "family", "data", "pixels", "MB", "scores", "license", "from")
    say(*table_lines([heads, *map(_cells, found)]))


def _cells(model: ModelSummary) -> tuple[str, ...]:
    pixels = f"{model.size} x {model.size}, {'grey' if model.channels == 1 else 'colour'}"
    told = _told(model.scores)
    return (
        model.name,
        model.family,
        model.data,
        pixels,
        f"{model.megabytes:.1f}",
        told,
        model.license,
        model.distribution,
    )


def _told(scores: Mapping[str, float]) -> str:
    from zeuxis.judging.report import format_score

    return ", ".join(f"{name} {format_score(value)}" for name, value in scores.items() if name.startswith(_TOLD))
