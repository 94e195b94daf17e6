"""Runs as a table: for a terminal, and for a notebook."""

from __future__ import annotations

import html
import os
from pathlib import Path

from zeuxis.escaping import printable
from zeuxis.judging.report import format_score
from zeuxis.training.summary import RunSummary, summaries

_HEADS = (
    "run",
    "name",
    "family",
    "data",
    "size",
    "steps",
    "minutes",
    "FID",
    "from",
    "state",
    "newest losses",
    "newest sheet",
)
_LEFT = frozenset({"name", "family", "data", "from", "state", "newest losses", "newest sheet"})
_WIDEST = 24  # characters of a name
_STYLE = "text-align:{};padding:.2em .8em;white-space:nowrap"


class RunList(list[RunSummary]):
    """A list of runs, which Python and a notebook show as a table."""

    def lines(self, *, width: int | None = None) -> list[str]:
        """A line for each run, then the broken folders; the sheets have lines of their own where all is wider than `width`."""
        table = self._table()
        widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))] if table else []
        folded = width is not None and sum(widths) + 2 * len(widths) - 2 > width and table[0][-1] == _HEADS[-1]
        lines = []
        for row in table:
            texts = [_aligned(text, widths[i], table[0][i]) for i, text in enumerate(row)]
            whole = "  ".join(texts).rstrip()
            lines += ["  ".join(texts[:-1]).rstrip(), f"    {row[-1]}".rstrip()] if folded else [whole]
        return [*lines, *self._broken()]

    def __repr__(self) -> str:
        return "\n".join(map(printable, self.lines())) if self else "no runs"

    def _repr_html_(self) -> str:
        """The table, for a notebook."""
        rows = []
        for place, row in enumerate(self._table()):
            tag = "td" if place else "th"
            sides = ["left" if head in _LEFT else "right" for head in self._table()[0]]
            cells = (f'<{tag} style="{_STYLE.format(side)}">{_escaped(text)}</{tag}>' for side, text in zip(sides, row))
            rows.append(f"<tr>{''.join(cells)}</tr>")
        notes = "".join(f"<p>{_escaped(line)}</p>" for line in self._broken())
        return f"<table>{''.join(rows)}</table>{notes}" if self else "no runs"

    def _table(self) -> list[list[str]]:
        """The heads and the cells of whole runs, without the columns that are empty."""
        cells = [_cells(run) for run in self if run.state != "broken"]
        used = [i for i in range(len(_HEADS)) if any(row[i] for row in cells)]
        return [[row[i] for i in used] for row in [list(_HEADS), *cells]] if cells else []

    def _broken(self) -> list[str]:
        return [f"broken: {run.problem}" for run in self if run.state == "broken"]


def listed_runs(folder: str | Path) -> RunList:
    """The runs in a folder; none where the default folder is missing. Nothing here imports torch."""
    if str(folder) == "runs" and not os.path.lexists(folder):
        return RunList()
    return RunList(summaries(folder))


def _escaped(text: str) -> str:
    return html.escape(printable(text))


def _aligned(text: str, width: int, head: str) -> str:
    return text.ljust(width) if head in _LEFT else text.rjust(width)


def _cells(run: RunSummary) -> list[str]:
    """The cells of a run, in the order of the heads."""
    losses = "  ".join(f"{name} {value:.3g}" for name, value in run.losses.items())
    return [
        "" if run.number is None else str(run.number),
        _short(run.name),
        _short(run.family),
        _short(run.data),
        "" if run.size is None else str(run.size),
        f"{run.step:,}" + (f" of {run.steps:,}" if run.steps is not None and run.step < run.steps else ""),
        f"{run.minutes:.1f}" if run.minutes < 10 else f"{run.minutes:,.0f}",
        "" if run.fid is None else format_score(run.fid.value),
        _short(run.started_from),
        run.state,
        losses,
        "" if run.sheet is None else str(run.sheet),
    ]


def _short(text: str) -> str:
    return text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..."
