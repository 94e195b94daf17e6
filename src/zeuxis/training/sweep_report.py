"""A sweep as a table: its runs with their values and last metrics, and means over seeds; and what it will take."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zeuxis.escaping import ascii_json
from zeuxis.judging.report import format_score, table_lines
from zeuxis.scores import Score, student_mean
from zeuxis.storage import RunFolder
from zeuxis.training.dry_run import Plan, plan_run
from zeuxis.training.sweeps import Grid, Member, Sweep, SweepEntry, shown_value

_MOST_COLUMNS = 4  # of losses; the scores of evaluations come before them


@dataclass(frozen=True)
class SweepRow:
    """A run of a sweep: its values, the name of its folder, how it stands, the last step, and its newest metrics."""

    values: dict[str, Any]
    run: str | None
    state: str
    note: str
    step: int
    scores: dict[str, float]


@dataclass(frozen=True)
class SweepReport:
    """The runs of a sweep in order, and their folder."""

    folder: Path
    rows: list[SweepRow]

    def groups(self) -> list[tuple[dict[str, Any], int, dict[str, Score]]]:
        """For each setting with several seeds: its values, how many runs are done, and their mean scores.

        The intervals are those of Student's t over seeds.
        """
        by_setting: dict[str, list[SweepRow]] = {}
        for row in self.rows:
            rest = {name: value for name, value in row.values.items() if name != "seed"}
            by_setting.setdefault(json.dumps(rest), []).append(row)
        found = []
        for key, rows in by_setting.items():
            done = [row for row in rows if row.state == "done"]
            names = [name for name in self._names() if done and all(name in row.scores for row in done)]
            means = {name: student_mean([row.scores[name] for row in done]) for name in names}
            found.append((json.loads(key), len(done), means))
        return found if any(len(rows) > 1 for rows in by_setting.values()) else []

    def lines(self) -> list[str]:
        """As text: the table of runs, and that of the settings where there are several seeds."""
        lines = [f"sweep {self.folder}", "", *table_lines(self._cells())]
        lines += [f"{row.run}: {row.note}" for row in self.rows if row.note]
        if groups := self.groups():
            lines += ["", "mean over seeds ± half the 95 % interval (Student's t):", *table_lines(self._means(groups))]
        return lines

    def to_json(self) -> str:
        """As strict JSON."""
        groups = [
            {"values": values, "runs": count, "scores": {name: _ends(score) for name, score in means.items()}}
            for values, count, means in self.groups()
        ]
        rows = [dataclasses.asdict(row) for row in self.rows]
        return ascii_json({"folder": str(self.folder), "runs": rows, "groups": groups})

    def _cells(self) -> list[list[str]]:
        axes, names = list(self.rows[0].values), self._names()
        lines = [["run", *axes, "step", *names, "state"]]
        for row in self.rows:
            values = [shown_value(row.values[axis]) for axis in axes]
            scores = [format_score(row.scores[name]) if name in row.scores else "" for name in names]
            lines.append([row.run or "-", *values, f"{row.step:,}", *scores, row.state])
        return lines

    def _means(self, groups: Sequence[tuple[dict[str, Any], int, dict[str, Score]]]) -> list[list[str]]:
        names = self._names()
        lines = [["setting", "runs", *names, ""]]
        for values, count, means in groups:
            title = ", ".join(f"{name} {shown_value(value)}" for name, value in values.items()) or "all"
            cells = [_with_half(means[name]) if name in means else "" for name in names]
            lines.append([title, str(count), *cells, ""])
        return lines

    def _names(self) -> list[str]:
        found = list(dict.fromkeys(name for row in self.rows for name in row.scores))
        scores = [name for name in found if name.startswith("evaluation/")]
        return [*scores, *(name for name in found if name not in scores)][: len(scores) + _MOST_COLUMNS]


def _ends(score: Score) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in score._asdict().items()}


def _with_half(score: Score) -> str:
    half = (score.high - score.low) / 2
    return format_score(score.value) + (f" ± {format_score(half)}" if math.isfinite(half) else "")


def report_on(sweep: Sweep) -> SweepReport:
    """The table of a sweep, from its index and the metrics of its runs."""
    return SweepReport(sweep.folder, [_row(sweep, member, sweep.entry(member)) for member in sweep.grid.members()])


def _row(sweep: Sweep, member: Member, entry: SweepEntry) -> SweepRow:
    path = sweep.path(entry)
    rows = [] if path is None else RunFolder(path).metrics()
    step = int(rows[-1]["step"]) if rows else 0
    return SweepRow(member.values, entry.run, entry.state, entry.note, step, _newest(rows))


def _newest(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The newest value of each loss and of each score."""
    found: dict[str, float] = {}
    for row in rows:
        for name, value in row.items():
            told = name.endswith("/loss") or (name.startswith("evaluation/") and name.endswith("]"))
            if told and value is not None:
                found[name] = float(value)
    return found


@dataclass(frozen=True)
class SweepPlan:
    """The runs of a grid, how each stands, and the wall-clock seconds that each is to take; None where CPU time ends it."""

    folder: Path
    runs: list[tuple[Member, str, float | None]]
    device: str

    @property
    def minutes(self) -> float:
        """Of the runs that are not done, those that are ended by CPU time left out."""
        return sum(seconds or 0.0 for _, state, seconds in self.runs if state not in ("done", "diverged")) / 60

    def lines(self) -> list[str]:
        """As text: the runs, and the minutes of all."""
        lines = [f"sweep {self.folder}: {len(self.runs)} runs"]
        for member, state, seconds in self.runs:
            takes = "" if seconds is None else f", about {_minutes(seconds / 60)}"
            lines.append(f"  {member.title}: {state if state == 'done' else state + takes}")
        return [*lines, f"all that is not done: about {_minutes(self.minutes)} on {self.device}"]


def _minutes(minutes: float) -> str:
    return f"{minutes:,.0f} minutes" if minutes >= 10 else f"{minutes:.1f} minutes"


def plan_sweep(grid: Grid, *, max_runs: int) -> SweepPlan:
    """What a sweep will take, by a few steps on noise for each kind of run; nothing is written.

    Runs that differ by the seed, or by numbers other than 0, are of one kind.
    """
    grid.check(max_runs)
    sweep, plans, runs = Sweep.open(grid), dict[str, Plan](), []
    for member in grid.members():
        entry = sweep.entry(member)
        kind = json.dumps(
            {name: _kind(value) for name, value in member.values.items() if name not in ("seed", "steps")}
        )
        if kind not in plans:
            plans[kind] = plan_run(member.settings, grid.family, member.options, shape=grid.data.own_shape)
        seconds = None if member.settings.endless else plans[kind].seconds(member.settings.last_step)
        if member.settings.cpu_minutes is not None:
            limit = plans[kind].seconds(int(plans[kind].steps(60 * member.settings.cpu_minutes, core=True)))
            seconds = limit if seconds is None else min(seconds, limit)
        runs.append((member, entry.state, seconds))
    return SweepPlan(grid.folder, runs, next(iter(plans.values())).device)


def _kind(value: Any) -> Any:
    return bool(value) if isinstance(value, float) else value
