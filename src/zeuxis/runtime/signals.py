"""How a signal ends a long command: at a place where nothing is lost, within seconds, with the signal's exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from zeuxis.errors import ZeuxisError
from zeuxis.runtime.kernel import in_kernel

PATIENCE = 3.5  # seconds a step may still take once a signal has come: saved and gone within 5
_ALARM = getattr(signal, "SIGALRM", None)  # Windows has none: there a step is always waited for
_HANGUP = getattr(signal, "SIGHUP", None)  # the terminal's window is closed, or ssh has lost its connection
_SHOW_CURSOR = b"\x1b[?25h"


class Stopped(ZeuxisError):  # noqa: N818 (nothing went wrong)
    """A signal ended the command; its exit code is 128 + the signal's number, 130 after Ctrl-C."""

    exit_code = 128 + signal.SIGINT

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Interrupt(KeyboardInterrupt):
    """A signal has come. Not an `Exception`, so that no `except Exception` on its way out can swallow it.

    `cut`: something that should have been finished was not, because it took too long.
    """

    def __init__(self, number: int, *, cut: bool = False) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.number = number
        self.cut = cut

    def stopped(self, message: str = "") -> Stopped:
        """The error that tells the user, with the exit code."""
        return Stopped(message or str(self), 128 + self.number)


class Stop:
    """Receives SIGINT, SIGTERM and SIGHUP: the first raises `Interrupt`, at once or where `later` ends.

    A further SIGINT ends the process at once; in a notebook's kernel, which has more to lose, it cuts the work short.
    """

    def __init__(self) -> None:
        self.asked = 0  # the signal that has come, or 0
        self._depth = 0  # blocks of `later` that are open
        self._patience: float | None = None
        self._process = os.getpid()

    @property
    def ours(self) -> bool:
        """Whether this process made it, and not the one it was forked from."""
        return self._process == os.getpid()

    def receive(self, number: int, frame: FrameType | None) -> None:
        """The handler of the signals that end a command."""
        if not self.ours:  # a worker that was forked: its parent does the talking
            os._exit(128 + number)
        if self.asked and number == signal.SIGINT:
            if in_kernel():
                raise Interrupt(number, cut=True)
            _leave_at_once()
        if self.asked:
            return
        self.asked = number
        if not self._depth:
            raise Interrupt(number)
        if self._patience is not None and _ALARM is not None:
            signal.setitimer(signal.ITIMER_REAL, self._patience)

    def give_up(self, number: int, frame: FrameType | None) -> None:
        """The handler of the alarm: what was being waited for has taken too long."""
        if self.asked and self._depth:
            raise Interrupt(self.asked, cut=True)

    @contextlib.contextmanager
    def later(self, patience: float | None = None) -> Iterator[None]:
        """Hold a signal back until the block is done, or, once it has come, for `patience` seconds at most."""
        self._depth += 1
        before, self._patience = self._patience, patience
        try:
            yield
        finally:
            self._depth -= 1
            self._patience = before
            if self.asked and _ALARM is not None:
                signal.setitimer(signal.ITIMER_REAL, 0)
        self.check()

    def check(self) -> None:
        """Raise `Interrupt` if a signal has come and nothing holds it back."""
        if self.asked and not self._depth:
            raise Interrupt(self.asked)


@contextlib.contextmanager
def signals() -> Iterator[Stop]:
    """Within the block a signal ends the command as `Stopped`; an inner block serves the outer one's `Stop`.

    Outside the main thread, where Python delivers no signals, the `Stop` never hears of one.
    """
    outer = getattr(signal.getsignal(signal.SIGINT), "__self__", None)
    if threading.current_thread() is not threading.main_thread():
        yield Stop()
        return
    if isinstance(outer, Stop) and outer.ours:
        yield outer
        return
    stop = Stop()
    try:
        with _handlers(stop):
            yield stop
    except Interrupt as interrupt:
        raise interrupt.stopped() from None
    finally:
        if stop.asked not in (0, signal.SIGINT) and in_kernel():
            signal.raise_signal(stop.asked)  # it was meant for the kernel: an error in a cell would not end it


@contextlib.contextmanager
def _handlers(stop: Stop) -> Iterator[None]:
    wanted = {signal.SIGINT: stop.receive, signal.SIGTERM: stop.receive}
    if _ALARM is not None:
        wanted[_ALARM] = stop.give_up
    if _HANGUP is not None and signal.getsignal(_HANGUP) != signal.SIG_IGN:  # ignored: begun under nohup, to stay
        wanted[_HANGUP] = stop.receive
    before = {number: signal.getsignal(number) for number in wanted}
    try:
        for number, handler in wanted.items():
            signal.signal(number, handler)
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _leave_at_once() -> None:
    """End the process without unwinding; a live display has hidden the cursor."""
    if sys.stderr is not None and sys.stderr.isatty():
        with contextlib.suppress(OSError):
            os.write(sys.stderr.fileno(), _SHOW_CURSOR + b"\n")
    os._exit(128 + signal.SIGINT)
