"""The rows of metrics of runs as curves, a panel for each term: losses, answers of a discriminator, scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from zeuxis.charts.axes import Axis, Numbers, bounded_values
from zeuxis.escaping import printable

Against = Literal["steps", "images"]
FID = "evaluation/FID["
_MOST_ROWS = 4000  # of a run, evenly spaced: a panel has a tenth as many pixels
_ANSWERS = {
    "prob_real": "D(real)",
    "prob_fake": "D(fake)",
    "score_real": "score of real",
    "score_fake": "score of fake",
}
_DETAILS = ("grad_norm", "r1_scale")  # terms that tell how a run trains, and not what it has learned
_SHARE = Axis(0.0, 1.03)  # of a probability: a line at 1 is whole
_EVEN = (0.5, "")  # a discriminator that cannot tell real from fake
_PLACE = {"steps": "step", "images": "images"}
_BESIDE = (" low", " high", " real")  # ends of the names of what belongs to a score


@dataclass(frozen=True)
class History:
    """A run by its name, a line about it, and its rows of metrics, the oldest first."""

    name: str
    about: str
    rows: Sequence[Mapping[str, Any]]

    def column(self, name: str, against: Against) -> tuple[Numbers, Numbers]:
        """The places of a metric (steps, or images seen), and its values; rows without it are left out."""
        pairs = [(row.get(_PLACE[against]), row.get(name)) for row in self._chosen]
        known = [(float(x), float(y)) for x, y in pairs if x is not None and y is not None]
        array = np.array(sorted(known, key=lambda pair: pair[0]), np.float64).reshape(-1, 2)
        return array[:, 0], bounded_values(array[:, 1])

    def last(self, against: Against) -> float:
        """The last place that a row has; 0 without rows."""
        places = [row.get(_PLACE[against]) for row in self.rows]
        return float(max((place for place in places if place is not None), default=0))

    @cached_property
    def _chosen(self) -> Sequence[Mapping[str, Any]]:
        """The rows, of very many every second, or every fourth; those with scores stay."""
        every = 1 + len(self.rows) // _MOST_ROWS
        last = len(self.rows) - 1
        return [
            row
            for i, row in enumerate(self.rows)
            if i % every == 0 or i == last or any(name.startswith(FID) for name in row)
        ]


@dataclass(frozen=True)
class Curve:
    """Values y at places x (n each), and the ends of their intervals where they have some."""

    x: Numbers
    y: Numbers
    low: Numbers | None = None
    high: Numbers | None = None


@dataclass(frozen=True)
class Panel:
    """A chart of one metric: its key, its title, the curve of each run by the run's place, what is known of its values.

    A `level` is a value to compare with, and its name. `smooth` is off where each value is a measurement of its own.
    """

    name: str
    title: str
    curves: Mapping[int, Curve]
    smooth: bool = True
    limits: Axis | None = None
    level: tuple[float, str] | None = None


@dataclass
class _Names:
    """The names of metrics in their order, sorted into the kinds of panels."""

    losses: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    scores: list[str] = field(default_factory=list)


def panels_of(runs: Sequence[History], *, against: Against = "steps", every: bool = False) -> list[Panel]:
    """A panel for each loss term, each mean answer of a discriminator, diversity and FID; with `every`, all metrics."""
    found = _sorted_names(runs, every=every)
    made = [_panel(runs, name, against) for name in [*found.losses, *found.answers, *found.others]]
    made += [_score_panel(runs, name, against) for name in found.scores]
    return [panel for panel in made if panel.curves]


def _sorted_names(runs: Sequence[History], *, every: bool) -> _Names:
    names = dict.fromkeys(name for run in runs for row in run.rows for name in row)
    found = _Names()
    for name in names:
        player, _, term = name.rpartition("/")
        if name in ("step", "images") or name.endswith(_BESIDE) or (term in _DETAILS and not every):
            continue
        if player == "evaluation":
            found.scores += [name] if every or name.startswith(FID) else []
        elif _answer(name) is not None:
            found.answers.append(name)
        elif f"{player}/loss" in names and term not in _DETAILS:
            found.losses.append(name)
        else:
            found.others.append(name)
    found.losses = _tidied(found.losses)
    found.answers.sort(key=lambda name: (name.partition(" ")[2], "_fake" in name))
    return found


def _tidied(losses: Sequence[str]) -> list[str]:
    """Each player's sum before its terms; the sum of one term goes without saying."""
    players: dict[str, list[str]] = {}
    for name in losses:
        players.setdefault(name.rpartition("/")[0], []).append(name)
    found = []
    for names in players.values():
        names.sort(key=lambda name: not name.endswith("/loss"))
        found += names[1:] if len(names) == 2 else names
    return found


def _panel(runs: Sequence[History], name: str, against: Against) -> Panel:
    columns = {place: run.column(name, against) for place, run in enumerate(runs)}
    curves = {place: Curve(x, y) for place, (x, y) in columns.items() if len(x)}
    player, _, term = name.rpartition("/")
    if (answer := _answer(name)) is not None:
        probability = term.startswith("prob_")
        return Panel(name, answer, curves, limits=_SHARE if probability else None, level=_EVEN if probability else None)
    if name == "latent/active_units":
        return Panel(name, "active latent units", curves, limits=_SHARE)
    if name == "samples/diversity":
        return Panel(name, "diversity of samples", curves, smooth=False, level=(1.0, "real images"))
    return Panel(name, printable(f"{player}: {term}".replace("_", " ").removeprefix(": ")), curves)


def _answer(name: str) -> str | None:
    """The title of a discriminator's mean answer, with which it is where there are several; None of other metrics."""
    player, _, term = name.rpartition("/")
    kind, _, which = term.partition(" ")
    if kind not in _ANSWERS:
        return None
    whose = which or ("" if player in ("discriminator", "critic") else player.replace("_", " "))
    return printable(f"{_ANSWERS[kind]}, {whose}" if whose else _ANSWERS[kind])


def _score_panel(runs: Sequence[History], name: str, against: Against) -> Panel:
    """A score with its interval, and that of training images."""
    curves = {}
    for place, run in enumerate(runs):
        x, y = run.column(name, against)
        low, high = (run.column(f"{name} {end}", against) for end in ("low", "high"))
        whole = len(low[0]) == len(high[0]) == len(x)
        if len(x):
            curves[place] = Curve(x, y, low[1], high[1]) if whole else Curve(x, y)
    real = [float(run.column(f"{name} real", against)[1][-1]) for run in runs if _has(run, f"{name} real")]
    level = (real[0], "training images") if real and len(set(real)) == 1 else None
    title = printable(name.partition("/")[2].replace("[", " (").replace("]", ")"))
    return Panel(name, title, curves, smooth=False, level=level)


def _has(run: History, name: str) -> bool:
    return any(row.get(name) is not None for row in run.rows)
