"""Latents in a safetensors file: written by `zeuxis invert`, read by what draws, edits and interpolates."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import safetensors.torch
from torch import Tensor

from zeuxis.errors import UsageError
from zeuxis.escaping import quote
from zeuxis.explore.spaces import Space, SpaceName, decode_latents, space_of
from zeuxis.io import files
from zeuxis.io.parsing import Layout
from zeuxis.io.paths import expanded
from zeuxis.model import Model

_MOST_NUMBERS = 1 << 25  # of the latents in a file


def save_latents(
    path: str | Path, latents: Tensor, *, family: str, space: SpaceName = "z", names: Sequence[str] = ()
) -> None:
    """Write latents (n ...) of a space as safetensors, with the family and the names of their pictures."""
    path = Path(expanded(str(path)))
    files.make_folder(path.parent)
    about = {"family": family, "names": json.dumps(list(names))}
    files.write_file(path, safetensors.torch.save({space: latents.cpu().contiguous()}, about))


def load_latents(path: str | Path, model: Model, *, space: SpaceName = "z") -> Tensor:
    """Latents (n ...) of such a file; `UsageError` where they are not of this space of a model like this one."""
    return _read(path, model, lambda _: space)[1]


def _read(path: str | Path, model: Model, which: Callable[[Layout], SpaceName]) -> tuple[SpaceName, Tensor]:
    """The space of latents that `which` names, and they; nothing else in the file is read."""
    chosen: list[SpaceName] = []

    def choose(found: Layout) -> list[str]:
        chosen.append(which(found))
        _check(found, path, chosen[0], tuple(space_of(model, chosen[0]).prior([0]).shape[1:]))
        return [*chosen]

    latents = files.read_tensors(expanded(str(path)), choose=choose)[chosen[0]]
    return chosen[0], latents.to(space_of(model, chosen[0]).prior([0]).dtype)


def _check(found: Layout, path: str | Path, space: SpaceName, wanted: tuple[int, ...]) -> None:
    if space not in found or not found[space][1] or found[space][1][1:] != wanted:
        has = ", ".join(
            f"{name if name.isidentifier() else quote(name)} of shape {shape[1:]}" for name, (_, shape) in found.items()
        )
        raise UsageError(
            f"{path} has {has[:200] or 'no latents'}; expected {space} of shape {wanted}: invert the picture again"
        )
    count, most = found[space][1][0], max(1, _MOST_NUMBERS // math.prod(wanted))
    if not 1 <= count <= most:
        raise UsageError(f"{path} has {count:,} latents; expected 1 to {most:,}")


def images_of_latents(model: Model, path: str | Path) -> Tensor:
    """Images (n c h w) of the latents in a file, whichever space they are of."""
    return decode_latents(*latents_of_file(model, path))


def latents_of_file(model: Model, path: str | Path) -> tuple[Space, Tensor]:
    """The latents (n ...) in a file, and the space that they are of."""
    space, latents = _read(path, model, lambda found: "w" if "w" in found else "z")
    return space_of(model, space), latents
