"""`zeuxis sample`, `interpolate` and `arithmetic`: what a trained model's latent space holds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter, Token

from zeuxis.cli import flags, sampling
from zeuxis.cli.output import say
from zeuxis.errors import UsageError
from zeuxis.io.paths import check_apart
from zeuxis.runtime import launch

if TYPE_CHECKING:
    from PIL import Image

    from zeuxis.io.pictures import Figure

MOST_IN_A_SHEET = 100_000
ANIMATIONS = frozenset({".webp", ".gif", ".mp4"})

Seeds = Annotated[list[int] | None, Parameter(converter=flags.bounded(flags.seeds), n_tokens=1, negative=())]
ModelName = Annotated[
    str,
    Parameter(
        help="a run or model: a folder, a run's number or name under runs/, an installed model, or hf://USER/NAME"
    ),
]
Reencodings = Annotated[
    int, flags.flag("times each image is encoded and decoded again, for families with an encoder", low=0, high=1000)
]
Frames = Annotated[int, flags.flag("frames of an animation", low=1, high=10_000)]
Where = Annotated[Literal["z", "w"], Parameter(help="latent space: z, or w of StyleGAN families")]
SeedsTerm = tuple[float, list[int]]


def register(app: App, tokens: Sequence[str]) -> None:
    """Add the commands, with the flags of the model that the tokens name."""
    for command in (sample_command, interpolate_command, arithmetic_command):
        app.command(sampling.accepting(command, tokens))


def sample_command(
    model: ModelName,
    /,
    *,
    number: Annotated[int, Parameter(name=("--number", "-n"), converter=flags.bounded(flags.count, 1, 10**9))] = 64,
    seeds: Seeds = None,
    latents: Path | None = None,
    columns: Annotated[int | None, flags.flag("images per row of the contact sheet", low=1, high=1000)] = None,
    out: Path | None = None,
    load: sampling.Load,
) -> None:
    """Draw samples: a contact sheet, or one file per sample.

    Parameters
    ----------
    number
        number of samples, with seeds 0, 1, 2, ...
    seeds
        seeds to draw instead, as in 0-35,88; a seed always gives the same image
    latents
        latents to decode instead: a .safetensors file written by `zeuxis invert`
    out
        .png file of the contact sheet, or a folder for one file per seed
    """
    if out is not None and out.suffix not in ("", ".png"):
        raise UsageError(f"--out is {out}; expected a .png file, or a folder for one file for each seed")
    if latents is not None and seeds is not None:
        raise UsageError("--latents and --seeds both say what to draw; give one of the two")
    if launch.rank() > 0 and (latents is not None or out is None or out.suffix == ".png"):
        return  # only files of seeds are shared out
    if out is not None and out.suffix == "":
        _write_each(load, out, number, seeds, latents)
        return
    if seeds is None and number > MOST_IN_A_SHEET:
        raise UsageError(f"-n is {number}; expected at most {MOST_IN_A_SHEET} in a sheet, or --out FOLDER for files")
    from zeuxis import api

    pictures = api.decode(load(), latents) if latents else api.sample(load(), seeds=seeds or range(number))
    save_figure(pictures.in_columns(columns) if columns else pictures, out or default_place(model, "samples.png"))


def _write_each(load: sampling.Load, out: Path, number: int, seeds: Sequence[int] | None, latents: Path | None) -> None:
    """Write one file for each sample, with a bar."""
    from zeuxis import api
    from zeuxis.runtime.progress import open_display

    model = load()
    with open_display() as shown:
        progress = partial(shown.work, "drawing samples")
        count = api.write_samples(model, out, number, seeds=seeds, latents=latents, progress=progress)
    rest = ", and the other processes the rest" if launch.world_size() > 1 else ""
    say(f"wrote {count} picture{'' if count == 1 else 's'} into {out}{rest}")


def interpolate_command(
    model: ModelName,
    /,
    *,
    rows: Annotated[int | None, flags.flag("rows (default: 5, or those that --seeds gives)", low=1, high=100)] = None,
    columns: Annotated[int, flags.flag("images per row", low=2, high=100)] = 10,
    seeds: Seeds = None,
    start: Annotated[str | None, Parameter(name="--from")] = None,
    end: Annotated[str | None, Parameter(name="--to")] = None,
    path: Literal["slerp", "linear"] | None = None,
    space: Where = "z",
    reencode: Reencodings = 0,
    frames: Frames = 120,
    out: Path | None = None,
    load: sampling.Load,
) -> None:
    """Interpolate in latent space: rows of images, or an animation.

    Parameters
    ----------
    seeds
        seeds of the endpoints, two per row, as in 3,8,5,9; an animation visits all. With --from and --to DATA: which images
    start
        first endpoint: an image, latents written by `zeuxis invert`, or DATA:WORDS as in mnist:1, avatars:smiling woman
    end
        second endpoint, given like --from
    path
        spherical (slerp) or linear interpolation (default: slerp in z, linear in w)
    out
        .png file of the figure; .webp, .gif or .mp4 for an animation
    """
    if out is not None and out.suffix not in {".png", *ANIMATIONS}:
        raise UsageError(f"--out is {out}; expected a .png file, or .webp, .gif or .mp4 for an animation")
    check_apart(out, filter(None, (start, end)))
    ends = _both(start, end)
    from zeuxis import api
    from zeuxis.runtime.progress import open_display

    walking = out is not None and out.suffix in ANIMATIONS
    draw = partial(api.walk, frames=frames) if walking else partial(api.interpolate, columns=columns)
    draw = partial(draw, load(), rows=rows, seeds=seeds, ends=ends, path=path, space=space, reencode=reencode)
    with open_display() as shown:
        drawn = draw(progress=shown.work)
    save_figure(drawn, out or default_place(model, "interpolation.png"))


def _both(start: str | None, end: str | None) -> tuple[str, str] | None:
    """The ends; None where the seeds are these."""
    if (start is None) != (end is None):
        raise UsageError("--from and --to belong together; give an image, or DATA:WORDS, for each")
    return None if start is None or end is None else (start, end)


def _picked(kind: Any, tokens: Sequence[Token]) -> list[SeedsTerm]:
    """The terms of --plus and --minus, in the order typed."""
    return [(-1.0 if token.keyword == "--minus" else 1.0, flags.seeds(token.value)) for token in tokens]


Picked = Annotated[
    Sequence[SeedsTerm],
    Parameter(name=("--plus", "--minus"), converter=_picked, negative=(), n_tokens=1, show_default=False),
]


def arithmetic_command(
    model: ModelName,
    expression: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    /,
    *,
    average: Annotated[int | None, flags.flag("examples averaged per term", low=1, high=100_000)] = None,
    data: str | None = None,
    plus: Picked = (),
    score: Annotated[bool, Parameter(negative=())] = False,
    space: Where = "z",
    seed: Annotated[int, flags.flag("seed of the choice of examples", low=0, high=2**62)] = 0,
    out: Path | None = None,
    load: sampling.Load,
) -> None:
    """Latent arithmetic on averaged latents: "smiling woman - neutral woman + neutral man".

    Parameters
    ----------
    expression
        terms of attributes joined by + and -, with weights as in 0.5 * smiling woman
    data
        labelled images that define the attributes (default: the training data)
    plus
        seeds of a term picked by eye, instead of an expression: --plus 12,45,7 --minus 3,9 --plus 8
    score
        also report how often the result has the requested attributes, over 100 random draws of examples
    out
        .png file of the figure
    """
    if (expression is None) == (not plus):
        raise UsageError("expected an expression, or seeds with --plus and --minus: one of the two")
    check_png(out)
    from zeuxis import api
    from zeuxis.runtime.progress import open_display

    solve = partial(api.arithmetic, load(), expression or plus, average=average, seed=seed, space=space)
    with open_display() as shown:
        progress = partial(shown.work, "reading images")
        equation = solve(data=data, triples=100 if score else 0, report=shown.note, progress=progress)
    for line in equation.score.describe() if equation.score else ():
        say(line)
    save_figure(equation, out or default_place(model, "arithmetic.png"))


def check_png(out: Path | None) -> None:
    """Raise `UsageError` where --out is given and no .png file."""
    if out is not None and out.suffix != ".png":
        raise UsageError(f"--out is {out}; expected a .png file")


def default_place(model: str, name: str) -> Path:
    """Where a figure goes if nothing is said: into its run's folder, or here."""
    from zeuxis import loading

    run = loading.find_model(model).parent
    return run / "figures" / name if (run / "config.yaml").is_file() else Path(name)


def save_figure(figure: Figure, path: Path) -> None:
    """Write the picture of a result, in a folder that is made if need be, and name it; of many processes the first does."""
    if launch.rank() == 0:
        figure.save(path)
        say(f"wrote {path}")


def write_picture(picture: Image.Image, path: Path) -> None:
    """Write the picture, in a folder that is made if need be, and name it."""
    from zeuxis.io import files, images

    files.make_folder(path.parent)
    images.write_png(picture, path)
    say(f"wrote {path}")
