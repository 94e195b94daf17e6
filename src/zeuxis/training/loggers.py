"""TensorBoard events of rows and contact sheets, where enabled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from zeuxis.errors import UsageError


class Events:
    """Writes events into a folder; without a folder, nothing."""

    def __init__(self, folder: Path | None = None, *, step: int = 0) -> None:
        self._writer: Any = None
        if folder is not None:
            # What a killed run wrote after its checkpoint is written again: TensorBoard is to forget the first.
            self._writer = _summary_writer()(str(folder), purge_step=step + 1 if step else None)

    def row(self, step: int, values: Mapping[str, float]) -> None:
        """Write the scalars of a row."""
        for name, value in values.items() if self._writer else ():
            self._writer.add_scalar(name, value, step)

    def sheet(self, step: int, sheet: Image.Image) -> None:
        """Write a contact sheet."""
        if self._writer:
            self._writer.add_image("samples", np.asarray(sheet.convert("RGB")), step, dataformats="HWC")

    def close(self) -> None:
        """Flush pending events, and end the writer's thread."""
        if self._writer:
            self._writer.close()


def check_tensorboard() -> None:
    """Raise `UsageError` where TensorBoard is not installed."""
    _summary_writer()


def _summary_writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UsageError(
            "--tensorboard needs the package tensorboard; install it with: pip install 'zeuxis[tensorboard]'"
        ) from None
    return SummaryWriter
