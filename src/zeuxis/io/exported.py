"""Which exported file draws which saved model, noted in the cache: only what this user exported is ever run."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path

from zeuxis.errors import UsageError
from zeuxis.io import cache, files
from zeuxis.version import __version__

_MOST = 1 << 31  # bytes of either file
_NOTED = b"exported"


def note_export(model: Path, path: Path) -> None:
    """Note that the file at `path` draws the model in a folder from normal latents; nothing where there is no cache."""
    with contextlib.suppress(UsageError):
        cache.write_entry(_note(model, _read(path)), _NOTED)


def noted_export(model: Path, path: Path) -> bytes | None:
    """The contents of the file at `path`, if this user exported it from the model as it lies in the folder now."""
    try:
        content = _read(path)
        return content if cache.read_entry(_note(model, content), max_bytes=len(_NOTED)) == _NOTED else None
    except UsageError:
        return None


def _note(model: Path, content: bytes) -> Path:
    """The note of a file's contents and a model's: another byte in any of them, or another Zeuxis, has another."""
    parts = [content, *(_read(model / name) for name in ("config.json", "model.safetensors"))]
    told = json.dumps([__version__, *(hashlib.sha256(part).hexdigest() for part in parts)])
    return cache.folder("exports") / hashlib.sha256(told.encode()).hexdigest()[:32]


def _read(path: Path) -> bytes:
    return files.read_bytes(path, max_bytes=_MOST, follow=False)
