"""A checkpoint as a folder: tensors by group, plain values, and a manifest that tells whether it is whole."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeuxis.errors import UsageError, ZeuxisError
from zeuxis.io import files
from zeuxis.io.parsing import Layout, parse_json, parse_layout, parse_tensors

if TYPE_CHECKING:
    from torch import Tensor

SUFFIX = ".safetensors"
_STATE, _MOST_STATE = "state.json", 1 << 22  # bytes
_MOST_TENSORS = 20_000  # of a group
LayoutCheck = Callable[[Mapping[str, Layout]], None]  # of the layouts by group; raises `UsageError`


@dataclass(frozen=True)
class Checkpoint:
    """A point of training: tensors by group and name, the plain values beside them, and why newer ones were left."""

    step: int
    path: Path
    tensors: dict[str, dict[str, Tensor]]
    state: dict[str, Any]
    skipped: list[str] = field(default_factory=list)

    @property
    def digest(self) -> str:
        """The SHA-256 of its manifest, which has those of its files."""
        manifest = files.read_bytes(self.path / files.MANIFEST, max_bytes=1 << 20, follow=False)
        return hashlib.sha256(manifest).hexdigest()


def encode_group(group: Mapping[str, Tensor]) -> bytes:
    """The bytes of a safetensors file; tensors that share memory (tied weights) are written once each."""
    import safetensors.torch  # only here: a list of runs reads no tensors

    from zeuxis.runtime.accelerator import on_host

    seen: set[int] = set()
    plain: dict[str, Tensor] = {}
    for name, value in on_host(group).items():
        value = value.contiguous()
        memory = value.untyped_storage().data_ptr()
        plain[name] = value.clone() if memory in seen else value
        seen.add(memory)
    return safetensors.torch.save(plain)


def holds(path: Path, contents: Mapping[str, bytes]) -> bool:
    """Whether a checkpoint's folder is whole and has these contents."""
    try:
        return path.exists() and files.read_folder(path) == contents
    except ZeuxisError:
        return False


def step_of(path: Path) -> int:
    """The step of a checkpoint, from the name of its folder."""
    return int(path.name.split("-")[1].split(".")[0])


def read_checkpoint(path: Path, skipped: list[str], check: LayoutCheck | None = None) -> Checkpoint:
    """The checkpoint in a folder; `UsageError` where it is damaged, or `check` finds that its tensors do not fit."""
    sizes = files.listed_sizes(path)
    if sizes.get(_STATE, 0) > _MOST_STATE or any(not name.endswith(SUFFIX) for name in sizes.keys() - {_STATE}):
        raise UsageError(f"{path} has files that no checkpoint has; use another copy")
    if check is not None:
        check({name.removesuffix(SUFFIX): _layout(path / name) for name in sizes.keys() - {_STATE}})
    contents = files.read_folder(path)
    state = parse_json(contents.pop(_STATE, b""), path / _STATE)
    if not isinstance(state, dict):
        raise UsageError(f"{path / _STATE} is not a table; use another copy")
    tensors = {}
    for name in list(contents):
        data = contents.pop(name)  # popped, so that each file is in memory twice only while it is decoded
        group = parse_tensors(io.BytesIO(data), len(data), path / name, max_tensors=_MOST_TENSORS)
        tensors[name.removesuffix(SUFFIX)] = group
    return Checkpoint(step_of(path), path, tensors, state, skipped)


def _layout(path: Path) -> Layout:
    with files.open_file(path, max_bytes=1 << 40, follow=False) as (file, size):
        return parse_layout(file, size, path, max_tensors=_MOST_TENSORS)
