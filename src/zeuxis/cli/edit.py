"""`zeuxis invert`, `edit` and `directions`: one's own pictures in latent space, and what changes them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from zeuxis.cli import flags, sampling
from zeuxis.cli.explore import ModelName, Seeds, Where, check_png, default_place, write_picture
from zeuxis.cli.output import say
from zeuxis.errors import UsageError
from zeuxis.io.paths import check_apart

if TYPE_CHECKING:
    from torch import Tensor

    from zeuxis.data import DataSpec
    from zeuxis.explore import SpaceName
    from zeuxis.explore.editing import Editor
    from zeuxis.model import Model
    from zeuxis.runtime.progress import Display

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
    from zeuxis.explore import editing
    from zeuxis.runtime.progress import open_display

    loaded = load()
    with open_display() as shown:
        given = _pictures(loaded, pictures, number, shown)
        progress = partial(shown.work, "descending")
        found = editing.invert(loaded, given, steps=steps, restarts=restarts, seed=seed, space=space, progress=progress)
    editing.save_latents(place, found.latents, model=loaded, space=space, names=pictures)
    say(found.describe(), f"wrote {place}")
    write_picture(found.figure(), place.with_suffix(".png"))


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
    from zeuxis import explore
    from zeuxis.explore import editing
    from zeuxis.runtime.progress import open_display

    loaded = load()
    strengths = editing.STRENGTHS if strength is None else (0.0, strength)
    with open_display() as shown:
        editor = _editor(loaded, data or _learned(model), method, space, shown)
        explore.parse_terms(change, editor.words)  # a word that means nothing ends it here, before anything long
        latents = editor.model.prior(seeds) if seeds else _latents(loaded, pictures, space, shown)
    drawn = editor.edit(latents, change, strengths)
    for line in editor.score(change, strengths=strengths) if score else ():
        say(line.describe())
    figure = explore.interpolation_figure(drawn, labels=[f"{value:g}" for value in strengths], title=change)
    write_picture(figure, out or default_place(model, "edited.png"))


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
    from zeuxis import explore
    from zeuxis.explore import editing
    from zeuxis.runtime.progress import open_display

    loaded = load()
    with open_display() as shown:
        if words:
            editor = _editor(loaded, data or _learned(model), _supervised(method), space, shown)
            found = [step for word in words for _, step in editor.steps(word)]
        else:
            found = editing.directions(loaded, method=_unsupervised(method), count=number, space=space)
    strips = editing.strips(loaded, found, seed=seed, space=space)
    labels, names = [f"{value:g}" for value in editing.STRIP], [each.name for each in found]
    figure = explore.interpolation_figure(strips, labels=labels, names=names)
    write_picture(figure, out or default_place(model, "directions.png"))


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


def _pictures(model: Model, specs: Sequence[str], number: int, shown: Display) -> Tensor:
    """Images (n c h w) that the words name: one of a file, so many of data."""
    import torch

    from zeuxis import explore

    find = partial(
        explore.examples, size=model.size, channels=model.channels, progress=partial(shown.work, "reading images")
    )
    return torch.cat([find(spec, range(1 if explore.is_picture(spec) else number)) for spec in specs])


def _latents(model: Model, specs: Sequence[str], space: SpaceName, shown: Display) -> Tensor:
    """Latents (n ...) that files hold, or of the pictures in them."""
    import torch

    from zeuxis.explore import editing

    return torch.cat([editing.located(model, spec, space=space, work=shown.work) for spec in specs])


def _learned(model: str) -> DataSpec | str:
    """The data that a model was trained on, as far as it is known."""
    return sampling.training_data(model, "name labelled images with --data") or "zeuxis:avatars"


def _editor(model: Model, data: DataSpec | str, method: Method, space: SpaceName, shown: Display) -> Editor:
    from zeuxis.explore import editing

    told = partial(shown.work, "reading images")
    return editing.editor(model, data=data, method=method, space=space, report=shown.note, progress=told)


def _supervised(method: str | None) -> Method:
    if method in ("components", "factors"):
        raise UsageError(f"--method {method} finds directions by itself; leave out the attributes")
    return "boundary" if method == "boundary" else "means"


def _unsupervised(method: str | None) -> Literal["components", "factors"]:
    if method in ("means", "boundary"):
        raise UsageError(f"--method {method} needs attributes, as in: zeuxis directions MODEL smiling glasses")
    return "factors" if method == "factors" else "components"
