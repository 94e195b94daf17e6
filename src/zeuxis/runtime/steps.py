"""Long work cut into steps: a generator that yields its progress and returns what it found."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

Progressed = TypeVar("Progressed")
Found = TypeVar("Found")


def finished(work: Generator[Progressed, None, Found], told: Callable[[Progressed], object] | None = None) -> Found:
    """What the work finds in the end; `told` gets its progress."""
    while True:
        try:
            progress = next(work)
        except StopIteration as end:
            found: Found = end.value
            return found
        if told:
            told(progress)
