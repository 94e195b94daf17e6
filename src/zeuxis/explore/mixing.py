"""Mixing styles: pictures with the style of one image in some layers and of another in the rest (Karras 2019, figure 3)."""

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

    The first row shows the columns' seeds, the first column the rows' (at their crossing nothing: zeros); each other
    picture has the style of its column in the `layers` and of its row in the rest.
    """
    if not rows or not columns:
        raise UsageError("expected a seed or more for the rows, and for the columns, as in --rows 0-3 --columns 4-9")
    space = StyleSpace(model)
    down, across = space.prior(rows), space.prior(columns)
    styles = mixed(down, across, third(model.styles, layers))
    left, top = decode_latents(space, down), decode_latents(space, across)
    pictures = decode_latents(space, styles.flatten(0, 1)).view(len(rows), len(columns), *left.shape[1:])
    head = torch.cat([torch.zeros_like(left[:1]), top])
    return torch.cat([head[None], torch.cat([left[:, None], pictures], 1)])


def third(styles: int, layers: LayerGroup) -> Tensor:
    """Which of a model's layers (styles) are the coarse, the middle or the fine ones: a third each, in order."""
    place = ("coarse", "middle", "fine").index(layers)
    return torch.arange(styles) * 3 // styles == place


def mixed(rows: Tensor, columns: Tensor, taken: Tensor) -> Tensor:
    """Styles (rows columns styles d) of each pair of w (rows d and columns d): the column's in the layers taken (styles),
    the row's in all others (Karras 2019, figure 3)."""
    row, column = rows[:, None, None], columns[None, :, None]
    return torch.where(taken.to(rows.device)[:, None], column, row)
