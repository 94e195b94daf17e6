"""Batches of a pack, or of pairs, at any position of the order of training, on a device."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from zeuxis.data.label_files import ChosenLabels, StoredLabels
from zeuxis.data.order import Order, random_stream
from zeuxis.data.pack import Pack
from zeuxis.data.pairs import Pairs
from zeuxis.data.specs import DataSpec, PairSpec
from zeuxis.io.images import Array
from zeuxis.model import Batch, Model, Translator
from zeuxis.runtime.accelerator import room_for_data, sent
from zeuxis.runtime.callbacks import ProgressCallback

_AHEAD = 64  # batches whose places in the data an accelerator is sent at once
_UPLOADED = 64 << 20  # bytes of a pack that it is sent at once
_OTHER = 0x5DEECE66D  # turns the seed of one set into that of the other
_MIRROR = np.uint64(0x8CB92BA72F3D8DD7)


class Ahead:
    """Numbers that are a function of the position, on a device; an accelerator is sent those of many batches at once."""

    def __init__(self, numbers: Callable[[int, int], Array], device: torch.device) -> None:
        self.numbers, self._device = numbers, device
        self._first, self._sent = 0, torch.empty(0)

    def at(self, start: int, size: int) -> Tensor:
        """The numbers (size ...) at the positions from `start`."""
        if self._device.type == "cpu":
            return torch.from_numpy(self.numbers(start, size))
        if not self._first <= start <= start + size <= self._first + len(self._sent):
            self._first = start
            self._sent = sent(torch.from_numpy(self.numbers(start, _AHEAD * size)), self._device)
        return self._sent[start - self._first : start - self._first + size]


class Column:
    """The images of a pack as a column of batches: from an accelerator's memory while there is room, else sent to it."""

    def __init__(self, pack: Pack, places: Ahead, device: torch.device) -> None:
        self.pack, self.device, self._places = pack, device, places
        self._kept = _uploaded(pack, device) if pack.stored.nbytes <= room_for_data(device) else None

    def images(self, start: int, size: int, flips: Tensor | None) -> Tensor:
        """Images (size c h w, float32 in [-1, 1], channels last) at the positions from `start`; with `flips` (size 1 1 1)
        some mirrored."""
        if self._kept is not None:
            rows = self._kept.index_select(0, self._places.at(start, size))  # n h w c, uint8
        else:
            rows = sent(torch.from_numpy(self.pack.rows(self._places.numbers(start, size))), self.device)
        if flips is not None:
            rows = torch.where(flips, rows.flip(2), rows)
        return rows.permute(0, 3, 1, 2).to(torch.float32).div_(127.5).sub_(1.0)


class LabelColumn:
    """The labels of a pack as a column of batches: from an accelerator's memory while there is room, else sent to it."""

    def __init__(self, labels: StoredLabels | ChosenLabels, places: Ahead, device: torch.device) -> None:
        self._labels, self._places, self._device = labels, places, device
        self._kept = None
        if labels.nbytes <= room_for_data(device):
            self._kept = sent(torch.from_numpy(np.array(labels.whole())), device)

    def at(self, start: int, size: int) -> Tensor:
        """Classes (size, int64) or attributes (size k, float32, as losses and conditions want them) from a position on."""
        if self._kept is not None:
            rows = self._kept.index_select(0, self._places.at(start, size))
        else:
            rows = sent(torch.from_numpy(self._labels.rows(self._places.numbers(start, size))), self._device)
        return rows.to(torch.int64 if rows.ndim == 1 else torch.float32)


class PackSource:
    """Batches of a pack, on a device, in the order of a seed; with `mirror`, half of them left and right swapped."""

    def __init__(self, pack: Pack, *, seed: int, device: str | torch.device = "cpu", hflip: bool = False) -> None:
        self.pack, self.seed, self.hflip = pack, seed, hflip
        self.device = torch.device(device)
        self.columns = frozenset({"image"} if pack.stored_labels is None else {"image", "label"})
        self._places, self._flips = Ahead(Order(len(pack), seed).places, self.device), _flips(seed, self.device)
        self._column = Column(pack, self._places, self.device)
        labels = pack.stored_labels
        self._labels = None if labels is None else LabelColumn(labels, self._places, self.device)

    def batch(self, start: int, size: int) -> Batch:
        """Images (size c h w, float32 in [-1, 1], channels last) at the positions from `start`, and their labels."""
        flips = self._flips.at(start, size) if self.hflip else None
        label = None if self._labels is None else self._labels.at(start, size)
        return Batch(self._column.images(start, size, flips), label=label)


class PairSource:
    """Batches of sources and images: pairs, swapped left and right together; or two sets, each in an order of its own."""

    columns = frozenset({"image", "source"})

    def __init__(self, pairs: Pairs, *, seed: int, device: str | torch.device = "cpu", hflip: bool = False) -> None:
        self.pairs, self.hflip, self.device = pairs, hflip, torch.device(device)
        seeds = (seed, seed) if pairs.paired else (seed ^ _OTHER, seed)
        self._flips = [_flips(each, self.device) for each in seeds]
        orders = [_picked(places, Order(len(places), each)) for places, each in zip(pairs.places, seeds)]
        packs = zip((pairs.source, pairs.image), orders)
        self._columns = [Column(pack, Ahead(order, self.device), self.device) for pack, order in packs]

    def batch(self, start: int, size: int) -> Batch:
        """Sources and images (each size c h w, float32 in [-1, 1], channels last) at the positions from `start`."""
        flips = [each.at(start, size) if self.hflip else None for each in self._flips]
        source, image = (column.images(start, size, some) for column, some in zip(self._columns, flips))
        return Batch(image, source=source)


def source_of(data: Pack | Pairs, *, seed: int, device: str = "cpu", hflip: bool = False) -> PackSource | PairSource:
    """The batches of a pack, or of pairs."""
    kind = PackSource if isinstance(data, Pack) else PairSource
    return kind(data, seed=seed, device=device, hflip=hflip)  # type: ignore[arg-type]


def open_data(spec: DataSpec, model: Model, *, progress: ProgressCallback | None = None) -> Pack | Pairs:
    """The data in the form that the model learns from: pairs for one that translates, else single images."""
    if isinstance(model, Translator):
        return open_pairs_of(spec, model, paired=model.paired, progress=progress)
    return spec.open(model.size, model.channels, progress=progress)


def open_pairs_of(
    spec: DataSpec, model: Translator, *, paired: bool, progress: ProgressCallback | None = None
) -> Pairs:
    """The pairs of a spec in the two forms of a model."""
    source, image = (model.source_size, model.source_channels), (model.size, model.channels)
    return spec.open_pairs(source, image, paired=paired, progress=progress)


def open_held_out_pairs(
    spec: DataSpec, model: Translator, count: int, *, progress: ProgressCallback | None = None
) -> Pairs:
    """At most `count` of the pairs that are held out, in the forms of a model; two sets where no pairs are known."""
    paired = model.paired or not isinstance(spec, PairSpec) or spec.known
    return open_pairs_of(spec, model, paired=paired, progress=progress).at_most(count)


def _flips(seed: int, device: torch.device) -> Ahead:
    """Which of the images (size 1 1 1, bool) at some positions are mirrored."""

    def numbers(start: int, size: int) -> Array:
        found: Array = (random_stream(seed, _MIRROR, size, start) >> np.uint64(63)).astype(bool)[:, None, None, None]
        return found

    return Ahead(numbers, device)


def _picked(places: Array, order: Order) -> Callable[[int, int], Array]:
    """Those of the places that come at some positions."""

    def numbers(start: int, size: int) -> Array:
        found: Array = places[order.places(start, size)]
        return found

    return numbers


def _uploaded(pack: Pack, device: torch.device) -> Tensor:
    """All images of a pack (n h w c, uint8) on a device; part by part, as the host has no room for them all."""
    kept = torch.empty(pack.stored.shape, dtype=torch.uint8, device=device)
    step = max(1, _UPLOADED * len(pack) // pack.stored.nbytes)
    for start in range(0, len(pack), step):
        part = np.arange(start, min(start + step, len(pack)))
        kept[start : start + step].copy_(torch.from_numpy(pack.rows(part)))
    return kept
