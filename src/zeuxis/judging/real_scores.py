"""What an evaluation works out of real images alone, cached by their features: all models judged by them share it."""

from __future__ import annotations

import functools
from typing import NamedTuple

import safetensors.torch
import torch
from torch import Tensor

from zeuxis.errors import UsageError
from zeuxis.io import cache
from zeuxis.io.parsing import Layout
from zeuxis.metrics import distances, neighbours
from zeuxis.metrics.features import cached_tensors, digest
from zeuxis.runtime.callbacks import StageCallback
from zeuxis.scores import JACKKNIFE_GROUPS

_VERSION = 1  # of all these scores: a change must not read the old cache
_SCORED = ("FID", "KID", *neighbours.Fidelity._fields)


class RealScores(NamedTuple):
    """Of the reference (n d), of as many training images as a baseline, and of all training images that are searched.

    `baseline` has the scores of the baseline in the place of samples, as in `of_baseline`; `radii` (n) are those of the
    reference, `pairs` and `own` its `KernelSums`; `unseen` the distances of images never seen to the nearest training image.
    """

    baseline: Tensor
    radii: Tensor
    pairs: Tensor
    own: Tensor
    unseen: Tensor

    def of_baseline(self, name: str) -> float:
        """FID, KID, precision, recall, density or coverage of the baseline."""
        return float(self.baseline[_SCORED.index(name)])


def real_scores(
    reference: Tensor, baseline: Tensor, searched: Tensor, *, held_out: bool, progress: StageCallback
) -> RealScores:
    """Those of features (n d, n d, m d), from the cache where they were worked out before.

    Where nothing is `held_out`, the unseen images are the training images, each among the others.
    """
    count = len(reference) if held_out else len(searched)
    key = digest({"reference": reference, "baseline": baseline, "searched": searched})
    path = cache.folder("features") / f"{digest({key: torch.tensor([_VERSION, held_out])})[:32]}.safetensors"
    if kept := cached_tensors(path, functools.partial(_choose, len(reference), count)):
        return RealScores(**kept)
    found = _worked_out(reference, baseline, searched, held_out, progress)
    data = safetensors.torch.save(found._asdict())
    cache.make_room(len(data))
    cache.write_entry(path, data)
    return found


def _worked_out(
    reference: Tensor, baseline: Tensor, searched: Tensor, held_out: bool, progress: StageCallback
) -> RealScores:
    stage = functools.partial(progress, "distances of real images")
    stage(0, 4)
    sums = distances.kernel_sums(reference)
    kid = distances.kid(reference, baseline, of_real=sums)  # which refuses what no distance can be taken of
    stage(1, 4)
    fid = distances.frechet(reference, baseline)
    stage(2, 4)
    real = neighbours.manifold(reference)
    fidelity = neighbours.fidelity(real, neighbours.manifold(baseline))
    stage(3, 4)
    # Images that no training has seen, or else each training image among the others.
    unseen = neighbours.nearest(reference if held_out else searched, searched, selves=not held_out)
    stage(4, 4)
    scores = torch.tensor([fid, kid.value, *(each.value for each in fidelity)], dtype=torch.float64)
    return RealScores(scores, real.radii, sums.pairs, sums.own, unseen.distance)


def _choose(references: int, unseen: int, found: Layout) -> list[str]:
    """All of it, if it has the shapes that it must have."""
    wanted = {
        "baseline": ("F64", (len(_SCORED),)),
        "radii": ("F32", (references,)),
        "pairs": ("F64", (JACKKNIFE_GROUPS, JACKKNIFE_GROUPS)),
        "own": ("F64", (JACKKNIFE_GROUPS,)),
        "unseen": ("F64", (unseen,)),
    }
    if dict(found) != wanted:
        raise UsageError(f"it has {', '.join(found)[:200]}; expected {', '.join(wanted)}")
    return list(wanted)
