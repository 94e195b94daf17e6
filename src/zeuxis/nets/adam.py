"""Adam (Kingma and Ba 2015) in one pass over weights as they lie in memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Adam(torch.optim.Adam):
    """PyTorch's, given weights and gradients whose channels come last as plain memory: the same bits, sooner.

    Its fused kernel for CPUs copies each gradient that is not contiguous, and has no use for the copy.
    """

    def _init_group(self, group: dict[str, Any], *columns: list[Tensor]) -> Any:
        # Weights, gradients and moments all lie alike: torch lays gradients and moments as it finds the weights.
        found = super()._init_group(group, *columns)  # type: ignore[no-untyped-call]
        for tensors in columns:
            tensors[:] = [_as_it_lies(tensor) for tensor in tensors]
        return found


def _as_it_lies(tensor: Tensor) -> Tensor:
    last = tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    return tensor.permute(0, 2, 3, 1) if last and not tensor.is_contiguous() else tensor
