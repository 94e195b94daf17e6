"""The training step of any family, the iterator of steps, and the EMA of the weights."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import hashlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.optim import Optimizer

from zeuxis.model import Batch, Clock, Model, Turn
from zeuxis.nets.kernels import WORTH, Using, choose
from zeuxis.runtime.ranks import ALONE, Ranks
from zeuxis.training.clipping import Clipping
from zeuxis.training.divergence import FiniteCheck
from zeuxis.training.micro_batches import MicroBatches
from zeuxis.training.plain_memory import step_optimizer
from zeuxis.training.players import optimizer_of, parameters_of
from zeuxis.training.state import Progress as Progress
from zeuxis.training.state import State as State
from zeuxis.training.state import Values

Precision = Literal["fp32", "bf16"]
_OVER = "/over"  # no player's name: a game has no further turn


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
    ranks: Ranks = ALONE,
    apart: bool = True,
) -> Iterator[Progress]:
    """Train until the clock shows `steps`, yielding after every step.

    `half_life` of the EMA is in images; `micro_batches` splits a batch, to save memory or to share it out over the
    processes `ranks`; `kernels` come from `choose_kernels`. Data order and noise are functions of (seed, step,
    micro-batch), so a restored state continues bit for bit, by any number of processes; where micro-batches are not kept
    `apart`, as before version 0.2, of (seed, step) by one process.
    """
    state, begin = resume or State.start(model), time.monotonic()
    watch, share = FiniteCheck(eager=model.device.type == "cpu"), batch_size // ranks.size
    play = partial(train_step, model, state.optimizers, ranks=ranks, apart=apart, clipping=Clipping())
    while state.clock.step < steps:
        clock, values = state.clock, Values()
        batch = data.batch(clock.images + ranks.rank * share, share)
        seeds = _seeds(seed, clock.step, micro_batches if apart else 1, ranks)
        with Using(kernels) if kernels else contextlib.nullcontext():
            report = play(batch, clock, micro_batches=micro_batches, precision=precision, values=values, seeds=seeds)
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
    seeds: Sequence[int] = (),
    ranks: Ranks = ALONE,
    apart: bool = True,
    clipping: Clipping | None = None,
) -> dict[str, Tensor]:
    """Take one training step; the detached terms of each turn as `player/term`, their sum as `player/loss`.

    With `micro_batches` > 1 their turns run in lockstep, each with noise of its own where `seeds` are given and with
    buffers of its own, unless they are not `apart`: every optimizer step uses the mean gradient, clipped. Of many
    processes `ranks` each has a share of the batch, and the seeds of its own micro-batches. Of a term that is reported for
    each image the report has the mean; `values` receives the term itself.
    """
    shares = MicroBatches(model, micro_batches, seeds=seeds, ranks=ranks, apart=apart)
    step = _Step(model, optimizers, shares, precision, values, clipping or Clipping())
    clock_there = dataclasses.replace(clock, micro_batches=micro_batches if apart else 1)
    games = [model.losses(part, clock_there) for part in split(batch, len(shares.numbers))]
    while True:
        players = step.turns(games)
        if _OVER in players:
            return shares.settle(step.reports) | step.norms
        if (player := players[0]) is not None:
            step.move(player, model.lr_scale(clock))


@dataclass
class _Step:
    """A step in progress: the games of its micro-batches, which go on turn by turn, and what they report."""

    model: Model
    optimizers: Mapping[str, Optimizer]
    shares: MicroBatches
    precision: Precision
    values: Values | None
    clipping: Clipping

    def __post_init__(self) -> None:
        self.norms: dict[str, Tensor] = {}
        self.reports = [{} if self.shares.apart else self.norms for _ in self.shares.numbers]

    def turns(self, games: Sequence[Iterator[Turn]]) -> list[str | None]:
        """Let all games go on by a turn: the player of each; what follows the last turn is done by the first alone where
        the games share their buffers."""
        players: list[str | None] = []
        for place, game in enumerate(games):
            players.append(self.turn(place, game))
            if players[-1] == _OVER and not self.shares.apart:
                break
        return players

    def turn(self, place: int, game: Iterator[Turn]) -> str | None:
        """Let one game go on by a turn, whose gradients are kept: the player, None of a report, `_OVER` at the end."""
        bf16 = self.precision == "bf16"
        with self.shares.playing(place), torch.autocast(self.model.device.type, torch.bfloat16, enabled=bf16):
            turn = next(game, None)
        if turn is None:
            return _OVER
        player, count, report = turn[0], self.shares.count, self.reports[place]
        _note(report, player, _means(turn[1], self.values) if player is None else turn[1], count)
        if player is not None:
            parameters = parameters_of(optimizer_of(player, self.optimizers, self.model))
            _note(report, None, {f"{player}/loss": _backward(parameters, turn[1], count)}, 1)
            self.shares.take_gradients(parameters)
        return player

    def move(self, player: str, lr_scale: float) -> None:
        """Step the player's optimizer with the mean gradient."""
        optimizer = self.optimizers[player]
        self.shares.give_gradients(parameters_of(optimizer))
        self.norms[f"{player}/grad_norm"] = _move(optimizer, self.clipping, lr_scale)


def choose_kernels(
    model: Model,
    batch: Batch,
    *,
    steps: float = math.inf,
    micro_batches: int = 1,
    precision: Precision = "fp32",
    seconds: float = 10.0,
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
    step = partial(train_step, trial, optimizers, batch, micro_batches=micro_batches, precision=precision)
    with torch.random.fork_rng(devices=[]):
        return choose(lambda: [step(clock) for clock in clocks], seconds=seconds)


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


def _seeds(seed: int, step: int, streams: int, ranks: Ranks) -> list[int]:
    """The seeds of this process's noise in a step, one for each stream of it."""
    return [hash_seed(seed, step * streams + number) for number in ranks.mine(streams)]


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


def _backward(parameters: Sequence[Tensor], terms: Mapping[str, Tensor], micro_batches: int) -> Tensor:
    """Compute the gradient of this micro-batch's share of the player's loss; that share."""
    loss = torch.stack([value.float() for value in terms.values()]).sum() / micro_batches
    # Only the player whose turn it is gets gradients; the others' weights are not even differentiated.
    loss.backward(inputs=parameters)  # type: ignore[no-untyped-call]
    return loss


def _move(optimizer: Optimizer, clipping: Clipping, lr_scale: float = 1.0) -> Tensor:
    """Step the optimizer, learning rates scaled by `lr_scale` for this step alone; the gradient norm, before clipping."""
    moved = [p for p in parameters_of(optimizer) if p.grad is not None]
    norm = torch.nn.utils.get_total_norm([p.grad for p in moved if p.grad is not None])
    clipping.clip(optimizer, moved, norm)
    given = [group["lr"] for group in optimizer.param_groups]
    for group, lr in zip(optimizer.param_groups, given):
        group["lr"] = lr * lr_scale
    step_optimizer(optimizer)
    for group, lr in zip(optimizer.param_groups, given):
        group["lr"] = lr
    optimizer.zero_grad(set_to_none=True)
    return norm
