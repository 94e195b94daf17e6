"""Long work cut into steps: a generator that yields its progress and returns what it found."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

_Progressed = TypeVar("_Progressed")
_Found = TypeVar("_Found")


def finished(work: Generator[_Progressed, None, _Found], told: Callable[[_Progressed], object] | None = None) -> _Found:
    """What the work finds in the end; `told` gets its progress."""
    while True:
        try:
            progress = next(work)
        except StopIteration as end:
            found: _Found = end.value
            return found
        if told:
            told(progress)
