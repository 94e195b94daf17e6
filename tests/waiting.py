"""What a test may use instead of a stop-watch: it waits for events, and measures what no other work on the machine changes."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PATIENCE = 300.0  # seconds for an event that comes on every machine, however busy: only a failure waits that long
_YARDSTICK = 0.002  # seconds of the processor that `_yardstick` takes on an idle core of a server of 2023


def wait_for(happened: Callable[[], object], what: str) -> None:
    """Return once it has happened; fail, naming what has not, when patience is over."""
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end, f"{what}: not within {PATIENCE:.0f} s"
        time.sleep(0.005)


def wait_for_file(path: Path) -> None:
    """Return once the file is there."""
    wait_for(path.exists, f"the file {path.name}")


@contextlib.contextmanager
def quick(seconds: float) -> Iterator[None]:
    """Fail where the block takes more of the processor's time in this thread; on a slower processor in proportion.

    Waiting for a core does not count, nor does collecting the garbage of other tests.
    """
    with _no_collection():
        begin = time.thread_time()
        try:
            yield
        finally:  # what raises is to be quick, too
            taken = time.thread_time() - begin
            if taken >= seconds:
                slower = max(1.0, _yardstick() / _YARDSTICK)
                assert taken < seconds * slower, f"{taken:.3f} s of the processor; at most {seconds} times {slower:.1f}"


def _yardstick() -> float:
    begin = time.thread_time()
    sum(i * i for i in range(60_000))
    return time.thread_time() - begin


def least_seconds(*actions: Callable[[], object], turns: int = 3) -> list[float]:
    """The least time of the processor that each action takes in this thread; they take turns, so that ratios are fair."""
    times: list[list[float]] = [[] for _ in actions]
    with _no_collection():
        for _ in range(turns):
            for action, found in zip(actions, times):
                begin = time.thread_time()
                action()
                found.append(time.thread_time() - begin)
    return [min(found) for found in times]


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """A full collection, of all that pytest and torch made, takes 0.1 s of whoever is being timed."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
