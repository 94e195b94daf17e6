"""Images that are given as values: arrays, lists of files, datasets of PyTorch and of Hugging Face."""

from __future__ import annotations

from zeuxis.data.values.kinds import Indexed, are_ends, as_images
from zeuxis.data.values.memory import MemorySet

__all__ = ["Indexed", "MemorySet", "are_ends", "as_images"]
