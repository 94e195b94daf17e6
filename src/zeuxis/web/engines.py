"""What draws pictures for latents: PyTorch, and onnxruntime as soon as the decoder is exported, several times as fast."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from zeuxis.explore.spaces import Space, decode_latents

_BATCH = 64
_THREADS = 1  # more gain little on pictures this small, and take from the page


class Engine(Protocol):
    """Draws pictures (n c h w, in [-1, 1], on the CPU) for latents of the space in which the page works."""

    @property
    def name(self) -> str: ...
    def decode(self, z: Tensor) -> Tensor: ...


class TorchEngine:
    """PyTorch, on the model's own device."""

    name = "torch"

    def __init__(self, space: Space) -> None:
        self._space = space

    def decode(self, z: Tensor) -> Tensor:
        """Pictures for latents (n ...)."""
        return decode_latents(self._space, z)


class OnnxEngine:
    """onnxruntime, on the CPU."""

    name = "onnxruntime"

    def __init__(self, path: Path) -> None:
        runtime: Any = importlib.import_module("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = _THREADS
        self._session = runtime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])

    def decode(self, z: Tensor) -> Tensor:
        """Pictures for latents (n ...)."""
        parts = torch.split(z.cpu().float(), _BATCH)
        return torch.cat([torch.from_numpy(self._session.run(["image"], {"z": part.numpy()})[0]) for part in parts])
