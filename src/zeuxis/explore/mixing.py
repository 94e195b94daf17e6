"""Style mixing: the style of one image in some layers, that of another in the rest (Karras 2019, figure 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from zeuxis.errors import UsageError
from zeuxis.explore.spaces import StyleSpace, decode_latents
from zeuxis.model import StyleBased

LayerGroup = Literal["coarse", "middle", "fine"]


def mix_styles(model: StyleBased, rows: Sequence[int], columns: Sequence[int], layers: LayerGroup) -> Tensor:
    """Images (1 + rows, 1 + columns, c h w) of seeds whose styles are mixed.

    The first row and column show the images of the seeds (zeros in the corner). Every other image takes its column's
    style in the `layers`, and its row's in the rest.
    """
    if not rows or not columns:
        raise UsageError("rows or columns have no seeds; give at least one for each, as in --rows 0-3 --columns 4-9")
    space = StyleSpace(model)
    down, across = space.prior(rows), space.prior(columns)
    styles = mixed(down, across, third(model.styles, layers))
    left, top = decode_latents(space, down), decode_latents(space, across)
    pictures = decode_latents(space, styles.flatten(0, 1)).view(len(rows), len(columns), *left.shape[1:])
    head = torch.cat([torch.zeros_like(left[:1]), top])
    return torch.cat([head[None], torch.cat([left[:, None], pictures], 1)])


def third(styles: int, layers: LayerGroup) -> Tensor:
    """The layers (styles) of the coarse, middle or fine group: a third each, in order."""
    place = ("coarse", "middle", "fine").index(layers)
    return torch.arange(styles) * 3 // styles == place


def mixed(rows: Tensor, columns: Tensor, taken: Tensor) -> Tensor:
    """Styles (rows columns styles d) of each pair of w (rows d and columns d): the column's in the selected layers
    (styles), the row's in all others (Karras 2019, figure 3)."""
    row, column = rows[:, None, None], columns[None, :, None]
    return torch.where(taken.to(rows.device)[:, None], column, row)
