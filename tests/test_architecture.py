"""Rules of the house that a syntax tree can show: imports run one way, families stand alone, functions are short."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import zeuxis
from house import House, function_length, in_circles, public_names, tree

HOUSE = House()
PACKAGE, FILES = HOUSE.package, HOUSE.files
room, module_name, imports, modules_imported = HOUSE.room, HOUSE.module_name, HOUSE.imports, HOUSE.modules_imported

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


def test_no_import_goes_in_a_circle() -> None:
    """Not inside a room either, nor by an import that waits in a function."""
    circles = in_circles(HOUSE.graph())
    assert not circles, f"these modules import each other: {circles}"


def test_circles_are_seen() -> None:
    assert in_circles({"a": {"b"}, "b": {"c"}, "c": set()}) == {}
    assert in_circles({"a": {"b"}, "b": {"c"}, "c": {"b", "e"}, "e": set()}) == {"b": ["c"], "c": ["b"]}
    lazy = modules_imported(PACKAGE / "families" / "__init__.py")
    assert "zeuxis.model" in lazy and "zeuxis" not in lazy
    assert "zeuxis.judging" not in modules_imported(PACKAGE / "training" / "runs.py")


# Rooms whose public names no other module defines.
SINGLE = ("judging", "metrics", "explore", "likelihood", "scores", "data", "loading", "onnx", "capabilities")


def test_a_public_name_has_one_meaning() -> None:
    """Exceptions are few, and known: what a person imports from zeuxis is not among them, but for `train`.

    That is a run in `zeuxis`, and in the engine the loop over a model, which a notebook may call by itself.
    """
    shared = HOUSE.shared_names()
    assert not {name: homes for name, homes in shared.items() if {home.split(".")[0] for home in homes} & {*SINGLE}}
    assert shared.keys() & {*zeuxis.__all__} == {"train"}
    assert len(shared) < 20, f"these names are defined by two modules or more: {shared}"


def test_shared_names_are_seen() -> None:
    source = "import a\nfrom b import c\nD: int = 1\ne, (f, _g) = 1, (2, 3)\n"
    source += "if D:\n    def h(): i = 2\nelse:\n    class J: k = 1\n"
    assert public_names(ast.parse(source)) == {"D", "e", "f", "h", "J"}


def families_imported(path: Path) -> set[str]:
    return {name for name in modules_imported(path) if name.startswith("zeuxis.families.")}


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_nothing_knows_a_family_by_name(path: Path) -> None:
    """Families are found when the program runs, so one from outside the package can do all that one inside can."""
    if room(path) != "families":
        assert not families_imported(path), f"{module_name(path)} imports {families_imported(path)}"


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


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_every_module_says_what_it_is(path: Path) -> None:
    doc = ast.get_docstring(tree(path))
    assert doc and doc.strip().endswith((".", ")")), f"{path.name} has no module docstring that is a sentence"
    assert "utils" not in path.stem


# Whose keywords are the options of the family that is named: unknown ones are refused, and `inspect.signature` lists the rest.
OPTIONS_BY_NAME = {
    ("zeuxis.api.training", "train"),
    ("zeuxis.api.training", "dry_run"),
    ("zeuxis.api.forks", "branch"),
    ("zeuxis.api.sweeps", "sweep"),
}


def test_public_functions_take_no_open_keywords() -> None:
    found = set()
    for path in FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and node.args.kwarg is not None:
                found.add((module_name(path), node.name))
    assert found == OPTIONS_BY_NAME


def test_command_line_imports_without_torch() -> None:
    heavy = ("torch", "numpy", "PIL", "safetensors", "scipy", "sklearn")
    code = f"import sys, zeuxis, zeuxis.cli; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
