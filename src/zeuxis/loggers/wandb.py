"""Weights & Biases: online where an API key is known, else offline, to be sent later by `wandb sync`."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from zeuxis.loggers import LoggedRun

_PATIENCE = 60.0  # seconds for the service to begin, and to end


class WeightsAndBiases:
    """A W&B run with the id that it had before a resume; project `zeuxis`, unless WANDB_PROJECT names another."""

    def __init__(self, run: LoggedRun) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # its own telemetry, of crashes
        os.environ.setdefault("WANDB_SILENT", "true")
        import wandb

        known = run.kept_id()
        run.keep_id(chosen := known or secrets.token_hex(4))
        offline = "WANDB_MODE" not in os.environ and not wandb.login(prompt=False)
        self._image = wandb.Image
        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "zeuxis"),
            name=run.name,
            id=chosen,
            resume="allow",
            dir=str(run.folder.parent),  # to which it adds `wandb`
            config=dict(run.config),
            mode="offline" if offline else None,
            # No links: a run's folder has none. The console is the display's.
            settings=wandb.Settings(
                silent=True, console="off", symlink=False, init_timeout=_PATIENCE, finish_timeout=_PATIENCE
            ),
        )
        _unlink(run.folder)

    def row(self, step: int, values: Mapping[str, float]) -> None:
        """Log the metrics of a step. W&B drops those that a resume takes again: they are the same."""
        self._run.log(dict(values), step=step)

    def sheet(self, step: int, sheet: Image.Image) -> None:
        """Log a contact sheet as `samples`."""
        self._run.log({"samples": self._image(sheet)}, step=step)

    def close(self) -> None:
        """Send or write what is pending, and end the service's part in this run."""
        self._run.finish()


def _unlink(folder: Path) -> None:
    """Remove the links to the service's own log, which lies outside the run's folder."""
    for path in folder.rglob("*"):
        if path.is_symlink():
            path.unlink()
