"""A run as a folder: settings, metrics, contact sheets and checkpoints that survive a crash; and saved models."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeuxis import renamed
from zeuxis.errors import UsageError, ZeuxisError
from zeuxis.escaping import printable
from zeuxis.io import files
from zeuxis.io.guard import check_folder, open_guarded
from zeuxis.io.parsing import dump_yaml, parse_json
from zeuxis.storage.checkpoints import SUFFIX, LayoutCheck, encode_group, holds, read_checkpoint, step_of
from zeuxis.storage.checkpoints import Checkpoint as Checkpoint

if TYPE_CHECKING:
    from torch import Tensor

_NUMBERED = re.compile(r"(\d{5,9})-.+")
_SHEET = re.compile(r"\d{8,12}\.png")
_CHECKPOINT = re.compile(r"step-(\d{8,12})(\.old)?")
_LONGEST = 1 << 20  # bytes of a row of metrics
METRICS_FILE, HISTOGRAMS_FILE = "metrics.jsonl", "histograms.jsonl"  # a row a line
_APPENDED = ("log.txt", METRICS_FILE, HISTOGRAMS_FILE)


@dataclass(frozen=True)
class RunFolder:
    """The folder of one training run; made by `RunFolder.create`, found again by `RunFolder.open`."""

    path: Path

    @classmethod
    def create(
        cls, root: str | Path, name: str, config: Mapping[str, Any], *, begin: Callable[[RunFolder], None] | None = None
    ) -> RunFolder:
        """Make the next numbered folder under `root`, as `00003-name`; it appears with its settings or not at all.

        `begin` is given the folder before it appears, to write into it what the run begins with.
        """
        root, slug = Path(root), slug_of(name)
        files.make_folder(root)
        with files.lock(root, wait=60.0), files.explained(root, 0):
            files.remove_leftovers(root)
            taken = [int(match[1]) for match in map(_NUMBERED.fullmatch, _names(root)) if match]
            draft, path = files.temporary(root / slug), root / f"{1 + max(taken, default=0):05d}-{slug}"
            files.make_folder(draft / "samples")
            files.make_folder(draft / "checkpoints")
            files.write_file(draft / "config.yaml", dump_yaml(dict(config)))
            if begin is not None:
                begin(cls(draft))
            draft.rename(path)
            files.sync_folder(root)
        return cls(path)

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """The run whose folder this is, or is in; what interrupted writes left is removed unless the run is in use.

        `UsageError` where anything in the folder leads out of it: somebody else may have made it.
        """
        absolute = Path(path).absolute()
        with files.explained(path):
            found = [folder for folder in [absolute, *absolute.parents][:4] if (folder / "config.yaml").is_file()]
        if found:
            run = cls(Path(path) if found[0] == absolute else found[0])
            check_folder(run.path, written=_APPENDED)
            with contextlib.suppress(ZeuxisError), files.unlocked(run.path, wait=0.0):
                run._sweep()
            return run
        raise UsageError(f"{path} is not a run: it has no config.yaml; give a folder such as runs/00003-dcgan-avatars")

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only writer of the run; `UsageError` names the process that is."""
        with files.lock(self.path, wait=2.0):  # those who only open a run hold it for a moment
            self._sweep()
            yield

    def check_free(self) -> None:
        """Raise `UsageError` where another process writes the run; nothing is written to find out."""
        with files.unlocked(self.path, wait=2.0):
            pass

    def _sweep(self) -> None:
        inner = [Path(entry) for entry in os.scandir(self.path) if entry.is_dir(follow_symlinks=False)]
        for folder in (self.path, *inner):
            files.remove_leftovers(folder)

    @property
    def config(self) -> dict[str, Any]:
        """The settings of the run, as plain values."""
        config = files.read_yaml(self.path / "config.yaml", follow=False)
        if not isinstance(config, dict) or not all(isinstance(key, str) for key in config):
            raise UsageError(f"{self.path / 'config.yaml'} is no table of settings (`name: value` lines); correct it")
        return renamed.config(config)

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Replace the settings, as when a resumed run is to go on for longer."""
        files.write_file(self.path / "config.yaml", dump_yaml(dict(config)))

    @property
    def how_on(self) -> str:
        """What to type to go on with the run, for a shell."""
        return f"resume with: zeuxis resume {shlex.quote(str(self.path))}"

    @property
    def model_path(self) -> Path:
        """The folder that `zeuxis.load` reads."""
        return self.path / "model"

    def sheet_path(self, step: int, kind: str = "samples") -> Path:
        """Where the contact sheet of a step goes."""
        return self.path / kind / f"{step:08d}.png"

    def sheets(self, kind: str = "samples") -> list[Path]:
        """The contact sheets of a kind, the oldest first."""
        with files.explained(self.path):
            found = [name for name in _names(self.path / kind) if _SHEET.fullmatch(name)]
        return [self.path / kind / name for name in sorted(found, key=lambda name: (len(name), name))]

    def checkpoints(self) -> list[Path]:
        """The folders of the checkpoints, the oldest first."""
        with files.explained(self.path):
            folder = self.path / "checkpoints"
            found = [(match, folder / match[0]) for match in map(_CHECKPOINT.fullmatch, _names(folder)) if match]
        return [path for _, path in sorted(found, key=lambda pair: (int(pair[0][1]), pair[0][2] is None))]

    def save_checkpoint(
        self,
        step: int,
        tensors: Mapping[str, Mapping[str, Tensor]],
        state: Mapping[str, Any],
        *,
        keep: int = 2,
        patience: float = 2.0,
    ) -> Path:
        """Write `checkpoints/step-...` (a file per group of tensors), or leave it if it holds this; `keep` the newest.

        Metrics up to the step must have been appended. A volume that refuses is asked again for `patience` seconds,
        then `DiskFullError`: the checkpoint before still stands. Older ones, and later ones, are removed.
        """
        contents = {f"{name}{SUFFIX}": encode_group(group) for name, group in tensors.items()}
        contents["state.json"] = json.dumps(state, allow_nan=False).encode()
        path = self.path / "checkpoints" / f"step-{step:08d}"
        files.make_folder(path.parent)
        self._sync_metrics()
        if not holds(path, contents):
            files.write_folder(path, contents, patience=patience)
        existing = self.checkpoints()
        kept = existing[: existing.index(path) + 1][-max(2, keep) :]
        for other in existing:
            if other not in kept:
                files.discard(other)
        return path

    def keeps(self, step: int) -> bool:
        """Whether there is a checkpoint of the step."""
        return step in map(step_of, self.checkpoints())

    def load_checkpoint(self, check: LayoutCheck | None = None) -> Checkpoint | None:
        """The newest checkpoint that is whole, or None before the first; `UsageError` where all are damaged.

        `check` is told the types and shapes of its tensors before any is read, and raises `UsageError` where they do not fit.
        """
        skipped: list[str] = []
        for path in reversed(self.checkpoints()):
            try:
                return read_checkpoint(path, skipped, check)
            except ZeuxisError as error:
                skipped.append(str(error))
        if skipped:
            raise UsageError(f"{self.path} has no checkpoint that is whole ({'; '.join(skipped)}); start a new run")
        return None

    def checkpoint_at(self, step: int, check: LayoutCheck | None = None) -> Checkpoint:
        """The checkpoint of a step, `check` as of `load_checkpoint`; `UsageError` names those that are kept if it is none."""
        steps = list(dict.fromkeys(map(step_of, self.checkpoints())))
        if step not in steps:
            kept = ", ".join(f"{each:,}" for each in steps) or "none"
            raise UsageError(
                f"{self.path} keeps no checkpoint of step {step:,}; those kept: {kept}; "
                "a run that is to be forked elsewhere keeps more with --keep-checkpoints"
            )
        (*others, path) = [path for path in self.checkpoints() if step_of(path) == step]
        try:
            return read_checkpoint(path, [], check)
        except ZeuxisError:
            if not others:
                raise
            return read_checkpoint(others[0], [], check)

    def append_metrics(self, row: Mapping[str, float | int], *, patience: float = 2.0) -> None:
        """Add a row to metrics.jsonl, as strict JSON: what is not finite becomes null."""
        plain = {name: value if math.isfinite(value) else None for name, value in row.items()}
        line = json.dumps(plain, allow_nan=False) + "\n"
        _append(self.path / METRICS_FILE, line.encode(), patience)

    def append_histograms(self, row: Mapping[str, Any], *, patience: float = 2.0) -> None:
        """Add a row to histograms.jsonl, as strict JSON."""
        line = json.dumps(dict(row), allow_nan=False, separators=(",", ":")) + "\n"
        _append(self.path / HISTOGRAMS_FILE, line.encode(), patience)

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl; one that is torn, or has other than numbers, is left out."""
        return [renamed.metrics(row) for _, row in self._rows(METRICS_FILE) if all(map(_is_number, row.values()))]

    def truncate_metrics(self, step: int) -> None:
        """Take the rows after the step out of metrics.jsonl and histograms.jsonl, and torn ones: a resumed run writes them
        again."""
        for name in (METRICS_FILE, HISTOGRAMS_FILE):
            kept = b"".join(line for line, row in self._rows(name) if not _later(row.get("step"), step))
            path = self.path / name
            if path.exists() and path.stat().st_size != len(kept):
                files.write_file(path, kept)

    def _rows(self, name: str) -> Iterator[tuple[bytes, dict[str, Any]]]:
        path = self.path / name
        if not path.exists():
            return
        with files.open_file(path, max_bytes=1 << 32, follow=False) as (file, _):
            for line in iter(lambda: file.readline(_LONGEST), b""):
                if not line.startswith(b"{"):
                    continue
                with contextlib.suppress(UsageError):
                    row = parse_json(line, path)
                    if isinstance(row, dict) and line.endswith(b"\n"):
                        yield line, row

    def _sync_metrics(self) -> None:
        """Make the metrics durable: a checkpoint must not outlive the rows that came before it."""
        for path in (self.path / METRICS_FILE, self.path / HISTOGRAMS_FILE):
            if path.exists():
                with files.explained(path, 0):
                    descriptor = open_guarded(path, os.O_RDWR)
                    try:
                        os.fsync(descriptor)
                    finally:
                        os.close(descriptor)
                    files.sync_folder(self.path)

    def log(self, line: str, *, patience: float = 2.0) -> None:
        """Add a line to log.txt, with the time."""
        text = f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {printable(line.rstrip())}\n"
        _append(self.path / "log.txt", text.encode(errors="backslashreplace"), patience)


def slug_of(name: str) -> str:
    """The name as it stands in that of a run's folder, after the number."""
    return re.sub(r"[^\w.-]+", "-", name)[:60].strip("-.") or "run"


def _names(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()] if folder.is_dir() else []


def _later(value: object, step: int) -> bool:
    return isinstance(value, (int, float)) and value > step


def _is_number(value: object) -> bool:
    """Whether it is what `append_metrics` writes: a number that a float can hold, or None for one that was not finite."""
    return value is None or type(value) is float or (type(value) is int and abs(value) < 1 << 64)


def _append(path: Path, data: bytes, patience: float) -> None:
    """Add the data to the end of the file: all of it, or nothing where the volume refuses."""
    files.persist(lambda: _append_once(path, data), path, len(data), patience)


def _append_once(path: Path, data: bytes) -> None:
    descriptor = open_guarded(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        size = os.fstat(descriptor).st_size
        try:
            files.write_all(descriptor, data)
        except BaseException:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)
