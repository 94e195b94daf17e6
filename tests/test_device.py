"""What a run asks of the computer: memory that stays with it from step to step."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import psutil
import pytest
import torch

from zeuxis.errors import UsageError
from zeuxis.runtime import accelerator, cpu_load, device
from zeuxis.training import build
from zeuxis.training.settings import TrainSettings

# In a process of its own: the first `mallopt` ends malloc's own way of moving its thresholds. Without huge pages (prctl's
# PR_SET_THP_DISABLE), which some systems give to everyone, so that faults count pages.
SCRIPT = """
import ctypes, resource, torch
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)
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
    for _ in range(3):  # until the heap has room for them at any place where it begins
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


# What stands in the environment, what is imported before, and the spins of a thread that waits.
SPINS = {
    "nothing": ({}, "", "1000"),
    "spins chosen": ({"GOMP_SPINCOUNT": "7"}, "", "7"),
    "policy chosen": ({"OMP_WAIT_POLICY": "active"}, "", "None"),
    "torch was there before": ({}, "sys.modules['torch'] = sys", "None"),
}


@pytest.mark.parametrize("case", SPINS)
def test_threads_that_wait_spin_shortly_unless_the_user_has_chosen(case: str) -> None:
    chosen, before, expected = SPINS[case]
    own = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    script = f"import os, sys; {before}\nimport zeuxis; print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)"
    env = {**own, "PYTHONPATH": os.pathsep.join(sys.path), **chosen}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [expected, str(bool(before))]


class Times(NamedTuple):
    """What Linux says of a core, in seconds (proc(5)); the last two are parts of the first two."""

    user: float
    nice: float = 0.0
    system: float = 0.0
    idle: float = 0.0
    iowait: float = 0.0
    irq: float = 0.0
    softirq: float = 0.0
    steal: float = 0.0
    guest: float = 9.0
    guest_nice: float = 10.0


class Cores:
    """A computer whose cores have been at work and idle for so many hundredths of a second; some of them are ours."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, ours: Sequence[int]) -> None:
        self.ticks: list[tuple[int, int]] = []
        monkeypatch.setattr(psutil, "cpu_times", self.times)
        monkeypatch.setattr(psutil.Process, "cpu_affinity", lambda process: list(ours), raising=False)

    def times(self, percpu: bool) -> list[Times]:
        assert percpu
        return [Times(work / 100, idle=idle / 100) for work, idle in self.ticks]


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
@pytest.mark.parametrize("case", CASES)
def test_cores_that_other_work_keeps_busy_get_no_thread(monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    work, asked, taken, said = CASES[case]
    cores, told = Cores(monkeypatch, [0, 1, 2, 3]), list[str]()
    cores.ticks = [(700, 300), (0, 5000), (20, 20), (9, 1)]

    def rest(seconds: float) -> None:
        cores.ticks = [(a + w, b + 100 - w) for (a, b), w in zip(cores.ticks, work, strict=True)]

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(device, "_THREADS", 4)
    monkeypatch.setattr(cpu_load, "time", SimpleNamespace(process_time=lambda: 0.0))
    monkeypatch.setattr(device.time, "sleep", rest)
    assert device.choose_threads(asked, told.append) == taken == torch.get_num_threads()
    assert len(told) == (said is not None) and (said or "") in "".join(told)


@pytest.mark.usefixtures("torch_threads")
@pytest.mark.parametrize("error", [AttributeError("macOS"), PermissionError(13, "/proc/stat"), psutil.AccessDenied()])
def test_where_cores_do_not_tell_each_gets_a_thread(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(process: object) -> None:
        raise error

    told = list[str]()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(psutil.Process, "cpu_affinity", refuse, raising=False)
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
def test_what_this_process_did_itself_keeps_no_core_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    cores, spent = Cores(monkeypatch, [0, 1, 2, 3]), iter([20.0, 21.0])
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(cpu_load, "time", SimpleNamespace(process_time=lambda: next(spent)))
    monkeypatch.setattr(device, "_THREADS", 4)
    cores.ticks = [(50, 50)] * 4
    before = cpu_load.now()
    cores.ticks = [(150, 50), (150, 50), (50, 150), (60, 140)]  # a second; two cores at work, one with us
    device.leave_busy_cores(before)
    assert torch.get_num_threads() == 3


# The cores that this process may use, those that others keep busy of the machine's, and how many of ours those are.
AFFINITIES = {
    "all": ([0, 1, 2, 3], [1, 3], 2),
    "some": ([0, 2], [1, 3], 0),
    "one of them busy": ([2, 3], [0, 1, 3], 1),
    "a container sees its own alone": ([40, 41, 42, 43], [0, 2, 3], 3),
    "a core that is switched off": ([2, 3, 4], [2, 3], 2),
}


@pytest.mark.parametrize("case", AFFINITIES)
def test_load_counts_on_our_cores_alone(monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    ours, at_work, expected = AFFINITIES[case]
    cores = Cores(monkeypatch, ours)
    monkeypatch.setattr(cpu_load, "time", SimpleNamespace(process_time=lambda: 1.0))
    cores.ticks = [(0, 0)] * 4
    before = cpu_load.now()
    cores.ticks = [(50 * (core in at_work), 50 * (core not in at_work)) for core in range(4)]
    assert cpu_load.busy(before) == expected


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux tells which cores are ours")
def test_the_cores_of_this_computer_tell() -> None:
    before, after = cpu_load.now(), cpu_load.now()
    assert len(before.total) == len(os.sched_getaffinity(0))
    assert all(0 <= then <= now for then, now in zip(before.total, after.total, strict=True))
    assert all(0 < idle <= total for idle, total in zip(after.idle, after.total, strict=True))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the most in /proc")
def test_the_most_memory_is_in_bytes() -> None:
    rows = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    peak = next(int(row.split()[1]) << 10 for row in rows if row.startswith("VmHWM"))
    # Linux counts in what the program had before it became this one.
    assert 0.99 * peak <= device.peak_memory(torch.device("cpu")) < psutil.virtual_memory().total


def test_the_most_memory_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setattr(psutil.Process, "memory_info", lambda process: SimpleNamespace(peak_wset=123))
    assert device.peak_memory(torch.device("cpu")) == 123


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two GPUs that compute in bfloat16, as far as a program asks."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)


@pytest.mark.usefixtures("gpus")
def test_one_of_several_gpus_is_named_by_its_number() -> None:
    assert device.choose_device("auto") == device.choose_device("cuda") == torch.device("cuda")
    assert device.choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(UsageError, match="--device is 'cuda:2', and torch finds 2 GPUs here; choose cuda:0 to cuda:1"):
        device.choose_device("cuda:2")


def test_a_device_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="--device is cuda:1, and torch .* finds none here"):
        device.choose_device("cuda:1")


@pytest.mark.usefixtures("gpus")
def test_a_run_keeps_the_number_of_its_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.device] = []
    monkeypatch.setattr(build, "build", lambda *_, device, **__: asked.append(device))
    monkeypatch.setattr(build, "prepare_device", lambda *_, **__: None)
    family = SimpleNamespace(bf16=True, batch_size=4, ema_half_life=1)
    quiet = SimpleNamespace(note=lambda text: None)
    for name in ("cuda:1", "cuda"):
        settings, _ = build.prepare_model(TrainSettings(device=name, threads=1), family, {}, quiet, fill=None)  # type: ignore[arg-type]
        assert settings.device == name
        assert settings.precision == "bf16"
    assert asked == [torch.device("cuda:1"), torch.device("cuda")]


@pytest.mark.usefixtures("gpus")
def test_the_number_format_follows_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, mps, cpu = map(torch.device, ("cuda", "mps", "cpu"))
    assert device.choose_precision("auto", cuda, suits=True) == "bf16"
    assert device.choose_precision("auto", cuda, suits=False) == "tf32"
    assert device.choose_precision("auto", mps, suits=True) == "fp32"
    assert device.choose_precision("bf16", mps, suits=False) == "bf16"
    for name in ("fp32", "tf32"):
        assert {device.choose_precision(name, each, suits=True) for each in (cuda, mps, cpu)} == {name}
        assert TrainSettings(precision=name).number_format == "fp32"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)  # before Ampere
    assert device.choose_precision("auto", cuda, suits=True) == "fp32"


@pytest.fixture
def torch_kernels() -> Iterator[None]:
    """What `prepare_device` sets, as it was."""
    owners = {
        torch.backends.cuda.matmul: ["allow_tf32"],
        torch.backends.cudnn: ["allow_tf32", "benchmark", "deterministic"],
    }
    before = [(owner, name, getattr(owner, name)) for owner, names in owners.items() for name in names]
    yield
    for owner, name, value in before:
        setattr(owner, name, value)
    torch.use_deterministic_algorithms(False)
    os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)


@pytest.mark.usefixtures("torch_kernels")
@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("tf32", [True, False])
def test_cuda_is_told_how_to_compute(fixed: bool, tf32: bool) -> None:
    accelerator.prepare_device(torch.device("cuda:1"), tf32=tf32, fixed=fixed)
    assert torch.backends.cuda.matmul.allow_tf32 == torch.backends.cudnn.allow_tf32 == tf32
    assert (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic) == (not fixed, fixed)
    assert torch.are_deterministic_algorithms_enabled() == fixed
    assert ("CUBLAS_WORKSPACE_CONFIG" in os.environ) == fixed


@pytest.mark.usefixtures("torch_kernels")
def test_elsewhere_nothing_is_set() -> None:
    before = torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32
    accelerator.prepare_device(torch.device("cpu"), tf32=not before[1], fixed=before[0])
    assert before == (torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32)
    assert accelerator.room_for_data(torch.device("cpu")) == 0
