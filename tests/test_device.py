"""What a run asks of the computer: memory that stays with it from step to step."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from zeuxis.runtime import cpu_load, device

# In a process of its own: the first `mallopt` ends malloc's own way of moving its thresholds.
SCRIPT = """
import resource, torch
from zeuxis.runtime.device import memory_kept

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.ones(16 << 20)  # 64 MiB, 16,384 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1])

before, start = faults(), resident()
with memory_kept():
    faults()
    kept = faults()
print(before, kept, resident() - start)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc is spoken to")
def test_large_tensors_reuse_the_memory_of_the_last_ones_until_training_is_over() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    before, kept, grown = map(int, done.stdout.split())
    assert before > 50_000  # the pages of every tensor were new
    assert kept < 100
    assert grown < 16_384  # pages: what was kept has gone back


@pytest.fixture
def torch_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def core_times(ticks: list[tuple[int, int]]) -> str:
    """What Linux says of cores (proc(5)) that were at work and idle for so many ticks."""
    rows = [f"cpu{core} {work} 0 0 {idle} 0 0 0 0 0 0" for core, (work, idle) in enumerate(ticks)]
    return "\n".join(["cpu  1 2 3 4 5 6 7 8 9 10", *rows, "intr 1 2 3", "ctxt 12"])


# In 100 ticks of each of four cores: what others worked, what is asked for; what is taken, what is said.
CASES = {
    "idle": ([3, 0, 5, 1], 0, 4, None),
    "one core busy": ([100, 0, 5, 1], 0, 3, "computing with 3 of 4 threads"),
    "one process that moves": ([30, 20, 25, 20], 0, 3, "keeps 1 of the cores busy"),
    "all busy": ([100, 100, 100, 100], 0, 1, "computing with 1 of 4 threads"),
    "asked for": ([100, 100, 0, 0], 4, 4, "may be many times slower than with 2"),
    "asked for what is free": ([100, 100, 0, 0], 2, 2, None),
    "more than there are": ([0, 0, 0, 0], 8, 8, None),
    "one thread": ([100, 100, 100, 100], 1, 1, None),
}


@pytest.mark.usefixtures("torch_threads")
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux tells what its cores do")
@pytest.mark.parametrize("case", CASES)
def test_cores_that_other_work_keeps_busy_get_no_thread(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, case: str
) -> None:
    work, asked, taken, said = CASES[case]
    stat, told = tmp_path / "stat", list[str]()
    stat.write_text(core_times([(700, 300), (0, 5000), (20, 20), (9, 1)]))

    def rest(seconds: float) -> None:
        after = [(700, 300), (0, 5000), (20, 20), (9, 1)]
        stat.write_text(core_times([(a + w, b + 100 - w) for (a, b), w in zip(after, work, strict=True)]))

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3})
    monkeypatch.setattr(cpu_load, "_STAT", stat)
    monkeypatch.setattr(device, "_THREADS", 4)
    monkeypatch.setattr(device.time, "sleep", rest)
    assert device.choose_threads(asked, told.append) == taken == torch.get_num_threads()
    assert len(told) == (said is not None) and (said or "") in "".join(told)


@pytest.mark.usefixtures("torch_threads")
def test_where_cores_do_not_tell_each_gets_a_thread(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = list[str]()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(cpu_load, "_STAT", tmp_path / "nothing")
    monkeypatch.setattr(device, "_THREADS", 4)
    monkeypatch.setattr(device.time, "sleep", lambda seconds: None)
    assert device.choose_threads(0, told.append) == 4
    assert not told


@pytest.mark.usefixtures("torch_threads")
def test_the_environment_decides_how_many_threads_are_all(monkeypatch: pytest.MonkeyPatch) -> None:
    told = list[str]()
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr(device, "_THREADS", 3)
    monkeypatch.setattr(cpu_load, "busy", lambda since: 2)
    assert device.choose_threads(0, told.append) == 3
    assert "slower than with 1" in told[0]


@pytest.mark.usefixtures("torch_threads")
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux tells what its cores do")
def test_what_this_process_did_itself_keeps_no_core_busy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stat, spent = tmp_path / "stat", iter([20.0, 21.0])
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3})
    monkeypatch.setattr(cpu_load, "_STAT", stat)
    monkeypatch.setattr(cpu_load.time, "process_time", lambda: next(spent))
    monkeypatch.setattr(device, "_THREADS", 4)
    stat.write_text(core_times([(50, 50)] * 4))
    before = cpu_load.now()
    stat.write_text(
        core_times([(150, 50), (150, 50), (50, 150), (60, 140)])
    )  # a second; two cores at work, one with us
    device.leave_busy_cores(before)
    assert torch.get_num_threads() == 3
