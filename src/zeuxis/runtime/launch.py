"""What `torchrun` says of this process in the environment: its rank, and how many there are (no torch)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_SIZE = "WORLD_SIZE"


def launched() -> bool:
    """Whether `torchrun` started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def world_size() -> int:
    """The number of processes that `torchrun` started; 1 without it."""
    return _number(_SIZE, 1) if launched() else 1


def rank() -> int:
    """The number of this process among them, from 0; process 0 writes and speaks."""
    return _number("RANK", 0) if world_size() > 1 else 0


def speaks() -> bool:
    """Whether this process is to say an error: each is the same in all of them until they have joined."""
    if rank() == 0:
        return True
    torch = sys.modules.get("torch")
    return torch is not None and torch.distributed.is_available() and bool(torch.distributed.is_initialized())


def local_rank() -> int:
    """The number of this process among those of this machine: that of its GPU."""
    return _number("LOCAL_RANK", 0) if world_size() > 1 else 0


def local_size() -> int:
    """The number of processes on this machine."""
    return _number("LOCAL_WORLD_SIZE", 1) if world_size() > 1 else 1


def restarts() -> int:
    """How often `torchrun` has started the processes again after one had failed."""
    return _number("TORCHELASTIC_RESTART_COUNT", 0) if launched() else 0


@contextmanager
def alone() -> Iterator[None]:
    """Within the block this process counts as the only one, as for a command that is not shared out."""
    before = os.environ.get(_SIZE)
    os.environ[_SIZE] = "1"
    try:
        yield
    finally:
        os.environ.pop(_SIZE) if before is None else os.environ.__setitem__(_SIZE, before)


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else default
