"""Pictures from a latent space: samples, decoded latents, interpolation, walks, style mixing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from zeuxis import explore
from zeuxis.api.given import GivenFile, GivenLatents, as_text, checked_latents, holds_latents, latents_of
from zeuxis.capabilities import encoder, latent, style_based
from zeuxis.errors import UsageError
from zeuxis.explore import LayerGroup, PathKind, Space, SpaceName, editing
from zeuxis.explore.spaces import decode_latents, space_of
from zeuxis.io.pictures import Images
from zeuxis.model import Model
from zeuxis.runtime.callbacks import StageCallback

GivenEnds = tuple[GivenLatents, GivenLatents]
FPS = 20  # frames per second of a walk
_ROWS = 5  # of an interpolation


def sample(model: Model, n: int = 64, *, seed: int = 0, seeds: Sequence[int] | None = None) -> Images:
    """Images (n c h w, in [-1, 1]) for the seeds, or for `seed ... seed + n - 1`; image i depends on its seed alone.

    `UsageError` where there is no seed, or the model has no latent space.
    """
    chosen = list(seeds) if seeds is not None else list(range(seed, seed + n))
    if not chosen:
        raise UsageError(
            f"n is {n}; expected at least 1 image" if seeds is None else "seeds is empty; give one or more"
        )
    names = [f"seed-{number:05}" for number in chosen]
    return Images(decode_latents(model, latent(model).prior(chosen)), names=names)


def decode(model: Model, latents: Tensor | GivenFile, *, space: SpaceName = "z") -> Images:
    """Images (n c h w, in [-1, 1]) for latents (n ...) of `space`, or for those in a file that `invert` wrote.

    The space of a file is written in it. `UsageError` where the model has no such space, or the shape is another.
    """
    if isinstance(latents, Tensor):
        able = space_of(model, space)
        made = decode_latents(able, checked_latents(able, latents))
    else:
        made = editing.images_of_latents(model, as_text(latents))
    return Images(made, names=[f"latent-{number:05}" for number in range(len(made))])


def interpolate(
    model: Model,
    *,
    rows: int | None = None,
    columns: int = 10,
    seeds: Sequence[int] | None = None,
    ends: GivenEnds | None = None,
    path: PathKind | None = None,
    space: SpaceName = "z",
    reencode: int = 0,
    progress: StageCallback | None = None,
) -> Images:
    """Images (rows columns c h w, in [-1, 1]) from one end of each row to the other.

    The ends of a row are two seeds that follow each other in `seeds` (0, 1, 2 ... if not given), for 5 rows unless
    `rows` is given. Or `ends` are two of: latents (rows ...), as `encode` and `invert` give them; a picture, as
    `Images`, of Pillow, or in a file; a file of latents; or data, as "mnist:1" or "avatars:smiling woman", of which
    `seeds` say which images. `reencode` times each picture is encoded and decoded again.
    In the space w of a styled model the path is linear, else slerp unless it is given. `progress` is called with the
    stage, the work done, and its total. `UsageError` where seeds and rows do not fit, or ends cannot be used.
    """
    able = space_of(model, space)
    z1, z2 = _ends(model, able, rows, seeds, ends, space=space, progress=progress)
    z = explore.interpolate_latents(z1, z2, columns, path=path or explore.path_in(space))
    images = _decoded(model, able, z.flatten(0, 1), reencode)
    return Images(images.reshape(len(z1), columns, *images.shape[1:]), explore.interpolation_figure)


def walk(
    model: Model,
    *,
    frames: int = 120,
    rows: int | None = None,
    seeds: Sequence[int] | None = None,
    ends: GivenEnds | None = None,
    path: PathKind | None = None,
    space: SpaceName = "z",
    reencode: int = 0,
    progress: StageCallback | None = None,
) -> Images:
    """The frames (frames c h w, in [-1, 1]) of a walk through the latents of seeds (0 to 5 if not given), and back.

    With `ends` through theirs, row by row; `ends`, `rows`, and all else as in `interpolate`. `save` writes the walk as
    .webp, .gif or .mp4 of 20 frames per second. `UsageError` as of `interpolate`.
    """
    able = space_of(model, space)
    if ends is None and rows is None:
        z = able.prior(range(6) if seeds is None else seeds)
    else:
        z = torch.stack(_ends(model, able, rows, seeds, ends, space=space, progress=progress), 1).flatten(0, 1)
    steps = explore.loop(z, frames, path=path or explore.path_in(space))
    return Images(_decoded(model, able, steps, reencode), explore.path_strip, fps=FPS)


def mix(model: Model, *, rows: Sequence[int], columns: Sequence[int], layers: LayerGroup = "coarse") -> Images:
    """Images (1 + rows, 1 + columns, c h w): a third of the layers in the column's style, the rest in the row's.

    The first row and column show the seeds themselves, their crossing nothing (zeros). `UsageError` where the model has
    no styles, or there are no seeds.
    """
    mixed = explore.mix_styles(style_based(model), rows, columns, layers)
    return Images(mixed, partial(explore.mixing_figure, layers=layers))


def _decoded(model: Model, space: Space, z: Tensor, reencode: int) -> Tensor:
    return explore.reencoded(encoder(model), z, reencode) if reencode else decode_latents(space, z)


def _ends(
    model: Model,
    able: Space,
    rows: int | None,
    seeds: Sequence[int] | None,
    ends: GivenEnds | None,
    *,
    space: SpaceName,
    progress: StageCallback | None,
) -> tuple[Tensor, Tensor]:
    """The latents of the first and of the last column (each rows ...)."""
    wanted = (2 if ends is None else 1) * (rows or _ROWS)
    if rows and seeds and len(seeds) != wanted:
        raise UsageError(f"--rows is {rows} and --seeds has {len(seeds)}; expected {wanted}, or one of the two flags")
    if ends is not None:
        if isinstance(ends, str) or len(ends) != 2:
            raise UsageError(f'ends is {ends!r}; expected two of them, as in ends=("mnist:1", "mnist:7")')
        # Of data an image is taken for each seed; what holds all its latents gives these, the fewer again and again.
        chosen = None if all(map(holds_latents, ends)) else list(range(wanted) if seeds is None else seeds)
        z1, z2 = (
            latents_of(model, end, seeds=chosen, space=space, order=order, work=progress)
            for order, end in enumerate(ends)
        )
        count = range(max(len(z1), len(z2)))
        return z1[[i % len(z1) for i in count]], z2[[i % len(z2) for i in count]]
    numbers = list(range(wanted)) if seeds is None else list(seeds)
    if len(numbers) < 2 or len(numbers) % 2:
        raise UsageError(f"there are {len(numbers)} seeds; expected two for each row, its ends, as in --seeds 3,8,5,9")
    z = able.prior(numbers)
    return z[0::2], z[1::2]
