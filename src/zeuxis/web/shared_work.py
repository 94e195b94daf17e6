"""Long work that several clients may wait for: it is done once, step by step, and whoever waits takes the next step."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Generic, TypeVar

from zeuxis.web.requests import Reply

WorkStage = tuple[str, int, int]  # what is being done, how much of it is done, and of how much; 0 where that is unknown
WorkResult = TypeVar("WorkResult")
_EVERY = 0.2  # seconds between two answers about the progress


class SharedWork(Generic[WorkResult]):
    """Work that yields its stages. It rests while nobody waits, and begins anew after an error."""

    def __init__(self, begin: Callable[[], Generator[WorkStage, None, WorkResult]]) -> None:
        self._begin = begin
        self._steps: Generator[WorkStage, None, WorkResult] | None = None
        self._stage: WorkStage = ("", 0, 0)
        self._ended: list[WorkResult] = []

    def awaited(self) -> Generator[Reply | float | None, None, WorkResult]:
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


def staged(stage: str, work: Generator[tuple[int, int], None, WorkResult]) -> Generator[WorkStage, None, WorkResult]:
    """The work as one stage."""
    while True:
        try:
            done, total = next(work)
        except StopIteration as end:
            found: WorkResult = end.value
            return found
        yield stage, done, total
