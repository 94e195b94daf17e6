"""What the scores of an evaluation say together, in words.

Precision and density are high where samples crowd in one place of the real images (Kynkäänniemi 2019, Naeem 2020), so they
count only beside recall and FID.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from zeuxis.scores import Score

HEART = 0.02  # memorization rate above which samples count as learned by heart; 0.01 are expected of held-out images
SAME = 0.8  # shares of the real images' value: as good as real images
HALF = 0.5
MOST_MISSING = 0.15


class Scored(Protocol):
    """A score beside that of real images."""

    @property
    def name(self) -> str: ...

    @property
    def score(self) -> Score: ...

    @property
    def real(self) -> float | None: ...


class Shares(NamedTuple):
    """Scores as shares of those of real images; `fid` is real over model, so that 1 is as good in each."""

    fid: float
    precision: float
    recall: float


def verdict(rows: Mapping[str, Scored]) -> list[str]:
    """Sentences on samples from the rows of an evaluation, by name; none where rows are missing or were never compared."""
    shares = _shares(rows)
    if shares is None:
        return []
    said = [_kind(shares)]
    if names := flattering(rows):
        look = " and ".join(names) + (" look" if len(names) > 1 else " looks")
        said.append(f"{look} good here because samples crowd in a few places; trust FID and recall")
    rate = rows.get("memorization rate")
    if rate is not None and rate.score.low > HEART:
        said.append(
            f"learned by heart: {rate.score.value:.0%} of the samples are nearly a training image; "
            "see the closest pairs, and train on more images or with --augment translation"
        )
    return said


def flattering(rows: Mapping[str, Scored]) -> list[str]:
    """Which of precision and density look good although recall does not."""
    shares = _shares(rows)
    if shares is None or shares.recall >= HALF:
        return []
    named = {name.partition("[")[0]: row for name, row in rows.items()}
    return [name for name in ("precision", "density") if name in named and _share(named[name]) >= HALF]


def _shares(rows: Mapping[str, Scored]) -> Shares | None:
    named = {name.partition("[")[0]: row for name, row in rows.items()}
    found = [named.get(name) for name in ("FID", "precision", "recall")]
    known = [row for row in found if row is not None and row.real]
    if len(known) < len(found):
        return None
    fid, precision, recall = known
    return Shares((fid.real or 0.0) / max(fid.score.value, 1e-9), *(_share(row) for row in (precision, recall)))


def _share(row: Scored) -> float:
    return row.score.value / (row.real or 1.0)


def _kind(shares: Shares) -> str:
    if min(shares.precision, shares.recall) >= SAME and shares.fid >= HALF:
        return "near to real images: as good and as diverse"
    if shares.recall < MOST_MISSING:
        if shares.precision >= HALF:
            return (
                "textures or one kind: samples are alike, and most kinds of the real images are missing; train longer"
            )
        return "not yet images: neither good nor diverse; train longer"
    if shares.precision >= HALF:
        return (
            "whole, but few kinds are drawn" if shares.recall < HALF else "good and diverse, not yet as real images are"
        )
    if shares.recall >= HALF:
        return "diverse, but not clean: many samples are unlike any real image"
    return "some are good: kinds are missing, and many samples are unlike any real image; train longer"
