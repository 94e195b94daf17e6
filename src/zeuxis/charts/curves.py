"""The figure of curves: a panel for each metric of one run or several, over steps or images."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from zeuxis.charts.axes import Axis
from zeuxis.charts.histories import Against, History, panels_of
from zeuxis.charts.lettering import BACKGROUND, PALE, RUN_COLOURS, letter, shortened, text_width
from zeuxis.charts.panels import PanelStyle, draw_panel
from zeuxis.errors import UsageError

SMOOTHING = 0.015  # the width of the kernel, as a share of the axis across
_MARGIN, _GAP, _BELOW = 24, 30, 26  # pixels around the figure, between panels, and below each
_PANEL = (372, 216)  # pixels
_NAME, _ABOUT = 18, 15  # pixels: the heights of letters in the head


def curves_figure(
    runs: Sequence[History], *, against: Against = "steps", smoothing: float = SMOOTHING, every: bool = False
) -> Image.Image:
    """Small multiples of the metrics of runs: losses, the discriminator's answers, diversity, FID with its interval.

    Raw values are faint behind smoothed ones. `against` is the axis across, `smoothing` the width of the kernel as a
    share of it; `every` also shows gradient norms, KID and the like. `UsageError` where there is nothing to draw.
    """
    if len(runs) > len(RUN_COLOURS):
        raise UsageError(f"there are {len(runs)} runs; a figure has room for {len(RUN_COLOURS)}: give fewer at a time")
    panels = panels_of(runs, against=against, every=every)
    if not panels:
        names = ", ".join(run.name for run in runs)
        raise UsageError(f"{names}: no row of metrics yet; wait for the first, or see log.txt of the run")
    columns = min(len(panels), 3 if len(panels) != 4 else 2)
    rows = -(-len(panels) // columns)
    width = 2 * _MARGIN + columns * (_PANEL[0] + _GAP) - _GAP
    heads = _heads(runs, width - 2 * _MARGIN)
    top = _MARGIN + len(heads) * (_NAME + 10) + 14
    canvas = Image.new("RGB", (width, top + rows * (_PANEL[1] + _BELOW) - _BELOW + _MARGIN), BACKGROUND)
    _draw_heads(ImageDraw.Draw(canvas), runs, heads)
    style = PanelStyle(_PANEL, RUN_COLOURS, _across(runs, against), smoothing, against)
    for i, panel in enumerate(panels):
        row, column = divmod(i, columns)
        draw_panel(canvas, (_MARGIN + column * (_PANEL[0] + _GAP), top + row * (_PANEL[1] + _BELOW)), panel, style)
    return canvas


def _across(runs: Sequence[History], against: Against) -> Axis:
    """From 0 to the last place of all runs."""
    last = [run.last(against) for run in runs]
    return Axis(0.0, 1.01 * max([*last, 1.0]))  # dots at the end are whole


def _heads(runs: Sequence[History], width: int) -> list[list[tuple[int, str]]]:
    """The names of the runs, by their places, in lines; those of several have a mark before them."""
    lines: list[list[tuple[int, str]]] = []
    room = 0
    for place, run in enumerate(runs):
        name = shortened(run.name, _NAME, width - 40)
        taken = text_width(name, _NAME) + 48
        if taken > room:
            lines.append([])
            room = width
        lines[-1].append((place, name))
        room -= taken
    return lines


def _draw_heads(draw: ImageDraw.ImageDraw, runs: Sequence[History], heads: Sequence[Sequence[tuple[int, str]]]) -> None:
    y = _MARGIN
    for line in heads:
        x = _MARGIN
        for place, name in line:
            if len(runs) > 1:
                draw.rounded_rectangle((x, y + 7, x + 18, y + 12), 2, fill=RUN_COLOURS[place])
                x += 26
            letter(draw, (x, y), name, _NAME)
            x += text_width(name, _NAME) + 22
        if len(runs) == 1:
            about = shortened(runs[0].about, _ABOUT, draw.im.size[0] - _MARGIN - x)
            letter(draw, (x, y + 3), about, _ABOUT, colour=PALE)
        y += _NAME + 10
