"""Finding a run or a model by what a person types, and loading a saved model without trusting its files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zeuxis import families, files
from zeuxis.errors import UsageError
from zeuxis.model import Model

MAX_WEIGHTS = 16 << 30  # bytes


def load(path: str | Path, *, device: str | torch.device = "cpu", family: type[Model] | str | None = None) -> Model:
    """The model saved in a folder, in a run's folder, or in the run of this number or name; ready to be sampled.

    A model whose family is a class outside Zeuxis is only loaded when `family` names that class: a file must not
    decide which code runs. `UsageError` where something is missing or does not fit.
    """
    folder = find_model(path)
    config = files.read_json(folder / "config.json")
    kind, options = _described(config, folder)
    chosen = _family(kind, family, folder)
    shapes = _shapes(chosen, options, folder)
    weights = files.read_tensors(folder / "model.safetensors", max_bytes=MAX_WEIGHTS)
    _check_shapes(shapes, weights, folder)
    model = chosen(**options).drop_scaffolding()
    model.load_state_dict(weights)
    return model.to(device).eval().requires_grad_(False)


def find_model(path: str | Path) -> Path:
    """The folder of `config.json` and `model.safetensors`: the one given, or that of the run given."""
    for folder in (Path(path), Path(path) / "model"):
        if (folder / "config.json").is_file():
            return folder
    folder = find_run(path) / "model"
    if (folder / "config.json").is_file():
        return folder
    raise UsageError(f"{path} has no model yet (no model/config.json); train on with: zeuxis resume {path}")


def find_run(run: str | Path, *, runs: str | Path = "runs") -> Path:
    """A run's folder, given as a path, or by its number or name (whole, or without the number) under `runs`."""
    if (Path(run) / "config.yaml").is_file():
        return Path(run)
    text = str(run)
    found = [folder for folder in sorted(Path(runs).glob("*")) if (folder / "config.yaml").is_file()]
    matches = [folder for folder in found if _answers_to(folder.name, text)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UsageError(f"{text!r} fits {len(matches)} runs: {_listed(matches)}; give one's number")
    if Path(run).exists():
        raise UsageError(
            f"{run} is neither a run's folder (config.yaml) nor a model's (config.json, model.safetensors)"
        )
    there = f"{runs}/ has {_listed(found)}" if found else f"there are no runs in {runs}/"
    raise UsageError(f"there is no run {text!r}; {there}")


def _answers_to(name: str, text: str) -> bool:
    number, _, rest = name.partition("-")
    return text in (name, rest) or (text.isascii() and text.isdigit() and number.isdigit() and int(text) == int(number))


def _listed(folders: list[Path]) -> str:
    names = [folder.name for folder in folders[-5:]]
    return ("..., " if len(folders) > 5 else "") + ", ".join(names)


def _described(config: Any, folder: Path) -> tuple[str, dict[str, Any]]:
    family = config.get("family") if isinstance(config, dict) else None
    options = config.get("options") if isinstance(config, dict) else None
    if not isinstance(family, str) or not isinstance(options, dict):
        raise UsageError(f"{folder / 'config.json'} does not name a family and its options; restore it from a copy")
    return family, options


def _family(name: str, trusted: type[Model] | str | None, folder: Path) -> type[Model]:
    if ":" not in name:
        return families.find(name)
    if isinstance(trusted, type) and trusted.family() == name:
        return trusted
    if trusted == name:
        return families.find(name)
    raise UsageError(f"{folder} needs code from outside Zeuxis, {name}; if you trust it, name it: --family {name}")


def _shapes(family: type[Model], options: dict[str, Any], folder: Path) -> dict[str, torch.Size]:
    """The weights' shapes by name, found without allocating them: a config must not be able to fill the memory."""
    try:
        with torch.device("meta"):
            model = family(**options).drop_scaffolding()
    except UsageError as error:
        raise UsageError(f"{folder / 'config.json'}: {error}") from None
    except (TypeError, ValueError, ArithmeticError, RuntimeError, IndexError, MemoryError) as error:
        raise UsageError(
            f"{folder / 'config.json'} has options that {family.family()} cannot be built from: {error}"
        ) from None
    return {name: value.shape for name, value in model.state_dict().items()}


def _check_shapes(wanted: dict[str, torch.Size], found: dict[str, Tensor], folder: Path) -> None:
    weights = folder / "model.safetensors"
    for name in wanted.keys() - found.keys():
        raise UsageError(f"{weights} lacks {name}, which its config.json asks for; restore both from one copy")
    for name in found.keys() - wanted.keys():
        raise UsageError(
            f"{weights} has {name[:80]!r}, which its config.json knows nothing of; restore both from one copy"
        )
    for name, shape in wanted.items():
        if found[name].shape != shape:
            has, needs = json.dumps(list(found[name].shape)), json.dumps(list(shape))
            raise UsageError(f"{weights}: {name} has shape {has}, its config.json asks for {needs}; restore both")
