"""A saved model as a folder: its description and its weights, compared before anything is read or allocated."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from zeuxis import renamed
from zeuxis.errors import UsageError
from zeuxis.escaping import quote
from zeuxis.io import files
from zeuxis.io.parsing import Layout, parse_json
from zeuxis.model import Model

_MOST_CLASSES, _LONGEST_NAME = 65_536, 1000
_DESCRIPTION = 1 << 20  # bytes of config.json
_PLAIN = (str, int, float, bool, type(None))
Shapes = Mapping[str, tuple[int, ...]]
Fits = Callable[[dict[str, Any], Shapes], None]  # of a description and the shapes of weights; raises `UsageError`


def read_model_folder(path: str | Path, fits: Fits | None = None) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """config.json (at least `family`: str, and `options`: plain values by name) and weights of a saved model, or a run's.

    `fits` is told the description and the shapes of the weights before any is read. Raises `UsageError` where the folder is
    not a model's or is damaged. Nothing of it is run, and no link in it is followed.
    """
    with files.explained(path):
        folders = [folder for folder in (Path(path), Path(path) / "model") if (folder / "config.json").exists()]
    if not folders:
        raise UsageError(f"{path} is not a model: it has no config.json; give the `model` folder of a run")
    folder = folders[0]
    path = folder / "config.json"
    config = parse_description(files.read_bytes(path, max_bytes=_DESCRIPTION, follow=False), path)
    family = config["family"]

    def check(layout: Layout) -> None:
        if fits is not None:
            fits(config, {name: shape for name, (_, shape) in renamed.tensors(family, layout).items()})

    weights = files.read_tensors(folder / "model.safetensors", follow=False, choose=check)
    return config, renamed.tensors(family, weights)


def parse_description(data: bytes, name: str | Path) -> dict[str, Any]:
    """The description of a model in the bytes of its config.json, options under the names of today.

    `UsageError` names `name` where it is none.
    """
    config = parse_json(data, name)
    family, options = (config.get("family"), config.get("options")) if isinstance(config, dict) else (None, None)
    if not isinstance(family, str) or not re.fullmatch(r"[\w.]+(:[\w.]+)?", family):
        raise UsageError(f'{name} has "family": {quote(family)}; expected a name such as "dcgan"')
    if not isinstance(options, dict) or not all(isinstance(value, _PLAIN) for value in options.values()):
        raise UsageError(f'{name} has "options": {quote(options)}; expected plain values by name')
    found: dict[str, Any] = config
    found["options"] = renamed.options(family, options)
    found["classes"] = _class_names(config.get("classes", []), name)
    return found


def _class_names(found: Any, path: str | Path) -> tuple[str, ...]:
    """The names of the classes, none where they were not recorded: models saved before 0.4 have numbers alone."""
    if not isinstance(found, list) or len(found) > _MOST_CLASSES or not all(type(each) is str for each in found):
        raise UsageError(f'{path} has "classes": {quote(found)}; expected a list of names')
    if any(len(name) > _LONGEST_NAME for name in found):
        raise UsageError(f'{path} has "classes" with a name over {_LONGEST_NAME:,} characters; expected shorter ones')
    return tuple(found)


def check_weights(model: Model, shapes: Shapes) -> None:
    """Raise `UsageError` naming the first weight that is missing, unknown or of another shape; training_only may be absent."""
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    for name in [*expected, *shapes]:
        if name.split(".")[0] in model.training_only and not (name in expected and name in shapes):
            continue
        found, wanted = shapes.get(name, "missing"), expected.get(name, "no such weight")
        if found != wanted:
            raise UsageError(
                f"weight {quote(name)} is {found} in the file, and the {model.family()} of its options has {wanted}; "
                "give the model.safetensors and the config.json of one model"
            )


def fill(model: Model, weights: Mapping[str, Tensor]) -> None:
    """Copy the weights into the model (in place), after `check_weights`."""
    check_weights(model, {name: tuple(value.shape) for name, value in weights.items()})
    model.load_state_dict(dict(weights), strict=False)
