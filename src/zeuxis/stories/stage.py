"""Where the parts of a story's picture stand: the title, the grid, three curves beside it, the caption below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image, ImageDraw

from zeuxis.charts.axes import Axis, value_text
from zeuxis.charts.curves import SMOOTHING
from zeuxis.charts.histories import FID, Panel, panels_of
from zeuxis.charts.lettering import (
    BACKGROUND,
    MARK,
    PALE,
    RUN_COLOURS,
    letter,
    shortened,
    text_width,
    wrapped,
)
from zeuxis.charts.panels import TITLE, PanelStyle, PlacedPanel, draw_panel
from zeuxis.stories.captions import Caption
from zeuxis.stories.scenes import Story

_MARGIN, _GAP = 24, 28  # pixels around the picture, and between the grid and the curves
_NAME, _ABOUT, _FACTS, _HEALTH = 20, 15, 18, 15  # pixels: the heights of letters
_HEAD, _FOOT, _NAMES = 44, 84, 22  # pixels: the title's part, the caption's, and the names above the grid
_CHARTS, _PANELS, _BETWEEN = 400, 3, 16  # pixels of a curve's width; how many curves; pixels between them
_LOWEST = 140  # pixels of a panel
_FAINT = 0.22  # the opacity of curves after the step that is shown


@dataclass(frozen=True)
class Stage:
    """The picture of a story without what changes: title, curves in full and faint, and where things stand."""

    story: Story

    @cached_property
    def panels(self) -> list[Panel]:
        """The curves that are shown: losses, one for each player, and FID or diversity."""
        return _chosen(panels_of([self.story.history]))

    @property
    def top(self) -> int:
        """The top of the grid."""
        return _MARGIN + _HEAD + (_NAMES if self.story.cut.names else 0)

    @property
    def middle(self) -> int:
        """The height of the grid, or of the curves where that is more."""
        least = len(self.panels) * (_LOWEST + _BETWEEN) - _BETWEEN if self.panels else 0
        return max(self.story.cut.height, least)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture; both even, as videos need it."""
        width = 2 * _MARGIN + self.story.cut.width + (_GAP + _CHARTS if self.panels else 0)
        height = self.top + self.middle + _FOOT + _MARGIN // 2
        return max(width, 480) // 2 * 2, height // 2 * 2

    @property
    def charts_at(self) -> tuple[int, int]:
        """The top left corner of the curves."""
        return _MARGIN + self.story.cut.width + _GAP, self.top

    def charts(self, strength: float) -> tuple[Image.Image, list[PlacedPanel]]:
        """The curves on white, at an opacity."""
        canvas = Image.new("RGB", (_CHARTS, self.middle), BACKGROUND)
        count = len(self.panels)
        height = min(220, (self.middle + _BETWEEN) // max(1, count) - _BETWEEN)
        across = Axis(0.0, 1.01 * max(self.story.history.last("steps"), self.story.scenes[-1].step, 1))
        style = PanelStyle((_CHARTS, height), RUN_COLOURS, across, SMOOTHING, strength=strength, newest=False)
        placed = [draw_panel(canvas, (0, i * (height + _BETWEEN)), each, style) for i, each in enumerate(self.panels)]
        return canvas, placed

    @cached_property
    def layers(self) -> tuple[Image.Image, Image.Image, list[PlacedPanel]]:
        """The curves faint and in full, and their places."""
        return self.charts(_FAINT)[0], *self.charts(1.0)

    @cached_property
    def _background(self) -> Image.Image:
        """The title, and the names above the grid."""
        canvas, story = Image.new("RGB", self.size, BACKGROUND), self.story
        draw = ImageDraw.Draw(canvas)
        name = shortened(story.history.name, _NAME, canvas.width - 2 * _MARGIN)
        letter(draw, (_MARGIN, _MARGIN), name, _NAME)
        left = _MARGIN + text_width(name, _NAME) + 20
        about = shortened(story.history.about, _ABOUT, max(0, canvas.width - _MARGIN - left))
        letter(draw, (left, _MARGIN + 4), about, _ABOUT, colour=PALE)
        each = story.cut.width / story.cut.columns
        for i, text in enumerate(story.cut.names):
            letter(draw, (_MARGIN + (i + 0.5) * each, self.top - 6), text, TITLE, colour=PALE, anchor="md")
        return canvas

    def frame(self, picture: Image.Image, step: float, caption: Caption) -> Image.Image:
        """The picture of a moment: a grid of samples, the curves up to a step, the caption."""
        canvas = self._background.copy()
        canvas.paste(picture, (_MARGIN, self.top))
        draw = ImageDraw.Draw(canvas)
        if self.panels:
            self._draw_curves(canvas, draw, step)
        top = self.top + self.middle + 20
        letter(draw, (_MARGIN, top), caption.facts, _FACTS)
        lines = wrapped(caption.health, _HEALTH, canvas.width - 2 * _MARGIN)
        if len(lines) > 2:
            lines = [lines[0], shortened(" ".join(lines[1:]), _HEALTH, canvas.width - 2 * _MARGIN)]
        for i, line in enumerate(lines):
            colour = MARK if caption.warns else PALE
            letter(draw, (_MARGIN, top + 28 + i * 20), line, _HEALTH, colour=colour)
        return canvas

    def _draw_curves(self, canvas: Image.Image, draw: ImageDraw.ImageDraw, step: float) -> None:
        """The curves, in full up to the step, with a mark and the value there."""
        faint, full, placed = self.layers
        left, top = self.charts_at
        now = round(placed[0].field.point(step, 0.0)[0])
        canvas.paste(faint, (left, top))
        canvas.paste(full.crop((0, 0, now, full.height)), (left, top))
        for panel in placed:
            field = panel.field
            draw.line((left + now, top + field.corner[1], left + now, top + field.corner[1] + field.size[1]), fill=PALE)
            value = value_at(panel, step)
            if value is not None:
                x, y = field.point(min(step, float(panel.drawn[0][0][-1])), value)
                box = (left + x - 4, top + y - 4, left + x + 4, top + y + 4)
                if 0 <= y - field.corner[1] <= field.size[1]:
                    draw.ellipse(box, fill=RUN_COLOURS[0], outline=BACKGROUND)
                at = left + panel.title_end[0], top + panel.title_end[1]
                letter(draw, at, value_text(value), TITLE, colour=RUN_COLOURS[0], anchor="ra")


def value_at(panel: PlacedPanel, step: float) -> float | None:
    """The value of a panel's curve at a step; None before its first."""
    x, y = panel.drawn[0]
    return None if step < x[0] else float(np.interp(step, x, y))


def _chosen(panels: Sequence[Panel]) -> list[Panel]:
    """At most three panels: FID or diversity, and before it a loss of each player, or the terms of a lone one."""
    losses: dict[str, list[Panel]] = {}
    for panel in panels:
        if not panel.name.startswith(("evaluation/", "samples/", "latent/")):
            losses.setdefault(panel.name.rpartition("/")[0], []).append(panel)
    firsts = [each[0] for each in losses.values()]
    if len(losses) == 1:
        (own,) = losses.values()
        firsts = [panel for panel in own if len(own) == 1 or not panel.name.endswith("/loss")]
    last = [panel for panel in panels if panel.name.startswith(FID)]
    last = last or [panel for panel in panels if panel.name == "samples/diversity"]
    picked = [*firsts[: _PANELS - len(last[:1])], *last[:1]]
    others = [panel for panel in panels if not any(panel is each for each in picked)]
    return [*picked[:-1], *others[: _PANELS - len(picked)], *picked[-1:]] if picked else list(panels[:_PANELS])
