"""Training beside other work: steps per second alone, and while another session keeps cores busy, by how long threads spin.

    python bench/busy.py [--loops 2] [--windows 6] [--seconds 5] [--case dcgan-64] [--spins 300000,1000]

A worker for each number of spins (libgomp's default is 300000; what `import zeuxis` sets is 1000), and one with half of the
threads, take turns of a few seconds: alone, then beside the loops, which run in a session of their own (setsid) as those of a
browser do. Prints steps per second (minimum, median, maximum over the windows), the ratio of medians to half the machine
that is idle, and how busy the cores were before. An idle machine is needed: other work is what is measured.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from typing import NamedTuple

import psutil
import torch

from cases import CASES
from speed import ours
from taking_turns import serve, started, windows_of
from zeuxis.runtime.device import memory_kept


class Side(NamedTuple):
    """A worker: its name, its threads, and the spins of a thread that waits."""

    name: str
    threads: int
    spins: int


def train(case: str, threads: int, pipe: Connection) -> None:
    """For every number of seconds that is sent, send the steps per second of such a window."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    with memory_kept():
        step = ours(CASES[case], kernels=False)

        def window(seconds: float) -> float:
            begin, steps = time.monotonic(), 0
            while time.monotonic() - begin < seconds:
                step()
                steps += 1
            return steps / (time.monotonic() - begin)

        step()
        serve(pipe, window)


@contextlib.contextmanager
def loops(count: int) -> Iterator[None]:
    """While it lasts, so many busy loops in one session of their own."""
    # Each ends with its parent, so that none stays behind where this script is ended by a signal.
    script = f"import os\nfor _ in range({count - 1}):\n    if not os.fork(): break\nparent = os.getppid()\n"
    script += "while os.getppid() == parent: pass"
    busy = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    try:
        time.sleep(1)
        yield
    finally:
        os.killpg(busy.pid, signal.SIGKILL)
        busy.wait()


def workers(case: str, sides: Sequence[Side]) -> dict[str, Connection]:
    """The workers' pipes; the spins are read by libgomp when a process loads it."""
    pipes = dict[str, Connection]()
    for side in sides:
        os.environ["GOMP_SPINCOUNT"] = str(side.spins)
        pipes |= started({side.name: (train, (case, side.threads))})
    return pipes


def main() -> None:
    """Measure alone and beside the loops, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES, default="dcgan-64")
    parser.add_argument("--loops", type=int, default=2)
    parser.add_argument("--windows", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--spins", default="300000,1000")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    sides = [Side(f"{spins} spins", given.threads, int(spins)) for spins in given.spins.split(",")]
    sides.append(Side("half the threads", max(1, given.threads // 2), 1000))
    print(f"other work: {psutil.cpu_percent(3):.0f} % of {psutil.cpu_count()} cores before the first window")
    pipes = workers(given.case, sides)
    counts = {"windows": given.windows, "seconds": given.seconds}
    alone = windows_of(pipes, **counts)
    with loops(given.loops):
        beside = windows_of(pipes, **counts)
    half, threads = statistics.median(alone[sides[-1].name]), {side.name: side.threads for side in sides}
    print(
        "| case | threads | side | other work | min | median | max | of half the machine |\n|---|---|---|---|---|---|---|---|"
    )
    for what, found in (("none", alone), (f"{given.loops} loops", beside)):
        for side, each in found.items():
            cells = [
                f"{x:.2f}" for x in (min(each), statistics.median(each), max(each), statistics.median(each) / half)
            ]
            print("| " + " | ".join([given.case, str(threads[side]), side, what, *cells]) + " |", flush=True)
    for pipe in pipes.values():
        pipe.send(0)


if __name__ == "__main__":
    main()
