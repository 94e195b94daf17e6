"""Pictures from a model: samples, interpolation, walks, style mixing, arithmetic."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from zeuxis import explore
from zeuxis.capabilities import encoder, latent, style_based
from zeuxis.data import DataSpec, Pack
from zeuxis.data.specs import Data
from zeuxis.errors import UsageError
from zeuxis.explore import Equation, LayerGroup, PathKind, Space, SpaceName
from zeuxis.explore.arithmetic import AVERAGE, LENGTH
from zeuxis.explore.spaces import decode_latents, space_of
from zeuxis.metrics.attributes import reader_for
from zeuxis.model import Model
from zeuxis.runtime.callbacks import MessageCallback, ProgressCallback

HandPicked = Sequence[tuple[float, Sequence[int]]]


def sample(model: Model, n: int = 64, *, seed: int = 0, seeds: Sequence[int] | None = None) -> Tensor:
    """Images (n c h w, in [-1, 1]) for the seeds, or for `seed ... seed + n - 1`; image i depends on its seed alone."""
    chosen = list(seeds) if seeds is not None else list(range(seed, seed + n))
    if not chosen:
        raise UsageError(f"n is {n}; expected at least 1 image")
    return decode_latents(model, latent(model).prior(chosen))


def interpolate(
    model: Model,
    *,
    rows: int = 5,
    columns: int = 10,
    seeds: Sequence[int] | None = None,
    ends: tuple[Tensor, Tensor] | None = None,
    path: PathKind | None = None,
    space: SpaceName = "z",
    reencode: int = 0,
) -> Tensor:
    """Images (rows columns c h w) from one end of each row to the other.

    The ends of a row are two seeds that follow each other in `seeds` (0, 1, 2 ... if not given), or two latents of
    `ends` (each rows ...), as `encode` and `invert` give them. `reencode` times each picture is encoded and decoded again.
    In the space w of a styled model the path is linear, else slerp unless it is given.
    """
    able = space_of(model, space)
    z1, z2 = _ends(able, rows, seeds, ends)
    z = explore.interpolate_latents(z1, z2, columns, path=path or explore.path_in(space))
    images = _decoded(model, able, z.flatten(0, 1), reencode)
    return images.reshape(len(z1), columns, *images.shape[1:])


def walk(
    model: Model,
    *,
    frames: int = 120,
    seeds: Sequence[int] = range(6),
    ends: tuple[Tensor, Tensor] | None = None,
    path: PathKind | None = None,
    space: SpaceName = "z",
    reencode: int = 0,
) -> Tensor:
    """The frames (frames c h w) of a walk through the seeds' latents, or those of `ends`, row by row, and back."""
    able = space_of(model, space)
    z = torch.stack(ends, 1).flatten(0, 1) if ends else able.prior(seeds)
    steps = explore.loop(z, frames, path=path or explore.path_in(space))
    return _decoded(model, able, steps, reencode)


def mix(model: Model, *, rows: Sequence[int], columns: Sequence[int], layers: LayerGroup = "coarse") -> Tensor:
    """Images (1 + rows, 1 + columns, c h w): a third of the layers in the column's style, the rest in the row's.

    The first row and column show the seeds themselves, their crossing nothing (zeros).
    """
    return explore.mix_styles(style_based(model), rows, columns, layers)


def arithmetic(
    model: Model,
    terms: str | HandPicked,
    *,
    data: Data | Pack = "zeuxis:avatars",
    average: int | None = None,
    seed: int = 0,
    triples: int = 0,
    space: SpaceName = "z",
    report: MessageCallback | None = None,
    progress: ProgressCallback | None = None,
) -> Equation:
    """Add and subtract what images have in common.

    `terms` is an expression such as "smiling woman - neutral woman + neutral man", whose words are the attributes of
    `data`, or pairs (weight, seeds) picked by eye. `average` examples are averaged per term (100 if not given), in
    `space`; with `triples`, as many random choices of examples are scored. `report` is told how well the attributes
    can be read, `progress` how many images are decoded, of how many.
    """
    able = space_of(model, space)
    if not isinstance(terms, str):
        if triples:
            raise UsageError("terms picked by hand have no target to score; write an expression of attributes")
        outcome = explore.from_seeds(able, terms)
        return Equation(outcome, explore.pictures(able, outcome))
    if not isinstance(data, Pack):
        data = DataSpec.parse(data).open(model.size, model.channels, progress=progress)
    reader = reader_for(data, device=str(model.device), progress=report)
    length = LENGTH if space == "z" else None  # in w a short average is near to the mean, where a model is surest
    solve = functools.partial(explore.solve_equation, able, terms, data, reader, seed=seed, triples=triples)
    return solve(average=average or AVERAGE, length=length)


def _decoded(model: Model, space: Space, z: Tensor, reencode: int) -> Tensor:
    return explore.reencoded(encoder(model), z, reencode) if reencode else decode_latents(space, z)


def _ends(
    space: Space, rows: int, seeds: Sequence[int] | None, ends: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor]:
    """The latents of the first and of the last column (each rows ...)."""
    if ends is not None:
        return ends
    chosen = list(range(2 * rows)) if seeds is None else list(seeds)
    if len(chosen) < 2 or len(chosen) % 2:
        raise UsageError(f"there are {len(chosen)} seeds; expected two for each row, its ends, as in --seeds 3,8,5,9")
    z = space.prior(chosen)
    return z[0::2], z[1::2]
