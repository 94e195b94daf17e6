"""TensorBoard events, in the folder `tensorboard` of the run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image

from zeuxis.loggers import LoggedRun


class TensorBoard:
    """Scalars and contact sheets as TensorBoard events."""

    def __init__(self, run: LoggedRun) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # What a killed run wrote after its checkpoint is written again: TensorBoard is to forget the first.
        self._writer = SummaryWriter(str(run.folder), purge_step=run.step + 1 if run.step else None)

    def row(self, step: int, values: Mapping[str, float]) -> None:
        """Write the scalars of a row."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def sheet(self, step: int, sheet: Image.Image) -> None:
        """Write a contact sheet."""
        self._writer.add_image("samples", np.asarray(sheet.convert("RGB")), step, dataformats="HWC")

    def close(self) -> None:
        """Flush pending events, and end the writer's thread."""
        self._writer.close()
