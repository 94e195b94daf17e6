"""The families: one file each, found by its name; each file holds one final `Model`."""

from __future__ import annotations

import ast
import difflib
import importlib
import inspect
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from zeuxis.errors import UsageError
from zeuxis.runtime import own_code

if TYPE_CHECKING:
    from zeuxis.model import Model


def names() -> list[str]:
    """The families' names, sorted; nothing is imported."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))


def summary(name: str) -> str:
    """The first line of the family's docstring; read from its source, so that nothing is imported."""
    source = (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").split("\n")[0]


def find(name: str) -> type[Model]:
    """The family of that name, or the class `my_module:MyModel`, which must be what the user typed and no file's word."""
    if ":" in name:
        return _outside(name)
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names())}"
        raise UsageError(f"no family is called {name!r}; {hint} (a class of your own: my_module:MyModel)")
    return _model_in(importlib.import_module(f"zeuxis.families.{name}"))


def _model_in(module: ModuleType) -> type[Model]:
    from zeuxis.model import Model

    here = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Model) and value.__module__ == module.__name__
    ]
    (model,) = here
    return model


def _outside(name: str) -> type[Model]:
    from zeuxis.model import Model

    model = own_code.imported(name, "my_module:MyModel")
    if not (inspect.isclass(model) and issubclass(model, Model)):
        raise UsageError(f"{name} is not a zeuxis.Model; derive it from Model, Latent, Encoder or Translator")
    return model
