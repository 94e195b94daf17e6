"""MLflow: the server or store that MLFLOW_TRACKING_URI names, else a file store in the folder `mlflow` of the run."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from PIL import Image

from zeuxis.errors import UsageError
from zeuxis.loggers import LoggedRun

_ODD = re.compile(r"[^\w. /:-]", re.ASCII)  # what no name of a metric may have
_LONGEST = 500  # characters of a parameter


class MLflow:
    """An MLflow run with the id that it had before a resume; experiment `zeuxis`, or what MLFLOW_EXPERIMENT_NAME says."""

    def __init__(self, run: LoggedRun) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        own = "MLFLOW_TRACKING_URI" not in os.environ
        if own:
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # it needs no server and no database
        from mlflow.tracking import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.ERROR)
        self._client: Any = MlflowClient(run.folder.absolute().as_uri() if own else None)
        known = run.kept_id()
        self._id = known or self._created(run)
        if known:
            if own:
                _check_inside(self._client.get_run(known).info.artifact_uri, run.folder)
            self._client.update_run(known, status="RUNNING")

    def _created(self, run: LoggedRun) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "zeuxis")
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self._client.create_experiment(name)
        value: str = self._client.create_run(experiment, run_name=run.name).info.run_id
        run.keep_id(value)
        for name, setting in _flat(run.config):
            self._client.log_param(value, _ODD.sub("_", name), str(setting)[:_LONGEST])
        return value

    def row(self, step: int, values: Mapping[str, float]) -> None:
        """Log the metrics of a step; MLflow takes no brackets in their names."""
        for name, value in values.items():
            self._client.log_metric(self._id, _ODD.sub("_", name), value, step=step)

    def sheet(self, step: int, sheet: Image.Image) -> None:
        """Log a contact sheet as an artifact under `samples`."""
        self._client.log_image(self._id, sheet, artifact_file=f"samples/{step:08d}.png")

    def close(self) -> None:
        """Say that the run has ended."""
        self._client.set_terminated(self._id)


def _check_inside(uri: str, folder: Path) -> None:
    """Raise `UsageError` where sheets would go out of the run's folder: it was moved, or somebody else made it."""
    place = Path(url2pathname(urlsplit(uri).path))
    if not place.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"remove the folder mlflow, and a new one begins: {folder} keeps its pictures in {uri}")


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
