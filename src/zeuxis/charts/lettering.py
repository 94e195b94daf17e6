"""Colours and lettering of all figures: the font that Pillow ships, on white."""

from __future__ import annotations

from functools import lru_cache

from PIL import ImageDraw, ImageFont

Colour = tuple[int, int, int]

INK, PALE, MARK = (34, 38, 46), (120, 126, 138), (208, 72, 52)
BACKGROUND, RULE = (255, 255, 255), (228, 230, 235)
# Of runs in one chart: apart also for colour-blind readers, and by lightness alone.
RUN_COLOURS: tuple[Colour, ...] = (
    (31, 98, 168),
    MARK,
    (30, 140, 108),
    (222, 150, 24),
    (126, 84, 160),
    (92, 176, 220),
    (92, 58, 40),
    (214, 110, 160),
    (120, 126, 138),
    (132, 156, 48),
    (20, 44, 92),
    (236, 130, 96),
)


def tint(colour: Colour, share: float) -> Colour:
    """The colour thinned with white: all of it at 1, none at 0."""
    red, green, blue = (round(255 - share * (255 - part)) for part in colour)
    return red, green, blue


def letter(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    size: int,
    *,
    colour: Colour = INK,
    anchor: str = "la",
) -> None:
    """Write a line of text, `size` pixels high, at a point that `anchor` names as Pillow does."""
    draw.text(at, text, font=font(size), fill=colour, anchor=anchor)


def text_width(text: str, size: int) -> int:
    """The width of a line of text, in pixels."""
    return int(font(size).getlength(text)) + 1


def shortened(text: str, size: int, width: float) -> str:
    """The text, cut to so many pixels with dots at its end."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "...", size) > width:
        text = text[:-1]
    return text + "..."


def wrapped(text: str, size: int, width: float) -> list[str]:
    """The text in lines that are no wider than so many pixels, where words allow."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


@lru_cache(maxsize=16)
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font that Pillow ships."""
    return ImageFont.load_default(size)
