"""What a process runs that decodes images for another: a job, then chunks of items, until its input ends."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from typing import Any

from zeuxis.data.catalog.avatars import Faces
from zeuxis.data.listing import FileReader, ItemReader, Shape
from zeuxis.data.messages import receive, send, send_result
from zeuxis.data.parquet import ParquetPictures
from zeuxis.data.readers import Files, Members
from zeuxis.data.tar_samples import TarPictures
from zeuxis.data.tiles import Sharpness, Tiles
from zeuxis.data.workers import attempt


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
                send_result(answers, attempt(reader, item, shape), shape)


def reader_from(saved: dict[str, Any]) -> ItemReader:
    """The reader of which `as_json` has given this."""
    if saved["kind"] == "avatars":
        return Faces(saved["change"])
    if saved["kind"] == "tiles":
        return Tiles(_files_from(saved["of"]))
    if saved["kind"] == "sharpness":
        return Sharpness(_files_from(saved["of"]))
    return _files_from(saved)


def _files_from(saved: dict[str, Any]) -> FileReader:
    if saved["kind"] == "tars":
        return TarPictures(saved["paths"], saved["labels"], saved["part"], saved["used"])
    if saved["kind"] == "parquet":
        return ParquetPictures(saved["paths"], saved["labels"], saved["column"], saved["used"])
    kinds: dict[str, type[Files] | type[Members]] = {"files": Files, "members": Members}
    return kinds[saved["kind"]](saved["path"], saved["used"])


def _leave_with(parent: int) -> None:
    """End once the parent has died, even in the midst of an image; one that waits for work meets the end of its input."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
