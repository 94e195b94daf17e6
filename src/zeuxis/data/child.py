"""What a process runs that decodes images for another: a job, then chunks of items, until its input ends."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from typing import Any

import numpy as np

from zeuxis.data.catalog.avatars import Faces
from zeuxis.data.listing import ItemReader, Shape
from zeuxis.data.readers import Files, Members
from zeuxis.data.tiles import Tiles
from zeuxis.data.workers import Result, attempt, receive, record_of, send


def serve() -> None:
    """Answer each chunk of items that arrives on stdin with their pictures on stdout."""
    threading.Thread(target=_leave_with, args=(os.getppid(),), daemon=True).start()
    given, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # a library that prints must not spoil the pipe
    with contextlib.suppress(OSError, BrokenPipeError):
        job = receive(given)
        reader, shape = reader_from(job["reader"]), Shape(*job["shape"])
        send(answers, "ready")
        while True:
            for item in receive(given):
                _answer(answers, attempt(reader, item, shape))


def reader_from(saved: dict[str, Any]) -> ItemReader:
    """The reader of which `as_json` has given this."""
    if saved["kind"] == "tiles":
        return Tiles(reader_from(saved["of"]))
    if saved["kind"] == "avatars":
        return Faces(saved["change"])
    kinds: dict[str, type[Files] | type[Members]] = {"files": Files, "members": Members}
    return kinds[saved["kind"]](saved["path"])


def _answer(pipe: Any, result: Result) -> None:
    """Send a result at once: by it the parent knows which image comes next, should this process die of that."""
    if isinstance(result, str):
        send(pipe, result)
        return
    pipe.write(json.dumps(record_of(result)).encode() + b"\n")
    pipe.write(np.ascontiguousarray(result.pixels).data)
    pipe.flush()


def _leave_with(parent: int) -> None:
    """End once the parent has died, even in the midst of an image; one that waits for work meets the end of its input."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
