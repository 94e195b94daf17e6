"""The time and memory of a training run, measured by a few steps on noise."""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zeuxis.model import Batch, Clock, Model, Translator
from zeuxis.runtime import signals
from zeuxis.runtime.accelerator import prepare_device
from zeuxis.runtime.device import choose_device, choose_precision, choose_threads, memory_kept, peak_memory
from zeuxis.training import engine
from zeuxis.training.batch_sizes import check_micro_batches, check_one_image
from zeuxis.training.build import build, options_in_force
from zeuxis.training.settings import TrainSettings
from zeuxis.training.transfer import FirstWeights

_STEPS = 6
_SECONDS = 20.0


@dataclass(frozen=True)
class Pace:
    """From a step on: wall-clock seconds and CPU seconds (all threads) per step."""

    first: int
    seconds: float
    core_seconds: float


@dataclass(frozen=True)
class Plan:
    """The options, and the origins of those not at their default; parameters per network; bytes of weights with EMA and
    optimizer states; measured peak memory; the pace in each phase of the training."""

    options: dict[str, Any]
    origins: dict[str, str]  # by option: "given", "preset paper", "model NAME", "data set"
    parameters: dict[str, int]
    state_bytes: int
    peak_bytes: int
    paces: tuple[Pace, ...]
    device: str
    batch_size: int
    notes: tuple[str, ...] = ()  # on the model whose weights it would start from

    def seconds(self, steps: int) -> float:
        """The wall-clock time of so many steps."""
        return sum(pace.seconds * (min(steps, end) - pace.first) for pace, end in self._spans() if pace.first < steps)

    def steps(self, seconds: float, *, core: bool = False) -> float:
        """The number of steps within a wall-clock or CPU time."""
        for pace, end in self._spans():
            taken = max(pace.core_seconds if core else pace.seconds, 1e-9)
            done = pace.first + seconds / taken
            if done < end:
                break
            seconds -= taken * (end - pace.first)
        return done

    def _spans(self) -> list[tuple[Pace, float]]:
        return list(zip(self.paces, [*(pace.first for pace in self.paces[1:]), math.inf]))


class _Noise:
    """A source of noise in the shape of the model's images."""

    def __init__(self, model: Model) -> None:
        self.columns = model.needs
        self._shape = (model.channels, model.size, model.size)
        self._source: tuple[int, int, int] | None = None
        if isinstance(model, Translator):
            self._source = (model.source_channels, model.source_size, model.source_size)
        self._device = model.device

    def batch(self, start: int, size: int) -> Batch:
        label = torch.zeros(size, dtype=torch.int64, device=self._device)
        source = None if self._source is None else self._noise(size, self._source)
        return Batch(self._noise(size, self._shape), source, label if "label" in self.columns else None)

    def _noise(self, size: int, shape: tuple[int, int, int]) -> Tensor:
        noise = torch.rand(size, *shape, device=self._device) * 2 - 1
        return noise.to(memory_format=torch.channels_last)


def plan_run(
    settings: TrainSettings, family: type[Model], options: Mapping[str, Any], *, shape: Mapping[str, Any] | None = None
) -> Plan:
    """Build the model and take a few steps on noise; no data is read and nothing is written.

    `shape` are the options of a named set.
    """
    first = FirstWeights.of(settings.init_from, family)
    chosen = options_in_force(family, shape=shape or {}, preset=settings.preset, given=options, start=first.start)
    batch_size = settings.batch_size or family.batch_size
    check_micro_batches(batch_size, settings.micro_batches)
    with signals.signals():
        device = choose_device(settings.device)
        precision = choose_precision(settings.precision, device, suits=family.bf16)
        settings = dataclasses.replace(settings, precision=precision)
        prepare_device(device, tf32=precision == "tf32", fixed=settings.kernels == "standard")
        choose_threads(settings.threads, tell=lambda text: None)
        values = {name: value for name, (value, _) in chosen.items()}
        model = build(family, values, seed=settings.seed, device=device, fill=first)
        check_one_image(model, _Noise(model), settings)
        with memory_kept():
            state = engine.State.start(model)
            paces = _paces(state, settings, batch_size)
    return Plan(
        options=model.options,
        origins={name: origin for name, (_, origin) in chosen.items()},
        parameters=_parameters(model),
        state_bytes=sum(value.nbytes for group in state.tensors().values() for value in group.values()),
        peak_bytes=peak_memory(device),
        paces=paces,
        device=str(device),
        batch_size=batch_size,
        notes=tuple(first.lines()),
    )


def _parameters(model: Model) -> dict[str, int]:
    """Trainable parameters of each network, and of the model itself."""
    found: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        part = name.split(".")[0]
        found[part] = found.get(part, 0) + (parameter.numel() if parameter.requires_grad else 0)
    return found


def _paces(state: engine.State, settings: TrainSettings, batch_size: int) -> tuple[Pace, ...]:
    """The pace in each phase of the training."""
    clocks = [clock for clock in state.model.schedule_breakpoints(batch_size) if clock.step < settings.last_step]
    return tuple(_measure(state, clock, settings, batch_size, _SECONDS / len(clocks)) for clock in clocks)


def _measure(state: engine.State, clock: Clock, settings: TrainSettings, batch_size: int, most: float) -> Pace:
    """The median time of steps after the first, which also allocates, in at most about `most` seconds."""
    state.clock = clock
    taken: list[tuple[float, float]] = []
    begin = last = (time.monotonic(), time.process_time())
    for progress in engine.train(
        state.model,
        _Noise(state.model),
        steps=clock.step + _STEPS,
        batch_size=batch_size,
        seed=settings.seed,
        micro_batches=settings.micro_batches,
        precision=settings.number_format,
        resume=state,
    ):
        float(sum(value.float() for value in progress.report.values()))  # wait for the device
        now = (time.monotonic(), time.process_time())
        taken.append((now[0] - last[0], now[1] - last[1]))
        last = now
        if now[0] - begin[0] > most:
            break
    return Pace(clock.step, *(statistics.median(column) for column in zip(*(taken[1:] or taken))))
