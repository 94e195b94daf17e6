"""The loggers of a run at work, each on a thread of its own: none of them ends a run, changes it, or holds it up."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from zeuxis.io import files
from zeuxis.loggers import LoggedRun, Logger, LoggerFactory, find_logger, folder_name
from zeuxis.runtime.callbacks import MessageCallback

_MOST_WAITING = 1000  # rows and sheets
_PATIENCE = 60.0  # seconds in which a logger may write what is pending
_HURRY = 3.0  # the same, where the run was interrupted

_Job = Callable[[Logger], None]


class Loggers:
    """The loggers of a run; `say` is told, once each, of those that are left out."""

    def __init__(self, feeds: Sequence[_Feed], say: MessageCallback) -> None:
        self._feeds, self._say = list(feeds), say

    def row(self, step: int, values: Mapping[str, float]) -> None:
        """Log the metrics of a step."""
        self._give(lambda logger: logger.row(step, values))

    def sheet(self, step: int, sheet: Image.Image) -> None:
        """Log a contact sheet."""
        self._give(lambda logger: logger.sheet(step, sheet))

    def close(self, patience: float) -> None:
        """Let them write what is pending, all at once, for so many seconds."""
        for feed in self._feeds:
            feed.end()
        deadline = time.monotonic() + patience
        for feed in self._feeds:
            feed.wait(deadline - time.monotonic())
        self._leave_out()

    def _give(self, job: _Job) -> None:
        for feed in self._feeds:
            feed.put(job)
        self._leave_out()

    def _leave_out(self) -> None:
        """Drop what has failed. Told here, as the display belongs to the thread of the run."""
        for feed in [feed for feed in self._feeds if feed.fault]:
            self._feeds.remove(feed)
            self._say(f"warning: the run goes on without the logger {feed.name}: {feed.fault}")


@contextlib.contextmanager
def open_loggers(
    names: Sequence[str], run: Path, config: Mapping[str, Any], *, step: int, say: MessageCallback
) -> Iterator[Loggers]:
    """The loggers of these names while the run in the folder goes on from a step; closed in a hurry where it is stopped."""
    feeds = []
    for name in names:
        about = LoggedRun(run.resolve().name, run / folder_name(name), config, step)
        feeds.append(_Feed(name, find_logger(name), about))
    loggers = Loggers(feeds, say)
    try:
        yield loggers
    except BaseException:
        loggers.close(_HURRY)
        raise
    loggers.close(_PATIENCE)


class _Feed:
    """What waits for a logger; a failure ends it for good."""

    def __init__(self, name: str, factory: LoggerFactory, about: LoggedRun) -> None:
        self.name, self.fault = name, ""
        self._waiting: queue.Queue[_Job | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, args=(factory, about), daemon=True)
        self._thread.start()

    def _work(self, factory: LoggerFactory, about: LoggedRun) -> None:
        try:
            files.make_folder(about.folder)
            logger = factory(about)
            while (job := self._waiting.get()) is not None:
                job(logger)
            logger.close()
        except BaseException as error:  # whatever it is: the run must not hear of it in another way
            text = " ".join(f"{type(error).__name__}: {error}".split())
            self.fault = text if len(text) <= 300 else f"{text[:300]}..."

    def put(self, job: _Job) -> None:
        if self._waiting.qsize() >= _MOST_WAITING:
            self.fault = self.fault or f"it is behind by {_MOST_WAITING:,} rows and sheets"
        if not self.fault:
            self._waiting.put(job)

    def end(self) -> None:
        self._waiting.put(None)

    def wait(self, seconds: float) -> None:
        self._thread.join(max(0.0, seconds))
        if self._thread.is_alive():
            self.fault = self.fault or "it has not written all of it in time"
