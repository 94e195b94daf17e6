"""How fast every family trains on an NVIDIA GPU, and how busy it keeps it, against what a strong user of PyTorch writes.

    python bench/gpu.py [diffusion-64 dcgan-64 stylegan2-64 ...] [--windows 6] [--seconds 3] [--times 1] [--no-compile]

The strong side is the textbook's step with four lines more: channels_last, fused Adam, bfloat16 autocast, torch.compile. Ours
is what `zeuxis train` does by itself, and what it does with --compile. Each has a process of its own, and they take turns of
a few seconds, with the same batches in the GPU's memory. `--times` is how many times larger batches are than those of a CPU.
Prints images/s (minimum, median, maximum over the windows), the ratio of medians to the faster strong side, the share of the
time in which the GPU was busy (by NVML where pynvml is installed, else by the time of its kernels in torch.profiler), and the
most memory that tensors took. The goal for diffusion-64 is 90 % busy.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import NamedTuple

import torch

from gpu_sides import MEASURED, OURS, SIDES, STRONG, Step, format_of_ours, say, sides_of
from taking_turns import Work, serve, turns
from zeuxis.runtime.accelerator import prepare_device
from zeuxis.runtime.device import peak_memory

GOAL = {"diffusion-64": 0.9}  # share of the time busy
WARM_UP = 10  # steps, in which kernels are compiled and timed
SAMPLED = 0.05  # seconds between two looks at NVML
PROFILED = 10  # steps whose kernels are timed
HEAD = "| case | batch | side | format | min | median | max | to strong | busy | memory (MB) |"


class Window(NamedTuple):
    """What a window of a few seconds shows."""

    rate: float  # images per second
    busy: float  # share of the time, in 0 ... 1; NaN where it is not known
    memory: int  # bytes, the most since the warm-up


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """The length of the union of spans (start, end): kernels of several streams may overlap."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def kernel_time(step: Step, steps: int) -> float:
    """The share of the time of so many steps in which some kernel ran, by torch.profiler; NaN without a GPU."""
    if not torch.cuda.is_available():
        return float("nan")
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        begin = moment()
        for _ in range(steps):
            step()
        lasted = moment() - begin
    there = torch.autograd.DeviceType.CUDA  # type: ignore[attr-defined]
    kernels = [event.time_range for event in profile.events() or () if event.device_type == there]
    return covered((each.start, each.end) for each in kernels) / 1e6 / lasted


@contextlib.contextmanager
def watched(look: Callable[[], int] | None) -> Iterator[list[int]]:
    """What NVML says every now and then while it lasts, in per cent; nothing where it cannot be asked."""
    found, over = list[int](), threading.Event()

    def go() -> None:
        while look is not None and not over.wait(SAMPLED):
            found.append(look())

    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def nvml() -> Callable[[], int] | None:
    """What asks NVML how busy the GPU is; None without a GPU, or without pynvml."""
    try:
        torch.cuda.utilization()
    except (ImportError, RuntimeError, AssertionError):
        return None
    return torch.cuda.utilization


def window(step: Step, batch: int, seconds: float, device: torch.device, look: Callable[[], int] | None) -> Window:
    """Images per second of some seconds, and how busy the GPU was meanwhile."""
    begin, steps = moment(), 0
    with watched(look) as shares:
        while time.perf_counter() - begin < seconds or steps < 2:
            step()
            steps += 1
        lasted = moment() - begin
    busy = statistics.mean(shares) / 100 if shares else kernel_time(step, PROFILED)
    return Window(steps * batch / lasted, busy, peak_memory(device))


def moment() -> float:
    """The time, once the GPU has done what it was told."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def work(case: str, side: str, times: int, device: torch.device, pipe: Connection) -> None:
    """A worker: for every number of seconds that is sent, a window; the number 0 ends it."""
    batch = MEASURED[case].batch * times
    prepare_device(device, tf32=True, fixed=False)
    torch.manual_seed(0)
    step, look = SIDES[side](MEASURED[case], batch, device), nvml()
    for _ in range(WARM_UP):
        step()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    serve(pipe, lambda seconds: window(step, batch, seconds, device, look))


def compare(
    case: str, sides: Sequence[str], *, windows: int, seconds: float, times: int, device: torch.device
) -> dict[str, list[Window]]:
    """The windows of each side, a process each, in turns; without those that ended with an error."""
    workers: dict[str, Work] = {side: (work, (case, side, times, device)) for side in sides}
    return turns(workers, windows=windows, seconds=seconds)


def rows(name: str, batch: int, formats: Mapping[str, str], found: Mapping[str, Sequence[Window]]) -> list[str]:
    """The rows of the table."""
    base = max((_median(each) for side, each in found.items() if side.startswith(STRONG)), default=0.0)
    lines = list[str]()
    for side, each in found.items():
        rates = sorted(window.rate for window in each)
        busy, memory = _busy(each), max(window.memory for window in each)
        cells = [name, batch, side, formats[side], *(f"{x:,.1f}" for x in (rates[0], _median(each), rates[-1]))]
        cells += [f"{_median(each) / base:.2f}" if base else "", f"{100 * busy:.0f} %", f"{memory / 1e6:,.0f}"]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def missed(name: str, found: Mapping[str, Sequence[Window]]) -> list[str]:
    """A line for each side of ours that does not reach the goal."""
    goal, busy = GOAL.get(name, 0.0), {side: _busy(each) for side, each in found.items() if side.startswith(OURS)}
    return [
        f"{name}, {side}: busy {100 * share:.0f} % of the time; the goal is {100 * goal:.0f} %"
        for side, share in busy.items()
        if share < goal
    ]


def _busy(windows: Sequence[Window]) -> float:
    return statistics.median(window.busy for window in windows)


def _median(windows: Sequence[Window]) -> float:
    return statistics.median(window.rate for window in windows)


def measure(name: str, given: argparse.Namespace, device: torch.device) -> None:
    """Print the rows of a case, and aside whether it misses the goal."""
    case, sides = MEASURED[name], sides_of(name, compiled=not given.no_compile)
    formats = {side: "bf16" if side.startswith(STRONG) else format_of_ours(case, device) for side in sides}
    counts = {"windows": given.windows, "seconds": given.seconds, "times": given.times}
    found = compare(name, sides, device=device, **counts)
    print(*rows(name, case.batch * given.times, formats, found), sep="\n", flush=True)
    for line in missed(name, found):
        say(line)


def main(words: Sequence[str] | None = None) -> None:
    """Compare the cases named, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=list(MEASURED), metavar="case", help=", ".join(MEASURED))
    parser.add_argument("--windows", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--times", type=int, default=1, help="how many times larger batches are than those of a CPU")
    parser.add_argument("--no-compile", action="store_true", help="leave out the sides that are compiled")
    given = parser.parse_args(words)
    if unknown := set(given.cases) - set(MEASURED):
        parser.error(f"there is no case {min(unknown)!r}; there are {', '.join(MEASURED)}")
    if not torch.cuda.is_available():
        sys.exit(f"gpu.py: torch {torch.__version__} finds no CUDA device here; run it on a machine with an NVIDIA GPU")
    device = torch.device("cuda", 0)
    print(f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}", "", HEAD, "|---" * 10 + "|", sep="\n")
    for name in given.cases:
        measure(name, given, device)


if __name__ == "__main__":
    main()
