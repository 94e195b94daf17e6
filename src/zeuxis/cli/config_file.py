"""The file of options that `zeuxis train --config` names: a run's config.yaml, or a plain list."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cyclopts.config import Dict

from zeuxis.errors import UsageError
from zeuxis.escaping import quote
from zeuxis.io.paths import expanded

# What a run's config.yaml records beside the options.
RECORDED = frozenset(
    {"versions", "fingerprint", "images", "chosen_kernels", "classes", "parent", "started_from", "noise", "zeuxis"}
)


def read_options(words: Sequence[str]) -> dict[str, Any]:
    """The options in the file that --config names, flat: a run's config.yaml, or a plain list of options."""
    path = _config_in(words)
    if path is None:
        return {}
    from zeuxis.io import files

    content = files.read_yaml(path)
    if not isinstance(content, dict):
        raise UsageError(f"--config {path} is not a list of options; expected lines such as steps: 20k")
    flat = {name: value for name, value in content.items() if name not in RECORDED | {"options", "settings"}}
    for part in ("options", "settings"):
        flat.update(_table(path, part, content.get(part) or {}))
    if "fingerprint" in content and isinstance(flat.get("data"), str):
        from zeuxis.data import spelling

        flat["data"] = spelling.marked(flat["data"])  # a run's own: what it named, whatever is here now
    return {str(name).replace("-", "_"): _plain(path, name, value) for name, value in flat.items() if value is not None}


def family_of(config: Mapping[str, Any]) -> str | None:
    """The family that a --config names; code from outside Zeuxis only runs when the user types its name too."""
    name = config.get("family")
    if name is not None and ":" in str(name):
        raise UsageError(
            f"--config names code from outside Zeuxis, {quote(name)}; if you trust it, type it before the flags, "
            "as in: zeuxis train my_module:MyModel --config FILE"
        )
    return None if name is None else str(name)


def _table(path: Path, name: str, value: Any) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{name} in {path} is a {type(value).__name__}; expected lines such as steps: 20k under it")
    return value


def _config_in(words: Sequence[str]) -> Path | None:
    for word, following in zip(words, [*words[1:], None]):
        if word.startswith("--config="):
            return Path(word.removeprefix("--config="))
        if word == "--config" and following is not None:
            return Path(following)
    return None


def _plain(path: Path, name: Any, value: Any) -> str | bool | list[str]:
    """The value as it would be typed."""
    names = value if isinstance(value, list) else [value]
    if name == "logger" and all(isinstance(each, str) for each in names):
        return _known(names)
    if isinstance(value, bool):
        return value
    if isinstance(value, str | int | float):
        return expanded(str(value))
    raise UsageError(f"{name} in {path} is a {type(value).__name__}; expected one value")


def _known(loggers: list[str]) -> list[str]:
    """Loggers out of a file; code from outside Zeuxis only runs when the user types its name."""
    for name in loggers:
        if ":" in name:
            raise UsageError(
                f"--config names code from outside Zeuxis, {quote(name)}; if you trust it, take it out of the file, "
                f"and give --logger {name}"
            )
    return loggers


def options_source(config: dict[str, Any], parameters: Sequence[inspect.Parameter]) -> Dict:
    """What the file says, for the parser; `UsageError` at a name that is no option."""
    known = {parameter.name for parameter in parameters}
    options = {name: value for name, value in config.items() if name not in {"family", "data"}}
    for name in options.keys() - known:
        near = difflib.get_close_matches(name, known, n=1)
        raise UsageError(f"--config has the unknown option {name!r}" + (f"; did you mean {near[0]}?" if near else ""))
    return Dict(options, source="--config", use_commands_as_keys=False)
