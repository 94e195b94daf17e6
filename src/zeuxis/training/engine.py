"""The training step of any family, the iterator of steps, and the EMA of the weights."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import math
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.optim import Optimizer

from zeuxis.model import Batch, Clock, Model
from zeuxis.nets.kernels import WORTH, Using, choose
from zeuxis.training.divergence import FiniteCheck
from zeuxis.training.players import optimizer_of, parameters_of
from zeuxis.training.state import Progress as Progress
from zeuxis.training.state import State as State
from zeuxis.training.state import Values

Precision = Literal["fp32", "bf16"]


class Source(Protocol):
    """Endless, shuffled, seekable data: a batch is a function of its position alone."""

    columns: frozenset[str]

    def batch(self, start: int, size: int) -> Batch:
        """The images at positions `start ... start + size - 1`."""
        ...


def train(
    model: Model,
    data: Source,
    *,
    steps: int,
    batch_size: int,
    seed: int,
    ema_half_life: int = 10_000,
    micro_batches: int = 1,
    precision: Precision = "fp32",
    kernels: Mapping[str, str] | None = None,
    resume: State | None = None,
) -> Iterator[Progress]:
    """Train until the clock shows `steps`, yielding after every step.

    `half_life` of the EMA is in images; `micro_batches` splits a batch to save memory; `kernels` come from
    `choose_kernels`. Data order and noise are functions of (seed, step), so a restored state continues bit for bit.
    """
    state = resume or State.start(model)
    begin = time.monotonic()
    watch = FiniteCheck(eager=model.device.type == "cpu")
    play = partial(train_step, model, state.optimizers, micro_batches=micro_batches, precision=precision)
    while state.clock.step < steps:
        clock, values = state.clock, Values()
        batch = data.batch(clock.images, batch_size)
        _seed(hash_seed(seed, clock.step), model.device)
        with Using(kernels) if kernels else contextlib.nullcontext():
            report = play(batch, clock, values=values)
        state.clock, state.values = clock.after(batch_size), values
        update_average(state.average, model, average_weight(state.clock, batch_size, ema_half_life))
        watch.see(clock.step, report)
        state.add(report)
        yield Progress(state.clock, report, state, time.monotonic() - begin)
    watch.flush()


def train_step(
    model: Model,
    optimizers: Mapping[str, Optimizer],
    batch: Batch,
    clock: Clock,
    *,
    micro_batches: int = 1,
    precision: Precision = "fp32",
    values: Values | None = None,
) -> dict[str, Tensor]:
    """Take one training step; the detached terms of each turn as `player/term`, their sum as `player/loss`.

    With `micro_batches` > 1 the turns of all parts run in lockstep: every optimizer step uses the mean gradient.
    Of a term that is reported for each image the report has the mean; `values` receives the term itself.
    """
    games = [model.losses(part, clock) for part in split(batch, micro_batches)]
    report: dict[str, Tensor] = {}
    while True:
        player: str | None = None
        for game in games:
            with torch.autocast(model.device.type, torch.bfloat16, enabled=precision == "bf16"):
                turn = next(game, None)
            if turn is None:
                return report
            player, terms = turn[0], turn[1] if turn[0] is not None else _means(turn[1], values)
            _note(report, player, terms, len(games))
            if player is not None:
                _note(
                    report,
                    None,
                    {f"{player}/loss": _backward(optimizer_of(player, optimizers, model), terms, len(games))},
                    1,
                )
        if player is not None:
            report[f"{player}/grad_norm"] = _move(optimizers[player], model.lr_scale(clock))


def choose_kernels(
    model: Model, batch: Batch, *, steps: float = math.inf, micro_batches: int = 1, seconds: float = 5.0
) -> dict[str, str]:
    """The fastest kernels on this computer, by layer, for batches like these, in every phase that begins within `steps`.

    Layers with the most operations come first; layers beyond the time limit keep their kernels.
    """
    most = 2 * len(batch.image) * model.size**2 * max(p.numel() for p in model.parameters())
    if model.device.type != "cpu" or most < WORTH:  # no layer can have more operations than that
        return {}
    trial = copy.deepcopy(model)
    optimizers = trial.optimizers()
    clocks = [clock for clock in model.schedule_breakpoints(len(batch.image)) if clock.step < steps]
    with torch.random.fork_rng(devices=[]):
        return choose(
            lambda: [train_step(trial, optimizers, batch, clock, micro_batches=micro_batches) for clock in clocks],
            seconds=seconds,
        )


def split(batch: Batch, micro_batches: int) -> list[Batch]:
    """The batch in `micro_batches` equal parts."""
    if micro_batches == 1:
        return [batch]
    columns = [None if column is None else column.chunk(micro_batches) for column in batch]
    return [Batch(*(None if c is None else c[i] for c in columns)) for i in range(micro_batches)]  # type: ignore[arg-type]


def average_weight(clock: Clock, batch_size: int, ema_half_life: int) -> float:
    """The EMA decay at this step; shorter early on, when the weights change fast."""
    reach = min(float(ema_half_life), 0.05 * clock.images)
    return float(0.5 ** (batch_size / max(reach, 1e-8)))


@torch.no_grad()
def update_average(average: Model, model: Model, keep: float) -> None:
    """Update the EMA: floating-point weights and buffers are averaged, counters copied."""
    new = model.state_dict()
    old = average.state_dict()
    mixed = [name for name, value in old.items() if value.is_floating_point()]
    torch._foreach_lerp_([old[name] for name in mixed], [new[name] for name in mixed], 1 - keep)
    for name in old.keys() - set(mixed):
        old[name].copy_(new[name])


def hash_seed(seed: int, position: int) -> int:
    """A 63-bit seed, hashed from two numbers: neighbouring numbers give unrelated streams."""
    digest = hashlib.blake2b(f"{seed}/{position}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def _seed(seed: int, device: torch.device) -> None:
    """Seed the noise of a step; on a CPU its generator alone, as asking every accelerator costs a fifth of a millisecond."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def _means(terms: Mapping[str, Tensor], values: Values | None) -> Mapping[str, Tensor]:
    """Reported terms as scalars; those with a value for each image are collected, and nothing is computed from them here."""
    for name, value in terms.items():
        if value.ndim and values is not None:
            values.setdefault(name, []).append(value.detach())
    return {name: value.detach().float().mean() if value.ndim else value for name, value in terms.items()}


def _note(report: dict[str, Tensor], player: str | None, terms: Mapping[str, Tensor], micro_batches: int) -> None:
    for term, value in terms.items():
        if term == "loss" and player is not None:
            continue  # the sum of the player's terms has that name
        name = term if player is None else f"{player}/{term}"
        share = value.detach().float() / micro_batches
        report[name] = report[name] + share if name in report else share


def _backward(optimizer: Optimizer, terms: Mapping[str, Tensor], micro_batches: int) -> Tensor:
    """Accumulate the gradient of this micro-batch's share of the player's loss; that share."""
    loss = torch.stack([value.float() for value in terms.values()]).sum() / micro_batches
    # Only the player whose turn it is gets gradients; the others' weights are not even differentiated.
    loss.backward(inputs=parameters_of(optimizer))  # type: ignore[no-untyped-call]
    return loss


def _move(optimizer: Optimizer, lr_scale: float = 1.0) -> Tensor:
    """Step the optimizer, learning rates scaled by `lr_scale` for this step alone; the gradient norm."""
    gradients = [p.grad for p in parameters_of(optimizer) if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    given = [group["lr"] for group in optimizer.param_groups]
    for group, lr in zip(optimizer.param_groups, given):
        group["lr"] = lr * lr_scale
    optimizer.step()
    for group, lr in zip(optimizer.param_groups, given):
        group["lr"] = lr
    optimizer.zero_grad(set_to_none=True)
    return norm
