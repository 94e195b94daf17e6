"""The `config.yaml` of a run: everything needed to reproduce it, versions included."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zeuxis.data import DataSpec
from zeuxis.data.holding_out import HoldOut
from zeuxis.errors import UsageError
from zeuxis.escaping import quote
from zeuxis.loggers import check_trusted, find_logger
from zeuxis.options import ResizeMode
from zeuxis.training.settings import TrainSettings
from zeuxis.version import __version__

_MOST_RECORDED = 1000  # names of classes: config.yaml is for a person to read, and config.json of the model has all
_OF_THE_BITS = ("seed", "batch_size", "micro_batches", "ema_half_life", "precision", "hflip")


def versions() -> dict[str, str]:
    """The versions and the platform on which the bits of a run depend."""
    import numpy
    import safetensors
    import torch

    return {
        "zeuxis": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": numpy.__version__,
        "safetensors": safetensors.__version__,
        "platform": platform.platform(),
    }


@dataclass(frozen=True)
class Recipe:
    """Family, data, options and settings of a run; `fingerprint` and `images` identify the decoded data."""

    family: str
    data: DataSpec
    options: dict[str, Any]
    settings: TrainSettings
    fingerprint: str = ""
    images: int = 0
    versions: dict[str, str] = field(default_factory=versions)
    chosen_kernels: dict[str, str] = field(default_factory=dict)  # as measured when the run began, by layer
    classes: list[str] = field(default_factory=list)  # the names of labels that the model learns, in their order
    # Of a branch: the run and step it is of, as `ancestry` has them.
    parent: dict[str, Any] = field(default_factory=dict)
    # Of a run that began with a model's weights: that model, as `StartingModel.record` has it.
    started_from: dict[str, Any] = field(default_factory=dict)

    def values(self) -> dict[str, Any]:
        """As plain values, in the order of the file."""
        found = {**dataclasses.asdict(self), "data": str(self.data)}
        pasts = {"parent": self.parent, "started_from": self.started_from}
        return {name: value for name, value in found.items() if pasts.get(name, True)}

    @property
    def fork(self) -> int:
        """The step that a branch begins with; -1 for another run."""
        return int(self.parent.get("step", -1))

    def identity(self) -> dict[str, Any]:
        """What the bits of the run depend on, as plain values: each checkpoint has it, so that none is taken for another's."""
        settings = {name: getattr(self.settings, name) for name in _OF_THE_BITS}
        found = {"family": self.family, "options": self.options, "settings": settings, "fingerprint": self.fingerprint}
        return found | ({"started_from": self.started_from} if self.started_from else {})

    def going_on(
        self, steps: int | None, minutes: float | None, cpu_minutes: float | None = None, *, done: int = 0
    ) -> Recipe:
        """The recipe with new limits, after so many steps. CPU minutes, which a resume does not reset, stay if none are
        given. Once all steps are done, minutes extend the run."""
        asked = (steps, minutes, cpu_minutes) != (None, None, None)
        cpu_minutes = cpu_minutes if asked else self.settings.cpu_minutes
        if steps is None and not (asked and (self.settings.steps or 0) <= done):
            steps = self.settings.steps
        changed = dataclasses.replace(self.settings, steps=steps, minutes=minutes, cpu_minutes=cpu_minutes)
        return dataclasses.replace(self, settings=changed)

    def logging_to(self, logger: Sequence[str] | None) -> Recipe:
        """The recipe with these loggers, or its own; `UsageError` where one is not there, or is code that nobody has trusted."""
        if logger is None:
            check_trusted(self.settings.logger)
        for name in self.settings.logger if logger is None else logger:
            find_logger(name)
        if logger is None:
            return self
        return dataclasses.replace(self, settings=dataclasses.replace(self.settings, logger=tuple(logger)))


def read_recipe(values: Mapping[str, Any], *, runs_here: bool = True) -> Recipe:
    """The recipe from the values in `config.yaml`; `UsageError` where they are invalid, or `runs_here` and a kernel is
    missing."""
    family, data, fingerprint = (_take(values, name, str) for name in ("family", "data", "fingerprint"))
    options, settings, made_with = (_take(values, name, dict) for name in ("options", "settings", "versions"))
    known = {f.name for f in dataclasses.fields(TrainSettings)}
    for name in settings.keys() - known:
        raise UsageError(f"config.yaml has the unknown setting {quote(name)}; correct it there")
    chosen = _take({"chosen_kernels": {}, **values}, "chosen_kernels", dict)
    if not all(isinstance(text, str) for text in chosen.values()):
        raise UsageError("config.yaml has chosen_kernels that are not text; restore it from a copy")
    if chosen and runs_here:
        from zeuxis.nets import kernels  # only here: it imports torch, and a list of runs trains none

        kernels.check(chosen)
    images, classes = _take(values, "images", int), values.get("classes", [])
    if not isinstance(classes, list) or not all(type(name) is str for name in classes):
        raise UsageError(f"config.yaml has classes: {quote(classes)}, expected a list of names; restore it from a copy")
    parent, start = ancestry(values), _start(values)
    asked = TrainSettings(**settings)
    spec = selected_by(asked, DataSpec.stored(data), suits="crop")
    return Recipe(family, spec, options, asked, fingerprint, images, made_with, chosen, classes, parent, start)


def starting_model(recipe: Recipe) -> str:
    """The name of the run or folder whose weights a run began with, without where it lies; empty where there is none."""
    if recipe.started_from:
        return str(recipe.started_from["model"])
    path = Path(recipe.settings.init_from or "")
    return path.parent.name if path.name == "model" else path.name


def ancestry(values: Mapping[str, Any]) -> dict[str, Any]:
    """What `config.yaml` says of the run that a branch is of; `UsageError` where it is malformed.

    `run`: the name of its folder; `step`; `checkpoint`: the SHA-256 of that one's manifest; `changed`: the options changed.
    """
    parent = _take({"parent": {}, **values}, "parent", dict)
    for name, kind in (("run", str), ("step", int), ("checkpoint", str), ("changed", dict)) if parent else ():
        _take(parent, name, kind)
    return dict(parent)


def _start(values: Mapping[str, Any]) -> dict[str, Any]:
    """What `config.yaml` says of the model whose weights the run began with; `UsageError` where it is malformed."""
    start = _take({"started_from": {}, **values}, "started_from", dict)
    for name in ("model", "sha256", "checkpoint") if start else ():
        _take(start, name, str)
    return dict(start)


def recorded(names: Sequence[str]) -> list[str]:
    """The names of classes as config.yaml has them: none where they are very many."""
    return [*names] if len(names) <= _MOST_RECORDED else []


def selected_by(settings: TrainSettings, data: DataSpec, *, suits: ResizeMode) -> DataSpec:
    """The data with the selection of the settings; `suits` is the resize mode of `auto`."""
    hold_out = None if settings.hold_out is None else HoldOut(settings.hold_out)
    resized = data.resized(settings.resize_mode, suits=suits)
    return dataclasses.replace(resized, max_images=settings.max_images, hold_out=hold_out)


def _take(values: Mapping[str, Any], name: str, kind: type) -> Any:
    value = values.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise UsageError(f"config.yaml has {name}: {quote(value)}, expected {kind.__name__}; restore it from a copy")
    if isinstance(value, dict) and not all(isinstance(key, str) for key in value):
        raise UsageError(f"config.yaml has a name under {name} that is not text; restore it from a copy")
    return value
