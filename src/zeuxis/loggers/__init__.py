"""Loggers of a run, beside its own files: TensorBoard, Weights & Biases, MLflow, and those of other packages."""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from zeuxis import registry
from zeuxis.errors import UsageError
from zeuxis.io import files
from zeuxis.runtime import own_code

# The package's own: class, and the module that its extra installs.
_OWN = {
    "mlflow": ("MLflow", "mlflow"),
    "tensorboard": ("TensorBoard", "torch.utils.tensorboard"),
    "wandb": ("WeightsAndBiases", "wandb"),
}
_KEPT = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_KEPT_FILE = "run-id.txt"


@dataclass(frozen=True)
class LoggedRun:
    """What a logger is told of the run: its name, its config.yaml as plain values, and the step that it goes on from.

    `folder` is the logger's own, in the run's folder; it exists. `step` is 0 in a new run.
    """

    name: str
    folder: Path
    config: Mapping[str, Any]
    step: int = 0

    def kept_id(self) -> str | None:
        """The id that `keep_id` wrote before a resume; None in a new run."""
        path = self.folder / _KEPT_FILE
        if not path.exists():
            return None
        found = files.read_bytes(path, max_bytes=100, follow=False).decode("ascii", "replace").strip()
        if not _KEPT.fullmatch(found):
            raise UsageError(f"{path} holds no id of a run; remove it to begin another")
        return found

    def keep_id(self, value: str) -> None:
        """Write the id by which a resume finds the run in the logger's own store."""
        files.write_file(self.folder / _KEPT_FILE, value.encode())


class Logger(Protocol):
    """Where the rows and contact sheets of a run also go; made from a `LoggedRun`, on a thread of its own.

    One that raises, or takes too long, is left out with a warning: it never ends a run.
    """

    def row(self, step: int, values: Mapping[str, float]) -> None:
        """Log the metrics of a step by name."""
        ...

    def sheet(self, step: int, sheet: Image.Image) -> None:
        """Log the contact sheet of a step."""
        ...

    def close(self) -> None:
        """Write all that is pending."""
        ...


LoggerFactory = Callable[[LoggedRun], Logger]


def find_logger(name: str) -> LoggerFactory:
    """The logger of a name, or the class `my_module:MyLogger`; `UsageError` where there is none, or its extra is missing."""
    if ":" in name:
        return _callable(own_code.imported(name, "my_module:MyLogger"), name)
    if name in _OWN:
        return _own(name)
    found = registry.installed(registry.LOGGERS).get(name)
    if found is None:
        names = sorted([*_OWN, *registry.installed(registry.LOGGERS)])
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
        raise UsageError(f"--logger is {name!r}, and no logger has that name; {hint} (your own: my_module:MyLogger)")
    what = f"the logger {name} of {found.distribution}"
    return _callable(own_code.of_package(found, what), what)


def check_trusted(recorded: Sequence[str], given: Collection[str] = ()) -> None:
    """Raise `UsageError` where a file names a logger of code from outside Zeuxis that the user has not `given`."""
    for name in recorded:
        if ":" in name and name not in given:
            raise UsageError(
                f"it logs by code from outside Zeuxis, {name}; if you trust it, name it: --logger {name}; "
                "or go on with --no-logger"
            )


def folder_name(name: str) -> str:
    """The folder of a logger in the run's folder."""
    return name if name in _OWN else f"loggers/{name.replace(':', '.')}"


def _own(name: str) -> LoggerFactory:
    attribute, library = _OWN[name]
    try:
        importlib.import_module(library)
    except ImportError:
        raise UsageError(
            f"--logger {name} needs the package {name}; install it with: pip install 'zeuxis[{name}]'"
        ) from None
    return _callable(getattr(importlib.import_module(f"zeuxis.loggers.{name}"), attribute), name)


def _callable(found: Any, what: str) -> LoggerFactory:
    if not callable(found):
        raise UsageError(f"{what} is no class; expected one that is made from a LoggedRun, with row, sheet and close")
    factory: LoggerFactory = found
    return factory
