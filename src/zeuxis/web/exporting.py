"""The process that writes a decoder as ONNX while the page is already open: `python -m zeuxis.web.exporting MODEL OUT`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import torch

from zeuxis import loading
from zeuxis.capabilities import latent
from zeuxis.errors import ZeuxisError
from zeuxis.io import files
from zeuxis.web.networks import steps_of

_NICE = 10  # on Unix: the page that is open goes first


def write_decoder(folder: Path, out: Path, family: str | None) -> None:
    """Write the decoder of the model in a folder, from the page's space."""
    torch.set_num_threads(1)
    model = latent(loading.load_model(folder, family=family)).cpu().eval()
    decoder = steps_of(model, model.prior([0, 1]))["decoder"].graph(model)
    files.write_file(out, decoder.SerializeToString(deterministic=True))


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
