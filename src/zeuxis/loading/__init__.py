"""Finding a run or a model by what a person types, and loading a saved model without trusting its files.

A model is a folder, that of a run, the installed one of a name, or one on the Hugging Face hub.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from zeuxis import families, registry, renamed
from zeuxis.data import DataSpec
from zeuxis.data.places import is_named, missing
from zeuxis.errors import UsageError
from zeuxis.escaping import quote
from zeuxis.io import files
from zeuxis.io.guard import check_folder
from zeuxis.io.paths import expanded
from zeuxis.io.run_names import RUNS, holds_file, path_exists, runs_called
from zeuxis.loading import hub_models, installed
from zeuxis.model import Model
from zeuxis.storage import models
from zeuxis.storage.models import Shapes

RunPath = str | os.PathLike[str] | int  # a folder, or a run's number or name under runs/


def load_model(
    path: RunPath,
    *,
    device: str | torch.device = "cpu",
    family: type[Model] | str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Model:
    """The model saved in a folder, in a run's folder, or in the run of this number or name; the installed one of a name;
    or hf://USER/NAME. It is ready to be sampled.

    `options` that a trained model may be given anew take the place of those saved (`Model.adjust`).
    A model whose family is a class outside Zeuxis is only loaded when `family` names that class: a file must not
    decide which code runs. `UsageError` where something is missing or does not fit.
    """
    folder = find_model(path)

    def fits(config: Mapping[str, Any], shapes: Shapes) -> None:
        _check_fit(trusted(config["family"], family), config["options"], shapes, folder)

    config, weights = models.read_model_folder(folder, fits)
    kind = trusted(config["family"], family)
    model = kind(**config["options"]).drop_training_only()
    models.fill(model, weights)
    model.class_names, model.origin = config["classes"], folder.absolute()
    model.adjust(options or {})
    return model.to(device).eval().requires_grad_(False)


def trusted(name: str, family: type[Model] | str | None) -> type[Model]:
    """The family that a file names: Zeuxis' own, or that of an installed distribution; other code only runs when the user
    names it too."""
    if isinstance(family, type) and name in (family.family(), registry.address(family)):
        return family
    if ":" not in name or family == name:
        return families.find(name)
    raise UsageError(f"it needs code from outside Zeuxis, {name}; if you trust it, name it: --family {name}")


def find_model(path: RunPath) -> Path:
    """The folder of `config.json` and `model.safetensors`: the one given, that of the run given, the installed one of that
    name (`zeuxis:NAME` in any case), or a copy of the one on the hub (`hf://USER/NAME`); a `Path` is never a name.

    `UsageError` where anything in the run, into which figures go, leads out of it.
    """
    if isinstance(path, str) and path.startswith(hub_models.SCHEME):
        return hub_models.downloaded(path)
    if isinstance(path, str) and path.startswith(installed.INSTALLED):
        return installed.marked_model(path)
    named, path = isinstance(path, str), _text(path)
    for folder in (Path(path), Path(path) / "model"):
        if holds_file(folder, "config.json"):
            return _checked(folder, typed=Path(path))
    local = not named or path_exists(Path(path)) or runs_called(path, RUNS)[0]
    if not local and (model := installed.installed_models().get(path)):
        return model.folder
    folder = _find_run(path, RUNS, advice=f"; {installed.hint_for(path)}") / "model"
    check_folder(folder.parent)
    if holds_file(folder, "config.json"):
        return folder
    raise UsageError(
        f"{path} has no model yet (no model/config.json); train on with: zeuxis resume {shlex.quote(str(path))}"
    )


def _checked(folder: Path, *, typed: Path) -> Path:
    """The model's folder, after a look at what lies in its run; a link that the user typed is followed."""
    if holds_file(folder.parent, "config.yaml"):
        check_folder(folder.parent)
    elif folder != typed and folder.is_symlink():
        raise UsageError(f"{folder} is a symbolic link, which is not followed here; give the folder that it leads to")
    return folder


def data_of(path: RunPath) -> DataSpec | None:
    """The data a model was trained on, where it lies in a run's folder or names its data; a file never names a path.

    What its run held out is not among it.
    """
    folder = find_model(path)
    config = folder.parent / "config.yaml"
    if not config.is_file():
        return _named_data(folder)
    content = files.read_yaml(config)
    values = renamed.config(content) if isinstance(content, dict) else {}
    data = values.get("data")
    return without_held_out(DataSpec.stored(data), values.get("settings")) if isinstance(data, str) else None


def without_held_out(data: DataSpec, settings: object) -> DataSpec:
    """The part of the data that was learned from, by what a file says; `UsageError` where it names no share."""
    share = settings.get("hold_out") if isinstance(settings, Mapping) else None
    if share is not None and not isinstance(share, float):
        raise UsageError(f"hold_out is {quote(share)}, expected a share such as 0.2; restore the file from a copy")
    return DataSpec.parse(data, hold_out=share)


def _named_data(folder: Path) -> DataSpec | None:
    """The named set that config.json of a model says it was trained on; None where it says nothing, or something else."""
    about = files.read_json(folder / "config.json", follow=False)
    text = about.get("data") if isinstance(about, dict) else None
    try:
        spec = without_held_out(DataSpec.stored(text), about) if isinstance(text, str) else None
    except UsageError:
        return None
    return spec if spec and is_named(spec) else None


def training_data(path: RunPath, advice: str) -> DataSpec | None:
    """As `data_of`; `UsageError`, which ends with the advice, where that data has gone."""
    data = data_of(path)
    if data is not None and (gone := missing(data)):
        raise UsageError(f"{path} was trained on {gone}, which is no longer there; {advice}")
    return data


def labelled_data(model: Model) -> DataSpec:
    """The data whose attributes and classes a model is asked for: what it was trained on, where known, else avatars."""
    own = model.origin and training_data(model.origin, "name labelled images with --data")
    return own or DataSpec.parse("zeuxis:avatars")


def find_run(run: RunPath, *, runs: str | Path = RUNS) -> Path:
    """A run's folder, given as a path, or by its number or name (whole, or without the number) under `runs`.

    `UsageError` where there is none, or where anything in it leads out of it.
    """
    found = _find_run(run, Path(runs))
    check_folder(found)
    return found


def _find_run(run: RunPath, runs: Path, advice: str = "") -> Path:
    text = run = _text(run)
    if holds_file(Path(run), "config.yaml"):
        return Path(run)
    matches, found = runs_called(text, runs)
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UsageError(f"{text!r} fits {len(matches)} runs: {_listed(matches)}; give one's number")
    if path_exists(Path(run)):
        raise UsageError(
            f"{run} is neither a run's folder (config.yaml) nor a model's (config.json, model.safetensors){advice}"
        )
    there = f"{runs}/ has {_listed(found)}" if found else f"there are no runs in {runs}/"
    raise UsageError(f"there is no run {quote(text)}; {there}{advice}")


def _text(path: RunPath) -> str:
    return str(path) if isinstance(path, int) else expanded(os.fspath(path))


def _listed(folders: list[Path]) -> str:
    names = [folder.name for folder in folders[-5:]]
    return ("..., " if len(folders) > 5 else "") + ", ".join(names)


def _check_fit(family: type[Model], options: Mapping[str, Any], shapes: Shapes, folder: Path) -> None:
    """Raise `UsageError` unless the options give a model of these weights; nothing as large as they claim is allocated."""
    models.check_weights(build_unfilled(family, options, folder / "config.json").drop_training_only(), shapes)


def build_unfilled(family: type[Model], options: Mapping[str, Any], config: Path) -> Model:
    """A model without memory (on `meta`), of options that stand in the file `config`; `UsageError` where they make none."""
    try:
        with torch.device("meta"), _Undrawn():
            return family(**options)
    except UsageError as error:
        raise UsageError(f"{config}: {error}") from None
    except (TypeError, ValueError, ArithmeticError, RuntimeError, LookupError, MemoryError) as error:
        raise UsageError(f"{config} has options that {family.family()} cannot be built from: {error}") from None


class _Undrawn(TorchFunctionMode):
    """Leaves weights undrawn: where there is no memory torch would only import its compiler for it, for over a second."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        match getattr(func, "__name__", ""):
            case "normal_":
                return args[0] if args else named["tensor"]
            case "rand" | "randn":
                return torch.empty(*args, **named)
            case "logspace":
                return torch.empty(args[2])
            case "lt":
                return torch.empty(args[0].shape, dtype=torch.bool)
        return func(*args, **named)
