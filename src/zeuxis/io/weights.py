"""Weights as they are stored: safetensors, in the model's own number format or in half of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from zeuxis.errors import UsageError
from zeuxis.escaping import quote

if TYPE_CHECKING:
    from torch import Tensor

StoredPrecision = Literal["fp32", "fp16"]  # fp16: half the bytes, 11 bits of a weight; read back as float32


def safetensors_of(weights: Mapping[str, Tensor], precision: StoredPrecision = "fp32") -> bytes:
    """The safetensors file of the weights; `UsageError` where float16 cannot hold one (beyond 65,504).

    Vectors (biases, scales and statistics of norms) and integers stay as they are: few bytes, and half of the rounding error.
    """
    import safetensors.torch

    stored = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    if precision == "fp16":
        stored = {name: _half(name, value) for name, value in stored.items()}
    return safetensors.torch.save(stored)


def _half(name: str, value: Tensor) -> Tensor:
    half = value.half() if value.is_floating_point() and value.ndim > 1 else value
    if not half.isfinite().all():
        raise UsageError(f"weight {quote(name)} has values beyond float16 (65,504); save in fp32")
    return half
