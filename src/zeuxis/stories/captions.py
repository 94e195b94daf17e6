"""Captions of a story: where the run is at a step, and what the checks of its health say by then."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zeuxis.charts.histories import FID
from zeuxis.judging.report import format_score
from zeuxis.runtime.progress import duration
from zeuxis.training import diagnostics
from zeuxis.training.log_file import LogLine, seconds_trained


@dataclass(frozen=True)
class Caption:
    """Two lines: where the run is, and its health; `warns` where that is a finding."""

    facts: str
    health: str
    warns: bool = False


@dataclass(frozen=True)
class Captions:
    """The captions of a run, from its rows of metrics, its log, and the options of its family."""

    rows: Sequence[Mapping[str, Any]]
    log: Sequence[LogLine]
    options: Mapping[str, object]

    def at(self, step: int) -> Caption:
        """The caption of a step."""
        until = bisect_right([row["step"] for row in self.rows], step)
        rows = self.rows[:until]
        facts = [f"step {step:,}"]
        if step and rows:
            facts.append(f"{self._images(rows, step):,} images seen")
        if (seconds := self._seconds(step)) is not None:
            facts.append(f"{duration(seconds)} of training")
        known = [{name: value for name, value in row.items() if value is not None} for row in rows[-100:]]
        found = diagnostics.findings(known, self.options)
        if found:
            return Caption(", ".join(facts), found[0].message, warns=True)
        return Caption(", ".join(facts), self._health(known, step))

    def _images(self, rows: Sequence[Mapping[str, Any]], step: int) -> int:
        """Images seen by a step that may have no row of its own."""
        newest = rows[-1]
        return round(newest["images"] * step / newest["step"]) if newest["step"] else 0

    def _seconds(self, step: int) -> float | None:
        """Wall-clock time of training up to a step; None where the log does not tell."""
        if step == 0:
            return None
        lines = [i for i, line in enumerate(self.log) if line.step is not None and line.step <= step]
        return seconds_trained(list(self.log[: lines[-1] + 1])) if lines else None

    def _health(self, rows: Sequence[Mapping[str, float]], step: int) -> str:
        """What the newest rows say where nothing is wrong."""
        if step == 0:
            return "before training: the first weights are random"
        newest: dict[str, float] = {}
        for row in rows:
            newest |= row
        said = [*_answers(newest), *_latent(newest), *_samples(newest)]
        if newest.get("images", 0) >= diagnostics.WARM_UP:
            said.insert(0, "no failure mode found")
        return "; ".join(said)


def _answers(newest: Mapping[str, float]) -> list[str]:
    real, fake = newest.get("discriminator/prob_real"), newest.get("discriminator/prob_fake")
    return [] if real is None or fake is None else [f"D(real) {real:.2f}, D(fake) {fake:.2f}"]


def _latent(newest: Mapping[str, float]) -> list[str]:
    active, kl = newest.get("latent/active_units"), newest.get("latent/kl")
    said = [] if active is None else [f"{active:.0%} of the latent units active"]
    return said if kl is None else [*said, f"KL {kl:.3g} nats"]


def _samples(newest: Mapping[str, float]) -> list[str]:
    spread = newest.get("samples/diversity")
    said = [] if spread is None else [f"samples {spread:.2f} times as diverse as real images"]
    for name, value in newest.items():
        if name.startswith(FID) and name.endswith("]"):
            low, high = newest.get(f"{name} low"), newest.get(f"{name} high")
            ends = "" if low is None or high is None else f" ({format_score(low)} to {format_score(high)})"
            said.append(f"FID {format_score(value)}{ends}")
    return said
