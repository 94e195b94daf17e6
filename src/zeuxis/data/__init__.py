"""From images on disk to batches: `open_pack` decodes a source once, `PackSource` gives its batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zeuxis.data.listing import Attribute
from zeuxis.data.pack import Pack, open_pack

if TYPE_CHECKING:
    from zeuxis.data.batches import PackSource

__all__ = ["Attribute", "Pack", "PackSource", "open_pack"]


def __getattr__(name: str) -> Any:
    if name == "PackSource":  # imports torch, which the processes that decode images must not wait for
        from zeuxis.data.batches import PackSource

        return PackSource
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
