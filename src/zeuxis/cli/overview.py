"""`zeuxis runs`, `curves` and `story`: runs at a glance."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from zeuxis.cli import flags
from zeuxis.cli.explore import check_png, write_picture
from zeuxis.cli.output import say, say_aside
from zeuxis.errors import UsageError

if TYPE_CHECKING:
    from zeuxis.training.summary import RunSummary

_HEADS = ("run", "name", "family", "data", "size", "steps", "minutes", "FID", "state", "newest losses", "newest sheet")
_LEFT = frozenset({"name", "family", "data", "state", "newest losses", "newest sheet"})
_STORIES = frozenset({".webp", ".mp4", ".html"})
_WIDEST = 24  # characters of a name

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
    from zeuxis import api
    from zeuxis.escaping import ascii_json

    found = api.runs(folder)
    if json:
        say(*ascii_json([run.plain() for run in found]).splitlines())
    elif found:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        say(*_table(found, width))
    else:
        say_aside(f"there are no runs in {folder}; begin one with: zeuxis train dcgan avatars")


def _table(runs: Sequence[RunSummary], width: int | None) -> list[str]:
    """A line for each run; the sheet on a line of its own where all together is wider than the terminal."""
    cells = [_cells(run) for run in runs if run.state != "broken"]
    used = [i for i in range(len(_HEADS)) if any(row[i] for row in cells)]
    table = [[_HEADS[i] for i in used], *([row[i] for i in used] for row in cells)]
    widths = [max(len(row[i]) for row in table) for i in range(len(used))] if cells else []
    lines = []
    for row in table if cells else ():
        texts = [_aligned(text, widths[k], _HEADS[used[k]]) for k, text in enumerate(row)]
        whole = "  ".join(texts).rstrip()
        folded = width is not None and sum(widths) + 2 * len(widths) - 2 > width and used[-1] == len(_HEADS) - 1
        lines += ["  ".join(texts[:-1]).rstrip(), f"    {row[-1]}"] if folded else [whole]
    return [*lines, *(f"broken: {run.problem}" for run in runs if run.state == "broken")]


def _aligned(text: str, width: int, head: str) -> str:
    return text.ljust(width) if head in _LEFT else text.rjust(width)


def _cells(run: RunSummary) -> list[str]:
    """The cells of a run, in the order of the heads."""
    from zeuxis.judging.report import format_score

    losses = "  ".join(f"{name} {value:.3g}" for name, value in run.losses.items())
    return [
        "" if run.number is None else str(run.number),
        _short(run.name),
        _short(run.family),
        _short(run.data),
        "" if run.size is None else str(run.size),
        f"{run.step:,}" + (f" of {run.steps:,}" if run.steps is not None and run.step < run.steps else ""),
        f"{run.minutes:.1f}" if run.minutes < 10 else f"{run.minutes:,.0f}",
        "" if run.fid is None else format_score(run.fid.value),
        run.state,
        losses,
        "" if run.sheet is None else str(run.sheet),
    ]


def _short(text: str) -> str:
    return text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..."


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
