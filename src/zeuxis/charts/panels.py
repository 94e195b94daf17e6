"""One panel of a chart: curves over light rules, the raw values faint behind the smoothed ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from zeuxis.charts.axes import Axis, Numbers, axis_of, tick_text, value_text
from zeuxis.charts.histories import Curve, Panel
from zeuxis.charts.lettering import BACKGROUND, PALE, RULE, Colour, font, letter, shortened, text_width, tint
from zeuxis.charts.smoothing import UNSMOOTHED, smoothed
from zeuxis.charts.strokes import PlotField

TITLE, TICK = 16, 13  # pixels: the heights of their letters
_LEFT, _TOP, _BOTTOM = 46, 32, 24  # pixels around the curves
_EARLY = 0.03  # of the axis across, at its start: values there may lie far out, and do not choose the other axis
_MOST_NEWEST = 3  # runs whose newest values stand in the line of the title
_RAW, _RAW_OF_SEVERAL, _BAND = 0.3, 0.2, 0.18  # the opacity of raw values, and of intervals
_LABEL = 20  # pixels that the name of a level takes

Drawn = Mapping[int, tuple[Numbers, Numbers]]  # the points of each run's smoothed curve


@dataclass(frozen=True)
class PanelStyle:
    """How panels are drawn: their size in pixels, each run's colour by its place, the axis across, the smoothing.

    `smoothing` is the width of the kernel as a share of the axis across, which counts in `unit`. `strength` is the
    opacity of curves. Without `newest` the line of the title has room for a value that changes.
    """

    size: tuple[int, int]
    colours: Sequence[Colour]
    across: Axis
    smoothing: float
    unit: str = "steps"
    strength: float = 1.0
    newest: bool = True


@dataclass(frozen=True)
class PlacedPanel:
    """A panel on a canvas: the field of its curves, their points, and the right end of the line of its title."""

    field: PlotField
    drawn: Drawn
    title_end: tuple[int, int]


def draw_panel(canvas: Image.Image, corner: tuple[int, int], panel: Panel, style: PanelStyle) -> PlacedPanel:
    """Draw a panel with its top left corner there."""
    size = style.size[0] - _LEFT, style.size[1] - _TOP - _BOTTOM
    drawn = {place: _drawn(curve, panel, style) for place, curve in panel.curves.items()}
    upright = panel.limits or _upright(panel, drawn, style)
    field = PlotField(canvas, (corner[0] + _LEFT, corner[1] + _TOP), size, style.across, upright)
    _rules(field, style.unit)
    if panel.level:
        field.dashes(panel.level[0], PALE)
    for place, curve in panel.curves.items():
        _draw_curve(field, curve, drawn[place], style.colours[place], panel, style.strength)
    _name_level(field, panel)
    _title(ImageDraw.Draw(canvas), corner, panel, drawn, style)
    return PlacedPanel(field, drawn, (corner[0] + style.size[0], corner[1]))


def _drawn(curve: Curve, panel: Panel, style: PanelStyle) -> tuple[Numbers, Numbers]:
    """The points of the curve in full colour."""
    if not panel.smooth:
        return curve.x, curve.y
    orders = bool((curve.y > 0).all()) and curve.y.max() / curve.y.min() > 10
    scale = Axis(1.0, 2.0, log=orders)
    x, y = smoothed(curve.x, scale.scaled(curve.y), style.smoothing * (style.across.high - style.across.low))
    return x, scale.unscaled(y)


def _upright(panel: Panel, drawn: Drawn, style: PanelStyle) -> Axis:
    """The axis of values: all of the smoothed curves and most of the raw values, but for the very first."""
    begin = style.across.low + _EARLY * (style.across.high - style.across.low)
    found = [_from(x, y, begin) for x, y in drawn.values()]
    for curve in panel.curves.values():
        if panel.smooth:
            raw = _from(curve.x, curve.y, begin)
            found.append(np.quantile(raw, [0.02, 0.98]))
        found += [ends for ends in (curve.low, curve.high) if ends is not None]
    axis = axis_of(np.concatenate([*found, [panel.level[0]] if panel.level else []]))
    return _with_room(axis, panel, style) if panel.level and panel.level[1] else axis


def _with_room(axis: Axis, panel: Panel, style: PanelStyle) -> Axis:
    """The axis with room for the name of a level, beyond the level where that is above or below all values."""
    assert panel.level
    share = _LABEL / (style.size[1] - _TOP - _BOTTOM)
    low, high = axis.scaled([axis.low, axis.high]).tolist()
    above = bool(axis.places([panel.level[0]])[0] > 0.5)
    room = share * (high - low)
    ends = axis.unscaled(np.array([low, high + room] if above else [low - room, high]))
    return Axis(float(ends[0]), float(ends[1]), axis.log)


def _from(x: Numbers, y: Numbers, begin: float) -> Numbers:
    """The values from a place on; all of them where few are left."""
    later = y[x >= begin]
    return later if len(later) >= 4 else y


def _draw_curve(
    field: PlotField, curve: Curve, drawn: tuple[Numbers, Numbers], colour: Colour, panel: Panel, strength: float
) -> None:
    """The interval, the raw values, and the curve."""
    if curve.low is not None and curve.high is not None:
        field.band(curve.x, curve.low, curve.high, colour, opacity=_BAND * strength)
    if panel.smooth:
        faint = _RAW if len(panel.curves) == 1 else _RAW_OF_SEVERAL
        field.line(curve.x, curve.y, colour, width=1.0, opacity=faint * strength)
    field.line(*drawn, colour, opacity=strength)
    if len(curve.x) <= UNSMOOTHED:
        field.dots(curve.x, curve.y, colour, opacity=strength * (0.5 if panel.smooth else 1.0))


def _rules(field: PlotField, unit: str) -> None:
    """The rules and their values; the axis across with its ticks, the last of which has their unit."""
    draw, (left, top), (width, height) = ImageDraw.Draw(field.canvas), field.corner, field.size
    for tick in field.upright.ticks(4):
        y = top + round(height * (1 - float(field.upright.places([tick])[0])))
        draw.line((left, y, left + width, y), fill=RULE)
        letter(draw, (left - 8, y), tick_text(tick), TICK, colour=PALE, anchor="rm")
    bottom = top + height
    draw.line((left, bottom, left + width, bottom), fill=tint(PALE, 0.6))
    room = float(left + width)
    for i, tick in enumerate(reversed(field.across.ticks(5))):
        text, x = tick_text(tick) + ("" if i else f" {unit}"), left + width * float(field.across.places([tick])[0])
        draw.line((x, bottom, x, bottom + 3), fill=tint(PALE, 0.6))
        half = text_width(text, TICK) / 2
        if (right := min(x + half, left + width)) <= room:
            letter(draw, (right, bottom + 6), text, TICK, colour=PALE, anchor="ra")
            room = right - 2 * half - 8


def _name_level(field: PlotField, panel: Panel) -> None:
    """The name of the value to compare with, at the left, beyond its line."""
    if panel.level and panel.level[1]:
        place = float(field.upright.places([panel.level[0]])[0])
        left, y = field.corner[0] + 6, field.corner[1] + field.size[1] * (1 - place)
        above = place > 0.5
        at = (left, y - 3 if above else y + 3)
        draw, anchor = ImageDraw.Draw(field.canvas), "ld" if above else "la"
        box = draw.textbbox(at, panel.level[1], font=font(TICK), anchor=anchor)
        draw.rectangle((box[0] - 2, box[1], box[2] + 2, box[3] - above), fill=BACKGROUND)  # a rule may be there
        letter(draw, at, panel.level[1], TICK, colour=PALE, anchor=anchor)


def _title(draw: ImageDraw.ImageDraw, corner: tuple[int, int], panel: Panel, drawn: Drawn, style: PanelStyle) -> None:
    """The title, and at the right the newest value of each run where they are few."""
    right, y = corner[0] + style.size[0], corner[1]
    for place, (_, values) in reversed([*drawn.items()]) if len(drawn) <= _MOST_NEWEST else ():
        text = value_text(float(values[-1]))
        if style.newest:
            letter(draw, (right, y), text, TITLE, colour=style.colours[place], anchor="ra")
        right -= text_width(text, TITLE) + 10
    letter(draw, corner, shortened(panel.title, TITLE, right - corner[0] - 12), TITLE)
