"""A run forked at a checkpoint with options changed; and its last interval trained again to see whether the bits hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zeuxis import loading
from zeuxis.api.models import Family
from zeuxis.training import forks, verifying
from zeuxis.training.verifying import Verification


def branch(
    run: str | Path, changes: Mapping[str, Any] | None = None, *, at: int | None = None, family: Family = None
) -> Path:
    """Fork a run at a checkpoint and train the branch to the run's end, or to other limits; the branch's folder.

    `at` is the step of a checkpoint that is kept, the newest if None. `changes` are options of the family and of
    `TrainSettings` by name, such as `{"r1_gamma": 0.0, "steps": 8000}`; all else stays as it is, bit for bit.
    `UsageError` at options on which the data, its order, or the shapes of the networks depend.
    """
    return forks.branch_run(loading.find_run(run), changes or {}, at=at, family=family)


def verify(run: str | Path, *, family: Family = None) -> Verification:
    """Train the last interval between two checkpoints of a run again, in memory, and compare the bits with those saved.

    Nothing in the run is touched. `UsageError` where it has no checkpoint.
    """
    return verifying.verify_run(loading.find_run(run), family=family)
