"""`zeuxis translate`: images made from images by a trained model."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from zeuxis.cli import flags
from zeuxis.cli.explore import Code, ModelName, Place, default_place, write_picture
from zeuxis.errors import DataError, UsageError


def translate(
    model: ModelName,
    image: Annotated[Path, Parameter(help="an image, or a folder of images")],
    /,
    *,
    direction: Literal["forward", "back"] = "forward",
    size: Annotated[int | None, flags.flag("pixels to bring the shorter side to before", low=1, high=16_384)] = None,
    out: Path | None = None,
    device: Place = "auto",
    family: Code = None,
) -> None:
    """Translate images: what the model makes of each, whole, at its own height and width.

    Parameters
    ----------
    direction
        back from what the model makes to what it is given, for families that learn both (cyclegan)
    out
        a .png for an image; for a folder, the folder of what is made of it
    """
    several = image.is_dir()
    if out is not None and (out.suffix == ".png") == several:
        raise UsageError(f"--out is {out}; expected {'a folder' if several else 'a .png file'}")
    from zeuxis import api, images

    able = api.translator(api.load(model, device=device, family=family))
    target = out or default_place(model, f"{image.resolve().stem}-translated{'' if several else '.png'}")
    left_out = 0
    for path, place in _files(image, target) if several else [(image, target)]:
        try:
            source = images.read_whole(path, channels=able.takes(direction), shorter=size)
        except UsageError as error:
            if not several:
                raise
            print(f"left out {error}", file=sys.stderr)
            left_out += 1
            continue
        write_picture(images.sheet(api.translate(able, source, direction=direction), gap=0), place)
    if several and not any(target.rglob("*.png")):
        raise DataError(f"{image} has no usable image ({left_out} left out); give PNG, JPEG, WebP, GIF, BMP or TIFF")


def _files(folder: Path, target: Path) -> Iterator[tuple[Path, Path]]:
    """Each file of the folder and of all below it, and where its translation goes."""
    from zeuxis.data.sources import natural

    names = [
        path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and not path.is_relative_to(target)
    ]
    for name in sorted(names, key=lambda name: natural(name.as_posix())):
        yield folder / name, (target / name).with_suffix(".png")
