"""The networks of each player by `torch.compile`: tried on a copy first, so that one that cannot be compiled runs as before."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import nn

from zeuxis.game import Batch, Clock
from zeuxis.model import Model
from zeuxis.training.config import Recipe
from zeuxis.training.engine import Source, State, train_step
from zeuxis.training.players import parameters_of

BACKEND = "inductor"


def compile_as_asked(recipe: Recipe, source: Source, state: State, tell: Callable[[str], None]) -> None:
    """Compile the networks of a run, where its recipe says so, for the phases that are still to come."""
    settings, model = recipe.settings, state.model
    if not settings.compile:
        return
    size = settings.batch_size or model.batch_size
    phases = [clock for clock in model.schedule_breakpoints(size) if clock.step < settings.last_step]
    now = [clock for clock in phases if clock.step <= state.clock.step][-1:]
    done = compile_players(
        model,
        source.batch(state.clock.images, size),
        clocks=[Clock(), *now, *(clock for clock in phases if clock.step > state.clock.step)],
        micro_batches=settings.micro_batches,
        precision=settings.number_format,
        tell=tell,
    )
    tell(f"--compile: {' and '.join(done) or 'nothing'} is compiled")


def compile_players(
    model: Model,
    batch: Batch,
    *,
    clocks: Sequence[Clock],
    micro_batches: int = 1,
    precision: Literal["fp32", "bf16"] = "fp32",
    tell: Callable[[str], None],
) -> list[str]:
    """Compile the networks of each player that can be (in place), for steps at these times; the names of those players.

    `tell` hears of each of the others, and why. A player with a penalty on gradients is one: PyTorch differentiates
    what it has compiled only once.
    """
    done = []
    for player, names in networks_by_player(model).items():
        reason = "" if names else "it has parameters, but no network"
        if not reason:
            reason = _refusal(model, names, batch, clocks, micro_batches=micro_batches, precision=precision)
        if reason:
            tell(f"--compile: {player} is not compiled: {reason}")
            continue
        _compile(model, names)
        done.append(player)
    return done


def networks_by_player(model: Model) -> dict[str, list[str]]:
    """The names of the networks of each player: the outermost modules that are called, with its parameters alone."""
    found: dict[str, list[str]] = {}
    for player, optimizer in model.optimizers().items():
        owned = {id(parameter) for parameter in parameters_of(optimizer)}
        found[player] = [name for name, network in _called(model) if _within(network, owned)]
    return found


def _called(module: nn.Module, prefix: str = "") -> list[tuple[str, nn.Module]]:
    """The modules with a `forward` of their own that are directly in a module, or in a collection in it."""
    found: list[tuple[str, nn.Module]] = []
    for name, child in module.named_children():
        collection = isinstance(child, nn.ModuleDict | nn.ModuleList)
        found += _called(child, f"{prefix}{name}.") if collection else [(f"{prefix}{name}", child)]
    return found


def _within(network: nn.Module, owned: set[int]) -> bool:
    parameters = [id(parameter) for parameter in network.parameters()]
    return bool(parameters) and owned.issuperset(parameters)


def _compile(model: nn.Module, names: Sequence[str]) -> None:
    for name in names:
        model.get_submodule(name).compile(backend=BACKEND, dynamic=False)


def _refusal(
    model: Model,
    names: Sequence[str],
    batch: Batch,
    clocks: Sequence[Clock],
    *,
    micro_batches: int,
    precision: Literal["fp32", "bf16"],
) -> str:
    """Why steps of a copy fail with these networks compiled; empty where they do not."""
    trial = copy.deepcopy(model)
    optimizers = trial.optimizers()
    _compile(trial, names)
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        try:
            for clock in clocks:
                train_step(trial, optimizers, batch, clock, micro_batches=micro_batches, precision=precision)
        except Exception as error:  # whatever the compiler, its back end or the driver raise
            return _in_short(error)
    return ""


def _in_short(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= 160 else f"{text[:157]}..."
