"""From images on disk to batches: `DataSpec` says which, `open` decodes them once, `PackSource` gives their batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zeuxis.data.listing import Attribute
from zeuxis.data.pack import Pack
from zeuxis.data.specs import DataSpec

if TYPE_CHECKING:
    from zeuxis.data.batches import PackSource

__all__ = ["Attribute", "DataSpec", "Pack", "PackSource"]


def __getattr__(name: str) -> Any:
    if name == "PackSource":  # imports torch, which the processes that decode images must not wait for
        from zeuxis.data.batches import PackSource

        return PackSource
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
