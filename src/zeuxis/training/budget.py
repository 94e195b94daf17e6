"""When a run is over, if not by its steps: after minutes by the clock, or after minutes of the processor."""

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
    """The minutes that a run may take, and what is spent of them.

    The clock counts from when this is made. The processor's time is that of the steps alone, all threads together:
    neither drawing, scoring and saving, nor what else the machine is busy with, changes how far a run comes.
    """

    settings: TrainSettings
    spent: float = 0.0  # seconds of the processor, those before a resume included
    begin: float = field(default_factory=time.monotonic)
    before: float = 0.0  # of what is spent, that before a resume

    def resumed(self, state: Mapping[str, Any]) -> None:
        """Take over what a checkpoint says was spent; `ValueError` or `TypeError` where that is no number."""
        self.spent = self.before = check_seconds(state.get(_SAVED, 0.0))

    def saved(self) -> dict[str, float]:
        """What a checkpoint has to say: nothing where the processor's time does not matter, so that equal runs are equal."""
        return {} if self.settings.cpu_minutes is None else {_SAVED: self.spent}

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """A step of training, whose time counts."""
        start = time.process_time()
        try:
            yield
        finally:
            self.spent += time.process_time() - start

    @property
    def used_up(self) -> bool:
        """Whether the processor's minutes are over, so that not even one more step is taken."""
        return self.settings.cpu_minutes is not None and self.spent >= 60 * self.settings.cpu_minutes

    @property
    def over(self) -> bool:
        """Whether the minutes of the clock or of the processor are over."""
        minutes = self.settings.minutes
        return self.used_up or (minutes is not None and self.clock >= 60 * minutes)

    @property
    def clock(self) -> float:
        """Seconds by the clock."""
        return time.monotonic() - self.begin

    def shares(self) -> list[tuple[float, float]]:
        """Of each limit in minutes: the share that is spent, and the seconds by the clock that are left at this pace."""
        clock, found = self.clock, []
        if (minutes := self.settings.minutes) is not None:
            found.append((clock / max(60 * minutes, 1e-9), max(0.0, 60 * minutes - clock)))
        if (minutes := self.settings.cpu_minutes) is not None:
            found.append((self.spent / max(60 * minutes, 1e-9), max(0.0, 60 * minutes - self.spent) * self._pace()))
        return found

    def _pace(self) -> float:
        """Seconds by the clock in which the processor spends one on steps."""
        used = self.spent - self.before
        return self.clock / used if used > 0 else 1.0
