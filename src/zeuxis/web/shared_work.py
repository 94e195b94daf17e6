"""Long work that several clients may wait for: it is done once, step by step, and whoever waits takes the next step."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Generic, TypeVar

from zeuxis.web.requests import Reply

Stage = tuple[str, int, int]  # what is being done, how much of it is done, and of how much; 0 where that is unknown
Found = TypeVar("Found")
_EVERY = 0.2  # seconds between two answers about the progress


class SharedWork(Generic[Found]):
    """Work that yields its stages. It rests while nobody waits, and begins anew after an error."""

    def __init__(self, begin: Callable[[], Generator[Stage, None, Found]]) -> None:
        self._begin = begin
        self._steps: Generator[Stage, None, Found] | None = None
        self._stage: Stage = ("", 0, 0)
        self._ended: list[Found] = []

    def awaited(self) -> Generator[Reply | float | None, None, Found]:
        """Answers about the progress until the work is done; what it found. One thread alone may take the steps."""
        said, told = None, 0.0
        while not self._ended:
            now, (stage, done, total) = time.monotonic(), self._stage
            if stage != said or now - told >= _EVERY:
                said, told = stage, now
                yield Reply({"stage": stage, "done_of": [done, total]}, more=True)
            else:
                yield None
            self._advance()
        return self._ended[0]

    def _advance(self) -> None:
        if self._ended:  # somebody else has taken the last step
            return
        try:
            if self._steps is None:
                self._steps = self._begin()
            self._stage = next(self._steps)
        except StopIteration as end:
            self._ended.append(end.value)
        except BaseException:
            self._steps, self._stage = None, ("", 0, 0)
            raise


def staged(stage: str, work: Generator[tuple[int, int], None, Found]) -> Generator[Stage, None, Found]:
    """The work as one stage."""
    while True:
        try:
            done, total = next(work)
        except StopIteration as end:
            found: Found = end.value
            return found
        yield stage, done, total
