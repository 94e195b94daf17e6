"""The order of training: endless, shuffled, and a pure function of (seed, position), so that a run goes on anywhere."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from zeuxis.data.listing import Array
from zeuxis.data.pack import Pack
from zeuxis.model import Batch

_ON_DEVICE = 2 << 30  # bytes: a pack up to this size is kept on the accelerator
_FIRST_SEED, _EPOCH, _MIRROR = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xD1B54A32D192ED03, 0x8CB92BA72F3D8DD7))


def _mixed(x: Array) -> Array:
    """SplitMix64's finaliser (Steele 2014): uint64 to uint64, each bit depending on all; the same on every machine."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    result: Array = x ^ (x >> np.uint64(31))
    return result


def _stream(seed: int, stream: np.uint64, count: int, start: int = 0) -> Array:
    """Random uint64 numbers `start ... start + count - 1` of the seed's stream."""
    with np.errstate(over="ignore"):
        key = _mixed(np.array([seed & 0xFFFFFFFFFFFFFFFF], np.uint64) * _FIRST_SEED + stream)
        return _mixed((np.arange(start, start + count, dtype=np.uint64) + np.uint64(1)) * _FIRST_SEED ^ key)


def permutation(n: int, *, seed: int, epoch: int) -> Array:
    """The order of `n` images in an epoch (n, int64); our own, as libraries change theirs."""
    with np.errstate(over="ignore"):
        stream = _mixed(np.array([epoch], np.uint64) * _EPOCH)[0]
    return np.argsort(_stream(seed, stream, n), kind="stable")


class PackSource:
    """Batches of a pack, on a device, in the order of a seed; with `mirror`, half of them left and right swapped."""

    def __init__(self, pack: Pack, *, seed: int, device: str | torch.device = "cpu", mirror: bool = False) -> None:
        self.pack, self.seed, self.mirror = pack, seed, mirror
        self.device = torch.device(device)
        self.columns = frozenset({"image"} if pack.labels is None else {"image", "label"})
        self._images = _mapped(pack)
        if self.device.type == "cuda" and pack.images.nbytes <= _ON_DEVICE:
            self._images = self._images.to(self.device)
        self._labels = None if pack.labels is None else _label_tensor(pack.labels).to(self._images.device)
        self._epochs: dict[int, Array] = {}  # the permutations of late: a function of the seed, kept for speed

    def batch(self, start: int, size: int) -> Batch:
        """Images (size c h w, float32 in [-1, 1], channels last) at the positions from `start`, and their labels."""
        index = torch.from_numpy(self._order(start, size)).to(self._images.device)
        rows = self._images.index_select(0, index).to(self.device, non_blocking=True)  # size h w c, uint8
        if self.mirror:
            rows = torch.where(self._flips(start, size), rows.flip(2), rows)
        image = rows.permute(0, 3, 1, 2).to(torch.float32).div_(127.5).sub_(1.0)
        label = None if self._labels is None else self._labels.index_select(0, index).to(self.device)
        return Batch(image, label=label)

    def _order(self, start: int, size: int) -> Array:
        n = len(self.pack)
        parts, end = [], start + size
        while start < end:
            epoch, offset = divmod(start, n)
            take = min(n - offset, end - start)
            parts.append(self._permutation(epoch)[offset : offset + take])
            start += take
        return np.concatenate(parts)

    def _permutation(self, epoch: int) -> Array:
        if epoch not in self._epochs:
            kept = dict(list(self._epochs.items())[-1:])
            self._epochs = {**kept, epoch: permutation(len(self.pack), seed=self.seed, epoch=epoch)}
        return self._epochs[epoch]

    def _flips(self, start: int, size: int) -> Tensor:
        bits = (_stream(self.seed, _MIRROR, size, start) >> np.uint64(63)).astype(bool)
        return torch.from_numpy(bits).to(self.device)[:, None, None, None]


def _mapped(pack: Pack) -> Tensor:
    """The images (n h w c, uint8) as a tensor over the file: read as they are needed, and never written."""
    flat = torch.from_file(str(pack.path / "images.bin"), shared=False, size=pack.images.size, dtype=torch.uint8)
    return flat.view(pack.images.shape)


def _label_tensor(labels: Array) -> Tensor:
    """Classes stay int64 (n); attributes become float32 (n k), as losses and conditions want them."""
    return torch.from_numpy(np.array(labels, np.int64 if labels.ndim == 1 else np.float32))
