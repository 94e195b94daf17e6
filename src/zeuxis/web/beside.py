"""The page of a run beside its training: a process of its own that reads the run's files alone, and ends with the training."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.optim import Optimizer

from zeuxis import loading
from zeuxis.errors import UsageError, ZeuxisError
from zeuxis.escaping import printable
from zeuxis.model import Batch, Clock, Model, Turn
from zeuxis.storage import RunFolder
from zeuxis.training import config
from zeuxis.web.served import Served, open_served
from zeuxis.web.server import listen, running

_HOST = "127.0.0.1"
_POLITE = 10  # by how much the training goes first


@dataclass(eq=False)
class AwaitedModel(Model):
    """A model that training has not saved yet: its size and channels alone are known."""

    def build(self) -> None:
        """There are no networks."""

    def optimizers(self) -> dict[str, Optimizer]:
        return {}

    @classmethod
    def family(cls) -> str:
        return "a run in training"

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        return iter(())


def followed(path: str | Path) -> Served:
    """A run whose files are shown and whose model is not; `UsageError` where the folder is no run."""
    run = RunFolder.open(path)
    recipe = config.read_recipe(run.config)
    model = AwaitedModel(**{name: recipe.options[name] for name in ("size", "channels") if name in recipe.options})
    name = printable(run.path.resolve().name)
    nothing = {**dict.fromkeys(("latent", "classes", "translate", "scale", "sum")), "labels": 0}
    about: dict[str, Any] = {"name": name, "hash": "", "family": recipe.family, "capabilities": ["run"], "card": ""}
    about |= {"size": model.size, "channels": model.channels, **nothing}
    return Served(model, name, None, None, (), run, None, run.path, None, about)


def open_model_or_run(path: str | Path, *, device: str = "auto", family: str | None = None) -> Served:
    """The model in a folder or of a run, ready to be served; of a run that has no model yet, its files alone."""
    with contextlib.suppress(UsageError):
        run = loading.find_run(path)
        if not (run / "model" / "config.json").exists():
            return followed(run)
    return open_served(path, device=device, family=family)


def serve_beside() -> None:
    """Serve the run named on the command line; its link, or why not, goes to stdout. It ends where stdin does."""
    if hasattr(os, "nice"):
        os.nice(_POLITE)
    try:
        with listen(_HOST, None) as listening, running([followed(sys.argv[1])], listening, _HOST) as (link, _):
            _say(link)
            with contextlib.suppress(OSError):
                sys.stdin.buffer.read()
    except ZeuxisError as error:
        _say(f"zeuxis: {error}")


def _say(text: str) -> None:
    sys.stdout.write(printable(text) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    serve_beside()
