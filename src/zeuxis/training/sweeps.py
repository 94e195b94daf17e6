"""Runs over a grid of options, one after another, in a folder with an index: what was broken off goes on exactly."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

from zeuxis.data import DataSpec
from zeuxis.data.places import paths_of
from zeuxis.errors import DivergedError, UsageError
from zeuxis.escaping import ascii_json, quote
from zeuxis.io import files
from zeuxis.io.paths import check_root, expanded
from zeuxis.loading import RunPath, build_unfilled, find_run
from zeuxis.model import Model, options_of
from zeuxis.options import checked, flag_of
from zeuxis.runtime.callbacks import MessageCallback
from zeuxis.runtime.signals import Stopped
from zeuxis.storage import slug_of
from zeuxis.training.build import check_options, values_in_force
from zeuxis.training.runs import resume_run, start
from zeuxis.training.settings import TrainSettings
from zeuxis.training.transfer import StartingModel, find_start
from zeuxis.version import __version__

INDEX = "sweep.json"
MOST_RUNS = 100  # without being asked for more
_REFUSED = {
    "minutes": "runs of equal minutes are not equal, nor resumed exactly: use --steps or --cpu-minutes",
    "init_from": "give one model to start every run from",
    "out": "give one folder for the whole sweep",
    "name": "give one name to the whole sweep",
}
_LONGEST = 60  # characters of a run's name in that of its folder


@dataclass(frozen=True)
class Member:
    """A run of a sweep: the values of what is swept, and all settings and options."""

    values: dict[str, Any]
    settings: TrainSettings
    options: dict[str, Any]

    @property
    def name(self) -> str:
        """The name of its run, by the values: no two of a sweep have the same."""
        name = "-".join(f"{name.replace('_', '-')}-{shown_value(value)}" for name, value in self.values.items())
        digest = hashlib.sha256(name.encode()).hexdigest()[:6]
        return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 7]}-{digest}"

    @property
    def title(self) -> str:
        """The values in words."""
        return ", ".join(f"{name} {shown_value(value)}" for name, value in self.values.items())


@dataclass
class SweepEntry:
    """What the index says of a member: the folder of its run, how that stands, and why where it failed."""

    values: dict[str, Any]
    run: str | None = None
    state: str = "waiting"  # or training, done, diverged
    note: str = ""


@dataclass(frozen=True)
class Grid:
    """A family on data, and the values of each option that is swept, over what all runs have in common."""

    family: type[Model]
    data: DataSpec
    axes: Mapping[str, Sequence[Any]]
    settings: TrainSettings
    options: Mapping[str, Any]
    start: StartingModel | None = None  # whose weights every run begins with

    def members(self) -> list[Member]:
        """Every combination; seeds vary slowest, so that each setting has been tried once after the first seed."""
        names = sorted(self.axes, key=lambda name: name != "seed")
        general = {each.name for each in dataclasses.fields(TrainSettings)}
        found = []
        for combination in itertools.product(*(self.axes[name] for name in names)):
            values = dict(zip(names, combination))
            settings = {name: value for name, value in values.items() if name in general}
            options = {name: value for name, value in values.items() if name not in general}
            changed = dataclasses.replace(self.settings, **settings)
            found.append(Member(values, changed, {**self.options, **options}))
        return found

    def size(self) -> int:
        """How many combinations there are."""
        count = 1
        for values in self.axes.values():
            count *= len(values)
        return count

    def check(self, max_runs: int) -> None:
        """Raise `UsageError` at a value that no run can have, and at more combinations than are wanted."""
        for name, values in self.axes.items():
            if name in _REFUSED:
                raise UsageError(f"{flag_of(name)} cannot be swept: {_REFUSED[name]}")
            if len(set(values)) < len(values) or not values:
                raise UsageError(f"{flag_of(name)} is {quote(list(values))}; expected values, each named once")
        if self.settings.minutes is not None:
            raise UsageError(f"--minutes is {self.settings.minutes:g}; {_REFUSED['minutes']}")
        if (count := self.size()) > max_runs:
            raise UsageError(
                f"the sweep has {count:,} runs, more than {max_runs:,}; name fewer values, or --max-runs {count}"
            )
        _check_values(self)

    def about(self) -> dict[str, Any]:
        """What the runs have in common, as plain values; a sweep is found again by it."""
        default = TrainSettings()
        settings = dataclasses.asdict(self.settings)
        given = {name: value for name, value in settings.items() if value != getattr(default, name)}
        fixed = {**given, **({"init_from": self.start.sha256} if self.start else {}), **self.options}
        kept = {
            name: value for name, value in sorted(fixed.items()) if name not in {"out", "name", "logger", *self.axes}
        }
        return {
            "family": self.family.family(),
            "data": str(self.data.absolute()),
            "fixed": kept,
            "axes": sorted(self.axes),
        }

    @property
    def folder(self) -> Path:
        """The sweep's folder: the same whenever the same is asked."""
        family = self.family.family().rpartition(":")[2]
        digest = hashlib.sha256(json.dumps(self.about(), sort_keys=True).encode()).hexdigest()[:6]
        name = self.settings.name or f"sweep-{family}-{Path(self.data.title).stem}-{digest}"
        return Path(self.settings.out) / re.sub(r"[^\w.-]+", "-", name)


def _check_values(grid: Grid) -> None:
    """Raise `UsageError` where a value is none of its option, or options do not go together in a model."""
    check_options(grid.family, {**grid.options, **_own(grid, grid.axes)})
    hints = get_type_hints(grid.family)
    fields = {each.name: each for each in options_of(grid.family)}
    for name, values in _own(grid, grid.axes).items():
        for value in values:
            checked(fields[name], hints[name], value)
    seen: set[str] = set()
    for member in grid.members():
        shape, preset = grid.data.own_shape, member.settings.preset
        given = values_in_force(grid.family, shape=shape, preset=preset, given=member.options, start=grid.start)
        if (key := json.dumps(given, sort_keys=True)) not in seen:
            seen.add(key)
            build_unfilled(grid.family, given, Path(f"the sweep at {member.title}"))


def _own(grid: Grid, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the family's options among the values."""
    general = {each.name for each in dataclasses.fields(TrainSettings)}
    return {name: value for name, value in values.items() if name not in general}


def runs_of(folder: RunPath) -> list[Path]:
    """The runs in a sweep's folder, by their numbers; none where it is no such folder."""
    path = Path(expanded(str(folder if isinstance(folder, int) else os.fspath(folder))))
    if not (path / INDEX).is_file():
        return []
    return [find_run(config.parent) for config in sorted(path.glob("[0-9]*/config.yaml"))]


def shown_value(value: Any) -> str:
    """A value as it is typed."""
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass
class Sweep:
    """A sweep as its folder has it: the index, and the runs beside it."""

    folder: Path
    grid: Grid
    entries: list[SweepEntry] = field(default_factory=list)

    @classmethod
    def open(cls, grid: Grid) -> Sweep:
        """The sweep of a grid, new or found again; `UsageError` where its folder is another's. Nothing is written."""
        path = grid.folder / INDEX
        if not path.exists():
            return cls(grid.folder, grid)
        index = files.read_json(path, max_bytes=1 << 24, follow=False)
        about = json.loads(json.dumps(grid.about()))
        try:
            other = next((name for name in about if index["about"][name] != about[name]), None)
            entries = [SweepEntry(dict(e["values"]), e["run"], str(e["state"]), str(e["note"])) for e in index["runs"]]
        except (TypeError, KeyError, ValueError):
            raise UsageError(f"{path} is not what zeuxis sweep writes; choose another --name") from None
        if other is not None:
            raise UsageError(
                f"{grid.folder} is another sweep: its {other} is {quote(index['about'][other])}; choose another --name"
            )
        return cls(grid.folder, grid, entries)

    def save(self) -> None:
        """Write the index: the old one or the new one is there, whatever happens."""
        runs = [dataclasses.asdict(entry) for entry in self.entries]
        values = {"zeuxis": __version__, "about": self.grid.about(), "runs": runs}
        files.write_file(self.folder / INDEX, ascii_json(values).encode())

    def entry(self, member: Member) -> SweepEntry:
        """What is known of a member; a run whose folder came before its entry is found by its name."""
        values = json.loads(json.dumps(member.values))
        found = next((entry for entry in self.entries if entry.values == values), None)
        if found is None:
            self.entries.append(found := SweepEntry(values))
        if found.run is None or not (self.folder / found.run / "config.yaml").is_file():
            begun = self._begun(member)
            found.run, found.state = (begun, "training") if begun else (None, "waiting")
        return found

    def _begun(self, member: Member) -> str | None:
        """The newest run folder with the name of a member."""
        wanted = re.compile(rf"\d{{5,9}}-{re.escape(slug_of(member.name))}")
        configs = self.folder.glob("*/config.yaml")
        return max((each.parent.name for each in configs if wanted.fullmatch(each.parent.name)), default=None)

    def path(self, entry: SweepEntry) -> Path | None:
        """The folder of a run that has begun."""
        return None if entry.run is None else self.folder / entry.run


def run_sweep(grid: Grid, *, max_runs: int = MOST_RUNS, note: MessageCallback) -> Sweep:
    """Train every run of the grid that is not done, one after another; one that was broken off is resumed exactly.

    A run that diverges is noted, and the next begins. Raises `UsageError` before the first run where one cannot be; else
    what a run raises: the same call goes on with the sweep then.
    """
    grid.check(max_runs)
    check_root(grid.folder, paths_of(grid.data))
    files.make_folder(turn := grid.folder / ".sweep")  # the folder itself is locked whenever a run is made in it
    with files.lock(turn, wait=2.0):
        sweep = Sweep.open(grid)
        members = grid.members()
        for number, member in enumerate(members, start=1):
            entry = sweep.entry(member)
            if entry.state in ("done", "diverged"):
                continue
            note(f"run {number} of {len(members)}: {member.title}")
            _play(sweep, member, entry)
    return sweep


def _play(sweep: Sweep, member: Member, entry: SweepEntry) -> None:
    """Begin or resume the run of a member, and note in the index how it ends."""

    def begun(path: Path, _: MessageCallback) -> None:
        entry.run, entry.state = path.name, "training"
        sweep.save()

    grid, path = sweep.grid, sweep.path(entry)
    if path is None and grid.start and find_start(str(grid.start.folder), grid.family).sha256 != grid.start.sha256:
        raise UsageError(f"{grid.start.name} has other weights than when the sweep began; give it a copy of that model")
    settings = dataclasses.replace(member.settings, out=str(sweep.folder), name=member.name)
    begin = partial(start, settings, grid.family, member.options, data=grid.data, began=begun)
    try:
        if path is None:
            begin()
        else:
            resume_run(path, family=grid.family, logger=settings.logger)
        entry.state = "done"
    except DivergedError as error:
        entry.state, entry.note = "diverged", str(error)
    except Stopped as stopped:
        raise Stopped(f"{stopped}; the same sweep command goes on with all of them", stopped.exit_code) from None
    sweep.save()
