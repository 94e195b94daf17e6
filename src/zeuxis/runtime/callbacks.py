"""Callbacks that long work reports its progress to."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

MessageCallback = Callable[[str], None]  # a line for the user
ProgressCallback = Callable[[int, int], None]  # how much is done, and of how much
StageCallback = Callable[[str, int, int], None]  # the name of the stage, how much of it is done, and of how much


def silent(stage: str, done: int, total: int) -> None:
    """The progress of work that nobody watches."""


def in_stage(progress: StageCallback | None, stage: str) -> ProgressCallback | None:
    """The progress of one stage; None where nobody watches."""
    return partial(progress, stage) if progress else None
