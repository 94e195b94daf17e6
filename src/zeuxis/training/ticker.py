"""The pace of a run, shown at the rate of the display: only then are reports read from the device."""

from __future__ import annotations

import time
from collections import deque

import torch

from zeuxis.runtime.progress import Display, Tick
from zeuxis.training.budget import Budget
from zeuxis.training.settings import TrainSettings
from zeuxis.training.state import State


class Ticker:
    """Shows the progress of a run on a display."""

    def __init__(self, settings: TrainSettings, state: State, budget: Budget, display: Display) -> None:
        self._settings, self._state, self._budget, self._display = settings, state, budget, display
        self._begin = time.monotonic()
        self._seen: deque[tuple[float, int]] = deque(maxlen=24)
        self._seen.append((self._begin, state.clock.step))
        self._means: dict[str, float] = {}

    def see(self) -> None:
        """After a step: show a tick if one is due; the first and the last step always are."""
        now, step = time.monotonic(), self._state.clock.step
        last = step == self._settings.last_step
        if len(self._seen) > 1 and not last and now - self._seen[-1][0] < self._display.every:
            return
        self._seen.append((now, step))
        if len(self._seen) == 3 and self._seen[0][0] == self._begin:
            self._seen.popleft()  # the first step is slower: memory is allocated, kernels are chosen
        # Since the last row a player may not have had its turn yet: then what it last reported still stands.
        self._means = {**self._means, **peek(self._state)}
        self._display.tick(self._tick(now))

    def _tick(self, now: float) -> Tick:
        settings, step, (before, first) = self._settings, self._state.clock.step, self._seen[0]
        rate = (step - first) / max(now - before, 1e-9)  # steps per second
        lefts = [(settings.last_step - step) / rate] if rate else []
        share = step / settings.last_step
        for spent, seconds in self._budget.shares():
            lefts.append(seconds)
            share = max(share, spent)
        size = settings.batch_size or self._state.model.batch_size
        steps = None if settings.endless else settings.last_step
        return Tick(step, steps, min(1.0, share), rate * size, min(lefts, default=None), self._means)


def peek(state: State) -> dict[str, float]:
    """Mean reports since the last row, per turn of the player: a term of every 16th turn counts a 16th."""
    if not state.sums:
        return {}
    pairs = dict(zip(state.sums, torch.stack(list(state.sums.values())).cpu().tolist()))
    turns: dict[str, float] = {}
    for name, (_, count) in pairs.items():
        player = name.rpartition("/")[0]
        turns[player] = max(turns.get(player, 0.0), count)
    return {name: total / turns[name.rpartition("/")[0]] for name, (total, _) in pairs.items()}
