"""What a run computes on: the device, the number format, the threads."""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import psutil
import torch

from zeuxis.errors import UsageError
from zeuxis.options import Precision
from zeuxis.runtime import cpu_load

_CPU_INFO = Path("/proc/cpuinfo")
_WATCHED = 0.5  # seconds
_THREADS = torch.get_num_threads()  # as torch chose: one per core, or OMP_NUM_THREADS
_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # the last is ARM's


def choose_device(name: str) -> torch.device:
    """The device of that name; `auto` takes CUDA, else MPS, else the CPU; `UsageError` where there is none such."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    kind = next(kind for kind in there if there[kind]) if name == "auto" else name.partition(":")[0]
    if kind not in there:
        raise UsageError(f"--device is {name!r}; choose one of auto, {', '.join(there)}")
    if not there[kind]:
        found = ", ".join(other for other in there if there[other])
        raise UsageError(f"--device is {name}, and torch {torch.__version__} finds none here; there is {found}")
    index = name.partition(":")[2]
    if index and not (index.isdecimal() and int(index) < torch.cuda.device_count()):
        count = torch.cuda.device_count()
        raise UsageError(f"--device is {name!r}, and torch finds {count} GPUs here; choose cuda:0 to cuda:{count - 1}")
    return torch.device(kind if name == "auto" else name)


def choose_precision(precision: Precision, device: torch.device, *, suits: bool) -> Literal["fp32", "tf32", "bf16"]:
    """The number format of that name; `auto` takes bf16 where the device has instructions for it, if that `suits` the
    family, else tf32 on a GPU that has it.

    Raises `UsageError` for bf16 on a CPU without them. `tf32` is a permission, which other devices do not use.
    """
    has_bf16 = _has_bf16(device)
    if precision == "auto":
        return "bf16" if suits and has_bf16 else "tf32" if device.type == "cuda" and has_bf16 else "fp32"
    if precision == "bf16" and device.type == "cpu" and not has_bf16:
        raise UsageError(
            "--precision is bf16, and this CPU has no instructions for it (AVX512-bf16 or AMX): "
            "it would be about 30 times slower; use --precision fp32 (a run that began in bf16 goes on exactly only "
            "where there are some; elsewhere start anew, with --init-from it)"
        )
    return precision


def _has_bf16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16 faster than in float32. GPUs of NVIDIA have it since they have TF32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and _cpu_has_bf16()  # of MPS nobody has measured it yet


def _cpu_has_bf16() -> bool:
    try:
        words = set(_CPU_INFO.read_text(encoding="utf-8", errors="replace").lower().split())
    except OSError:  # macOS, Windows: not known, so not promised
        return False
    return bool(words & _BF16_FLAGS)


def choose_threads(number: int, tell: Callable[[str], None]) -> int:
    """Compute with that many CPU threads (0: one for each core that other work leaves free); how many those are.

    A step waits for its slowest thread hundreds of times, so two threads where one core is busy are slower than one.
    `tell` hears of cores that are. `OMP_NUM_THREADS`, where it is set, is what 0 stands for.
    """
    asked = number or _THREADS
    busy = 0 if asked == 1 else _watch_cores()
    free = max(1, _THREADS - busy)
    chosen = asked if number or "OMP_NUM_THREADS" in os.environ else min(asked, free)
    if busy and chosen > free:
        tell(
            f"warning: other work keeps {busy} of the cores busy, and this run computes with {chosen} threads: "
            f"it may be many times slower than with {free}"
        )
    elif chosen < asked:
        tell(
            f"other work keeps {busy} of the cores busy: computing with {chosen} of {asked} threads (--threads {asked} for all)"
        )
    torch.set_num_threads(chosen)
    return chosen


def _watch_cores() -> int:
    """How many cores others keep busy, found while this process rests."""
    before = cpu_load.now()
    time.sleep(_WATCHED)
    return cpu_load.busy(before)


def leave_busy_cores(since: cpu_load.Moment) -> None:
    """Compute with one thread for each core that other work has left free since then, as a run does; say nothing."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, _THREADS - cpu_load.busy(since)))


# Of glibc's malloc.h: what `mallopt` sets.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4


@contextlib.contextmanager
def memory_kept() -> Iterator[None]:
    """While it lasts, memory that a tensor frees stays with the process (glibc; elsewhere nothing changes).

    Every step asks for the same tensors again, and malloc would give large ones back to the system each time, which then
    must clear tens of thousands of pages a step. The most that is in use at once does not rise.
    """
    libc = _glibc()
    if libc is None:
        yield
        return
    libc.mallopt(_MMAP_MAX, 0)
    libc.mallopt(_TRIM_THRESHOLD, -1)
    try:
        yield
    finally:
        # malloc moves its thresholds by itself until the first mallopt: now to where that would have ended.
        libc.mallopt(_MMAP_MAX, 65536)
        libc.mallopt(_MMAP_THRESHOLD, 32 << 20)
        libc.mallopt(_TRIM_THRESHOLD, 64 << 20)
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:  # macOS, Windows, musl
        return None
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None


def peak_memory(device: torch.device) -> int:
    """The most memory in bytes that this process has had: on CUDA the device's, else the computer's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return int(psutil.Process().memory_info().peak_wset)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if os.uname().sysname == "Darwin" else peak * 1024
