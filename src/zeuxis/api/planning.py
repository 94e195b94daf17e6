"""Which family and options suit a person's pictures and minutes."""

from __future__ import annotations

from pathlib import Path

from zeuxis.data import DataSpec
from zeuxis.data.report import DataReport
from zeuxis.data.specs import Data
from zeuxis.runtime.callbacks import StageCallback, in_stage, silent
from zeuxis.training import planning
from zeuxis.training.advice import pictures_of, rule_for
from zeuxis.training.planning import Advice


def plan(
    data: Data,
    *,
    minutes: float = planning.MINUTES,
    size: int | None = None,
    channels: int | None = None,
    progress: StageCallback = silent,
) -> Advice:
    """Families for the data, the best first: what each would see in so many minutes on this machine, by a few measured steps.

    `size` (pixels) and `channels` are chosen by the pictures unless given. The order is that of recorded runs, at as many
    images seen; each proposal is a command. `UsageError` where nothing fits.
    """
    spec = DataSpec.parse(data)
    pictures = planning.look_at_pictures(spec, typed=_typed(data), progress=in_stage(progress, "reading images"))
    return planning.advise(pictures.shaped(size, channels), minutes=minutes, progress=progress)


def suggest(report: DataReport, data: Data, *, size: int | None = None, channels: int | None = None) -> Advice:
    """Families for data that a report is of, by the paces of the recorded runs: nothing is measured."""
    pictures = pictures_of(report.pack, DataSpec.parse(data), typed=_typed(data)).shaped(size, channels)
    rule = rule_for(pictures)
    return planning.advise(
        pictures, minutes=rule.minutes_at(pictures.size) if rule else planning.MINUTES, measure=False
    )


def _typed(data: Data) -> str:
    """The data as a command would name it; what is in memory has no name."""
    return str(data) if isinstance(data, str | Path | DataSpec) else "DATA"
