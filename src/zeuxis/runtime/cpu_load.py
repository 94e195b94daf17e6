"""Which of the computer's cores other work keeps busy, so that no thread waits for one of them (Linux; proc(5))."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import NamedTuple

_STAT = Path("/proc/stat")
_TICKS = 100.0  # a second, as /proc/stat counts on every platform of Linux


class Moment(NamedTuple):
    """What the cores that are ours to use have done so far, in ticks of each, and this process in seconds."""

    idle: list[int]
    total: list[int]
    own: float


def now() -> Moment:
    """The cores at this moment; none where the system does not tell (macOS, Windows)."""
    own = time.process_time()
    try:
        ours = os.sched_getaffinity(0)
        rows = [line.split() for line in _STAT.read_text(encoding="utf-8").splitlines()]
    except (OSError, AttributeError):
        return Moment([], [], own)
    cores = {int(row[0][3:]): [int(word) for word in row[1:]] for row in rows if re.fullmatch(r"cpu\d+", row[0])}
    # user nice system idle iowait irq softirq steal, then parts of these
    times = [cores[core] for core in sorted(cores) if core in ours]
    return Moment([sum(ticks[3:5]) for ticks in times], [sum(ticks[:8]) for ticks in times], own)


def busy(since: Moment) -> int:
    """How many of our cores others have kept busy since then (half a second tells enough); what we did is not counted."""
    here = now()
    worked = sum(
        1 - (idle - idle_then) / max(total - total_then, 1)
        for idle, idle_then, total, total_then in zip(here.idle, since.idle, here.total, since.total, strict=True)
    )
    passed = max((total - then for total, then in zip(here.total, since.total, strict=True)), default=0) / _TICKS
    return max(0, int(worked - (here.own - since.own) / max(passed, 1 / _TICKS) + 0.2))
