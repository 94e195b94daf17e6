"""Twenty thousand steps and two thousand samples in one process: memory, descriptors and threads stay as they are."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import soak
from commandline import in_a_process
from faults import LONG
from release import RELEASE
from soak import POINTS, Measure
from zeuxis import registry

# Steps of each family. A layer of numbers each for the long job: there the loop itself is most of the work.
JOBS = (
    {"sound": 18_000, "vae": 2_000}
    if not RELEASE
    else {"sound": 1_000_000, **dict.fromkeys(registry.built_in(), 100_000)}
)
SAMPLES = 2_000 if not RELEASE else 50_000  # of each family that draws from seeds

# What a step, or a sample, may leave behind: 1 MB/h at ten steps a second. That is less than one more number in a list of
# Python, an object of 24 bytes and a place of 8; a tensor takes 300 bytes at least.
BYTES, OBJECTS = 29, 0.1
# What may come once: pages that are first touched late, caches that fill (of regular expressions, of the C library).
RESIDENT, MALLOCED, FEW = 2_000_000, 100_000, 1_000


def growth(count: int, seen: list[Measure]) -> list[str]:
    """What grew by more than it may from the first measure to the last of a job of so many steps or samples."""
    between = count * (POINTS - 1) // POINTS
    most = {
        "resident": RESIDENT + BYTES * between,
        "malloced": MALLOCED + BYTES * between,
        "objects": FEW + OBJECTS * between,
        "descriptors": 0,
        "threads": 0,
    }
    grown = {name: getattr(seen[-1], name) - getattr(seen[0], name) for name in most}
    return [f"{name} grew by {grown[name]:,}, at most {most[name]:,.0f}" for name in most if grown[name] > most[name]]


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="counts descriptors")
@pytest.mark.timeout(3 * LONG)  # 60 s of the processor; on a busy machine ten times that
def test_long_work_holds_no_more_at_its_end_than_after_a_quarter_of_it(tmp_path: Path) -> None:
    words = [str(tmp_path), str(SAMPLES), *(f"{name}={steps}" for name, steps in JOBS.items())]
    done = in_a_process(soak.__file__, *words)
    assert done.returncode == 0, done.stderr.decode()
    told = [json.loads(line) for line in done.stdout.splitlines()]
    jobs = {each["what"]: (each["count"], measures(each)) for each in told if each["what"] != "idle"}
    assert sum(count for what, (count, _) in jobs.items() if "steps" in what) >= 20_000
    assert sum(count for what, (count, _) in jobs.items() if "samples" in what) >= 2_000
    assert all(len(seen) == POINTS for _, seen in jobs.values())
    assert not {what: found for what, job in jobs.items() if (found := growth(*job))}
    idle = [seen for each in told if each["what"] == "idle" for seen in measures(each)]
    assert len(idle) == len(JOBS)
    assert len({(seen.descriptors, seen.threads) for seen in idle}) == 1, "a run that is over holds nothing open"


def measures(told: dict[str, Any]) -> list[Measure]:
    return [Measure(**each) for each in told["seen"]]


@pytest.mark.parametrize("name", ["resident", "malloced", "objects", "descriptors", "threads"])
def test_what_grows_at_every_step_is_named(name: str) -> None:
    """By a tensor of the smallest size, or by one object."""
    each = {"resident": 500, "malloced": 500, "objects": 1, "descriptors": 1, "threads": 1}[name]
    flat = {"resident": 3 * 10**8, "malloced": 10**8, "objects": 10**6, "descriptors": 9, "threads": 2}
    seen = [Measure(**{**flat, name: flat[name] + each * 5_000 * i}) for i in range(POINTS)]
    assert growth(20_000, [Measure(**flat)] * POINTS) == []
    (found,) = growth(20_000, seen)
    assert found.startswith(f"{name} grew by")
