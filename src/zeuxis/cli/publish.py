"""`zeuxis publish`: a trained model on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from zeuxis.cli.explore import ModelName
from zeuxis.cli.flags import verb
from zeuxis.cli.output import say
from zeuxis.cli.sampling import Code

Repository = Annotated[str, Parameter(help="USER/NAME on the hub; with --out: the name by which it will be loaded")]


def register(app: App) -> None:
    """Add the command."""
    app.command(publish_command, name=verb(publish_command))


def publish_command(
    model: ModelName,
    repository: Repository,
    /,
    *,
    private: Annotated[bool, Parameter(negative=())] = False,
    revision: str | None = None,
    license: str | None = None,
    precision: Literal["fp32", "fp16"] | None = None,
    out: Path | None = None,
    family: Code = None,
) -> None:
    """Publish a model on the Hugging Face hub, with its card, samples and scores.

    Needs pip install 'zeuxis[hub]', and a token: hf auth login, or HF_TOKEN. Afterwards hf://USER/NAME names the model
    in every command.

    Parameters
    ----------
    private
        make a new repository private
    revision
        branch to publish on, made if need be (default: main)
    license
        licence of the weights, as the hub names it: apache-2.0, cc-by-4.0, ...
    precision
        number format of the published weights; fp16 halves them (default: as they are)
    out
        folder to write the files into; nothing is published
    """
    from zeuxis import api

    options = {"private": private, "revision": revision, "license": license, "precision": precision, "family": family}
    found = api.publish(model, repository, out=out, **options)  # type: ignore[arg-type]
    if out is not None:
        say(f"wrote {found}")
        return
    say(f"published {found}", f"load it as hf://{repository}" + (f"@{revision}" if revision else ""))
