"""`zeuxis plan`: which family and options to train on some data for so many minutes."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from zeuxis.cli import flags
from zeuxis.cli.output import say
from zeuxis.errors import ZeuxisError

if TYPE_CHECKING:
    from zeuxis.data.report import DataReport

Minutes = Annotated[
    float, Parameter(help="minutes of wall-clock time to train for", converter=flags.bounded(flags.number, 0.1, 1e6))
]
Size = Annotated[int | None, flags.flag("height and width of the images, in pixels", low=8, high=1024)]
Channels = Annotated[int | None, flags.flag("image channels: 1 greyscale, 3 RGB", low=1, high=3)]


def register(app: App) -> None:
    """Add the command."""
    app.command(plan_command, name=flags.verb(plan_command))


def plan_command(
    data: Annotated[str, Parameter(help="a folder, a zip, IDX files, or a named set such as avatars")],
    target: Annotated[str | None, Parameter(help="target images, for image-to-image families")] = None,
    /,
    *,
    minutes: Minutes = 30,
    size: Size = None,
    channels: Channels = None,
    json: Annotated[bool, Parameter(help="print the plan as JSON", negative=())] = False,
) -> None:
    """Propose a family and options for DATA: what each would see in the minutes here, and what recorded runs reached.

    The proposals rest on the number, sizes and channels of the pictures, and on a few measured steps of each family.
    """
    from zeuxis import api
    from zeuxis.runtime.progress import open_display

    with open_display() as shown:
        found = api.plan(
            data if target is None else f"{data} -> {target}",
            minutes=minutes,
            size=size,
            channels=channels,
            progress=shown.work,
        )
    say(*(found.to_json().splitlines() if json else found.lines()))


def say_advice(report: DataReport, data: str, *, size: int | None, channels: int | None) -> None:
    """Print the command that suits the data, after a report on it."""
    from zeuxis.api.planning import suggest

    try:
        advice = suggest(report, data, size=size, channels=channels)
    except ZeuxisError:  # data that no family takes: the report says what it is
        return
    form = "".join(f" --{name} {value}" for name, value in (("size", size), ("channels", channels)) if value)
    say("", f"advice: {advice.first_line()}", f"zeuxis plan {shlex.quote(data)}{form} measures it on this machine")
