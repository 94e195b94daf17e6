"""Decodes the items of a listing in parallel processes, which talk JSON and raw bytes over pipes.

Not `multiprocessing`: its children run the caller's main module again (a notebook's or a script's without a guard), and
a killed one takes the whole pool with it. Here a child that dies, or gives no answer for half a minute, costs the one image
that it was at.
"""

from __future__ import annotations

import contextlib
import math
import os
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from zeuxis.data.listing import WHOLE, Content, FetchingReader, FileReader, ItemReader, Shape, shown
from zeuxis.data.messages import Result, receive, receive_result, send
from zeuxis.data.threads import attempted, decoded_in_threads
from zeuxis.errors import DataError
from zeuxis.runtime import launch

_CHUNK = 64  # images a worker decodes per request, where its answer has no more than these bytes
_ANSWER = 8 << 20
_FEW = 96  # images: of fewer, those that take no long time whatever they contain are decoded in this process
_PATIENCE = 30.0  # seconds for one image, which is given two tries; a child that is silent for longer is ended
_CHECKS = 10  # in that time: what stops this process too, as Ctrl-Z does, is no silence of a child
_MOST_LOST = 16  # images that get no answer, or children that do not start, while no child answers anything
# The folder where a user happens to be must not give the child its modules: it may have a `queue.py`.
_CHILD = "import sys; sys.path[:] = [p for p in sys.path if p]; from zeuxis.data.child import serve; serve()"
_ALONE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # a child is one thread


def decoded(content: Content, shape: Shape, *, processes: int | None = None) -> Generator[Result, None, None]:
    """Each item in order, as a picture or as the reason why it is left out."""
    reader = content.reader.as_json()
    apart = _apart(content) if reader is not None and processes != 1 else []
    if reader is not None and apart:  # on one core too: a child can be ended
        chunks = _chunks(apart, shape, processes or cores())
        with _Children(reader, shape, min(len(chunks), processes or cores())) as children:
            if children.ready():
                results, theirs = children.results(chunks), set(apart)
                for item in content.items:
                    yield next(results) if item in theirs else attempt(content.reader, item, shape)
                return
    if isinstance(content.reader, FetchingReader) and processes != 1:
        yield from decoded_in_threads(content.reader, content.items, shape, cores())
        return
    for item in content.items:
        yield attempt(content.reader, item, shape)


def _apart(content: Content) -> Sequence[str]:
    """The items that other processes decode: all, but where they are few those that may take long."""
    if len(content.items) >= _FEW:
        return content.items
    reader = content.reader
    return [item for item in content.items if not reader.is_quick(item)] if isinstance(reader, FileReader) else []


def _chunks(items: Sequence[str], shape: Shape, processes: int) -> list[list[str]]:
    """What each process is asked for at once: whole photographs one by one, and of few items an equal share."""
    pixels = shape.size * shape.size * shape.channels
    length = 1 if shape.resize_mode == WHOLE else max(1, min(_CHUNK, _ANSWER // pixels))
    if len(items) < _FEW:  # those that take long: as many processes as there are may share them
        length = min(length, math.ceil(len(items) / processes))
    return [list(items[i : i + length]) for i in range(0, len(items), length)]


def attempt(reader: ItemReader, item: str, shape: Shape) -> Result:
    """The picture of an item, or the reason why there is none: nothing a file contains may stop a run."""
    return attempted(lambda: reader.picture(item, shape))


def cores() -> int:
    """How many of the computer's cores are ours to use; of those of processes that work together, an equal share."""
    try:
        found = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        found = os.cpu_count() or 1
    return max(1, found // launch.local_size())


class _Watch:
    """Ends children that owe an answer and give none for `_PATIENCE` seconds."""

    def __init__(self) -> None:
        self._lock, self._over = threading.Lock(), threading.Event()
        self._silent: dict[subprocess.Popen[bytes], int] = {}  # checks since the last answer
        self.ended: set[subprocess.Popen[bytes]] = set()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def expect(self, child: subprocess.Popen[bytes]) -> None:
        """The child owes an answer from now on."""
        with self._lock:
            self._silent[child] = 0

    def done(self, child: subprocess.Popen[bytes]) -> None:
        """It owes none any more."""
        with self._lock:
            self._silent.pop(child, None)

    def close(self) -> None:
        """End nothing any more."""
        self._over.set()
        self._thread.join()

    def late(self) -> list[subprocess.Popen[bytes]]:
        """Check all that owe an answer; those that gave none since so many checks."""
        with self._lock:
            for child in self._silent:
                self._silent[child] += 1
            return [child for child, checks in self._silent.items() if checks > _CHECKS]

    def _run(self) -> None:
        while not self._over.wait(_PATIENCE / _CHECKS):
            for child in self.late():
                self.ended.add(child)
                child.kill()


class _Children:
    """Child processes, each driven by one thread; leaving the `with` ends them all, whatever they are doing."""

    def __init__(self, reader: dict[str, Any], shape: Shape, count: int) -> None:
        self.job = {"reader": reader, "shape": list(shape)}
        self.shape = shape
        self.count = count
        self.idle: queue.SimpleQueue[subprocess.Popen[bytes] | None] = queue.SimpleQueue()
        self.all: list[subprocess.Popen[bytes]] = []
        self.closing = False
        self.lost = 0  # images without an answer, and children that did not start, since any child has answered
        self.threads = ThreadPoolExecutor(count)
        self.watch = _Watch()

    def __enter__(self) -> _Children:
        for _ in range(self.count):
            self.idle.put(self.start())
        return self

    def __exit__(self, *exception: object) -> None:
        self.closing = True
        self.threads.shutdown(wait=False, cancel_futures=True)
        self.end()
        for _ in range(self.count):
            self.idle.put(None)  # for threads that wait for a child
        self.threads.shutdown(wait=True)  # a thread that waited for an answer has met the end of its pipe
        self.end()  # one that was started meanwhile
        self.watch.close()

    def end(self) -> None:
        """Kill and reap every child."""
        for child in self.all:
            child.kill()
        for child in self.all:
            child.wait()

    def start(self) -> subprocess.Popen[bytes]:
        paths = os.pathsep.join(os.path.abspath(path) for path in sys.path if path)  # noqa: PTH100
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **_ALONE, "PYTHONPATH": paths},
            start_new_session=True,  # Ctrl-C reaches this process alone; the children end with their pipes
        )
        self.all.append(child)
        self.watch.expect(child)
        with contextlib.suppress(OSError):  # one that is dead already is found out when it is asked
            send(child.stdin, self.job)
        return child

    def ready(self) -> bool:
        """Whether every child has started: where none can, this process does the work itself."""
        try:
            return all(self.started(child) for child in self.all)
        except (OSError, ValueError):
            return False

    def started(self, child: subprocess.Popen[bytes]) -> bool:
        """Wait for a child's first answer; `OSError` where it ends before."""
        answer = receive(child.stdout)
        self.watch.done(child)
        return bool(answer == "ready")

    def results(self, chunks: list[list[str]]) -> Iterator[Result]:
        waiting: deque[Future[list[Result]]] = deque()
        for chunk in chunks:  # a bounded number of chunks ahead: memory stays small however slow the reader of these is
            waiting.append(self.threads.submit(self.run, chunk))
            if len(waiting) > 2 * self.count:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()

    def run(self, items: list[str]) -> list[Result]:
        """The results of a chunk; an image at which two children have died, the second a new one, is left out."""
        found: list[Result] = []
        suspect = -1
        while len(found) < len(items) and (child := self.idle.get()):
            try:
                for result in self.ask(child, items[len(found) :]):
                    found.append(result)
                self.idle.put(child)
            except (OSError, ValueError, LookupError, TypeError):  # the child is dead, or a library of its printed
                reason = self.cause(child)
                self.replace()
                if suspect == len(found):
                    if child in self.watch.ended:
                        self.lose(items[suspect], reason)
                    found.append(reason)
                else:
                    suspect = len(found)
        return found

    def ask(self, child: subprocess.Popen[bytes], items: list[str]) -> Iterator[Result]:
        """Each result as soon as the child has it."""
        self.watch.expect(child)
        send(child.stdin, items)
        for _ in items:
            result = receive_result(child.stdout, self.shape)
            self.watch.expect(child)
            self.lost = 0
            yield result
        self.watch.done(child)

    def cause(self, dead: subprocess.Popen[bytes]) -> str:
        """Reap a child that has died; the reason why the image that it was at is left out."""
        dead.kill()
        code = dead.wait()
        self.watch.done(dead)
        return f"no answer in {_PATIENCE:g} s" if dead in self.watch.ended else f"the decoder crashed (exit {code})"

    def replace(self) -> None:
        """Start another child in the stead of one that has died."""
        while not self.closing:
            child = self.start()
            try:
                self.started(child)
                self.idle.put(child)
                return
            except (OSError, ValueError):
                self.lose("a new process that decodes", self.cause(child))

    def lose(self, what: str, reason: str) -> None:
        """Count what is lost; where nothing else is won meanwhile, it is the disk or the computer, and no image."""
        self.lost += 1
        if self.lost > _MOST_LOST and not self.closing:
            raise DataError(
                f"more than {_MOST_LOST} images in a row got no answer (the last: {shown(what)}: {reason}); "
                "check the disk or the network folder that they are on, and start again"
            )
