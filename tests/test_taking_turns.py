"""What `bench/taking_turns.py` does: workers in turns, and none that is waited for in vain."""

from __future__ import annotations

import os
import time
from multiprocessing.connection import Connection

import pytest

from taking_turns import Work, serve, turns


def count(name: str, pipe: Connection) -> None:
    """A worker: which window it is, when it was, and in which process."""
    windows = iter(range(100))
    serve(pipe, lambda seconds: (name, next(windows), seconds, os.getpid(), time.monotonic()))


def end(pipe: Connection) -> None:
    """A worker that is never ready."""
    os._exit(3)


def test_workers_take_turns_and_one_that_fails_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    workers: dict[str, Work] = {"a": (count, ("a",)), "gone": (end, ()), "b": (count, ("b",))}
    found = turns(workers, windows=3, seconds=0.5)
    assert capsys.readouterr().err == "gone: ended with the error above, and is left out\n"
    assert {name: [each[:3] for each in seen] for name, seen in found.items()} == {
        name: [(name, window, 0.5) for window in range(3)] for name in ("a", "b")
    }
    times = [each[4] for round_ in zip(found["a"], found["b"]) for each in round_]
    assert times == sorted(times) and len({os.getpid(), *(seen[0][3] for seen in found.values())}) == 3
