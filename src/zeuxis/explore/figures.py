"""Figures of latent space, drawn with Pillow: interpolation, arithmetic, and a walk as a strip."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from zeuxis.charts.lettering import BACKGROUND, INK, MARK, PALE, font, text_width, wrapped
from zeuxis.errors import UsageError

MARGIN = 24  # around a figure
GAP = 6  # between pictures
SMALLEST = 96  # pixels: smaller pictures are enlarged by a whole number, so that the pixels stay square
TEXT = 17  # pixels
SIGN = 20  # pixels: the width of + - =, which are drawn: the font that Pillow ships has no minus (and no Greek)
FACTOR = 26  # pixels: the height of a weight's digits


def interpolation_figure(
    images: Tensor,
    *,
    labels: Sequence[str] | None = None,
    title: str | None = None,
    names: Sequence[str] = (),
) -> Image.Image:
    """The figure of interpolation: images (rows columns c h w, in [-1, 1]), lambda under the columns.

    `labels` replace the columns' lambda of z = lambda z1 + (1 - lambda) z2, from 1 down to 0; `names` label the rows.
    """
    rows, columns = images.shape[:2]
    ticks = labels or [f"{1 - i / max(1, columns - 1):.2f}" for i in range(columns)]
    tiles = [[_tile(picture) for picture in row] for row in images]
    width, height = tiles[0][0].size
    # The ends stand a little apart: they are what was given, the rest was made between them.
    apart = GAP * 2 if columns > 2 and labels is None else 0
    first = MARGIN + max((text_width(name, TEXT) + 12 for name in names), default=0)
    lefts = [first + i * (width + GAP) + apart * ((i > 0) + (i == columns - 1)) for i in range(columns)]
    top = MARGIN + (_height(TEXT + 3) + 12 if title else 0)
    bottom = top + rows * (height + GAP)
    canvas = Image.new("RGB", (lefts[-1] + width + MARGIN, bottom + 2 * TEXT + 18 + MARGIN), BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    if title:
        _text(draw, (canvas.width / 2, MARGIN), title, size=TEXT + 3, anchor="ma")
    for i, row in enumerate(tiles):
        for left, tile in zip(lefts, row):
            canvas.paste(tile, (left, top + i * (height + GAP)))
    _beside(draw, names, top + height / 2, height + GAP)
    for left, tick in zip(lefts, ticks):
        _text(draw, (left + width / 2, bottom + 4), tick, anchor="ma")
    if labels is None:
        _ends(draw, lefts[0] + width / 2, lefts[-1] + width / 2, bottom + TEXT + 10)
    return canvas


def _beside(draw: ImageDraw.ImageDraw, names: Sequence[str], middle: float, step: int) -> None:
    """The names of the rows, the first of which has its middle there."""
    for i, name in enumerate(names):
        _text(draw, (MARGIN, middle + i * step), name, anchor="lm")


def _ends(draw: ImageDraw.ImageDraw, first: float, last: float, top: float) -> None:
    """The names of the ends under the ticks, and between them what the ticks are."""
    _text(draw, (first, top), "z1", colour=PALE, anchor="ma")
    _text(draw, (last, top), "z2", colour=PALE, anchor="ma")
    _text(draw, ((first + last) / 2, top), "lambda, the weight of z1", colour=PALE, anchor="ma")


def mixing_figure(images: Tensor, *, layers: str) -> Image.Image:
    """The figure of style mixing: images (1 + rows, 1 + columns, c h w, in [-1, 1]), the sources in the first row and column;
    `layers` take the columns' styles."""
    tiles = [[_tile(picture) for picture in row] for row in images]
    width, height = tiles[0][0].size

    def place(index: int, length: int) -> int:
        return MARGIN + index * (length + GAP) + 2 * GAP * (index > 0)

    size = place(images.shape[1], width) - GAP + MARGIN, place(images.shape[0], height) - GAP + MARGIN
    canvas = Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    for i, row in enumerate(tiles):
        for j, tile in enumerate(row):
            if i or j:
                canvas.paste(tile, (place(j, width), place(i, height)))
    corner = (MARGIN + width / 2, MARGIN + height / 2)
    for offset, line in ((-TEXT, layers), (0, "styles of"), (TEXT, "the top row")):
        _text(draw, (corner[0], corner[1] + offset), line, size=TEXT - 2, colour=PALE, anchor="mm")
    return canvas


def arithmetic_figure(
    examples: Sequence[Tensor],
    averages: Tensor,
    neighbourhood: Tensor,
    *,
    titles: Sequence[str],
    weights: Sequence[float],
    average: int | None = None,
) -> Image.Image:
    """The figure of arithmetic, all images in [-1, 1].

    Per term a column of its examples (n c h w), its average (of `averages`, t c h w) and its title, with the signs
    between; at the right the neighbourhood (9 c h w), the result marked in the middle. `average` is the number of
    averaged examples, where it exceeds those shown.
    """
    if not len(examples) == len(averages) == len(titles) == len(weights):
        raise UsageError(f"{len(examples)} examples, {len(averages)} averages, {len(titles)} titles; one each per term")
    columns = [[_tile(picture) for picture in pictures] for pictures in examples]
    below = [_tile(picture) for picture in averages]
    around = [_tile(picture) for picture in neighbourhood]
    layout = _Layout(below[0].size, max(map(len, columns)), [_sign(i, w) for i, w in enumerate(weights)], titles)
    canvas = Image.new("RGB", layout.size, BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    for term, column in enumerate(columns):
        for i, tile in enumerate(column):
            canvas.paste(tile, (layout.lefts[term], layout.top + i * layout.step))
        canvas.paste(below[term], (layout.lefts[term], layout.mean_top))
        layout.caption(draw, term)
    for i, tile in enumerate(around):
        canvas.paste(tile, layout.around(i))
    layout.frame(draw)
    layout.legend(draw, average)
    return canvas


class _Layout:
    """Where things stand in the figure of arithmetic."""

    def __init__(self, tile: tuple[int, int], shown: int, signs: list[str], titles: Sequence[str]) -> None:
        self.tile, self.signs = tile, signs
        width, height = tile
        self.step = height + GAP
        column = max(width, int(width * 1.35))
        self.lines = [wrapped(title, TEXT, column) for title in titles]
        gaps = [max(44, _sign_width(sign) + 16) for sign in signs[1:]]
        first = _sign_width(signs[0]) + 16 if signs[0] else 0
        left = MARGIN + 84 + first + (column - width) // 2
        self.lefts = [left]
        for gap in gaps:
            self.lefts.append(self.lefts[-1] + column + gap)
        self.equals = self.lefts[-1] + (column + width) // 2 + 28
        self.right = self.equals + 40
        self.top = MARGIN
        self.mean_top = MARGIN + shown * self.step + 22
        self.legend_top = self.mean_top + 2 * self.step + 8
        bottom = self.mean_top + height + 12 + max(map(len, self.lines)) * (TEXT + 5)
        self.size = (self.right + 3 * width + 2 * GAP + MARGIN, max(bottom, self.legend_top + 2 * TEXT) + MARGIN)

    def around(self, index: int) -> tuple[int, int]:
        """The top left corner of a picture of the neighbourhood, whose middle row is level with the averages."""
        row, column = divmod(index, 3)
        return self.right + column * (self.tile[0] + GAP), self.mean_top + (row - 1) * self.step

    def caption(self, draw: ImageDraw.ImageDraw, term: int) -> None:
        """A term's sign, left of its average, and its words under it."""
        left, (width, height) = self.lefts[term], self.tile
        middle = self.mean_top + height / 2
        before = (self.lefts[term - 1] + width + left) / 2 if term else left - _sign_width(self.signs[0]) / 2 - 16
        _operator(draw, (before, middle), self.signs[term])
        for i, line in enumerate(self.lines[term]):
            _text(draw, (left + width / 2, self.mean_top + height + 10 + i * (TEXT + 5)), line, anchor="ma")

    def frame(self, draw: ImageDraw.ImageDraw) -> None:
        """The equals sign, the mark around the result, the rule over the averages."""
        width, height = self.tile
        _operator(draw, (self.equals, self.mean_top + height / 2), "=")
        left, top = self.around(4)
        draw.rectangle((left - 4, top - 4, left + width + 3, top + height + 3), outline=MARK, width=4)
        rule = self.mean_top - 14
        draw.line((MARGIN, rule, self.lefts[-1] + width, rule), fill=(214, 217, 222), width=2)

    def legend(self, draw: ImageDraw.ImageDraw, average: int | None) -> None:
        """What the rows are, at the left, and what the neighbourhood is, under it."""
        width, height = self.tile
        _text(draw, (MARGIN, (self.top + self.mean_top - 14 - GAP) / 2), "examples", colour=PALE, anchor="lm")
        middle = self.mean_top + height / 2
        of = f"of {average}" if average else ""
        _text(draw, (MARGIN, middle - (11 if of else 0)), "average", colour=PALE, anchor="lm")
        _text(draw, (MARGIN, middle + 11), of, colour=PALE, anchor="lm")
        centre = self.right + (3 * width + 2 * GAP) / 2
        _text(draw, (centre, self.legend_top), "the result, in the middle,", colour=PALE, anchor="ma")
        _text(draw, (centre, self.legend_top + TEXT + 5), "and its neighbours", colour=PALE, anchor="ma")


def path_strip(images: Tensor, *, columns: int = 12, label: str | None = None) -> Image.Image:
    """A latent walk's images (n c h w, in [-1, 1]) side by side, in rows of `columns`."""
    tiles = [_tile(picture) for picture in images]
    width, height = tiles[0].size
    across = min(columns, len(tiles))
    rows = -(-len(tiles) // across)
    head = _height(TEXT) + 12 if label else 0
    size = (2 * MARGIN + across * (width + GAP) - GAP, 2 * MARGIN + head + rows * (height + GAP) - GAP)
    canvas = Image.new("RGB", size, BACKGROUND)
    if label:
        _text(ImageDraw.Draw(canvas), (MARGIN, MARGIN - 4), label, anchor="la")
    for i, tile in enumerate(tiles):
        row, column = divmod(i, across)
        canvas.paste(tile, (MARGIN + column * (width + GAP), MARGIN + head + row * (height + GAP)))
    return canvas


def _tile(picture: Tensor) -> Image.Image:
    """An image (c h w, in [-1, 1]) as Pillow's, enlarged for display."""
    values = ((picture.detach().float().cpu().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    array = values.permute(1, 2, 0).numpy()
    made = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array[..., :3]).convert("RGB")
    scale = -(-SMALLEST // max(made.size))
    return made.resize((made.width * scale, made.height * scale), Image.Resampling.NEAREST) if scale > 1 else made


def _sign(place: int, weight: float) -> str:
    """What stands before a term: nothing before a first plain one."""
    number = "" if abs(weight) == 1 else f"{abs(weight):g} \u00b7"
    return ("-" if weight < 0 else "+" if place else "") + number


def _sign_width(sign: str) -> int:
    """The width of a sign and the weight after it."""
    number = sign.lstrip("+-=")
    return SIGN * (number != sign) + (text_width(number, FACTOR) + 10 if number else 0)


def _operator(draw: ImageDraw.ImageDraw, centre: tuple[float, float], sign: str) -> None:
    """A sign and the weight after it, around a point."""
    number, half = sign.lstrip("+-="), SIGN // 2
    left, y = int(centre[0] - _sign_width(sign) / 2), int(centre[1])
    lines = {"-": (0,), "+": (0,), "=": (-5, 5)}.get(sign[:1], ())
    for offset in lines:
        draw.rectangle((left, y + offset - 1, left + SIGN - 1, y + offset + 1), fill=INK)
    if sign.startswith("+"):
        draw.rectangle((left + half - 1, y - half, left + half + 1, y + half), fill=INK)
    if number:
        _text(draw, (left + SIGN * bool(lines) + 10, y), number, size=FACTOR, anchor="lm")


def _text(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    *,
    size: int = TEXT,
    colour: tuple[int, int, int] = INK,
    anchor: str = "la",
) -> None:
    draw.text(at, text, font=font(size), fill=colour, anchor=anchor)


def _height(size: int) -> int:
    return int(size * 1.25)
