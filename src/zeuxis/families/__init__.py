"""The model families, one file and one final `Model` each; installed packages may add more."""

from __future__ import annotations

import difflib
import importlib
import inspect
from types import ModuleType
from typing import TYPE_CHECKING, Any

from zeuxis.errors import UsageError
from zeuxis.options import check_declaration
from zeuxis.registry import Installed, built_in, installed, names, summary
from zeuxis.runtime import own_code

if TYPE_CHECKING:
    from zeuxis.model import Model

__all__ = ["find", "names", "summary"]


def find(name: str) -> type[Model]:
    """The family by name, or the class `my_module:MyModel`; raise `UsageError` where there is none."""
    if ":" in name:
        return _outside(name)
    if name in built_in():
        return _model_in(importlib.import_module(f"zeuxis.families.{name}"))
    if name in installed():
        return _from_package(installed()[name])
    near = difflib.get_close_matches(name, names(), n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names())}"
    raise UsageError(
        f"no family is called {name!r}; {hint} (a class of your own: my_module:MyModel; another's: install its package)"
    )


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
    """The class that the user typed in this command; a name out of a file never comes here."""
    return _declared(own_code.imported(name, "my_module:MyModel"), name)


def _from_package(family: Installed) -> type[Model]:
    what = f"the family {family.name} of {family.distribution}"
    return _declared(own_code.of_package(family, what), what)


def _declared(found: Any, what: str) -> type[Model]:
    """The imported class, if it is a `Model` with readable options; `UsageError` otherwise."""
    from zeuxis.model import Model

    if not (inspect.isclass(found) and issubclass(found, Model)):
        raise UsageError(f"{what} is not a zeuxis.Model; derive it from Model, Latent, Encoder or Translator")
    check_declaration(found)
    return found
