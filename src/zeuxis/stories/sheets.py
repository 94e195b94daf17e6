"""The same few pictures of each contact sheet, cut out and laid in a grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from zeuxis.charts.lettering import BACKGROUND
from zeuxis.errors import UsageError
from zeuxis.io import files, images
from zeuxis.io.pixel_modes import Unusable

_GAP = 2  # pixels between the tiles of a contact sheet
_MOST = 64 << 20  # bytes of a sheet
_SIDE = 112  # pixels: tiles are enlarged, or reduced, to about as many
_BETWEEN = 5  # pixels between the pictures of a grid
_MOST_TILES = 4096


@dataclass(frozen=True)
class Cut:
    """What is taken from each sheet: tiles of `size` pixels a side, laid in `columns`; `names` stand above the columns."""

    size: int
    count: int = 16
    columns: int = 4
    names: Sequence[str] = ()

    @property
    def side(self) -> int:
        """Pixels of a tile in the grid: a whole multiple of those of a small one."""
        return self.size * max(1, round(_SIDE / self.size)) if self.size < 2 * _SIDE else _SIDE

    @property
    def width(self) -> int:
        """Pixels of the grid."""
        return self.columns * (self.side + _BETWEEN) - _BETWEEN

    @property
    def height(self) -> int:
        """Pixels of the grid."""
        return -(-self.count // self.columns) * (self.side + _BETWEEN) - _BETWEEN

    def grid(self, tiles: Sequence[Image.Image]) -> Image.Image:
        """The tiles in a grid on white; places without a tile stay empty."""
        canvas = Image.new("RGB", (self.width, self.height), BACKGROUND)
        small = self.side >= self.size
        for i, tile in enumerate(tiles[: self.count]):
            row, column = divmod(i, self.columns)
            way = Image.Resampling.NEAREST if small else Image.Resampling.BOX
            shown = tile.convert("RGB").resize((self.side, self.side), way)
            canvas.paste(shown, (column * (self.side + _BETWEEN), row * (self.side + _BETWEEN)))
        return canvas


def read_tiles(path: Path, size: int) -> list[Image.Image]:
    """The tiles of a contact sheet, row by row; `UsageError` where it cannot be read, or has tiles of another size."""
    try:
        with files.open_file(path, max_bytes=_MOST, follow=False) as (file, _):
            sheet = images.whole(file)
    except Unusable as error:
        raise UsageError(f"{path}: {error}") from None
    columns, left = divmod(sheet.width - _GAP, size + _GAP)
    rows, below = divmod(sheet.height - _GAP, size + _GAP)
    if left or below or not 0 < columns * rows <= _MOST_TILES:
        raise UsageError(f"{path} is {sheet.width} x {sheet.height} pixels: no sheet of tiles {size} pixels wide")
    step = size + _GAP
    corners = [(_GAP + column * step, _GAP + row * step) for row in range(rows) for column in range(columns)]
    return [sheet.crop((x, y, x + size, y + size)) for x, y in corners]
