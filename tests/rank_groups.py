"""Groups of processes as `torchrun` starts them, forked from one that has imported torch: a second each, not five."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch.distributed import TCPStore  # type: ignore[attr-defined]

from waiting import PATIENCE

_FORKS = multiprocessing.get_context("forkserver")
# The first optimizer imports torch._dynamo, which takes longer than all that a small run does.
_PRELOADED = ["torch", "torch._dynamo", "zeuxis.api.training", "zeuxis.cli.train", "zeuxis.families.gan", "rank_groups"]
_FORKS.set_forkserver_preload(_PRELOADED)


class Launcher:
    """The store that a launcher keeps for its processes, over restarts."""

    def __enter__(self) -> Launcher:
        self.store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        return self

    def __exit__(self, *error: object) -> None:
        del self.store


class Group:
    """Processes that share the store of a launcher, as those of one attempt do; each runs a function in its place."""

    def __init__(self, size: int, work: Callable[..., None], words: Sequence[Any], port: int, attempt: int) -> None:
        environments = [_environment(rank, size, port, attempt) for rank in range(size)]
        self.members = [_FORKS.Process(target=_play, args=(each, work, words)) for each in environments]
        for member in self.members:
            member.start()

    def codes(self) -> list[int | None]:
        """The exit codes of all, once they have ended."""
        for member in self.members:
            member.join(PATIENCE)
        return [member.exitcode for member in self.members]

    def end(self) -> None:
        """End those that still run."""
        for member in self.members:
            member.kill()
            member.join()


@contextlib.contextmanager
def group(size: int, work: Callable[..., None], *words: Any, launcher: Launcher, attempt: int = 0) -> Iterator[Group]:
    """A group at work; what is left of it ends with the block."""
    found = Group(size, work, words, launcher.store.port, attempt)
    try:
        yield found
    finally:
        found.end()


def command(words: Sequence[str], out: str) -> None:
    """Run a command line, its output in a file of each rank."""
    from zeuxis import cli

    file = os.open(Path(out) / f"out-{os.environ.get('RANK', '0')}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(file, stream)
    sys.stdout, sys.stderr = (open(stream, "w", buffering=1) for stream in (1, 2))  # noqa: PTH123, SIM115
    sys.exit(cli.run(words))


def _environment(rank: int, size: int, port: int, attempt: int) -> dict[str, str]:
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "none",
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_RESTART_COUNT": str(attempt),
        "ZEUXIS_CACHE": os.environ["ZEUXIS_CACHE"],
        "OMP_NUM_THREADS": "1",
    }


def _play(environment: Mapping[str, str], work: Callable[..., None], words: Sequence[Any]) -> None:
    os.environ.update(environment)
    work(*words)
