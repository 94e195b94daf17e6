"""Any number of samples in a memory that does not grow with it: drawn batch by batch, and written as they are drawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from zeuxis.capabilities import BATCH, latent
from zeuxis.errors import UsageError
from zeuxis.explore.latent_files import latents_of_file
from zeuxis.explore.spaces import decode_latents
from zeuxis.io import images, series
from zeuxis.io.paths import expanded
from zeuxis.model import Model
from zeuxis.runtime.callbacks import ProgressCallback
from zeuxis.runtime.signals import Interrupt


def sample_batches(model: Model, seeds: Iterable[int], *, batch_size: int = BATCH) -> Iterator[Tensor]:
    """Batches of images (n c h w, in [-1, 1], on the CPU) for the seeds, in their order; the last may be smaller.

    `sample` gives the same images at once.
    """
    if batch_size < 1:
        raise UsageError(f"batch_size is {batch_size}; expected at least 1")
    able, rest = latent(model), iter(seeds)
    parts = iter(lambda: list(islice(rest, batch_size)), [])
    return (decode_latents(able, able.prior(part)) for part in parts)


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

    A file appears whole or not at all. A signal leaves those that were written (`Stopped` says how many).
    """
    name, numbers, batches = _asked(model, n, seeds, latents)
    done = 0

    def wrote(_: str) -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, len(numbers))

    pixels = (each for batch in batches for each in images.to_uint8(batch))
    folder = Path(expanded(str(out)))
    try:
        series.write_series(folder, zip((f"{name}-{number:05}.png" for number in numbers), pixels), wrote=wrote)
    except Interrupt as interrupt:
        raise interrupt.stopped(f"{interrupt}; {done:,} of {len(numbers):,} pictures are in {folder}") from None
    return done


def _asked(
    model: Model, n: int, seeds: Sequence[int] | None, latents: str | Path | None
) -> tuple[str, Sequence[int], Iterator[Tensor]]:
    """What the files are named after, their numbers, and the batches of their images."""
    if latents is not None:
        space, z = latents_of_file(model, latents)
        return "latent", range(len(z)), (decode_latents(space, part) for part in torch.split(z, BATCH))
    chosen = range(n) if seeds is None else list(dict.fromkeys(seeds))  # equal seeds give equal images
    if not chosen:
        raise UsageError(f"n is {n}; expected at least 1 image")
    return "seed", chosen, sample_batches(model, chosen)
