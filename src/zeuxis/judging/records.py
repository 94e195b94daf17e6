"""What a run's folder says of the run, for comparisons: its seed, what else it was trained with, its past, its metrics."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zeuxis.storage import RunFolder

# Settings on which a model depends; the others say where, how often, and on what it was trained.
_TELLING = (
    "batch_size",
    "micro_batches",
    "ema_half_life",
    "precision",
    "hflip",
    "resize_mode",
    "max_images",
    "hold_out",
    "init_from",
)
_LIMITS = ("steps", "minutes", "cpu_minutes")


@dataclass(frozen=True)
class RunRecord:
    """The seed, all else that the model depends on (as text, equal for runs that differ by the seed alone), the run that a
    branch was forked from with its step and its changes, and the rows of metrics."""

    seed: int | None = None
    setting: str = ""
    parent: str = ""
    fork: int = 0
    changed: Mapping[str, Any] = field(default_factory=dict)
    rows: Sequence[Mapping[str, Any]] = ()


def read_record(folder: Path) -> RunRecord:
    """The record of a run; what config.yaml does not say as expected is left out."""
    run = RunFolder(folder)
    config = run.config
    settings, parent = _table(config.get("settings")), _table(config.get("parent"))
    seed, step, changed = settings.get("seed"), parent.get("step"), _table(parent.get("changed"))
    start = _table(config.get("started_from")).get("sha256")
    settings = {**settings, "init_from": start or settings.get("init_from")}  # by content, wherever it lay
    told = [config.get("family"), config.get("data"), _table(config.get("options")), step, changed]
    setting = json.dumps([*told, *(settings.get(name) for name in (*_TELLING, *_LIMITS))], sort_keys=True, default=str)
    forked = isinstance(step, int) and isinstance(parent.get("run"), str)
    return RunRecord(
        seed if isinstance(seed, int) else None,
        setting,
        str(parent["run"]) if forked else "",
        int(parent["step"]) if forked else 0,
        changed,
        run.metrics(),
    )


def _table(value: Any) -> dict[str, Any]:
    return {str(name): each for name, each in value.items()} if isinstance(value, dict) else {}
