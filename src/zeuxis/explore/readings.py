"""What a network reads in a model's pictures, kept in the cache by content: weights, options, network, seeds."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
from collections.abc import Callable, Generator, Sequence, Sized
from pathlib import Path
from typing import TypeVar

import safetensors.torch
import torch
from torch import Tensor

from zeuxis.errors import UsageError
from zeuxis.explore.spaces import Space, StyleSpace
from zeuxis.io import cache
from zeuxis.io.parsing import Layout
from zeuxis.metrics.features import cached_tensors, digest
from zeuxis.model import Latent, Model
from zeuxis.runtime import launch
from zeuxis.runtime.ranks import ALONE, Ranks
from zeuxis.version import __version__

_VERSION = 1  # of all that lies between latents and what is kept: a change must not read the old cache
_MOST = 1 << 26  # bytes: larger ones, such as latents in the shape of an image, are computed again
_Progressed = TypeVar("_Progressed")
_Batch = TypeVar("_Batch", bound=Sized)


def pictures_key(space: Space) -> Sequence[object] | None:
    """What the pictures of a latent space depend on; None where that is not known, so that nothing of it is kept."""
    model = space.model if isinstance(space, StyleSpace) else space
    if not isinstance(model, Latent) or (code := _code(type(model))) is None:
        return None
    name = "w" if isinstance(space, StyleSpace) else "z"
    return [__version__, code, model.options, model.inference_precision, name, digest(model.state_dict())]


def batch_steps(
    batches: Sequence[_Batch], work: Callable[[_Batch], Tensor], ranks: Ranks = ALONE
) -> Generator[tuple[int, int], None, Tensor]:
    """The rows (n ..., float32, on the CPU) that the work makes of batches, of which each process has its share.

    Yields how many rows there are, and of how many. The batches are those of one process, and so are the bits.
    """
    mine, total = ranks.share(len(batches)), sum(map(len, batches))
    start, own, parts = sum(map(len, batches[: mine.start])), 0, list[Tensor]()
    for batch in batches[mine.start : mine.stop]:
        parts.append(work(batch).float().cpu())
        own += len(batch)
        yield min(total, own * len(batches) // len(mine)), total
    return ranks.joined(torch.cat(parts) if parts else torch.empty(0), total, start)


def kept_steps(
    key: Sequence[object] | None, rows: int, steps: Generator[_Progressed, None, Tensor], ranks: Ranks = ALONE
) -> Generator[_Progressed, None, Tensor]:
    """The tensor (rows ..., float32) that the steps return; out of the cache where it was kept under this key.

    Without a key it is not kept. Of many processes all take it from the cache, or none: the steps may be shared out.
    """
    if key is None:
        return (yield from steps)
    name = hashlib.sha256(json.dumps([_VERSION, *key]).encode()).hexdigest()[:32]
    path = cache.folder("readings") / f"{name}.safetensors"
    kept = cached_tensors(path, functools.partial(_choose, rows))
    if all(row[0] for row in ranks.exchange([bool(kept)])):
        return kept["readings"]
    found = yield from steps
    if found.numel() * found.element_size() <= _MOST and launch.local_rank() == 0:
        data = safetensors.torch.save({"readings": found.cpu().float().contiguous()})
        cache.make_room(len(data))
        cache.write_entry(path, data)
    return found


def _choose(rows: int, found: Layout) -> list[str]:
    """Readings of so many pictures."""
    dtype, shape = found.get("readings", ("", ()))
    if dtype != "F32" or shape[:1] != (rows,):
        raise UsageError(f"it has readings of shape {shape}, expected {rows} rows")
    return ["readings"]


def _code(family: type[Model]) -> str | None:
    """The digest of the file that has the family's code; None where it is in none, as in a notebook."""
    try:
        source = inspect.getsourcefile(family)
        return hashlib.sha256(Path(source).read_bytes()).hexdigest() if source else None
    except (TypeError, OSError):
        return None
