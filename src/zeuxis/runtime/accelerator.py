"""What an accelerator is asked for, and what it lacks: kernels, number formats, memory for the data, page-locked copies."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch
from torch import Tensor

_SHARE = 4  # of an accelerator's free memory, the part that decoded images may take


def to_float64(values: Tensor) -> Tensor:
    """The values in float64: on their device, or on the CPU where the device (MPS) has no such format."""
    return (values.cpu() if values.device.type == "mps" else values).double()


def sum_format(device: torch.device) -> torch.dtype:
    """The widest floating-point format of a device, for running sums."""
    return torch.float32 if device.type == "mps" else torch.float64


def prepare_device(device: torch.device, *, tf32: bool, fixed: bool) -> None:
    """Set how CUDA computes, before the first kernel runs; nothing elsewhere.

    `tf32` lets convolutions and matrix products round their inputs to 10 bits of mantissa, which PyTorch otherwise does
    for convolutions alone. `fixed` asks for kernels with one order of sums; else cuDNN times its algorithms for each
    shape and takes the fastest.
    """
    if device.type != "cuda":
        return
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = not fixed, fixed
    if (
        fixed
    ):  # cuBLAS reads its workspace from the environment; an operation without a fixed order is named, not refused
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(fixed, warn_only=True)


def room_for_data(device: torch.device) -> int:
    """Bytes that decoded images may take on a device: a quarter of what is free there; none on the CPU, which maps them."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // _SHARE
    if device.type == "mps":
        return (torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()) // _SHARE
    return 0


def sent(values: Tensor, device: torch.device) -> Tensor:
    """The values on a device; to CUDA through page-locked memory, so that neither side waits for the other.

    PyTorch keeps a page-locked block until the copies out of it are done, then uses it again: two suffice for a stream
    of batches, one that is filled and one that is read.
    """
    if device.type == "cuda" and values.device.type == "cpu":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device, non_blocking=True)


def on_host(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by name on the CPU; from CUDA all copies are queued before one wait."""
    found = {
        name: value.detach().to("cpu", non_blocking=value.device.type == "cuda") for name, value in tensors.items()
    }
    for device in {value.device for value in tensors.values() if value.device.type == "cuda"}:
        torch.cuda.synchronize(device)
    return found
