"""Standard output and error that cannot lose a command's work: odd characters, closed streams, a full disk, a lost terminal."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import TextIO, cast

from zeuxis.errors import DiskFullError


def prepare() -> None:
    """Make the process's standard streams safe, once, where a command starts.

    Characters that a stream's encoding lacks are written as escapes. A closed stream becomes the null device, as the next
    file opened would else take its number. Writing to stderr never fails; `DiskFullError` where stdout refuses.
    """
    _fill()
    out = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    for stream in (out, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.stdout, sys.stderr = cast(TextIO, _Output(out)), lossy(sys.stderr)


def lossy(stream: TextIO | None) -> TextIO:
    """The stream, or none, with failures passed over: whoever looked on has gone, and the work goes on."""
    return cast(TextIO, stream if isinstance(stream, _Lossy) else _Lossy(stream))


def abandon(stream: TextIO) -> None:
    """Send what a stream still holds, and whatever comes, to the null device: Python flushes it when it exits."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def _fill() -> None:
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it gets the lowest free number: this one


class _Stream(io.TextIOBase):
    """A stream around another."""

    def __init__(self, stream: TextIO | None) -> None:
        self.inner = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self.inner, "encoding", None) or "utf-8"

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        try:
            return self.inner is not None and self.inner.isatty()
        except ValueError:  # closed
            return False

    def fileno(self) -> int:
        if self.inner is None:
            raise io.UnsupportedOperation("fileno")
        return self.inner.fileno()


class _Lossy(_Stream):
    """A stream whose failures are passed over."""

    def write(self, text: str) -> int:
        if self.inner is not None:
            try:
                self.inner.write(text)
            except UnicodeEncodeError:
                self.write(text.encode(self.encoding, "backslashreplace").decode(self.encoding))
            except (OSError, ValueError):  # a full disk, a terminal that has gone, a closed file
                self.inner = None
        return len(text)

    def flush(self) -> None:
        if self.inner is not None:
            with contextlib.suppress(OSError, ValueError):
                self.inner.flush()


class _Output(_Stream):
    """Standard output, whose failure is told when the command is done: what it writes into files comes first."""

    failure: OSError | None = None

    def write(self, text: str) -> int:
        assert self.inner is not None
        with self._noted(self.inner):
            return self.inner.write(text)
        return len(text)

    def flush(self) -> None:
        """Raise what failed: `BrokenPipeError` where the reader has gone, else `DiskFullError`."""
        if self.inner is None or self.inner.closed:  # as Python exits
            return
        with self._noted(self.inner):
            self.inner.flush()
        failure, self.failure = self.failure, None
        if isinstance(failure, BrokenPipeError):
            raise failure
        if failure is not None:
            raise DiskFullError(
                f"standard output cannot be written: {failure.strerror or failure}; files of the command are kept, but "
                "send its output elsewhere"
            )

    @contextlib.contextmanager
    def _noted(self, stream: TextIO) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.failure = self.failure or error
            abandon(stream)
