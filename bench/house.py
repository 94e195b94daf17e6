"""The house in figures, read out of its syntax trees: modules, imports, circles, functions, and names with two meanings.

    python bench/house.py           a table
    python bench/house.py --names   each public name that two modules or more define, and where

A public name is a function, class or variable that a module defines at its top level, without an underscore in front; what
it imports does not count. Rooms are the files and folders under `src/zeuxis`.
"""

from __future__ import annotations

import argparse
import ast
import statistics
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "src" / "zeuxis"


@dataclass(frozen=True)
class House:
    """The package in a folder."""

    package: Path = PACKAGE

    @cached_property
    def files(self) -> list[Path]:
        return sorted(self.package.rglob("*.py"))

    @cached_property
    def modules(self) -> set[str]:
        return {self.module_name(path) for path in self.files}

    def module_name(self, path: Path) -> str:
        parts = ("zeuxis", *path.relative_to(self.package).with_suffix("").parts)
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def room(self, path: Path) -> str:
        """The part of the house a file is in: its folder under `zeuxis`, or its own name."""
        return path.relative_to(self.package).parts[0].removesuffix(".py")

    def imports(self, path: Path) -> Iterator[str]:
        """Dotted names of everything the file imports, inside functions and under TYPE_CHECKING too."""
        name = self.module_name(path)
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = _base(node, package)
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names)

    def modules_imported(self, path: Path) -> set[str]:
        """The package's own modules that a file imports; `from zeuxis.io import files` imports the module alone."""
        names = set(self.imports(path)) & self.modules
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ImportFrom) and node.module in names:
                found = {f"{node.module}.{alias.name}" for alias in node.names}
                names -= {node.module} if found <= self.modules else set()
        return names - {self.module_name(path)}

    def graph(self) -> dict[str, set[str]]:
        """The modules, and which of them each imports."""
        return {self.module_name(path): self.modules_imported(path) for path in self.files}

    def rooms_imported(self) -> set[tuple[str, str]]:
        """Pairs of rooms the first of which imports the second."""
        split = ((name.split("."), other.split(".")) for name, found in self.graph().items() for other in found)
        return {(one[1], two[1]) for one, two in split if len(one) > 1 and len(two) > 1 and one[1] != two[1]}

    def shared_names(self) -> dict[str, list[str]]:
        """Each public name that two modules or more define, and those modules without `zeuxis.` in front."""
        homes: dict[str, list[str]] = {}
        for path in self.files:
            for name in public_names(tree(path)):
                homes.setdefault(name, []).append(self.module_name(path).removeprefix("zeuxis."))
        return {name: sorted(found) for name, found in sorted(homes.items()) if len(found) > 1}

    def figures(self) -> dict[str, str]:
        """The figures by their names."""
        nodes = [node for path in self.files for node in ast.walk(tree(path))]
        lengths = [function_length(node) for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        names = set[str]().union(*(public_names(tree(path)) for path in self.files))
        spread = statistics.median(lengths), statistics.quantiles(lengths, n=20)[-1], max(lengths)
        return {
            "rooms at top level": f"{len({self.room(path) for path in self.files} - {'__init__', '__main__'})}",
            "modules": f"{len(self.files)}",
            "imports from room to room": f"{len(self.rooms_imported())}",
            "modules in circles of imports": f"{len(in_circles(self.graph()))}",
            "public names that two modules define": f"{len(self.shared_names())} of {len(names)}",
            "lines of a function: median, 95 %, longest": ", ".join(f"{value:.0f}" for value in spread),
        }


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _base(node: ast.ImportFrom, package: str) -> str:
    """The module that names are imported from, also where it is relative to a package."""
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    return ".".join([*parts[: len(parts) - node.level + 1], node.module or ""]).rstrip(".")


def in_circles(graph: Mapping[str, Set[str]]) -> dict[str, list[str]]:
    """The modules of a graph of imports that import themselves by way of others, and which of these each imports."""
    members = {name for name in graph if name in _reached(graph, name)}
    return {name: sorted(graph[name] & members) for name in sorted(members)}


def _reached(graph: Mapping[str, Set[str]], start: str) -> set[str]:
    """The modules that are imported by way of `start`; itself where there is a circle."""
    found, due = set[str](), [start]
    while due:
        new = graph.get(due.pop(), set()) - found
        found |= new
        due += new
    return found


def public_names(module: ast.Module) -> set[str]:
    """The names that a module defines at its top level, also under `if` and `try`, without an underscore in front."""
    return {name for name in _defined(module.body) if not name.startswith("_")}


def _defined(body: Iterable[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found = (each for target in targets for each in ast.walk(target))
            yield from (each.id for each in found if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store))
        elif isinstance(node, ast.If | ast.Try):
            handlers = [line for handler in getattr(node, "handlers", []) for line in handler.body]
            yield from _defined([*node.body, *handlers, *node.orelse])


def function_length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the function, its docstring not counted."""
    assert node.end_lineno is not None
    first = node.body[0]
    doc = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    doc_lines = (first.end_lineno or 0) - first.lineno + 1 if doc else 0
    return node.end_lineno - node.lineno + 1 - doc_lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", action="store_true", help="list the names that two modules or more define")
    parser.add_argument(
        "--package", type=Path, default=PACKAGE, help="another folder of the package, such as an old one"
    )
    arguments = parser.parse_args()
    house = House(arguments.package)
    if arguments.names:
        found = house.shared_names()
        lines = [f"{name:24} {', '.join(homes)}" for name, homes in found.items()]
        print(*lines, f"{len(found)} names", sep="\n")
    else:
        print(*(f"| {name} | {value} |" for name, value in house.figures().items()), sep="\n")


if __name__ == "__main__":
    main()
