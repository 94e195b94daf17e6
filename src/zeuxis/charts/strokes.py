"""Lines, dots and bands with smooth edges, which are cut at the edges of their field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from zeuxis.charts.axes import Axis, Numbers
from zeuxis.charts.lettering import Colour

_FINE = 3  # drawn so many times as large, then reduced
_FAR = 4.0  # field heights beyond which a point is brought back: Pillow's coordinates are bounded


@dataclass(frozen=True)
class PlotField:
    """A rectangle of a canvas (its top left corner, its width and height in pixels) in which two axes hold."""

    canvas: Image.Image
    corner: tuple[int, int]
    size: tuple[int, int]
    across: Axis
    upright: Axis

    def line(self, x: Numbers, y: Numbers, colour: Colour, *, width: float = 2.0, opacity: float = 1.0) -> None:
        """A line through points."""
        mask = self._mask()
        points = self._points(x, y)
        if len(points) > 1:
            ImageDraw.Draw(mask).line(points, fill=255, width=max(1, round(width * _FINE)), joint="curve")
        self._fill(mask, colour, opacity)

    def dots(self, x: Numbers, y: Numbers, colour: Colour, *, radius: float = 2.6, opacity: float = 1.0) -> None:
        """A dot at each point."""
        mask = self._mask()
        draw, r = ImageDraw.Draw(mask), radius * _FINE
        for left, top in self._points(x, y):
            draw.ellipse((left - r, top - r, left + r, top + r), fill=255)
        self._fill(mask, colour, opacity)

    def band(self, x: Numbers, low: Numbers, high: Numbers, colour: Colour, *, opacity: float = 0.18) -> None:
        """The area between two lines; an upright bar where there is one place alone."""
        mask = self._mask()
        draw = ImageDraw.Draw(mask)
        below, above = self._points(x, low), self._points(x, high)
        if len(below) > 1:
            draw.polygon([*below, *above[::-1]], fill=255)
        else:
            draw.line([*below, *above], fill=255, width=6 * _FINE)
        self._fill(mask, colour, opacity)

    def dashes(self, y: float, colour: Colour) -> None:
        """A dashed level line."""
        mask = self._mask()
        draw, ((_, top),) = ImageDraw.Draw(mask), self._points(np.array([self.across.low]), np.array([y]))
        for left in range(0, mask.width, 8 * _FINE):
            draw.line((left, top, left + 4 * _FINE, top), fill=255, width=_FINE)
        self._fill(mask, colour, 1.0)

    def point(self, x: float, y: float) -> tuple[float, float]:
        """The pixel of the canvas where a place and a value are."""
        ((across, down),) = self._points(np.array([x]), np.array([y]))
        return self.corner[0] + across / _FINE, self.corner[1] + down / _FINE

    def _points(self, x: Numbers, y: Numbers) -> list[tuple[float, float]]:
        """Pixels of the enlarged field."""
        across = np.clip(self.across.places(x), -_FAR, _FAR) * self.size[0] * _FINE
        down = (1 - np.clip(self.upright.places(y), -_FAR, _FAR)) * self.size[1] * _FINE
        return list(zip(across.tolist(), down.tolist()))

    def _mask(self) -> Image.Image:
        return Image.new("L", (self.size[0] * _FINE, self.size[1] * _FINE))

    def _fill(self, mask: Image.Image, colour: Colour, opacity: float) -> None:
        small = mask.reduce(_FINE).point([round(level * opacity) for level in range(256)])
        self.canvas.paste(colour, (*self.corner, self.corner[0] + self.size[0], self.corner[1] + self.size[1]), small)
