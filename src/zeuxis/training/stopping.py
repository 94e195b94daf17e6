"""Callbacks of a training: functions of its `Progress`, told of every step, which may end it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from zeuxis.errors import StopTraining, UsageError
from zeuxis.escaping import quote
from zeuxis.training.state import Progress

Callback = Callable[[Progress], Any]  # True ends the run; whatever else it returns is no matter


def checked_callbacks(callbacks: Iterable[Callback]) -> tuple[Callback, ...]:
    """The callbacks in their order; `UsageError` where they are no list of functions."""
    if not isinstance(callbacks, Iterable):
        raise UsageError(f"callbacks is {quote(callbacks)}; expected a list of functions, as in callbacks=[watch]")
    chosen = tuple(callbacks)
    for callback in chosen:
        if not callable(callback):
            raise UsageError(f"callbacks has {quote(callback)}; expected functions of one argument, a Progress")
    return chosen


def reason_to_stop(callbacks: Sequence[Callback], progress: Progress) -> str:
    """Which callback ends the run, with its reason where it gives one; empty where none does. All are told of the step."""
    return next(iter(list(_reasons(callbacks, progress))), "")


def _reasons(callbacks: Sequence[Callback], progress: Progress) -> Iterator[str]:
    for callback in callbacks:
        try:
            answer = callback(progress)
        except StopTraining as stop:
            yield f"{_named(callback)}: {stop}" if str(stop) else _named(callback)
        else:
            # Nothing else counts as True: a lambda that appends to a list or reads a loss means no end.
            if isinstance(answer, bool | np.bool_) and answer:
                yield _named(callback)


def _named(callback: Callback) -> str:
    return f"the callback {getattr(callback, '__name__', type(callback).__name__)}"
