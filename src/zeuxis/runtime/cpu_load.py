"""Which of the computer's cores other work keeps busy, so that no thread waits for one of them (Linux, Windows)."""

from __future__ import annotations

import time
from typing import NamedTuple

_TICK = 0.01  # seconds; no system counts more finely


class Moment(NamedTuple):
    """What the cores that are ours to use have done so far, and what this process has, in seconds."""

    idle: list[float]
    total: list[float]
    own: float


def now() -> Moment:
    """The cores at this moment; none where the system does not tell which are ours (macOS)."""
    import psutil  # only here: the command line imports this module, and psutil takes 20 ms

    own = time.process_time()
    try:
        ours = psutil.Process().cpu_affinity()
        rows = psutil.cpu_times(percpu=True)
    except (OSError, AttributeError, psutil.Error):
        return Moment([], [], own)
    # A container may be shown only the rows of its cores, under other numbers.
    times = rows if len(rows) == len(ours) else [rows[core] for core in ours if core < len(rows)]
    # The first eight, as on Linux the two after them are parts of these.
    return Moment([row.idle + getattr(row, "iowait", 0.0) for row in times], [sum(row[:8]) for row in times], own)


def busy(since: Moment) -> int:
    """How many of our cores others have kept busy since then (half a second tells enough); what we did is not counted."""
    here = now()
    worked = sum(
        1 - (idle - idle_then) / max(total - total_then, _TICK)
        for idle, idle_then, total, total_then in zip(here.idle, since.idle, here.total, since.total, strict=True)
    )
    passed = max((total - then for total, then in zip(here.total, since.total, strict=True)), default=0.0)
    return max(0, int(worked - (here.own - since.own) / max(passed, _TICK) + 0.2))
