"""Decodes the items of a listing in parallel processes, which talk JSON and raw bytes over pipes.

Not `multiprocessing`: its children run the caller's main module again (a notebook's or a script's without a guard), and
a killed one takes the whole pool with it. Here a child that dies costs the one image that killed it.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, BinaryIO

import numpy as np

from zeuxis.data.listing import Content, ItemReader, Picture, Shape
from zeuxis.errors import ZeuxisError
from zeuxis.io import images

_CHUNK = 64  # images a worker decodes per request, where its answer has no more than these bytes
_ANSWER = 8 << 20
_FEW = 96  # images that are not worth starting processes for
# The folder where a user happens to be must not give the child its modules: it may have a `queue.py`.
_CHILD = "import sys; sys.path[:] = [p for p in sys.path if p]; from zeuxis.data.child import serve; serve()"
_ALONE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # a child is one thread

Result = Picture | str  # a picture, or the reason why there is none


def decoded(content: Content, shape: Shape, *, processes: int | None = None) -> Generator[Result, None, None]:
    """Each item in order, as a picture or as the reason why it is left out."""
    length = max(1, min(_CHUNK, _ANSWER // (shape.size * shape.size * shape.channels)))
    chunks = [content.items[i : i + length] for i in range(0, len(content.items), length)]
    count = min(len(chunks), processes or cores())
    reader = content.reader.as_json()
    if reader is not None and count > 1 and len(content.items) >= _FEW:
        with _Children(reader, shape, count) as children:
            if children.ready():
                yield from children.results(chunks)
                return
    for item in content.items:
        yield attempt(content.reader, item, shape)


def attempt(reader: ItemReader, item: str, shape: Shape) -> Result:
    """The picture of an item, or the reason why there is none: nothing a file contains may stop a run."""
    try:
        return reader.picture(item, shape)
    except images.Unusable as error:
        return str(error)
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    except MemoryError:
        return "needs more memory than there is"
    except ZeuxisError:
        raise
    except Exception as error:  # a zip that is rewritten meanwhile, say: an archive breaks in more ways than images do
        return f"cannot be read ({type(error).__name__})"


def cores() -> int:
    """How many of the computer's cores are ours to use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        return os.cpu_count() or 1


class _Children:
    """Child processes, each driven by one thread; leaving the `with` ends them all, whatever they are doing."""

    def __init__(self, reader: dict[str, Any], shape: Shape, count: int) -> None:
        self.job = {"reader": reader, "shape": list(shape)}
        self.shape = shape
        self.count = count
        self.idle: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()
        self.all: list[subprocess.Popen[bytes]] = []
        self.closing = False
        self.threads = ThreadPoolExecutor(count)

    def __enter__(self) -> _Children:
        for _ in range(self.count):
            self.idle.put(self.start())
        return self

    def __exit__(self, *exception: object) -> None:
        self.closing = True
        self.threads.shutdown(wait=False, cancel_futures=True)
        self.end()
        self.threads.shutdown(wait=True)  # a thread that waited for a child has met the end of its pipe
        self.end()  # one that was started meanwhile

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
        with contextlib.suppress(OSError):  # one that is dead already is found out when it is asked
            send(child.stdin, self.job)
        return child

    def ready(self) -> bool:
        """Whether every child has started: where none can, this process does the work itself."""
        try:
            return all(receive(child.stdout) == "ready" for child in self.all)
        except (OSError, ValueError):
            return False

    def results(self, chunks: list[list[str]]) -> Iterator[Result]:
        waiting: deque[Future[list[Result]]] = deque()
        for chunk in chunks:  # a bounded number of chunks ahead: memory stays small however slow the reader of these is
            waiting.append(self.threads.submit(self.run, chunk))
            if len(waiting) > 2 * self.count:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()

    def run(self, items: list[str]) -> list[Result]:
        child = self.idle.get()
        try:
            answer = _ask(child, items, self.shape)
        except (OSError, ValueError):  # the child is dead
            return [] if self.closing else self.after(child, items)
        self.idle.put(child)
        return answer

    def after(self, dead: subprocess.Popen[bytes], items: list[str]) -> list[Result]:
        """Find the image that a child died of, with a new child: half of the images, and half of these again."""
        dead.kill()
        child = self.start()
        receive(child.stdout)
        self.idle.put(child)
        if len(items) == 1:
            return [f"the decoder crashed (exit {dead.wait()})"]
        middle = len(items) // 2
        return self.run(items[:middle]) + self.run(items[middle:])


def _ask(child: subprocess.Popen[bytes], items: list[str], shape: Shape) -> list[Result]:
    send(child.stdin, items)
    records = receive(child.stdout)
    return [_result(record, child.stdout, shape) for record in records]


def _result(record: Any, pipe: BinaryIO | Any, shape: Shape) -> Result:
    if isinstance(record, str):
        return record
    count = shape.size * shape.size * shape.channels
    data = pipe.read(count)
    if len(data) < count:
        raise OSError("the pipe ended")
    pixels = np.frombuffer(data, np.uint8).reshape(shape.size, shape.size, shape.channels)
    size = (record["size"][0], record["size"][1])
    return Picture(pixels, size, record["mode"], record["digest"], record.get("frames", 1))


def record_of(picture: Picture) -> dict[str, Any]:
    """What is known of a picture's file, as JSON."""
    frames = {"frames": picture.frames} if picture.frames > 1 else {}
    return {"size": picture.size, "mode": picture.mode, "digest": picture.digest, **frames}


def send(pipe: Any, message: Any) -> None:
    """Write a message to a pipe, as a line of JSON."""
    pipe.write(json.dumps(message).encode() + b"\n")
    pipe.flush()


def receive(pipe: Any) -> Any:
    """The next message of a pipe; `OSError` where it has ended."""
    if not (line := pipe.readline()):
        raise OSError("the pipe ended")
    return json.loads(line)
