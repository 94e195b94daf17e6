"""Normal numbers of a seed as PyTorch draws them on the CPU, without PyTorch: the same latent means the same picture."""

from __future__ import annotations

import math

import numpy as np

from zeuxis.io.images import Array

_BLOCK = 16  # numbers that PyTorch turns into normal ones at once; fewer are drawn one by one, in doubles


def seeded_normals(seed: int, count: int) -> Array:
    """float32 (count): `torch.randn(count, generator=torch.Generator().manual_seed(seed))`, to within rounding."""
    state = np.random.RandomState(seed % 2**32)  # a Mersenne twister, seeded as PyTorch's: by 32 bits
    spare = _BLOCK if count % _BLOCK else 0
    drawn = state.randint(0, 2**32, 4 * _BLOCK if count < _BLOCK else count + spare, dtype=np.uint32)
    return _few(drawn, count) if count < _BLOCK else _many(drawn, count)


def _few(drawn: Array, count: int) -> Array:
    """Two numbers of 53 bits make two normal ones (Box and Muller 1958): an angle and a radius."""
    high, low = drawn.astype(np.float64)[::2] % 2**21, drawn.astype(np.float64)[1::2]
    angle, radius = ((high * 2**32 + low) * 2.0**-53).reshape(-1, 2).T
    radius = np.sqrt(-2 * np.log1p(-radius))
    pairs = np.stack([radius * np.cos(2 * math.pi * angle), radius * np.sin(2 * math.pi * angle)], 1)
    return pairs.reshape(-1)[:count].astype(np.float32)


def _many(drawn: Array, count: int) -> Array:
    """Of each sixteen numbers of 24 bits eight make radii, and eight angles; a last block that is short is drawn anew."""
    uniform = (drawn & 0xFFFFFF).astype(np.float32) * np.float32(2.0**-24)
    whole = count // _BLOCK * _BLOCK
    normal = np.empty(count, np.float32)
    normal[:whole] = _blocks(uniform[:whole])
    if count > whole:
        normal[-_BLOCK:] = _blocks(uniform[count:])
    return normal


def _blocks(uniform: Array) -> Array:
    first, second = uniform.reshape(-1, 2, 8).transpose(1, 0, 2)
    radius, angle = np.sqrt(-2 * np.log(1 - first)), np.float32(2 * math.pi) * second
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).reshape(-1)
