"""Any number of samples in a memory that does not grow with it: drawn batch by batch, and written as they are drawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from zeuxis.api.drawing import sample
from zeuxis.capabilities import BATCH, latent
from zeuxis.errors import UsageError
from zeuxis.explore.latent_files import latents_of_file
from zeuxis.explore.spaces import Space, decode_latents
from zeuxis.io import series
from zeuxis.io.paths import expanded
from zeuxis.io.pictures import Images
from zeuxis.model import Model
from zeuxis.runtime import launch
from zeuxis.runtime.callbacks import ProgressCallback
from zeuxis.runtime.signals import Interrupt


def sample_batches(model: Model, seeds: Iterable[int], *, batch_size: int = BATCH) -> Iterator[Images]:
    """Batches of images (n c h w, in [-1, 1]) for the seeds, in their order; the last may be smaller.

    `sample` gives the same images at once. `UsageError` where the model has no latent space.
    """
    if batch_size < 1:
        raise UsageError(f"batch_size is {batch_size}; expected at least 1")
    able, rest = latent(model), iter(seeds)
    parts = iter(lambda: list(islice(rest, batch_size)), [])
    return (sample(able, seeds=part) for part in parts)


def write_samples(
    model: Model,
    out: str | Path,
    n: int = 64,
    *,
    seeds: Sequence[int] | None = None,
    latents: str | Path | None = None,
    progress: ProgressCallback | None = None,
) -> int:
    """Write a PNG file for each of the seeds 0 ... n - 1, of `seeds`, or of the latents in a file; how many there are.

    Of the processes that `torchrun` starts each writes its share of the seeds.

    A file appears whole or not at all. A signal leaves those that were written (`Stopped` says how many). `UsageError`
    where the model has no latent space or a file is no folder, `DiskFullError` where there is no room.
    """
    total, batches = _asked(model, n, seeds, latents)
    done = 0

    def wrote(_: str) -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, total)

    named = ((f"{name}.png", each) for batch in batches for name, each in zip(batch.names, batch.numpy()))
    folder = Path(expanded(str(out)))
    try:
        series.write_series(folder, named, wrote=wrote)
    except Interrupt as interrupt:
        raise interrupt.stopped(f"{interrupt}; {done:,} of {total:,} pictures are in {folder}") from None
    return done


def _asked(
    model: Model, n: int, seeds: Sequence[int] | None, latents: str | Path | None
) -> tuple[int, Iterator[Images]]:
    """How many images there are to be, and their batches."""
    if latents is not None:
        space, z = latents_of_file(model, latents)
        return len(z), _decoded(space, z)
    chosen = range(n) if seeds is None else list(dict.fromkeys(seeds))  # equal seeds give equal images
    if not chosen:
        raise UsageError(f"n is {n}; expected at least 1 image")
    mine = _share(chosen)
    return len(mine), sample_batches(model, mine)


def _share(seeds: Sequence[int]) -> Sequence[int]:
    """Those of the seeds that this process draws, in whole batches, of the processes that `torchrun` started."""
    batches, rank, size = -(-len(seeds) // BATCH), launch.rank(), launch.world_size()
    return seeds[BATCH * (batches * rank // size) : BATCH * (batches * (rank + 1) // size)]


def _decoded(space: Space, z: Tensor) -> Iterator[Images]:
    for i, part in enumerate(torch.split(z, BATCH)):
        names = [f"latent-{number:05}" for number in range(i * BATCH, i * BATCH + len(part))]
        yield Images(decode_latents(space, part), names=names)
