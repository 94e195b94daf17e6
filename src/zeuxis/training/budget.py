"""The time limits of a run: minutes of wall-clock time, or of CPU time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from zeuxis.training.restoring import check_seconds
from zeuxis.training.settings import TrainSettings

_SAVED = "processor_seconds"  # its name in a checkpoint's state


@dataclass
class Budget:
    """The time limits of a run, and the time spent.

    Wall-clock time counts from construction. CPU time is that of the steps alone, over all threads. Contact sheets,
    evaluation, saving and other processes do not change the number of steps of a run.
    """

    settings: TrainSettings
    spent: float = 0.0  # seconds of the processor, those before a resume included
    begin: float = field(default_factory=time.monotonic)
    before: float = 0.0  # of what is spent, that before a resume
    newest: float = 0.0  # seconds of the processor in the newest step, of this process
    _until: float = 0.0  # what was spent before that step

    def resumed(self, state: Mapping[str, Any]) -> None:
        """Restore the CPU time from a checkpoint; `ValueError` or `TypeError` where it is no number."""
        self.spent = self.before = check_seconds(state.get(_SAVED, 0.0))

    def saved(self) -> dict[str, float]:
        """The CPU time for a checkpoint; empty without a CPU limit, so that equal runs have equal checkpoints."""
        return {} if self.settings.cpu_minutes is None else {_SAVED: self.spent}

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """A timed training step."""
        start, self._until = time.process_time(), self.spent
        try:
            yield
        finally:
            self.newest = time.process_time() - start
            self.count(self.newest)

    def count(self, seconds: float) -> None:
        """Count so many seconds for the newest step: those of all processes, once they are known."""
        self.spent = self._until + seconds

    @property
    def used_up(self) -> bool:
        """Whether the CPU minutes are spent, so that no further step starts."""
        return self.settings.cpu_minutes is not None and self.spent >= 60 * self.settings.cpu_minutes

    @property
    def over(self) -> bool:
        """Whether the wall-clock or CPU minutes are spent."""
        minutes = self.settings.minutes
        return self.used_up or (minutes is not None and self.clock >= 60 * minutes)

    @property
    def clock(self) -> float:
        """Seconds of wall-clock time."""
        return time.monotonic() - self.begin

    def shares(self) -> list[tuple[float, float]]:
        """For each limit: the share spent, and the wall-clock seconds left at the current pace."""
        clock, found = self.clock, []
        if (minutes := self.settings.minutes) is not None:
            found.append((clock / max(60 * minutes, 1e-9), max(0.0, 60 * minutes - clock)))
        if (minutes := self.settings.cpu_minutes) is not None:
            found.append((self.spent / max(60 * minutes, 1e-9), max(0.0, 60 * minutes - self.spent) * self._pace()))
        return found

    def _pace(self) -> float:
        """Wall-clock seconds per CPU second of training steps."""
        used = self.spent - self.before
        return self.clock / used if used > 0 else 1.0
