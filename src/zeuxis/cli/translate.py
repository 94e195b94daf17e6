"""`zeuxis translate`: images made from images by a trained model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from zeuxis.cli import flags, sampling
from zeuxis.cli.explore import ModelName, check_png, default_place, write_picture
from zeuxis.cli.output import say_aside
from zeuxis.errors import DataError, UsageError
from zeuxis.io.paths import check_apart

if TYPE_CHECKING:
    from zeuxis.model import Model, Translator

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
    if image is None:
        _examples(model, out, load, direction=direction, size=size, seed=seed)
        return
    several = image.is_dir()
    if out is not None and (out.suffix == ".png") == several:
        raise UsageError(f"--out is {out}; expected {'a folder' if several else 'a .png file'}")
    target = out or default_place(model, f"{image.resolve().stem}-translated{'' if several else '.png'}")
    check_apart(target, [str(image)])
    from zeuxis import api

    able = api.translator(load())
    draw = partial(_translate, able, direction=direction, size=size, seed=seed)
    if several:
        _each(image, target, draw)
    else:
        draw(image, target)


def _examples(
    model: str, out: Path | None, load: Callable[[], Model], *, direction: str, size: int | None, seed: int | None
) -> None:
    """Write a sheet of example sources and what the model makes of them."""
    check_png(out)
    if size is not None or direction != "forward":
        raise UsageError("--size and --direction are for an image of your own; name it after the model")
    from zeuxis import api

    able = load()
    sheet = api.translated_examples(able, api.example_sources(model, family=type(able)), seed=seed)
    write_picture(sheet, out or default_place(model, "translations.png"))


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


def _translate(
    able: Translator, path: Path, place: Path, *, direction: str, size: int | None, seed: int | None
) -> None:
    """Write what the model makes of the image in a file."""
    from zeuxis import api
    from zeuxis.io import images
    from zeuxis.model import SuperResolution

    if isinstance(able, SuperResolution):
        if seed is not None or direction != "forward":
            raise UsageError(
                f"{able.family()} has no noise to draw and goes forward alone; leave out --seed, --direction"
            )
        write_picture(api.enlarge(able, images.read_layers(path, shorter=size)), place)
        return
    source = images.read_whole(path, channels=able.in_channels(direction), shorter=size)
    write_picture(images.sheet(api.translate(able, source, direction=direction, seed=seed), gap=0), place)


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
