"""Accelerators that nobody here has: every family on a pretended CUDA and MPS device, and what is set on a real one.

Torch's fake tensors say that they are on a device, and `devices/watch.py` sees each operation. So a mixed device, a wait, a
copy or a format that a device does not have is found without one. Speed and numbers are not.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from devices import guard
from devices.labels import MemoryLabels
from waiting import PATIENCE
from zeuxis import registry
from zeuxis.data import batches
from zeuxis.data.batches import Ahead
from zeuxis.data.order import Order
from zeuxis.nets import augment
from zeuxis.nets.denoising import Attention
from zeuxis.nets.norm import InstanceNorm
from zeuxis.nets.objectives import log_normal

PHASES = Path(__file__).parent / "devices" / "phases.py"
KINDS = ("cuda", "mps")
EVERYWHERE = {"cuda": {"mixed"}, "mps": {"mixed", "float64", "no-mps"}}
IN_A_STEP = {"wait", "down", "up"}
CHECK = "training/divergence.py flush"  # the finite check: what a run waits for, once in 16 steps and at its end
SENT = "runtime/accelerator.py sent"
FAMILIES = registry.built_in()

pretended = pytest.mark.skipif(bool(guard.reason_to_skip()), reason=guard.reason_to_skip())


@cache
def found(kind: str) -> dict[str, Any]:
    """What the program of all phases found on a device of this kind."""
    guard.built()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(PHASES), kind], capture_output=True, text=True, timeout=4 * PATIENCE, env=environment
    )
    assert done.returncode == 0, done.stderr[-4000:]
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def rows(kind: str) -> list[tuple[str, str, str, str, str, int]]:
    """Family, phase, kind of fault, line of the package, operation, and how often."""
    return [tuple(row) for row in found(kind)["rows"] if row[0] != "faults"]


def place(where: str) -> str:
    return where.partition(" (line")[0]


@pytest.mark.long
@pretended
@pytest.mark.parametrize("kind", KINDS)
def test_every_family_on_a_pretended_device(kind: str) -> None:
    """All that one run of all phases shows, which takes half a minute."""
    check_each_fault_is_seen(kind)
    check_every_family_keeps_to_its_device(kind)
    check_no_step_waits_or_copies(kind)


def check_every_family_keeps_to_its_device(kind: str) -> None:
    """No error, no tensors of two devices, and on MPS no format and no operation that it does not have."""
    assert not found(kind)["crashes"]
    assert not [row for row in rows(kind) if row[2] in EVERYWHERE[kind]]
    played = defaultdict(set)
    for family, phase, launches in found(kind)["launches"]:
        played[family.partition("(")[0]].add(phase.split()[0])
        assert launches > 0 or phase.split()[0] not in {"step", "sheets", "translate"}, (family, phase)
    for family in FAMILIES:
        assert {"step", "sheets", "diagnostics", "save"} <= played[family], family


def check_no_step_waits_or_copies(kind: str) -> None:
    """But for the finite check; places in the data are sent 64 batches at once, from page-locked memory."""
    steps = [row for row in rows(kind) if row[1].startswith("step")]
    assert not [row for row in steps if row[2] in IN_A_STEP and place(row[3]) != CHECK]
    assert {place(row[3]) for row in steps if row[2] == "sent"} <= {SENT}
    waits = defaultdict(int)
    for family, phase, fault, _, _, count in steps:
        waits[family, phase] += count * (fault == "wait")
    assert waits.pop(("many steps", "step 0 to 17")) == 2
    assert set(waits.values()) <= {0, 1}, waits


def check_each_fault_is_seen(kind: str) -> None:
    seen = defaultdict(set)
    for family, phase, fault, *_ in found(kind)["rows"]:
        if family == "faults":
            seen[phase].add(fault)
    wanted = ["wait", "down", "up", "sent", "mixed", "float64", "no-mps"]
    wanted += ["up, a number", "up, an index", "wait, in a kernel", "no-mps, by its shape"]
    for phase in wanted:
        assert phase.partition(",")[0] in seen[phase], f"{phase}: only {seen[phase]}"
    assert not seen["nothing"]


class Elsewhere(Tensor):
    """A tensor of the CPU that says it is on MPS: what is computed there another way is computed here."""

    device = property(lambda self: torch.device("mps"))  # type: ignore[assignment]


def test_what_an_accelerator_computes_another_way_is_the_same() -> None:
    torch.manual_seed(0)
    u = torch.rand(1000).clamp(1e-4, 1 - 1e-4)
    torch.testing.assert_close(
        log_normal(u.as_subclass(Elsewhere), 0.002, 80.0).as_subclass(Tensor),
        log_normal(u, 0.002, 80.0),
        rtol=2e-3,
        atol=0,
    )
    x = torch.randn(3, 64, 4, 4)
    for layer in (InstanceNorm(), Attention(64)):
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.normal_(std=0.1)
            there = layer(x.as_subclass(Elsewhere))
        assert isinstance(there, Elsewhere)
        torch.testing.assert_close(there.as_subclass(Tensor), layer(x).detach(), rtol=1e-4, atol=1e-4)


def test_places_sent_ahead_are_those_of_each_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr(batches, "sent", lambda values, device: (sent.append(len(values)), values)[1])
    order = Order(50, seed=3)
    there, here = Ahead(order.places, torch.device("cuda")), Ahead(order.places, torch.device("cpu"))
    starts = [*range(0, 800, 8), 4, 12, 5000, 5008, 0]
    for start in starts:
        assert torch.equal(there.at(start, 8), here.at(start, 8))
    assert sent == [8 * 64] * 5  # from 0, 512, 4, 5000 and 0 on
    assert torch.equal(there.at(0, 600), here.at(0, 600))


@pytest.mark.parametrize("room", [0, 1 << 30])
def test_images_come_from_the_memory_of_a_device_as_from_disk(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (30, 5, 5, 3), np.uint8)
    asked: list[int] = []

    class Few:
        stored = SimpleNamespace(shape=images.shape, nbytes=images.nbytes)
        stored_labels = MemoryLabels(np.arange(30))

        def __len__(self) -> int:
            return 30

        def rows(self, places: Any) -> Any:
            asked.append(len(places))
            return images[places]

    plain = batches.PackSource(Few(), seed=1, hflip=True)  # type: ignore[arg-type]
    monkeypatch.setattr(batches, "room_for_data", lambda device: room)
    monkeypatch.setattr(batches, "_UPLOADED", 4 * images[0].nbytes)
    source = batches.PackSource(Few(), seed=1, hflip=True)  # type: ignore[arg-type]
    assert asked == ([4] * 7 + [2] if room else [])
    for start in (0, 8, 24, 100):
        for column, other in zip(plain.batch(start, 8), source.batch(start, 8)):
            assert (column is None) == (other is None)
            assert column is None or torch.equal(column, other)


def test_jitter_of_an_accelerator_crops_pairs_alike() -> None:
    torch.manual_seed(0)
    place = torch.arange(20 * 22).view(1, 1, 20, 22).expand(6, -1, -1, -1)
    one, other = augment._windows([place, place.expand(-1, 3, -1, -1) + 1], 16, 16)
    assert one.shape == (6, 1, 16, 16) and other.shape == (6, 3, 16, 16)
    assert torch.equal(other, one.expand(-1, 3, -1, -1) + 1)
    corners = one[:, 0, 0, 0]
    assert torch.equal(one, place[:, :, :16, :16] + corners.view(-1, 1, 1, 1))
    tops, lefts = corners // 22, corners % 22
    assert len(corners.unique()) > 1
    assert 0 <= tops.min() <= tops.max() <= 4 and 0 <= lefts.min() <= lefts.max() <= 6
