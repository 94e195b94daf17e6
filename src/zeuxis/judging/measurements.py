"""What is measured on translations: scores and features of each image, by one process or by the shares of many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from zeuxis.judging.attributes import CHANGED, KEPT
from zeuxis.runtime.ranks import Ranks

L1, PSNR, SSIM, APART = "L1 (of 255)", "PSNR (dB)", "SSIM", "VGG-feature distance"
_NAMES = (L1, PSNR, SSIM, APART, CHANGED, KEPT)  # of the scores, in their order


@dataclass
class Measurements:
    """Measurements of a model or a baseline: named scores per image (n each), and features (n d)."""

    scores: dict[str, list[Tensor]] = field(default_factory=dict)
    features: list[Tensor] = field(default_factory=list)

    def add(self, features: Tensor, scores: Mapping[str, Tensor]) -> None:
        """Add those of a batch."""
        self.features.append(features)
        for name, values in scores.items():
            self.scores.setdefault(name, []).append(values)

    def gathered(self, ranks: Ranks) -> Measurements:
        """Those of all processes, the images in their order."""
        if ranks.size == 1:
            return self
        found = {name: _gathered(self.scores.get(name, ()), ranks) for name in _NAMES}
        scores = {name: [values] for name, values in found.items() if len(values)}
        return Measurements(scores, [_gathered(self.features, ranks)])


def _gathered(parts: Sequence[Tensor], ranks: Ranks) -> Tensor:
    """The rows of all processes, in the wider of their number formats; a process may have none."""
    own = torch.cat(list(parts)) if parts else torch.empty(0)
    told = ranks.exchange([len(own), own.dtype == torch.float64])
    counts = [int(row[0]) for row in told]
    kind = torch.float64 if any(row[1] for row in told) else torch.float32
    return ranks.joined(own.to(kind), sum(counts), sum(counts[: ranks.rank]))
