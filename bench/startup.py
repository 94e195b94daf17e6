"""Seconds until a command has answered that needs no torch: wall clock and CPU time, the least and the median of several.

python bench/startup.py [--rounds 10]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

COMMANDS = ("--version", "--help", "train --help", "families")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    print("command | wall clock, least and median (s) | CPU time, least and median (s)")
    for command in COMMANDS:
        clock, processor = zip(*(taken(command) for _ in range(rounds)), strict=True)
        columns = (f"{min(each):.2f} {statistics.median(each):.2f}" for each in (clock, processor))
        print(f"zeuxis {command} | {' | '.join(columns)}", flush=True)


def taken(command: str) -> tuple[float, float]:
    """Seconds by the clock and of the processor that a command takes in a process of its own."""
    begin, before = time.monotonic(), os.times()
    subprocess.run([sys.executable, "-m", "zeuxis", *command.split()], stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return time.monotonic() - begin, used


if __name__ == "__main__":
    main()
