"""Code from outside Zeuxis: the user's own, `module:name`, by the current folder for that import alone; and of packages."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

from zeuxis.errors import UsageError
from zeuxis.registry import Installed

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def imported(name: str, expected: str) -> Any:
    """What `module:name` stands for, such as a class; only for a name that the user typed in this command.

    `expected` says in an error what the name should look like. `UsageError` where there is no such code.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!a} names no code; expected {expected}")
    # Packages that try to import others, which may be missing, do so before the folder counts.
    import torch  # noqa: F401

    module_name, _, path = name.partition(":")
    try:
        with _current_folder():
            found: Any = importlib.import_module(module_name)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, SyntaxError, OSError) as error:
        raise UsageError(f"cannot import {name}: {error}; expected {expected}, importable from here") from error
    return found


def of_package(entry: Installed, what: str) -> Any:
    """The class of an installed distribution; `UsageError`, which names it as `what`, where it cannot be imported."""
    try:
        return getattr(importlib.import_module(entry.module), entry.attribute)
    except Exception as error:  # a package may fail in any way when it is imported
        reason = f"{type(error).__name__}: {error}"
        raise UsageError(f"{what} cannot be imported ({reason}); update that package, or remove it") from error


@contextlib.contextmanager
def _current_folder() -> Iterator[None]:
    """Within the block modules are also looked for in the current folder, after all other places."""
    here = os.getcwd()  # noqa: PTH109 (the form that Python itself puts there)
    if here in sys.path:
        yield
        return
    sys.path.append(here)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # the module may have changed the list itself
            sys.path.remove(here)
