"""A run forked at a checkpoint with options changed; and its last interval trained again to see whether the bits hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zeuxis import loading
from zeuxis.api.models import Family
from zeuxis.api.run import Run
from zeuxis.data.specs import Data
from zeuxis.loading import RunPath
from zeuxis.training import forks, verifying
from zeuxis.training.verifying import Verification


def branch(
    run: RunPath, *, at: int | None = None, data: Data | None = None, family: Family = None, **changes: Any
) -> Run:
    """Fork a run at a checkpoint and train the branch, as `zeuxis.branch(1, at=4000, r1_gamma=0)`; the branch, once done.

    `at` is the step of a checkpoint that is kept, the newest if None. The changes are options of the run's family and
    settings of every run, by name; all else stays as it is, bit for bit. The branch ends where its parent does, unless
    `steps`, `minutes` or `cpu_minutes` are among them. `UsageError` at options on which the data, its order, or the shapes
    of the networks depend. `data` is the run's again, where it was in memory and is no longer in the cache. A run of a
    family outside Zeuxis is only forked when `family` names its class.
    """
    return Run(branch_with(run, changes, at=at, data=data, family=family), family=family)


def branch_with(
    run: RunPath,
    changes: Mapping[str, Any],
    *,
    at: int | None = None,
    data: Data | None = None,
    family: Family = None,
) -> Path:
    """As `branch`, with the changes as a mapping; the branch's folder."""
    return forks.branch_run(loading.find_run(run), changes, at=at, data=data, family=family)


def verify(run: RunPath, *, data: Data | None = None, family: Family = None) -> Verification:
    """Train the last interval between two checkpoints of a run again, in memory, and compare the bits with those saved.

    Nothing in the run is touched. `data` and `family` are as of `branch`. `UsageError` where it has no checkpoint.
    """
    return verifying.verify_run(loading.find_run(run), data=data, family=family)
