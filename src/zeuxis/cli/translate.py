"""`zeuxis translate`: images made from images by a trained model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from zeuxis.cli import flags, sampling
from zeuxis.cli.explore import ModelName, default_place, save_figure
from zeuxis.cli.output import say_aside
from zeuxis.errors import DataError, UsageError
from zeuxis.io.paths import check_apart

Given = Annotated[
    Path | None, Parameter(help="an image, or a folder of images (default: examples, those held out in training)")
]


def translate_command(
    model: ModelName,
    image: Given = None,
    /,
    *,
    direction: Literal["forward", "back"] = "forward",
    size: Annotated[
        int | None, flags.flag("resize the shorter side to this many pixels first", low=1, high=16_384)
    ] = None,
    seed: Annotated[int | None, flags.flag("seed of the dropout noise (pix2pix; default 0)", low=0, high=2**62)] = None,
    out: Path | None = None,
    load: sampling.Load,
) -> None:
    """Image-to-image translation or super-resolution of an image or a folder, at full size.

    Super-resolution (srgan) keeps greyscale and transparency.

    Parameters
    ----------
    direction
        back: from target to source, for families with both directions (cyclegan)
    out
        .png file for an image; a folder for a folder
    """
    several = image is not None and image.is_dir()
    if out is not None and (out.suffix == ".png") == several:
        raise UsageError(f"--out is {out}; expected {'a folder' if several else 'a .png file'}")
    target = out or default_place(model, _name_for(image))
    check_apart(target, [str(image)] if image else [])
    from zeuxis.api import translate
    from zeuxis.capabilities import translator

    able = translator(load())

    def draw(path: Path | None, place: Path) -> None:
        save_figure(translate(able, path, direction=direction, size=size, seed=seed), place)

    if image is not None and several:
        _each(image, target, draw)
    else:
        draw(image, target)


def _name_for(image: Path | None) -> str:
    """The file of the examples, of an image's translation, or the folder of a folder's."""
    if image is None:
        return "translations.png"
    return f"{image.resolve().stem}-translated{'' if image.is_dir() else '.png'}"


def _each(folder: Path, target: Path, draw: Callable[[Path, Path], None]) -> None:
    """Draw from every file of a folder that can be used; say which cannot."""
    from zeuxis.io import files

    files.make_folder(target)
    count = 0
    for path, place in list(_files(folder, target)):
        try:
            draw(path, place)
            count += 1
        except UsageError as error:
            say_aside(f"left out {error}")
    if not count:
        raise DataError(f"{folder} has no usable image; give PNG, JPEG, WebP, GIF, BMP or TIFF")


def _files(folder: Path, target: Path) -> Iterator[tuple[Path, Path]]:
    """Each file of the folder and of all below it, and where its translation goes."""
    from zeuxis.data.image_files import natural

    names = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    taken: set[Path] = set()
    for name in sorted(names, key=lambda name: natural(name.as_posix())):
        place = (target / name).with_suffix(".png")
        place = target / f"{name}.png" if place in taken else place  # beside 1.jpg there may be a 1.png
        check_apart(place, [str(folder)])  # folders below may have the names of those above
        taken.add(place)
        yield folder / name, place
