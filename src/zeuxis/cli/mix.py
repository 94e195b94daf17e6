"""`zeuxis mix`: the styles of some pictures in the layers of others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from zeuxis.cli import flags, sampling
from zeuxis.cli.explore import ModelName, check_png, default_place, save_figure

Some = Annotated[list[int], Parameter(converter=flags.bounded(flags.seeds), n_tokens=1, negative=())]


def mix_command(
    model: ModelName,
    /,
    *,
    rows: Some = [0, 1, 2, 3],  # noqa: B006
    columns: Some = [4, 5, 6, 7, 8, 9],  # noqa: B006
    layers: Literal["coarse", "middle", "fine"] = "coarse",
    out: Path | None = None,
    load: sampling.Load,
) -> None:
    """Style mixing: draw images with the styles of one seed in some layers and of another in the rest.

    Parameters
    ----------
    rows
        seeds of the rows, as in 0-3
    columns
        seeds of the columns, as in 4-9
    layers
        third of the layers that takes the column's style: coarse for pose and shape, fine for colour
    out
        .png file of the figure
    """
    check_png(out)
    from zeuxis import api

    pictures = api.mix(load(), rows=rows, columns=columns, layers=layers)
    save_figure(pictures, out or default_place(model, "mixing.png"))
