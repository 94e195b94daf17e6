"""Pictures in latent space: inversion, edits, directions, arithmetic."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from zeuxis import explore
from zeuxis.api.given import NUMBER, GivenFile, GivenImages, GivenLatents, as_text, latents_of, square_images
from zeuxis.data import DataSpec, Pack
from zeuxis.data.specs import Data
from zeuxis.errors import UsageError
from zeuxis.explore import Equation, SpaceName, editing
from zeuxis.explore.arithmetic import AVERAGE, LENGTH
from zeuxis.explore.directions import Direction, Supervised, Unsupervised
from zeuxis.explore.editing import STRENGTHS, Editor, Inversion
from zeuxis.explore.inversion import Search
from zeuxis.explore.spaces import space_of
from zeuxis.io.pictures import Images
from zeuxis.loading import labelled_data
from zeuxis.metrics.attributes import reader_for
from zeuxis.model import Model
from zeuxis.runtime.callbacks import MessageCallback, ProgressCallback, StageCallback, in_stage
from zeuxis.runtime.ranks import processes

HandPicked = Sequence[tuple[float, Sequence[int]]]


def invert(
    model: Model,
    pictures: GivenImages,
    *,
    number: int = NUMBER,
    steps: int | None = None,
    restarts: int = Search.restarts,
    space: SpaceName = "z",
    seed: int = 0,
    progress: StageCallback | None = None,
) -> Inversion:
    """The latents of images: by the encoder where there is one, else by gradient descent.

    `pictures` are a tensor (n c h w, in [-1, 1]), `Images`, uint8 arrays (n h w c), images of Pillow, files, or data
    such as "mnist:9", of which `number` are taken; or several in a list. `steps` of descent in `space`, from `restarts`
    initial latents per image. With an encoder, explicit `steps` refine the encoded latents. `progress` is called with
    the stage, the work done, and its total. `UsageError` where a picture cannot be used.
    """
    space_of(model, space)  # without it, nothing need be read
    given = square_images(pictures, size=model.size, channels=model.channels, number=number, work=progress)
    several = [pictures] if isinstance(pictures, GivenFile) else pictures
    names = [as_text(each) for each in several if isinstance(each, GivenFile)] if isinstance(several, Sequence) else []
    find = functools.partial(editing.invert_images, steps=steps, restarts=restarts, space=space, seed=seed, names=names)
    return find(model, given, progress=in_stage(progress, "descending"))


def edit(
    model: Model,
    change: str,
    *,
    pictures: GivenLatents | Sequence[GivenLatents] | None = None,
    seeds: Sequence[int] | None = None,
    strength: float | Sequence[float] = STRENGTHS,
    method: Supervised = "means",
    data: Data | None = None,
    space: SpaceName = "z",
    editor: Editor | None = None,
    report: MessageCallback | None = None,
    progress: StageCallback | None = None,
) -> Images:
    """Images (n strengths c h w, in [-1, 1]) after an edit such as "+ glasses - smiling", of `pictures` or of `seeds`.

    `pictures` are latents (a tensor, n ...), `Images`, images of Pillow, files of images or of latents, or several in a
    list. A strength of 1 leads from the mean without the attribute to the mean with it; a single one is drawn beside the
    unchanged picture. `data` has the attributes, by default the training data. `editor` is one that was made before, in
    the place of `data`, `method` and `space`. `report` and `progress` are as in `arithmetic` and `invert`.
    `UsageError` where a word or a picture means nothing.
    """
    if (pictures is None) == (not seeds):
        raise UsageError("expected pictures, or seeds: one of the two")
    if editor is None:
        reading = in_stage(progress, "reading images")
        make = functools.partial(editing.editor, model, data=data, method=method, space=space)
        with processes() as ranks:
            editor = make(report=report, progress=reading, ranks=ranks)
    editor.steps(change)  # a word that means nothing ends it here, before anything long
    if pictures is None:
        latents = editor.model.prior(seeds or ())
    else:
        latents = latents_of(model, pictures, space=editor.space, work=progress)
    return editor.edit(latents, change, (0.0, strength) if isinstance(strength, (int, float)) else strength)


def directions(
    model: Model,
    *attributes: str,
    method: Supervised | Unsupervised | None = None,
    number: int = 5,
    seed: int = 0,
    data: Data | None = None,
    space: SpaceName = "z",
    report: MessageCallback | None = None,
    progress: StageCallback | None = None,
) -> Images:
    """Images (directions strengths c h w, in [-1, 1]): that of a seed, moved from -3 to 3 times along each direction.

    The directions are those of `find_directions`, which has the same arguments and errors (`UsageError`).
    """
    find = functools.partial(find_directions, model, *attributes, method=method, number=number, data=data, space=space)
    return editing.strips(model, find(report=report, progress=progress), seed=seed, space=space)


def find_directions(
    model: Model,
    *attributes: str,
    method: Supervised | Unsupervised | None = None,
    number: int = 5,
    data: Data | None = None,
    space: SpaceName = "z",
    report: MessageCallback | None = None,
    progress: StageCallback | None = None,
) -> list[Direction]:
    """Directions, each a name and a step (...) in the shape of a latent: of attributes, or else `number` unsupervised ones.

    `method` is "means" or "boundary" for attributes of `data` (the training data if not given), else "components" of
    image features or "factors" of the first layer. `report` and `progress` are as in `editor` and `invert`.
    `UsageError` where the method does not fit.
    """
    if not attributes:
        if method in ("means", "boundary"):
            raise UsageError(f"--method {method} needs attributes, as in: zeuxis directions MODEL smiling glasses")
        way: Unsupervised = "factors" if method == "factors" else "components"
        with processes() as ranks:
            return editing.unsupervised_directions(model, method=way, count=number, space=space, ranks=ranks)
    if method in ("components", "factors"):
        raise UsageError(f"--method {method} finds directions by itself; leave out the attributes")
    supervised: Supervised = "boundary" if method == "boundary" else "means"
    reading = in_stage(progress, "reading images")
    make = functools.partial(editing.editor, model, data=data, method=supervised, space=space)
    with processes() as ranks:
        made = make(report=report, progress=reading, ranks=ranks)
    return [step for attribute in attributes for _, step in made.steps(attribute)]


def arithmetic(
    model: Model,
    terms: str | HandPicked,
    *,
    data: Data | Pack | None = None,
    average: int | None = None,
    seed: int = 0,
    triples: int = 0,
    space: SpaceName = "z",
    report: MessageCallback | None = None,
    progress: ProgressCallback | None = None,
) -> Equation:
    """Add and subtract what images have in common.

    `terms` is an expression such as "smiling woman - neutral woman + neutral man", whose words are the attributes of
    `data` (the training data if not given), or pairs (weight, seeds) picked by eye. `average` examples are averaged per
    term (100 if not given), in `space`; with `triples`, as many random choices of examples are scored. `report` is told
    how well the attributes can be read, `progress` how many images are decoded, of how many.
    `UsageError` where a word means nothing, or too few images have the attributes.
    """
    able = space_of(model, space)
    if not isinstance(terms, str):
        if triples:
            raise UsageError("terms picked by hand have no target to score; write an expression of attributes")
        outcome = explore.from_seeds(able, terms)
        return Equation(outcome, explore.pictures(able, outcome))
    if not isinstance(data, Pack):
        spec = DataSpec.parse(labelled_data(model) if data is None else data)
        data = spec.open(model.size, model.channels, progress=progress)
    reader = reader_for(data, device=str(model.device), progress=report)
    length = LENGTH if space == "z" else None  # in w a short average is near to the mean, where a model is surest
    solve = functools.partial(explore.solve_equation, able, terms, data, reader, seed=seed, triples=triples)
    with processes() as ranks:
        return solve(average=average or AVERAGE, length=length, ranks=ranks)
