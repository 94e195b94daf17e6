"""Branches beside the runs that they were forked from: the metrics of each from the fork on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from zeuxis.charts.curves import curves_figure
from zeuxis.charts.histories import History
from zeuxis.charts.lettering import RUN_COLOURS
from zeuxis.escaping import quote
from zeuxis.judging.records import RunRecord
from zeuxis.judging.report import format_score, table_lines

_LEFT_OUT = ("step", "images")


@dataclass(frozen=True)
class Fork:
    """Futures of one past: the step of the fork, and for each run its name and its rows of metrics from there on.

    The first is the run that the others were forked from, where that is compared, too; `past` has its rows up to the fork,
    and `notes` say what each branch changes.
    """

    step: int
    names: tuple[str, ...]
    rows: tuple[Sequence[Mapping[str, Any]], ...]
    past: Sequence[Mapping[str, Any]]
    notes: tuple[str, ...]

    @property
    def last(self) -> int:
        """The last step that all have reached."""
        return min(int(rows[-1]["step"]) for rows in self.rows)

    def lines(self) -> list[str]:
        """What the branches change, and the mean of each metric from the fork to the last step that all have."""
        head = f"from step {self.step:,} to {self.last:,}, means of metrics.jsonl:"
        return [*self.notes, head, *table_lines([["metric", *self.names, ""], *self._means()])]

    def picture(self) -> Image.Image:
        """The curves: the past once, and from the fork on each future in a colour of its own."""
        histories = [History(name, "", [*self._bend(rows), *rows]) for name, rows in zip(self.names, self.rows)]
        histories[0] = History(self.names[0], "", [*self.past, *self.rows[0]])
        return curves_figure(histories[: len(RUN_COLOURS)])

    def _bend(self, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The last row before the fork, where a future begins; of it what that future goes on to measure."""
        measured = {name for row in rows for name in row}
        return [{name: value for name, value in row.items() if name in measured} for row in self.past[-1:]]

    def _means(self) -> list[list[str]]:
        names = dict.fromkeys(name for rows in self.rows for row in rows for name in row)
        told = [name for name in names if name not in _LEFT_OUT and not name.endswith((" low", " high", " real"))]
        return [[name, *(format_score(self._mean(rows, name)) for rows in self.rows), ""] for name in told]

    def _mean(self, rows: Sequence[Mapping[str, Any]], name: str) -> float:
        values = [row[name] for row in rows if row.get(name) is not None and row["step"] <= self.last]
        return sum(values) / len(values) if values else math.nan


def forks_of(names: Sequence[str], records: Sequence[RunRecord]) -> list[Fork]:
    """For each run and step that branches were forked at: they, and that run where it is there, if there are two to compare."""
    found = []
    for parent, step in dict.fromkeys((record.parent, record.fork) for record in records if record.parent):
        branches = [i for i, record in enumerate(records) if (record.parent, record.fork) == (parent, step)]
        places = [*(i for i, name in enumerate(names) if name == parent), *branches]
        rows = [[row for row in records[i].rows if row.get("step", 0) > step] for i in places]
        kept = [(names[i], each) for i, each in zip(places, rows) if each]
        if len(kept) > 1:
            notes = tuple(_note(names[i], records[i]) for i in branches)
            past = [row for row in records[places[0]].rows if row.get("step", 0) <= step]
            found.append(Fork(step, tuple(name for name, _ in kept), tuple(each for _, each in kept), past, notes))
    return found


def _note(name: str, record: RunRecord) -> str:
    changed = ", ".join(f"{option} {quote(value)}" for option, value in record.changed.items()) or "nothing changed"
    return f"{name} is {record.parent} from step {record.fork:,} on, with {changed}"
