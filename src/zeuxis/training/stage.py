"""Where a run takes place: its signals, its display, and the processes that it is shared out over."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

from zeuxis.runtime import signals
from zeuxis.runtime.notebook import open_live
from zeuxis.runtime.progress import Display, noting, open_display
from zeuxis.runtime.ranks import ALONE, Ranks
from zeuxis.runtime.signals import Interrupt, Stop


class RunStage(NamedTuple):
    """The signals that a run receives, where it shows itself, and its processes."""

    stop: Stop
    display: Display
    ranks: Ranks = ALONE


@contextlib.contextmanager
def on_stage(display: Display | None, ranks: Ranks = ALONE) -> Iterator[RunStage]:
    """Signals received and the display open; a signal before the first step ends the run with nothing lost."""
    with signals.signals() as stop:
        try:
            with display or open_live() or open_display() as shown, noting(shown):
                yield RunStage(stop, shown, ranks)
        except Interrupt as interrupt:
            raise interrupt.stopped(f"{interrupt}; nothing is lost") from None
