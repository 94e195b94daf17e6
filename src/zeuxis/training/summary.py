"""A run in one line: family, data, steps, minutes, newest losses, FID, state; read from its files alone."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from zeuxis.errors import UsageError
from zeuxis.io import files
from zeuxis.io.guard import check_folder
from zeuxis.judging.report import read_evaluation
from zeuxis.runtime.progress import player_losses
from zeuxis.storage import RunFolder
from zeuxis.training import config
from zeuxis.training.log_file import LONGEST_LOG, LogLine, log_lines, seconds_trained
from zeuxis.training.standing import RunState, state_of

_FID = re.compile(r"(?:evaluation/)?FID\[(.{1,80})\]")
_SHEET = re.compile(r"(\d{8,12})\.png")
_NUMBERED = re.compile(r"(\d{5,9})-(.+)")


@dataclass(frozen=True)
class RunFID:
    """An FID, its 95 % interval (None: unknown), its feature network, and whether `evaluate` or the training measured it."""

    value: float
    low: float | None
    high: float | None
    features: str
    measured_by: Literal["evaluate", "training"]


@dataclass(frozen=True)
class RunSummary:
    """A run at a glance; of a broken one only its folder is known, and in `problem` what is wrong.

    `step` of `steps` are done (None: minutes alone end the run); `losses` are those of the newest row of metrics.
    `started_from` names the model whose weights it began with.
    """

    number: int | None
    name: str
    path: Path
    state: RunState | Literal["broken"]
    family: str = ""
    data: str = ""
    size: int | None = None
    channels: int | None = None
    step: int = 0
    steps: int | None = None
    minutes: float = 0.0
    losses: Mapping[str, float] = field(default_factory=dict)
    fid: RunFID | None = None
    sheet: Path | None = None
    started_from: str = ""
    problem: str = ""

    def plain(self) -> dict[str, Any]:
        """As plain values for JSON."""
        values = dataclasses.asdict(self)
        paths = {"path": str(self.path), "sheet": None if self.sheet is None else str(self.sheet)}
        return {**values, **paths, "losses": dict(self.losses)}


def summaries(folder: str | Path) -> list[RunSummary]:
    """The runs in a folder (or the run that it is), by number; numbered folders that are no runs are among them, broken.

    `UsageError` where there is no such folder.
    """
    root = Path(folder)
    with files.explained(root):
        if not root.is_dir():
            raise UsageError(f"there is no folder {root}; give one of runs, such as runs/")
        if (root / "config.yaml").is_file():
            return [summarise(root)]
        inside = [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
        found = [path for path in inside if _NUMBERED.fullmatch(path.name) or (path / "config.yaml").exists()]
    return [summarise(path) for path in sorted(found, key=_order)]


def _order(path: Path) -> tuple[float, str]:
    match = _NUMBERED.fullmatch(path.name)
    return (int(match[1]) if match else math.inf), path.name


def summarise(path: Path) -> RunSummary:
    """The run in a folder; nothing in the folder, however odd, raises."""
    match = _NUMBERED.fullmatch(path.name)
    named: tuple[int | None, str] = (int(match[1]), match[2]) if match else (None, path.name)
    try:
        check_folder(path)
        return _summary(RunFolder(path), named)
    except UsageError as error:
        return RunSummary(*named, path, "broken", problem=str(error))
    except OSError as error:  # removed, or made unreadable, while it was read
        return RunSummary(*named, path, "broken", problem=f"{path}: {error.strerror or error}; look at it again")


def _summary(run: RunFolder, named: tuple[int | None, str]) -> RunSummary:
    recipe, rows = config.read_recipe(run.config, runs_here=False), run.metrics()
    lines = list(log_lines(run.path / "log.txt", tail=LONGEST_LOG))
    state = state_of(run, recipe)
    settings, size, channels = recipe.settings, recipe.options.get("size"), recipe.options.get("channels")
    return RunSummary(
        *named,
        run.path,
        state,
        family=recipe.family,
        data=str(recipe.data),
        size=size if isinstance(size, int) else None,
        channels=channels if isinstance(channels, int) else None,
        step=_step(run, rows, lines),
        steps=None if settings.endless else settings.last_step,
        minutes=_seconds(lines, state) / 60,
        losses=_losses(rows),
        fid=_fid(run, rows, lines),
        sheet=newest_sheet(run),
        started_from=config.starting_model(recipe),
    )


def _seconds(lines: Sequence[LogLine], state: RunState) -> float:
    now = [LogLine(time.time(), "")] if state == "training" and lines else []
    return seconds_trained([*lines, *now])


def _step(run: RunFolder, rows: Sequence[Mapping[str, Any]], lines: Sequence[LogLine]) -> int:
    """The steps done: those of the newest row, checkpoint or line of the log."""
    seen = [row["step"] for row in rows[-1:] if isinstance(row.get("step"), int)]
    seen += [int(path.name.split("-")[1].split(".")[0]) for path in run.checkpoints()[-1:]]
    return max([*seen, *(line.step or 0 for line in lines[-1:])], default=0)


def _losses(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The newest losses: each player's, or the terms of a lone one."""
    for row in reversed(rows):
        known = {name: value for name, value in row.items() if value is not None and "/" in name}
        if found := player_losses(known):
            return found
    return {}


def _fid(run: RunFolder, rows: Sequence[Mapping[str, Any]], lines: Sequence[LogLine]) -> RunFID | None:
    """What `evaluate` measured, unless the run has gone on since; else the lowest that was measured during training."""
    path = run.path / "evaluation.json"
    with contextlib.suppress(UsageError, OSError):
        if path.is_file() and path.stat().st_mtime >= max((line.when for line in lines), default=0.0):
            for row in read_evaluation(path).rows:
                if match := _FID.fullmatch(row.name):
                    value, low, high = row.score
                    return RunFID(value, _finite(low), _finite(high), match[1], "evaluate")
    found = [
        RunFID(value, row.get(f"{name} low"), row.get(f"{name} high"), match[1], "training")
        for row in rows
        for name, value in row.items()
        if (match := _FID.fullmatch(name)) and value is not None
    ]
    return min(found, key=lambda fid: fid.value, default=None)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def newest_sheet(run: RunFolder) -> Path | None:
    """The newest contact sheet of a run; None before the first."""
    return next((path for _, path in reversed(sheets_of(run))), None)


def sheets_of(run: RunFolder) -> list[tuple[int, Path]]:
    """The contact sheets of a run by their steps, ascending."""
    folder = run.path / "samples"
    if not folder.is_dir():
        return []
    matches = [(match, path) for path in folder.iterdir() if (match := _SHEET.fullmatch(path.name))]
    return sorted((int(match[1]), path) for match, path in matches)
