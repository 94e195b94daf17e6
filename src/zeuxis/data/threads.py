"""Decodes images in memory in several threads, and says of one that cannot be decoded why."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from zeuxis.data.listing import FetchingReader, Picture, Shape
from zeuxis.data.messages import Result
from zeuxis.errors import ZeuxisError
from zeuxis.io import images


def decoded_in_threads(
    reader: FetchingReader, items: Sequence[str], shape: Shape, count: int
) -> Generator[Result, None, None]:
    """Each item in order: read here, one by one, as nobody knows whether others' code minds threads, and decoded in threads."""
    waiting: deque[Future[Result]] = deque()
    threads = ThreadPoolExecutor(count)
    try:
        for item in items:
            waiting.append(threads.submit(_fetched(reader, item), shape))
            if len(waiting) > 2 * count:  # few at a time, as of large pictures
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        threads.shutdown(cancel_futures=True)


def _fetched(reader: FetchingReader, item: str) -> Callable[[Shape], Result]:
    """Read an item; what decodes it, or tells why it cannot be read."""
    try:
        decode = reader.fetch(item)
    except Exception as error:  # as in `attempted`
        reason = _reason(error)
        return lambda shape: reason
    return lambda shape: attempted(lambda: decode(shape))


def attempted(work: Callable[[], Picture]) -> Result:
    """The picture that a function decodes, or the reason why there is none."""
    try:
        return work()
    except Exception as error:  # a zip that is rewritten meanwhile, say: an archive breaks in more ways than images do
        return _reason(error)


def _reason(error: Exception) -> str:
    """Why there is no picture; what is no matter of one file is raised again."""
    if isinstance(error, images.Unusable):
        return str(error)
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror or error}"
    if isinstance(error, MemoryError):
        return "needs more memory than there is"
    if isinstance(error, ZeuxisError):
        raise error
    return f"cannot be read ({type(error).__name__})"
