"""What a network reads in a model's pictures, kept in the cache by content: weights, options, network, seeds."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TypeVar

import safetensors.torch
from torch import Tensor

from zeuxis.errors import UsageError
from zeuxis.explore.spaces import Space, StyleSpace
from zeuxis.io import cache
from zeuxis.io.parsing import Layout
from zeuxis.metrics.features import cached_tensors, digest
from zeuxis.model import Latent, Model
from zeuxis.version import __version__

_VERSION = 1  # of all that lies between latents and what is kept: a change must not read the old cache
_MOST = 1 << 26  # bytes: larger ones, such as latents in the shape of an image, are computed again
_Progressed = TypeVar("_Progressed")


def pictures_key(space: Space) -> Sequence[object] | None:
    """What the pictures of a latent space depend on; None where that is not known, so that nothing of it is kept."""
    model = space.model if isinstance(space, StyleSpace) else space
    if not isinstance(model, Latent) or (code := _code(type(model))) is None:
        return None
    name = "w" if isinstance(space, StyleSpace) else "z"
    return [__version__, code, model.options, model.inference_precision, name, digest(model.state_dict())]


def kept_steps(
    key: Sequence[object] | None, rows: int, steps: Generator[_Progressed, None, Tensor]
) -> Generator[_Progressed, None, Tensor]:
    """The tensor (rows ..., float32) that the steps return; out of the cache where it was kept under this key.

    Without a key it is not kept.
    """
    if key is None:
        return (yield from steps)
    name = hashlib.sha256(json.dumps([_VERSION, *key]).encode()).hexdigest()[:32]
    path = cache.folder("readings") / f"{name}.safetensors"
    if kept := cached_tensors(path, functools.partial(_choose, rows)):
        return kept["readings"]
    found = yield from steps
    if found.numel() * found.element_size() <= _MOST:
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
