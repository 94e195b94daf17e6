"""Whether a translation changes what it should of a picture, and nothing else: attributes, read by a network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from zeuxis.data.listing import Attribute
from zeuxis.data.pack import Pack
from zeuxis.data.pairs import Pairs
from zeuxis.io.images import Array
from zeuxis.judging.report import Progress
from zeuxis.metrics.attributes import AttributeReader, reader_for

CHANGED = "changed attributes, right (share)"  # those in which what is given and the truth differ
KEPT = "kept attributes, right (share)"
_MOST = 5000  # images of each end that the reader learns from
_BYTES = 1 << 28  # of each end, at most


@dataclass(frozen=True)
class Expected:
    """The attributes (n k, bool) of what is given and of the truths, in the order of the pairs, and who reads them."""

    reader: AttributeReader
    given: Tensor
    truth: Tensor

    def scores(self, made: Tensor, start: int) -> dict[str, Tensor]:
        """Of images (n c h w) made of the pairs from `start` on: 1 for each attribute read as in the truth, else 0."""
        given, truth = (labels[start : start + len(made)] for labels in (self.given, self.truth))
        right = ((self.reader.read(made).cpu() > 0.5) == truth).float()
        found = {CHANGED: right[given != truth], KEPT: right[given == truth]}
        return {name: values for name, values in found.items() if len(values)}

    def reversed(self) -> Expected:
        """The same for the other direction."""
        return Expected(self.reader, self.truth, self.given)


def expected(training: Pairs, judge: Pairs, *, device: str, tell: Progress) -> Expected | None:
    """What is to be read in translations of the pairs to judge by; None where no attribute is known to change.

    The reader learns from both ends of the training pairs, so from images with and without.
    """
    ends = (training.source, training.image, judge.source, judge.image)
    names = [[attribute.name for attribute in pack.attributes] for pack in ends]
    alike = names.count(names[0]) == len(ends) and training.source.stored.shape[1:] == training.image.stored.shape[1:]
    given, truth = (_known(pack, places) for pack, places in zip((judge.source, judge.image), judge.places))
    if not judge.paired or not alike or given is None or truth is None or torch.equal(given, truth):
        return None
    tell("learning to read attributes", 0, 1)
    reader = reader_for(_Both.of(training), device=device)
    tell("learning to read attributes", 1, 1)
    return Expected(reader, given, truth)


def _known(pack: Pack, places: Array) -> Tensor | None:
    """Attributes (n k, bool) of a pack's images at these places; None where it has none."""
    return torch.from_numpy(pack.labels[places] > 0) if pack.labels is not None and pack.attributes else None


@dataclass(frozen=True)
class _Both:
    """Some of the images of both ends, as one set to learn attributes from."""

    images: Array
    labels: Array
    attributes: list[Attribute]
    classes: tuple[str, ...]
    fingerprint: str

    @classmethod
    def of(cls, pairs: Pairs) -> _Both:
        images, labels = [], []
        for pack, places in zip((pairs.source, pairs.image), pairs.places):
            assert pack.labels is not None
            most = min(_MOST, max(20, _BYTES // (pack.stored.nbytes // len(pack))), len(places))
            chosen = np.sort(places)[np.arange(most) * len(places) // most]
            images.append(pack.rows(chosen))
            labels.append(pack.labels[chosen])
        return cls(np.concatenate(images), np.concatenate(labels), pairs.image.attributes, (), pairs.fingerprint)
