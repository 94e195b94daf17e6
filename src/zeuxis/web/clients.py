"""A client: one open socket, its photographs, its jobs, and the answers that wait to be sent."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from websockets.frames import CloseCode

MOST_KEPT = 4  # photographs of one client
_MOST_UNSENT = 4 << 20  # bytes of answers; a slow reader's next step waits
_MOST_JOBS = 32  # under way for one client
_MOST_BYTES = 4 << 20  # of their requests, before one more is read
MALFORMED = int(CloseCode.INVALID_DATA)  # 1007
POLICY = int(CloseCode.POLICY_VIOLATION)  # 1008
LATER = int(CloseCode.TRY_AGAIN_LATER)  # 1013

Kept = TypeVar("Kept")


class Store(Generic[Kept]):
    """The newest few things of a client, by an id that is never used again."""

    def __init__(self, most: int = MOST_KEPT) -> None:
        self._most, self._ids = most, itertools.count(1)
        self._kept: OrderedDict[int, Kept] = OrderedDict()

    def add(self, thing: Kept) -> int:
        """Keep a thing, and let the oldest go; its id."""
        number = next(self._ids)
        self._kept[number] = thing
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return number

    def get(self, number: int) -> Kept | None:
        """The thing of an id, if it is still kept."""
        return self._kept.get(number)

    def __len__(self) -> int:
        return len(self._kept)


class UnderWay(Protocol):
    """A request that is being answered."""

    lane: str
    size: int  # in bytes
    replaced: bool  # by a newer request in its lane


class Client:
    """One open socket. Only the event loop touches `jobs` and `outbox`; a worker calls `send`, `close` and `finish`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, raw: bool) -> None:
        self.raw = raw  # pixels as they are; else JPEG
        self.photos: Store[Any] = Store()
        self.jobs: set[UnderWay] = set()
        self.outbox: asyncio.Queue[bytes | int] = asyncio.Queue()
        self.served = 0  # the turn in which it was served last
        self.gone = False
        self._loop, self._freed = loop, asyncio.Event()
        self._unsent, self._counting = 0, threading.Lock()

    @property
    def keeps_up(self) -> bool:
        """Whether it reads its answers as fast as they come."""
        return self._unsent < _MOST_UNSENT

    def replace(self, lane: str) -> None:
        """Note that a newer request has come in a lane."""
        for job in self.jobs:
            job.replaced |= job.lane == lane

    async def room(self) -> None:
        """Wait until few enough jobs are under way: what a client sends meanwhile stays in the network."""
        while len(self.jobs) >= _MOST_JOBS or sum(job.size for job in self.jobs) > _MOST_BYTES:
            self._freed.clear()
            await self._freed.wait()

    def send(self, frame: bytes) -> None:
        """Queue an answer, from any thread."""
        with self._counting:
            self._unsent += len(frame)
        self._post(lambda: self.outbox.put_nowait(frame))

    def sent(self, frame: bytes) -> None:
        """Note that an answer has left."""
        with self._counting:
            self._unsent -= len(frame)

    def close(self, code: int) -> None:
        """Queue the end of the socket, from any thread."""
        self._post(lambda: self.outbox.put_nowait(code))

    def finish(self, job: UnderWay) -> None:
        """Note that a job has ended, from any thread."""
        self._post(lambda: self._forget(job))

    def _forget(self, job: UnderWay) -> None:
        self.jobs.discard(job)
        self._freed.set()

    def _post(self, call: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(call)
