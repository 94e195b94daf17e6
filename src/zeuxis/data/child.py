"""What a process runs that decodes images for another: a job, then chunks of items, until its input ends."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import numpy as np

from zeuxis.data.catalog.avatars import Faces
from zeuxis.data.listing import ItemReader, Shape
from zeuxis.data.readers import Files, Members
from zeuxis.data.tiles import Tiles
from zeuxis.data.workers import Result, attempt, receive, record_of, send
from zeuxis.io.images import Array


def serve() -> None:
    """Answer each chunk of items that arrives on stdin with their pictures on stdout."""
    given, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # a library that prints must not spoil the pipe
    with contextlib.suppress(OSError, BrokenPipeError):
        job = receive(given)
        reader, shape = reader_from(job["reader"]), Shape(*job["shape"])
        send(answers, "ready")
        while True:
            _answer(answers, [attempt(reader, item, shape) for item in receive(given)])


def reader_from(saved: dict[str, Any]) -> ItemReader:
    """The reader of which `as_json` has given this."""
    if saved["kind"] == "tiles":
        return Tiles(reader_from(saved["of"]))
    if saved["kind"] == "avatars":
        return Faces(saved["change"])
    kinds: dict[str, type[Files] | type[Members]] = {"files": Files, "members": Members}
    return kinds[saved["kind"]](saved["path"])


def _answer(pipe: Any, results: list[Result]) -> None:
    send(pipe, [r if isinstance(r, str) else record_of(r) for r in results])
    pixels: list[Array] = [r.pixels for r in results if not isinstance(r, str)]
    for each in pixels:
        pipe.write(np.ascontiguousarray(each).data)
    pipe.flush()
