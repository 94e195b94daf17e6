"""`zeuxis invert`, `edit` and `directions`: one's own pictures in latent space, and what changes them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from zeuxis.cli import flags, sampling
from zeuxis.cli.explore import ModelName, Seeds, Where, check_png, default_place, save_figure
from zeuxis.cli.output import say
from zeuxis.errors import UsageError
from zeuxis.io.paths import check_apart

SIGNS = ("+", "-", "\u2212", "\u2013")

Method = Literal["means", "boundary"]
Words = Annotated[str, Parameter(allow_leading_hyphen=True)]


def register(app: App, tokens: Sequence[str]) -> None:
    """Add the commands, with the flags of the model that the tokens name."""
    for command in (invert_command, edit_command, directions_command):
        app.command(sampling.accepting(command, tokens))


def invert_command(
    model: ModelName,
    /,
    *pictures: Annotated[
        str, Parameter(help="image files, or DATA to take images from, as in avatars/test or mnist:9")
    ],
    number: Annotated[int, flags.flag("images taken from each DATA", low=1, high=10_000)] = 8,
    steps: Annotated[int | None, flags.flag("gradient descent steps (default: 300; 0 with an encoder)", low=0)] = None,
    restarts: Annotated[int, flags.flag("initial latents tried per image", low=1, high=64)] = 8,
    seed: Annotated[int, flags.flag("seed of the restarts", low=0, high=2**62)] = 0,
    space: Where = "z",
    out: Path | None = None,
    load: sampling.Load,
) -> None:
    """GAN inversion: find the latents of images, and draw each image above its reconstruction.

    Parameters
    ----------
    out
        .safetensors file of the latents, for edit, sample and interpolate, or .png file of the figure: both are written
    """
    place = _place_of_latents(model, out, pictures)
    from zeuxis import api
    from zeuxis.runtime.progress import open_display

    invert = partial(api.invert, load(), pictures, number=number, steps=steps, restarts=restarts, seed=seed)
    with open_display() as shown:
        found = invert(space=space, progress=shown.work)
    found.save(place)
    say(found.describe(), f"wrote {place}")
    save_figure(found, place.with_suffix(".png"))


def _place_of_latents(model: str, out: Path | None, pictures: Sequence[str]) -> Path:
    """Where inverted pictures' latents go; the figure of that name goes beside them, over none of the pictures."""
    if not pictures:
        raise UsageError("expected an image, or DATA")
    if out is not None and out.suffix not in (".safetensors", ".png"):
        raise UsageError(f"--out is {out}; expected a .safetensors file, or a .png file")
    place = out or default_place(model, "inverted.safetensors")
    for suffix in (".png", ".safetensors"):
        check_apart(place.with_suffix(suffix), pictures)
    return place.with_suffix(".safetensors")


def edit_command(
    model: ModelName,
    /,
    *words: Words,
    seeds: Seeds = None,
    strength: Annotated[float | None, Parameter(converter=flags.bounded(flags.number, -100, 100))] = None,
    method: Method = "means",
    data: str | None = None,
    score: Annotated[bool, Parameter(negative=())] = False,
    space: Where = "z",
    out: Path | None = None,
    load: sampling.Load,
) -> None:
    """Edit attributes of an image in latent space: zeuxis edit MODEL me.png "+ glasses" "- smiling".

    Parameters
    ----------
    words
        images (files, or latents written by `zeuxis invert`), and attributes to add and to remove
    seeds
        edit the samples of these seeds instead of files
    strength
        step size; 1: from the mean without the attribute to the mean with it (default: several, side by side)
    method
        direction: difference of attribute means, or the normal of a logistic-regression boundary
    data
        labelled images that define the attributes (default: the training data)
    score
        also report, over 300 samples, how often the edit succeeds and how often other attributes change
    out
        .png file of the figure
    """
    check_png(out)
    change, pictures = _asked(words, seeds, out)
    from zeuxis import api
    from zeuxis.explore import editing
    from zeuxis.runtime.progress import open_display
    from zeuxis.runtime.ranks import processes

    loaded, strengths = load(), editing.STRENGTHS if strength is None else (0.0, strength)
    with open_display() as shown, processes() as ranks:
        reading = partial(shown.work, "reading images")
        make = partial(editing.editor, loaded, data=data, method=method, space=space)
        editor = make(report=shown.note, progress=reading, ranks=ranks)
        asked = partial(api.edit, loaded, change, pictures=pictures or None, seeds=seeds)
        drawn = asked(strength=strengths, editor=editor, progress=shown.work)
    for line in editor.score(change, strengths=strengths) if score else ():
        say(line.describe())
    save_figure(drawn, out or default_place(model, "edited.png"))


def directions_command(
    model: ModelName,
    /,
    *words: str,
    method: Literal["components", "factors", "means", "boundary"] | None = None,
    number: Annotated[int, flags.flag("number of unsupervised directions", low=1, high=100)] = 5,
    seed: Annotated[int, flags.flag("seed of the image that is moved", low=0, high=2**62)] = 0,
    data: str | None = None,
    space: Where = "z",
    out: Path | None = None,
    load: sampling.Load,
) -> None:
    """Draw directions of latent space: one row of images per direction.

    Parameters
    ----------
    words
        attributes, as in smiling glasses (default: unsupervised directions)
    method
        unsupervised: PCA components of image features, or factors of the first layer; for attributes: means or boundary
    data
        labelled images that define the attributes (default: the training data)
    out
        .png file of the figure
    """
    check_png(out)
    from zeuxis import api
    from zeuxis.runtime.progress import open_display

    draw = partial(api.directions, load(), *words, method=method, number=number, seed=seed, data=data, space=space)
    with open_display() as shown:
        drawn = draw(report=shown.note, progress=shown.work)
    save_figure(drawn, out or default_place(model, "directions.png"))


def _asked(words: Sequence[str], seeds: list[int] | None, out: Path | None) -> tuple[str, list[str]]:
    """What is to change, and the pictures that are named, none of which `out` may be."""
    change = " ".join(word for word in words if word.lstrip().startswith(SIGNS))
    pictures = [word for word in words if not word.lstrip().startswith(SIGNS)]
    if not change:
        raise UsageError('say what to change, as in "+ glasses" or "- smiling"')
    if bool(pictures) == (seeds is not None):
        raise UsageError("expected pictures, or --seeds: one of the two")
    check_apart(out, pictures)
    return change, pictures
