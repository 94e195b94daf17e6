"""The process that writes a decoder as ONNX while the page is already open: `python -m zeuxis.web.exporting MODEL OUT`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import psutil
import torch
from torch import Tensor, nn

from zeuxis import loading, onnx
from zeuxis.errors import ZeuxisError
from zeuxis.explore.spaces import Space
from zeuxis.model import Latent, Model
from zeuxis.web.served import page_space

_NICE = 10  # on Unix: the page that is open goes first


class InPageSpace(nn.Module):
    """A model whose latents are those of the page: w of a style-based model."""

    def __init__(self, model: Model, space: Space) -> None:
        super().__init__()
        self.model, self.space = model, space
        self.size, self.channels, self.options = model.size, model.channels, model.options

    def family(self) -> str:
        """The family of the model."""
        return self.model.family()

    def prior(self, seeds: Sequence[int]) -> Tensor:
        """The latents of seeds."""
        return self.space.prior(seeds)

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Images for latents."""
        return self.space.decode(z)


def write_decoder(folder: Path, out: Path, family: str | None) -> None:
    """Write the decoder of the model in a folder, from the page's space."""
    torch.set_num_threads(1)
    model = loading.load_model(folder, family=family)
    space = page_space(model)
    if space is not None:
        onnx.export_onnx(cast(Latent, InPageSpace(model, space)), out)


def export_main(words: Sequence[str]) -> int:
    """The exit code: 0 where the file is written."""
    if sys.platform != "win32":
        psutil.Process().nice(_NICE)
    family: Any = words[2] if len(words) > 2 else None
    try:
        write_decoder(Path(words[0]), Path(words[1]), family)
    except ZeuxisError:
        return 1  # the model itself goes on drawing
    return 0


if __name__ == "__main__":
    sys.exit(export_main(sys.argv[1:]))
