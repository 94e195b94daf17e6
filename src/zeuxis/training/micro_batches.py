"""The micro-batches of a step as virtual ranks: noise, buffers and gradients of their own, whoever plays them.

What N processes compute is thus what one computes, for every N that divides the micro-batches.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Generator, Tensor, nn

from zeuxis.errors import UsageError
from zeuxis.model import Model
from zeuxis.runtime.ranks import ALONE, Ranks
from zeuxis.runtime.tree_sums import TreeSum
from zeuxis.training.state import State

Report = dict[str, Tensor]


class MicroBatches:
    """Those of one step that this process plays, out of `count` over all processes.

    Of one alone nothing is kept `apart`; nor of those of runs begun before version 0.2, which share noise and buffers.
    """

    def __init__(
        self, model: Model, count: int, *, seeds: Sequence[int] = (), ranks: Ranks = ALONE, apart: bool = True
    ) -> None:
        self.count, self.ranks, self.numbers = count, ranks, ranks.mine(count)
        self.apart = apart and count > 1
        self._noise = _Noise(seeds, model.device)
        self._buffers = _Buffers(model, count, self.numbers) if self.apart else None
        self._gradients = TreeSum()

    @contextlib.contextmanager
    def playing(self, place: int) -> Iterator[None]:
        """Let one of them go on, the `place`-th of this process."""
        with self._noise.of(place):
            if self._buffers is None:
                yield
            else:
                with self._buffers.of(place):
                    yield

    def take_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Take the gradients of one of them, its share of the mean, off the parameters."""
        if self.apart:
            self._gradients.add([parameter.grad for parameter in parameters])
            for parameter in parameters:
                parameter.grad = None

    def give_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Give the parameters the mean gradient over the micro-batches of all processes."""
        if self.apart:
            sums = self._gradients.sums()
            self.ranks.total([gradient for gradient in sums if gradient is not None])
            for parameter, gradient in zip(parameters, sums):
                parameter.grad = gradient

    def settle(self, reports: Sequence[Report]) -> Report:
        """End the step: each buffer is what the micro-batches made of it, each term the sum of their shares."""
        if self._buffers is None:
            return reports[0]
        names = list(reports[0])
        total = TreeSum()
        for place, report in enumerate(reports):
            total.add([torch.stack([report[name] for name in names]), *self._buffers.changes(place)])
        sums = [each for each in total.sums() if each is not None]
        self.ranks.total(sums)
        self._buffers.settle([each / self.count for each in sums[1:]], self.ranks)
        return dict(zip(names, sums[0].unbind()))


class _Noise:
    """The noise of the micro-batches: each has a stream of its own, although they take turns."""

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        self._seeds, self._device, self._started = seeds, device, False
        self._states: list[list[Tensor] | None] = [None] * len(seeds)

    @contextlib.contextmanager
    def of(self, place: int) -> Iterator[None]:
        """The default generators in the state where this one left them."""
        if len(self._seeds) <= 1:
            if self._seeds and not self._started:
                seed_noise(self._seeds[0], self._device)
            self._started = True
            yield
            return
        generators = _generators(self._device)
        if (states := self._states[place]) is None:
            seed_noise(self._seeds[place], self._device)
        else:
            for generator, state in zip(generators, states):
                generator.set_state(state)
        yield
        self._states[place] = [generator.get_state() for generator in generators]


class _Buffers:
    """The buffers of a model during a step: a copy for each micro-batch, or rows of its own where the model says so."""

    def __init__(self, model: Model, count: int, numbers: range) -> None:
        self._places = {
            f"{path}.{name}".lstrip("."): (module, name)
            for path, module in model.named_modules()
            for name, buffer in module._buffers.items()
            if buffer is not None and buffer.numel()
        }
        self._whole = {name: _read(*place) for name, place in self._places.items()}
        self._sharded = {name for name in model.sharded if name in self._places}
        check_rows(model, count)
        self._kept = [
            {
                name: value[_rows(len(value), range(number, number + 1), count)]
                if name in self._sharded
                else value.clone()
                for name, value in self._whole.items()
            }
            for number in numbers
        ]

    @contextlib.contextmanager
    def of(self, place: int) -> Iterator[None]:
        """The buffers of one micro-batch in their places."""
        kept = self._kept[place]
        for name, (module, leaf) in self._places.items():
            module._buffers[leaf] = kept[name]
        try:
            yield
        finally:
            for name, (module, leaf) in self._places.items():
                if (now := _read(module, leaf)) is not kept[name]:
                    self._take(kept, name, now)
                module._buffers[leaf] = self._whole[name]

    def _take(self, kept: dict[str, Tensor], name: str, now: Tensor) -> None:
        """What a model put in the place of a buffer, instead of writing into it."""
        if name in self._sharded:
            kept[name].copy_(now)
        else:
            kept[name] = now

    def _averaged(self) -> list[str]:
        return [name for name, value in self._whole.items() if value.is_floating_point() and name not in self._sharded]

    def changes(self, place: int) -> list[Tensor]:
        """How much one micro-batch changed each buffer of floating-point numbers; 0 where it left it as it was."""
        return [self._kept[place][name] - self._whole[name] for name in self._averaged()]

    def settle(self, changes: Sequence[Tensor], ranks: Ranks) -> None:
        """Add the mean changes to the buffers; of counters and flags the largest is taken."""
        for name, change in zip(self._averaged(), changes):
            self._whole[name].add_(change)
        counters = [name for name, value in self._whole.items() if not value.is_floating_point()]
        for name in (name for name in counters if name not in self._sharded):
            parts = torch.stack([kept[name].to(torch.int64) for kept in self._kept])
            self._whole[name].copy_(parts.amax(0))
        ranks.most([self._whole[name] for name in counters if name not in self._sharded])


def gather(state: State, count: int, ranks: Ranks) -> None:
    """Give each process what others have of the state after a step: rows of sharded buffers, values for each image.

    To be called by all of them; a second call changes nothing.
    """
    if ranks.size == 1:
        return
    for model in (state.model, state.average):
        buffers = dict(model.named_buffers())
        for name in (name for name in model.sharded if name in buffers):
            ranks.assemble(buffers[name], _rows(len(buffers[name]), ranks.mine(count), count))
    for name, parts in [each for each in state.values.items() if len(each[1]) < count]:
        state.values[name] = [part for own in ranks.every(torch.stack(parts)) for part in own.unbind()]


def check_processes(micro_batches: int, ranks: Ranks, *, apart: bool = True) -> None:
    """Raise `UsageError` unless each process plays as many micro-batches, which are kept apart."""
    if ranks.size > 1 and not apart:
        raise UsageError(
            "the run was begun by a version whose micro-batches share their noise; resume it by one process, without torchrun"
        )
    if micro_batches % ranks.size:
        raise UsageError(
            f"--micro-batches is {micro_batches}, and torchrun started {ranks.size} processes; expected a multiple, as "
            f"each process plays as many: choose --micro-batches {-(-micro_batches // ranks.size) * ranks.size}, or another "
            "--nproc-per-node (a run keeps its micro-batches)"
        )


def seed_noise(seed: int, device: torch.device) -> None:
    """Seed the noise of a step; on a CPU its generator alone, as asking every accelerator costs a fifth of a millisecond."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def _generators(device: torch.device) -> list[Generator]:
    """Torch's default generators of the host and of the device."""
    found = [torch.default_generator]
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        found += torch.cuda.default_generators[index : index + 1]
    if device.type == "mps":
        found.append(torch.mps._get_default_mps_generator())
    return found


def _rows(rows: int, numbers: range, count: int) -> slice:
    """The rows of these micro-batches, neighbours, out of `count`."""
    return slice(rows * numbers.start // count, rows * numbers.stop // count)


def check_rows(model: Model, count: int) -> None:
    """Raise `UsageError` where a sharded buffer has rows, but fewer than there are micro-batches."""
    buffers = dict(model.named_buffers())
    for name in (name for name in model.sharded if name in buffers):
        if 0 < (rows := len(buffers[name])) < count and buffers[name].numel():
            raise UsageError(
                f"{name} has {rows} rows, and there are {count} micro-batches; expected at least a row for each: choose "
                "fewer --micro-batches, or a larger option of the family (--chains, --pool-size)"
            )


def _read(module: nn.Module, name: str) -> Tensor:
    buffer = module._buffers[name]
    assert buffer is not None
    return buffer
