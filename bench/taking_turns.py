"""Workers, a process each, that take turns of a few seconds: a slow moment of the machine then slows all of them alike."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

Work = tuple[Callable[..., None], tuple[object, ...]]  # a function, and its arguments but the pipe, which comes last


def serve(pipe: Connection, window: Callable[[float], object]) -> None:
    """A worker's part, once it is warm: for every number of seconds that is sent, what such a window shows; 0 ends it."""
    pipe.send("ready")
    while (seconds := pipe.recv()) > 0:
        pipe.send(window(seconds))


def started(workers: Mapping[str, Work]) -> dict[str, Connection]:
    """The pipes of those that are ready; one that ended with an error is named, and left out."""
    context, pipes = multiprocessing.get_context("spawn"), dict[str, Connection]()
    for name, (target, given) in workers.items():
        pipe, end = context.Pipe()
        context.Process(target=target, args=(*given, end), daemon=True).start()
        end.close()  # so that the end of the worker is noticed
        try:
            pipe.recv()
            pipes[name] = pipe
        except EOFError:
            print(f"{name}: ended with the error above, and is left out", file=sys.stderr, flush=True)
    return pipes


def windows_of(pipes: Mapping[str, Connection], *, windows: int, seconds: float) -> dict[str, list[Any]]:
    """What so many windows of each worker show, one worker after another in each round."""
    found: dict[str, list[Any]] = {name: [] for name in pipes}
    for _ in range(windows):
        for name, pipe in pipes.items():
            pipe.send(seconds)
            found[name].append(pipe.recv())
    return found


def turns(workers: Mapping[str, Work], *, windows: int, seconds: float) -> dict[str, list[Any]]:
    """The same of workers that are started for it, and end after it."""
    pipes = started(workers)
    found = windows_of(pipes, windows=windows, seconds=seconds)
    for pipe in pipes.values():
        pipe.send(0)
    return found
