"""The order of training: endless, shuffled, and a pure function of (seed, position), so that a run goes on anywhere."""

from __future__ import annotations

import math

import numpy as np

from zeuxis.io.images import Array

# Up to so many images the order of an epoch is sorted by random keys. It must never change, as runs resume on it.
MOST_SORTED = 1 << 20
_ROUNDS = 6  # of the Feistel network: with four, how far neighbours come apart is uneven by a chi-square test
_FIRST_SEED, _EPOCH = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1B54A32D192ED03)


def _mixed(x: Array) -> Array:
    """SplitMix64's finaliser (Steele 2014): uint64 to uint64, each bit depending on all; the same on every machine."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    result: Array = x ^ (x >> np.uint64(31))
    return result


def random_stream(seed: int, stream: np.uint64, count: int, start: int = 0) -> Array:
    """Random uint64 numbers `start ... start + count - 1` of the seed's stream."""
    with np.errstate(over="ignore"):
        key = _mixed(np.array([seed & 0xFFFFFFFFFFFFFFFF], np.uint64) * _FIRST_SEED + stream)
        return _mixed((np.arange(start, start + count, dtype=np.uint64) + np.uint64(1)) * _FIRST_SEED ^ key)


def _epoch_stream(seed: int, epoch: int, count: int) -> Array:
    with np.errstate(over="ignore"):
        stream = _mixed(np.array([epoch], np.uint64) * _EPOCH)[0]
    return random_stream(seed, stream, count)


def permutation(n: int, *, seed: int, epoch: int) -> Array:
    """The order of `n` images in an epoch (n, int64); our own, as libraries change theirs."""
    if n > MOST_SORTED:
        return permuted(np.arange(n), n, seed=seed, epoch=epoch)
    return np.argsort(_epoch_stream(seed, epoch, n), kind="stable")


def permuted(positions: Array, n: int, *, seed: int, epoch: int) -> Array:
    """Which of `n` images (k, int64) are at these positions (k) of an epoch, in memory for k, whatever n is.

    A balanced Feistel network with cycle walking (Black & Rogaway 2002). A position is two digits to the base
    ceil(sqrt(n)); each round adds a keyed function of one digit to the other. A result beyond n goes through again.
    """
    base, keys = np.uint64(math.isqrt(n - 1) + 1), _epoch_stream(seed, epoch, _ROUNDS)
    found = _encrypted(positions.astype(np.uint64), base, keys)
    while (beyond := found >= n).any():
        found[beyond] = _encrypted(found[beyond], base, keys)
    return found.astype(np.int64)


def _encrypted(numbers: Array, base: np.uint64, keys: Array) -> Array:
    left, right = np.divmod(numbers, base)
    for key in keys:
        left, right = right, (left + (_mixed(right * _FIRST_SEED ^ key) >> np.uint64(8))) % base
    result: Array = left * base + right
    return result


class Order:
    """The endless order in which `n` things come: all of them in each epoch, each time shuffled anew."""

    def __init__(self, n: int, seed: int) -> None:
        self.n, self.seed = n, seed
        self._epochs: dict[int, Array] = {}  # the permutations of late: a function of the seed, kept for speed

    def places(self, start: int, size: int) -> Array:
        """Which of them (size, int64) are at the positions from `start`."""
        parts, end = [], start + size
        while start < end:
            epoch, offset = divmod(start, self.n)
            take = min(self.n - offset, end - start)
            parts.append(self._part(epoch, offset, take))
            start += take
        return np.concatenate(parts)

    def _part(self, epoch: int, offset: int, count: int) -> Array:
        if self.n > MOST_SORTED:
            return permuted(np.arange(offset, offset + count), self.n, seed=self.seed, epoch=epoch)
        return self._permutation(epoch)[offset : offset + count]

    def _permutation(self, epoch: int) -> Array:
        if epoch not in self._epochs:
            kept = dict(list(self._epochs.items())[-1:])
            self._epochs = {**kept, epoch: permutation(self.n, seed=self.seed, epoch=epoch)}
        return self._epochs[epoch]
