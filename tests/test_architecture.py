"""Rules of the house that a syntax tree can show: imports run one way, families stand alone, functions are short."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "zeuxis"
FILES = sorted(PACKAGE.rglob("*.py"))

PAGE = (Path(__file__).parent.parent / "docs" / "architecture.md").read_text(encoding="utf-8")


def block(kind: str) -> list[str]:
    """The lines of the page's only code block of a kind."""
    (found,) = re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(found).splitlines()


# Rows of the page's diagram, the lowest first: each may import the rows below it, and itself only within one file or folder.
LAYERS: list[set[str]] = [set(line.split("  ")[0].split(", ")) for line in reversed(block("imports"))]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
# What the rows alone would allow, but the design does not.
FORBIDDEN = {
    (here, there)
    for here, _, rest in (line.partition(" -> ") for line in block("forbidden"))
    for there in rest.split(", ")
}
BANNED_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "torchvision"}


def room(path: Path) -> str:
    """The part of the house a file is in: its folder under `zeuxis`, or its own name."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def module_name(path: Path) -> str:
    parts = ("zeuxis", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path: Path) -> Iterator[str]:
    """Dotted names of everything the file imports, inside functions and under TYPE_CHECKING too."""
    package = module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*package.split(".")[: len(package.split(".")) - node.level + 1], base]).rstrip(".")
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def rooms_imported(path: Path) -> set[str]:
    names = (name.split(".") for name in imports(path))
    return {parts[1] for parts in names if parts[0] == "zeuxis" and len(parts) > 1 and parts[1] in RANK}


def test_the_architecture_page_names_every_room_once() -> None:
    rooms = [room(path) for path in FILES if room(path) not in {"__init__", "__main__"}]
    drawn = sorted(name for names in LAYERS for name in names)
    assert set(rooms) <= set(drawn) == RANK.keys() and len(drawn) == len(RANK)
    assert sorted(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == drawn
    assert FORBIDDEN and {name for pair in FORBIDDEN for name in pair} <= set(rooms)


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_run_one_way(path: Path) -> None:
    here = room(path)
    if here in {"__init__", "__main__"}:
        return
    assert here in RANK, f"{here} has no row in the diagram of docs/architecture.md: give it one"
    for there in rooms_imported(path) - {here}:
        assert RANK[there] < RANK[here], f"{module_name(path)} imports {there}, which is not below it"
        assert (here, there) not in FORBIDDEN, f"{module_name(path)} imports {there}"


def test_families_never_import_each_other() -> None:
    for path in (PACKAGE / "families").glob("*.py"):
        if path.name == "__init__.py":
            continue
        others = [name for name in imports(path) if name.startswith("zeuxis.families")]
        assert not others, f"{path.name} imports {others}"


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_nothing_that_runs_code_from_a_file(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & BANNED_MODULES
    known = set(known_weights(path))
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute) and node.attr in {"load", "save"} and isinstance(node.value, ast.Name):
            pickles = node.value.id == "torch" and (node.lineno, node.col_offset) not in known
            assert not pickles, f"{path.name}:{node.lineno}: torch.{node.attr} reads or writes pickles"
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant), f"{path.name}:{node.value.lineno}"
            assert node.value.value is False, f"{path.name}:{node.value.lineno}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"eval", "exec"}, f"{path.name}:{node.lineno}"


def known_weights(path: Path) -> Iterator[tuple[int, int]]:
    """Where the one file that opens published weights, whose sum it has checked, reads tensors and no code."""
    if module_name(path) == "zeuxis.metrics.extractors":
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                plain = {each.arg: each.value for each in node.keywords}.get("weights_only")
                if isinstance(plain, ast.Constant) and plain.value is True:
                    yield node.func.lineno, node.func.col_offset


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_files_and_functions_are_short(path: Path) -> None:
    limit = 200 if room(path) == "families" else 300
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= limit, f"{path.name} has {lines} lines; at most {limit}"
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = function_length(node)
            assert length <= 30, f"{path.name}:{node.lineno}: {node.name} has {length} lines; at most 30"


def function_length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the function, its docstring not counted."""
    assert node.end_lineno is not None
    first = node.body[0]
    doc = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    doc_lines = (first.end_lineno or 0) - first.lineno + 1 if doc else 0
    return node.end_lineno - node.lineno + 1 - doc_lines


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_every_module_says_what_it_is(path: Path) -> None:
    doc = ast.get_docstring(tree(path))
    assert doc and doc.strip().endswith((".", ")")), f"{path.name} has no module docstring that is a sentence"
    assert "utils" not in path.stem


def test_public_functions_take_no_open_keywords() -> None:
    for path in FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                assert node.args.kwarg is None, f"{path.name}:{node.lineno}: {node.name} takes **{node.args.kwarg.arg}"


def test_command_line_imports_without_torch() -> None:
    heavy = ("torch", "numpy", "PIL", "safetensors", "scipy", "sklearn")
    code = f"import sys, zeuxis, zeuxis.cli; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
