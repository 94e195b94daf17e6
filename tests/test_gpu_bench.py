"""What `bench/gpu.py` does, as far as it can be seen without a GPU: its sides, its windows and its table."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import gpu
from gpu_sides import COMPILED, MEASURED, OURS, SIDES, STRONG, WITHOUT_TEXTBOOK, sides_of
from strong import strong
from waiting import wait_for
from zeuxis import registry

META, CPU = torch.device("meta"), torch.device("cpu")
FIRST = {name.rpartition("-")[0]: name for name in reversed(MEASURED) if name != WITHOUT_TEXTBOOK}  # of each textbook
WITH_TEXTBOOK = sorted(FIRST.values())


def test_every_family_is_measured() -> None:
    assert set(registry.built_in()) <= {name.replace("-gp", "_gp").partition("-")[0] for name in MEASURED}
    assert sides_of("dcgan-64", compiled=True) == list(SIDES)
    assert sides_of("dcgan-64", compiled=False) == [f"{STRONG}, not compiled", OURS]
    assert sides_of(WITHOUT_TEXTBOOK, compiled=True) == [OURS, COMPILED]


@pytest.mark.long
@pytest.mark.parametrize("name", WITH_TEXTBOOK)
def test_a_textbook_stays_on_its_device_and_a_strong_side_has_its_lines(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a device without values, so that nothing is computed."""
    case = MEASURED[name]
    with META:
        book = case.textbook()
    monkeypatch.setattr(Tensor, "item", lambda self: 1.0)
    book.step(torch.zeros(max(case.batch, 4), case.channels, case.size, case.size, device=META))

    strong(book, bf16=True)
    inside = {id(parameter) for network in book.networks for parameter in network.parameters()}
    groups = [group for optimizer in book.optimizers for group in optimizer.param_groups]
    moved = [parameter for group in groups for parameter in group["params"]]
    assert moved and {id(parameter) for parameter in moved} <= inside
    assert all(each.is_contiguous(memory_format=torch.channels_last) for each in moved if each.ndim == 4)
    assert all(group.get("fused", True) for group in groups)


@pytest.mark.parametrize("side", [f"{STRONG}, not compiled", OURS])
def test_a_worker_measures_windows(side: str) -> None:
    class Pipe(list[Any]):
        asked = [0.001, 0.001, 0.0]

        def recv(self) -> float:
            return self.asked.pop(0)

    pipe = Pipe()
    pipe.send = pipe.append  # type: ignore[attr-defined]
    gpu.work("gan-32", side, 1, CPU, pipe)  # type: ignore[arg-type]
    ready, *windows = pipe
    assert ready == "ready" and len(windows) == 2
    assert all(each.rate > 0 and math.isnan(each.busy) and each.memory > 1 << 20 for each in windows)


def test_overlapping_kernels_count_once() -> None:
    assert gpu.covered([]) == 0
    assert gpu.covered([(5, 6), (0, 2), (1, 3), (1.5, 2)]) == 4


def test_a_look_at_the_gpu_is_taken_until_the_window_ends() -> None:
    looks = iter(range(1, 10_000))
    with gpu.watched(lambda: next(looks)) as found:
        wait_for(lambda: len(found) >= 2, "two looks")
    assert found[:2] == [1, 2]
    with gpu.watched(None) as found:
        pass
    assert found == []


def test_the_table_has_ratios_to_the_faster_strong_side_and_the_goal() -> None:
    def windows(rate: float, busy: float) -> list[gpu.Window]:
        return [gpu.Window(rate * share, busy, 10**6) for share in (0.9, 1.0, 1.2)]

    found = {STRONG: windows(100, 0.5), f"{STRONG}, not compiled": windows(80, 0.5), OURS: windows(150, 0.89)}
    lines = gpu.rows("diffusion-64", 32, dict.fromkeys(found, "bf16"), found)
    assert lines[-1] == "| diffusion-64 | 32 | ours | bf16 | 135.0 | 150.0 | 180.0 | 1.50 | 89 % | 1 |"
    assert len(lines) == 3 and lines[0].count("|") == gpu.HEAD.count("|")
    assert gpu.missed("diffusion-64", found) == ["diffusion-64, ours: busy 89 % of the time; the goal is 90 %"]
    assert gpu.missed("dcgan-64", found) == []


def test_without_a_gpu_it_says_so_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match=r"^gpu\.py: torch .* finds no CUDA device here; run it on a machine with"):
        gpu.main([])
    with pytest.raises(SystemExit):
        gpu.main(["nothing"])
