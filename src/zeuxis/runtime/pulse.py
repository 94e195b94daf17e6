"""A heartbeat of each process of a run, so that one that was stopped or lost is noticed within seconds, whatever others do."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from torch.distributed import Store  # type: ignore[attr-defined]  # torch may be built without it

BEAT = 1.0  # seconds between two beats
SILENCE = 15.0  # seconds without one after which a process counts as lost
_GRACE = 5.0  # seconds for the work to end by itself, as it does where a connection closes
_DONE = "done"


class Pulse(threading.Thread):
    """Beats for this process in a store, and ends it where another one has fallen silent.

    A collective cannot tell a stopped process from one that evaluates: the first beats no more, the second does.
    """

    def __init__(self, store: Store, rank: int, size: int) -> None:
        super().__init__(name="pulse", daemon=True)
        self._store, self._rank, self._size = store, rank, size
        self._over = threading.Event()
        store.set(f"who/{rank}", _identity())
        store.set(f"beat/{rank}", "0")

    def end(self) -> None:
        """Beat no more; the others are told that this is the end, and no fault."""
        self._over.set()
        with contextlib.suppress(RuntimeError):
            self._store.set(f"beat/{self._rank}", _DONE)

    def run(self) -> None:
        """Beat, and listen to the others."""
        others = [rank for rank in range(self._size) if rank != self._rank]
        before = answered = time.monotonic()
        heard = dict.fromkeys(others, ("", before))
        for count in range(1, sys.maxsize):
            if self._over.wait(BEAT):
                return
            now = time.monotonic()
            if now - before > SILENCE / 2:  # this process was stopped itself: nobody is judged by that time
                heard, answered = {rank: (beat, now) for rank, (beat, _) in heard.items()}, now
            before = now
            with contextlib.suppress(RuntimeError):
                self._store.set(f"beat/{self._rank}", str(count))
                beats = self._store.multi_get([f"beat/{rank}" for rank in others])
                answered = time.monotonic()
                heard = {rank: _newer(heard[rank], beat.decode(), now) for rank, beat in zip(others, beats)}
            silent = [rank for rank, (beat, since) in heard.items() if beat != _DONE and answered - since > SILENCE]
            if silent or time.monotonic() - answered > SILENCE:
                self._give_up(silent)
                return

    def _give_up(self, silent: list[int]) -> None:
        """End this process, and those that were stopped on this machine: they hear no other signal."""
        for rank in silent:
            with contextlib.suppress(RuntimeError, OSError, psutil.Error):
                _end(self._store.get(f"who/{rank}").decode())
        if self._over.wait(_GRACE):
            return
        what = f"process {silent[0]} of {self._size}" if silent else "the launcher"
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(f"zeuxis: {what} has not answered for {SILENCE:.0f} s; the run ends, and can be resumed\n")
            sys.stderr.flush()
        os._exit(1)


def _newer(heard: tuple[str, float], beat: str, now: float) -> tuple[str, float]:
    return heard if heard[0] == beat else (beat, now)


def _identity() -> str:
    return f"{platform.node()}|{os.getpid()}|{psutil.Process().create_time()}"


def _end(identity: str) -> None:
    """Kill a process by its identity, if it is one of this machine."""
    node, number, born = identity.split("|")
    if node == platform.node() and psutil.Process(int(number)).create_time() == float(born):
        os.kill(int(number), getattr(signal, "SIGKILL", signal.SIGTERM))
