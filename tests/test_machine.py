"""What a run asks of the computer: memory that stays with it from step to step."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# In a process of its own: the first `mallopt` ends malloc's own way of moving its thresholds.
SCRIPT = """
import resource, torch
from zeuxis.session.machine import memory_kept

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
