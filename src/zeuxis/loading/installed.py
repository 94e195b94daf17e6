"""Models of installed distributions, found by entry point: folders of data, of which no code is imported or run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path

from zeuxis import registry
from zeuxis.errors import UsageError
from zeuxis.escaping import quote

# [project.entry-points."zeuxis.models"]: faces = "zeuxis_models" is the folder faces of the package zeuxis_models.
ENTRY_POINTS = "zeuxis.models"
INSTALLED = "zeuxis:"  # zeuxis:faces is the installed model, whatever is called faces here
_HOW = "pip install zeuxis-models"
_NAME = re.compile(r"\w[\w.-]*")  # no path out of the package


@dataclass(frozen=True)
class InstalledModel:
    """A model of an installed distribution: its name, its folder, the distribution with its version."""

    name: str
    folder: Path
    distribution: str


def installed_models() -> Mapping[str, InstalledModel]:
    """The models of installed distributions, by name, sorted."""
    return _models_in(registry.search_path())


def marked_model(text: str) -> Path:
    """The folder of the model that `zeuxis:NAME` names; `UsageError` where none of that name is installed."""
    found = installed_models().get(text.removeprefix(INSTALLED))
    if found is None:
        raise UsageError(f"no model {quote(text)} is installed; {hint_for(text)}")
    return found.folder


def hint_for(text: str) -> str:
    """What to do where a name is no run and no folder of a model: how the installed one is meant, or which there are."""
    names = [*installed_models()]
    if text in names:
        return f"the installed model is {INSTALLED}{text}"
    return f"installed models: {', '.join(names)}" if names else f"models to begin with: {_HOW}"


@lru_cache(maxsize=8)
def _models_in(path: tuple[str, ...]) -> dict[str, InstalledModel]:
    """The models on the path; the first of a name is the one that counts, and what cannot be read is left out."""
    found: dict[str, InstalledModel] = {}
    for distribution in metadata.distributions(path=list(path)):
        try:
            for model in _models_of(distribution, path):
                found.setdefault(model.name, model)
        except Exception:  # what any package may have written: none must break the others
            continue
    return dict(sorted(found.items()))


def _models_of(distribution: metadata.Distribution, path: tuple[str, ...]) -> Iterator[InstalledModel]:
    for entry in distribution.entry_points:
        if entry.group == ENTRY_POINTS and _NAME.fullmatch(entry.name):
            # Found as an import would find it, editable installs too, and not imported.
            spec = PathFinder.find_spec(entry.module, list(path))
            for place in (spec.submodule_search_locations or ()) if spec else ():
                folder = Path(place) / entry.name
                if (folder / "config.json").is_file():
                    yield InstalledModel(entry.name, folder, registry.title(distribution))
