"""Attribute accuracy of translations: of the attributes that differ between the domains, and of the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from zeuxis.data.listing import Attribute
from zeuxis.data.pack import Pack
from zeuxis.data.pairs import Pairs
from zeuxis.io.images import Array
from zeuxis.metrics.attributes import AttributeReader, reader_for
from zeuxis.runtime.callbacks import StageCallback

CHANGED = "changed attributes, right (share)"  # those in which source and target differ
KEPT = "kept attributes, right (share)"
_MOST = 5000  # images of each domain that the reader learns from
_BYTES = 1 << 28  # of each domain, at most


@dataclass(frozen=True)
class AttributeTest:
    """The attributes (n k, bool) of sources and targets, in the order of the pairs, and their classifier."""

    reader: AttributeReader
    source: Tensor
    target: Tensor

    def scores(self, made: Tensor, start: int) -> dict[str, Tensor]:
        """For translations (n c h w) of the pairs from `start` on: 1 per attribute classified as in the target, else 0."""
        source, target = (labels[start : start + len(made)] for labels in (self.source, self.target))
        right = ((self.reader.read(made).cpu() > 0.5) == target).float()
        found = {CHANGED: right[source != target], KEPT: right[source == target]}
        return {name: values for name, values in found.items() if len(values)}

    def reversed(self) -> AttributeTest:
        """The test of the other direction."""
        return AttributeTest(self.reader, self.target, self.source)


def attribute_test(training: Pairs, test: Pairs, *, device: str, progress: StageCallback) -> AttributeTest | None:
    """The attribute test of the test pairs; None where no known attribute differs between the domains.

    The classifier is trained on both domains of the training pairs: images with and without the attribute.
    """
    packs = (training.source, training.image, test.source, test.image)
    names = [[attribute.name for attribute in pack.attributes] for pack in packs]
    alike = names.count(names[0]) == len(packs) and training.source.stored.shape[1:] == training.image.stored.shape[1:]
    source, target = (_known(pack, places) for pack, places in zip((test.source, test.image), test.places))
    if not test.paired or not alike or source is None or target is None or torch.equal(source, target):
        return None
    progress("training the attribute network", 0, 1)
    reader = reader_for(_BothDomains.of(training), device=device)
    progress("training the attribute network", 1, 1)
    return AttributeTest(reader, source, target)


def _known(pack: Pack, places: Array) -> Tensor | None:
    """Attributes (n k, bool) of a pack's images at these places; None where it has none."""
    labels = pack.stored_labels
    return torch.from_numpy(labels.rows(places) > 0) if labels is not None and pack.attributes else None


@dataclass(frozen=True)
class _BothDomains:
    """Images of both domains as one labelled data set."""

    images: Array
    labels: Array
    attributes: list[Attribute]
    classes: tuple[str, ...]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.images)

    def rows(self, places: Array) -> Array:
        """The images at these places (k h w c, uint8)."""
        rows: Array = self.images[places]
        return rows

    @classmethod
    def of(cls, pairs: Pairs) -> _BothDomains:
        images, labels = [], []
        for pack, places in zip((pairs.source, pairs.image), pairs.places):
            assert pack.stored_labels is not None
            most = min(_MOST, max(20, _BYTES // (pack.stored.nbytes // len(pack))), len(places))
            chosen = np.sort(places)[np.arange(most) * len(places) // most]
            images.append(pack.rows(chosen))
            labels.append(pack.stored_labels.rows(chosen))
        return cls(np.concatenate(images), np.concatenate(labels), pairs.image.attributes, (), pairs.fingerprint)
