"""A run as the page shows it: rows of metrics, histograms, contact sheets, pace and warnings, read from its files alone."""

from __future__ import annotations

import contextlib
import math
import re
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from zeuxis import renamed
from zeuxis.errors import UsageError
from zeuxis.escaping import printable
from zeuxis.io.parsing import parse_json
from zeuxis.storage import HISTOGRAMS_FILE, METRICS_FILE, RunFolder
from zeuxis.training import config, diagnostics, histograms, standing
from zeuxis.training.config import Recipe
from zeuxis.training.log_file import log_lines
from zeuxis.web.growing import GrowingLines, Sheets, Thinned

_MOST_NAMES = 96  # metrics
_NAME = 80  # characters of one
_STEP = re.compile(rb'\{"step": ?(\d{1,12})\b')
_MOST_STEP = 10**12
_SURE = 2.0  # seconds of log that a pace needs
_STALE = 2.0  # seconds after which is asked again whether somebody trains

_Row = dict[str, float]


class TrainingPace(NamedTuple):
    """Images a second, and the time of the log's newest beginning, in seconds since 1970; None where unknown."""

    speed: float | None
    began: float | None


class RunFiles:
    """The files of one run, read in parts; whatever is odd in them is passed over, and no link is followed."""

    def __init__(self, run: RunFolder) -> None:
        self.run, self.sheets = run, Sheets(run.path)
        self.metrics: Thinned[_Row] = Thinned()
        self.evaluations: Thinned[_Row] = Thinned()
        self.answers: Thinned[tuple[int, int]] = Thinned()  # step, offset in the file
        self.names: list[str] = []  # of metrics, in the order in which they came
        self.newest: deque[_Row] = deque(maxlen=100)
        self._rows, self._answers = GrowingLines(run.path / METRICS_FILE), GrowingLines(run.path / HISTOGRAMS_FILE)
        self._live, self._asked = False, -math.inf

    @property
    def version(self) -> tuple[Any, ...]:
        """Something that changes whenever the page should be told of the run anew."""
        last = self.newest[-1]["step"] if self.newest else -1
        sheets = tuple((kind, len(steps), steps[-1]) for kind, steps in self.sheets.steps().items())
        return self.metrics.epoch, last, len(self.answers.rows), self.answers.epoch, sheets, self.live

    def read(self) -> bool:
        """Read the next part of what is new; whether there was any."""
        return self._read_rows() | self._read_answers()

    def _read_rows(self) -> bool:
        begun, lines = self._rows.begun, self._rows.more()
        if self._rows.begun != begun:
            self.metrics.clear()
            self.evaluations.clear()
            self.newest.clear()
        for _, line in lines:
            if (row := _row(line)) is not None:
                self._take(row)
        return bool(lines)

    def _take(self, row: _Row) -> None:
        self.names += [name for name in row if name not in self.names and name not in ("step", "images")]
        del self.names[_MOST_NAMES:]
        self.metrics.add(row)
        self.newest.append(row)
        if any(name.startswith("evaluation/") for name in row):
            self.evaluations.add(row)

    def _read_answers(self) -> bool:
        begun, lines = self._answers.begun, self._answers.more()
        if self._answers.begun != begun:
            self.answers.clear()
        for offset, line in lines:
            if match := _STEP.match(line):
                self.answers.add((int(match[1]), offset))
        return bool(lines)

    def histogram(self, step: int) -> tuple[int, dict[str, Any]] | None:
        """The step and the histograms of the newest record up to a step, or of the first; None where there is none."""
        rows = self.answers.rows
        if not rows:
            return None
        at, offset = rows[max(0, bisect_right(rows, (step, math.inf)) - 1)]
        with contextlib.suppress(UsageError, ValueError):
            row = parse_json(self._answers.at(offset), self.run.path / HISTOGRAMS_FILE)
            if isinstance(row, dict) and row.get("step") == at:
                values = {name[:_NAME]: value for name, value in row.items() if name not in ("step", "images")}
                return at, histograms.checked_rows(values)
        return None

    @property
    def recipe(self) -> Recipe | None:
        """What the run was asked to do; None where its file does not say so as expected."""
        with contextlib.suppress(UsageError):
            return config.read_recipe(self.run.config)
        return None

    @property
    def live(self) -> bool:
        """Whether somebody trains the run now."""
        if time.monotonic() - self._asked > _STALE:
            self._live, self._asked = standing.is_training(self.run.path), time.monotonic()
        return self._live

    @property
    def state(self) -> standing.RunState:
        """How the run stands."""
        return "training" if self.live else standing.ended_as(self.run, self.recipe)

    def warnings(self, recipe: Recipe | None) -> list[str]:
        """The health warnings of the newest rows."""
        found = diagnostics.findings([*self.newest], recipe.options if recipe else {})
        return [printable(finding.message) for finding in found]

    def pace(self) -> TrainingPace:
        """The pace of training, by the times in the log."""
        logged = list(log_lines(self.run.path / "log.txt"))
        starts = [i for i, line in enumerate(logged) if line.begins]
        lines = logged[starts[-1] + 1 if starts else 0 :]
        steps = [(line.when, line.step) for line in lines if line.step is not None]
        began = logged[starts[-1]].when if starts else None
        row = self.newest[-1] if self.newest else {}
        if len(steps) < 2 or steps[-1][0] - steps[0][0] < _SURE or not row.get("step"):
            return TrainingPace(None, began)
        each = row["images"] / row["step"]
        return TrainingPace(each * (steps[-1][1] - steps[0][1]) / (steps[-1][0] - steps[0][0]), began)


def seconds_left(recipe: Recipe, row: Mapping[str, float], pace: TrainingPace) -> float | None:
    """Seconds until a run ends, by its steps or its minutes; None where that is unknown."""
    settings, lefts = recipe.settings, []
    if not settings.endless and pace.speed and row.get("step"):
        lefts.append((settings.last_step - row["step"]) * row["images"] / row["step"] / pace.speed)
    if settings.minutes is not None and pace.began is not None:
        lefts.append(pace.began + 60 * settings.minutes - time.time())
    return max(0.0, min(lefts)) if lefts else None


def _row(line: bytes) -> _Row | None:
    """A row of metrics; None where it is something else. What was not finite is left out."""
    with contextlib.suppress(UsageError):
        row = parse_json(line, METRICS_FILE)
        if isinstance(row, dict) and all(value is None or _is_number(value) for value in row.values()):
            named = renamed.metrics(
                {name: value for name, value in row.items() if value is not None and len(name) <= _NAME}
            )
            if _is_step(named.get("step")) and _is_step(named.get("images")):
                return named
    return None


def _is_number(value: object) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < 1 << 64)


def _is_step(value: object) -> bool:
    return type(value) is int and 0 <= value <= _MOST_STEP
