"""Names of families and loggers: the package's own, and those of installed distributions, by entry point; none is imported."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path

GROUP = "zeuxis.families"  # [project.entry-points."zeuxis.families"]: my_gan = "my_package.my_module:MyGAN"
LOGGERS = "zeuxis.loggers"  # my_logger = "my_package.my_module:MyLogger"
OWN_LOGGERS = ("mlflow", "tensorboard", "wandb")
_OWN = Path(__file__).parent / "families"


@dataclass(frozen=True)
class Installed:
    """What an installed distribution adds: its name, the class, the distribution with its version, a line about it."""

    name: str
    module: str
    attribute: str
    distribution: str
    about: str


def built_in() -> list[str]:
    """The names of the package's own families, sorted."""
    return sorted(path.stem for path in _OWN.glob("*.py") if not path.stem.startswith("_"))


def installed(group: str = GROUP) -> dict[str, Installed]:
    """The families (or the loggers, by their group) of installed distributions, by name."""
    return _scan(search_path(), group)[0]


def notes() -> tuple[str, ...]:
    """Families that are left out, each with the reason in a line."""
    return _scan(search_path(), GROUP)[1]


def names() -> list[str]:
    """The names of all families, sorted."""
    return sorted([*built_in(), *installed()])


def summary(name: str) -> str:
    """The first line of the family's docstring, read from its source; for an installed one its distribution is named."""
    if name in built_in():
        return _first_line(_OWN / f"{name}.py")
    family = installed()[name]
    return f"{family.about} (from {family.distribution})".lstrip()


def address(owner: type) -> str:
    """Where the class is, as `my_module:MyModel`."""
    return f"{owner.__module__}:{owner.__qualname__}"


def name_of(owner: type) -> str | None:
    """The name of the class: its file's in the package, else that of an entry point; None where it has none."""
    package, _, stem = owner.__module__.rpartition(".")
    if package == "zeuxis.families":
        return stem
    for family in installed().values():
        # The class exists, so its module and those it is imported into are there: nothing needs to be imported.
        if getattr(sys.modules.get(family.module), family.attribute, None) is owner:
            return family.name
    return None


def search_path() -> tuple[str, ...]:
    """Where distributions are installed. The current folder is not such a place: data that is unpacked into it must not
    name code to run."""
    try:
        here = os.path.realpath(os.curdir)
        return tuple(place for place in sys.path if os.path.realpath(place) != here)
    except OSError:  # the current folder has been removed
        return tuple(filter(os.path.isabs, sys.path))


@lru_cache(maxsize=8)
def _scan(path: tuple[str, ...], group: str) -> tuple[dict[str, Installed], tuple[str, ...]]:
    """What is on the path in a group, and why others are left out; the first of a name is the one that counts."""
    found: dict[str, Installed] = {}
    left_out: list[str] = []
    what, own = ("family", built_in()) if group == GROUP else ("logger", OWN_LOGGERS)
    for distribution in metadata.distributions(path=list(path)):
        try:
            for entry in _entries_of(distribution, group):
                if reason := _refused(entry, found, what, own):
                    left_out.append(f"the {what} {entry.name} of {entry.distribution} is left out: {reason}")
                else:
                    found[entry.name] = entry
        except Exception as error:  # what any package may have written: none must break the others
            left_out.append(f"the entry points of {title(distribution)} cannot be read: {error}")
    return found, tuple(left_out)


def _entries_of(distribution: metadata.Distribution, group: str) -> Iterator[Installed]:
    for entry in distribution.entry_points:
        if entry.group == group:
            about = _about(distribution, entry.module)
            yield Installed(entry.name, entry.module, entry.attr, title(distribution), about)


def _refused(entry: Installed, found: dict[str, Installed], what: str, own: Sequence[str]) -> str:
    if entry.name in own:
        return f"zeuxis has a {what} of that name itself"
    if not (entry.name.isidentifier() and entry.attribute.isidentifier()):
        example = "my_gan" if what == "family" else "my_logger"
        kind = "MyGAN" if what == "family" else "MyLogger"
        return f'expected an entry such as {example} = "my_package.my_module:{kind}", got {entry.name!r}'
    if entry.name not in found or found[entry.name] == entry:  # a distribution may be on the path twice
        return ""
    return f"{found[entry.name].distribution} has one of that name, too"


def title(distribution: metadata.Distribution) -> str:
    try:
        return f"{distribution.name} {distribution.version}"
    except Exception:  # without METADATA, say
        return "a distribution without a name"


def _about(distribution: metadata.Distribution, module: str) -> str:
    """The first line of the module's docstring where its file is found, or else what the distribution says of itself."""
    place = module.replace(".", "/")
    for file in (f"{place}.py", f"{place}/__init__.py"):
        if line := _first_line(Path(str(distribution.locate_file(file)))):
            return line
    return str((distribution.metadata.get_all("Summary") or [""])[0])


def _first_line(file: Path) -> str:
    """Of a module's docstring; empty where there is none to be read."""
    try:
        return (ast.get_docstring(ast.parse(file.read_bytes())) or "").split("\n")[0]
    except (OSError, SyntaxError, ValueError):
        return ""
