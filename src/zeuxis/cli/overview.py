"""`zeuxis runs`, `curves` and `story`: runs at a glance."""

from __future__ import annotations

import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from zeuxis.cli import flags
from zeuxis.cli.explore import check_png, write_picture
from zeuxis.cli.output import say, say_aside
from zeuxis.errors import UsageError

_STORIES = frozenset({".webp", ".mp4", ".html"})

RunNames = Annotated[str, Parameter(help="runs: folders, or numbers or names under runs/")]
Across = Annotated[Literal["steps", "images"], Parameter(help="axis across: training steps, or images seen")]
Smoothing = Annotated[
    float,
    Parameter(
        help="standard deviation of the smoothing kernel, as a share of the axis; 0: off",
        converter=flags.bounded(flags.number, 0, 1),
    ),
]


def register(app: App) -> None:
    """Add the commands."""
    for command in (runs_command, curves_command, story_command):
        app.command(command, name=flags.verb(command))


def runs_command(
    folder: Path = Path("runs"),
    /,
    *,
    json: Annotated[bool, Parameter(help="print the runs as JSON", negative=())] = False,
) -> None:
    """List the runs in a folder: state, steps, minutes, newest losses, FID, and the newest contact sheet.

    A run is in training, stopped (resume it), done, or failed. A folder that is no whole run is listed as broken.

    Parameters
    ----------
    folder
        folder of the numbered run folders
    """
    from zeuxis.escaping import ascii_json
    from zeuxis.training.run_list import listed_runs  # `api` would import torch

    found = listed_runs(folder)
    if json:
        say(*ascii_json([run.plain() for run in found]).splitlines())
    elif found:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        say(*found.lines(width=width))
    else:
        say_aside(f"there are no runs in {folder}; begin one with: zeuxis train dcgan avatars")


def curves_command(
    *runs: RunNames,
    by: Across = "steps",
    smoothing: Smoothing = 0.015,
    every: Annotated[
        bool, Parameter(name="--all", help="all metrics, gradient norms and KID among them", negative=())
    ] = False,
    out: Path | None = None,
) -> None:
    """Draw the metrics of one run or several: losses, D(real) and D(fake), diversity, and FID with its interval.

    Raw values are faint behind smoothed ones. A run keeps its own curves.png while it trains.

    Parameters
    ----------
    out
        .png file of the figure (default: curves.png here)
    """
    check_png(out)
    if not runs:
        raise UsageError("there are no runs to draw; give one or more, such as 1 2 3; `zeuxis runs` lists them")
    from zeuxis import api

    write_picture(api.curves(*runs, against=by, smoothing=smoothing, every=every), out or Path("curves.png"))


def story_command(
    run: Annotated[str, Parameter(help="a run: its folder, or its number or name under runs/")],
    /,
    *,
    seconds: Annotated[
        float,
        Parameter(
            help="seconds of the film from its first picture to its last", converter=flags.bounded(flags.number, 1, 60)
        ),
    ] = 10.0,
    out: Path = Path("story.webp"),
) -> None:
    """Tell the story of a run: the same 16 samples from noise to pictures, beside its curves, with captions of its health.

    Of an image-to-image family: sources, their translations and their targets. A run may still be training.

    Parameters
    ----------
    out
        .webp or .mp4 file of the film (.mp4: pip install 'zeuxis[video]'), or an .html page with a slider over the steps
    """
    if out.suffix.lower() not in _STORIES:
        raise UsageError(f"--out is {out}; expected a name that ends in .webp, .mp4 or .html")
    from zeuxis import api
    from zeuxis.runtime.progress import open_display

    with open_display() as shown:
        missing = api.story(run, out, seconds=seconds, progress=partial(shown.work, "drawing frames"))
    say(f"wrote {out}")
    say_aside(*(f"note: {line}" for line in missing))
