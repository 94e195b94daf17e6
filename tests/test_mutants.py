"""The table of mutants stays true as the code moves; and the script that runs it tells the killed from the survivors."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

import mutants
from mutants import Mutant

ROWS = {f"row {n}" for n in (*range(1, 14), *range(19, 23))}
ITEMS = {f"item {n}" for n in range(1, 16)}
TABLE = mutants.read_table()


@pytest.mark.parametrize("mutant", TABLE, ids=lambda mutant: mutant.name)
def test_a_mutant_fits_the_code(mutant: Mutant) -> None:
    source, meaning = parsed(mutant.file)
    assert ast.dump(ast.parse(mutant.applied(source))) != meaning, "it changes nothing"
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert name in names_in(file), f"{file} has no {name}"


@functools.cache
def parsed(file: str) -> tuple[str, str]:
    source = (mutants.ROOT / mutants.PACKAGE / file).read_text(encoding="utf-8")
    return source, ast.dump(ast.parse(source))


@functools.cache
def names_in(file: str) -> set[str]:
    tree = ast.parse((Path(__file__).parent / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_row_and_item_has_mutants() -> None:
    assert len(TABLE) >= 40 and len({mutant.name for mutant in TABLE}) == len(TABLE)
    assert ROWS | ITEMS == {each for mutant in TABLE for each in mutant.of}
    assert all(mutant.tests for mutant in TABLE)


# The script, on a package of one line.


def small(
    name: str, instead: str, test: str = "test_a.py::test_one", *, hangs: bool = False, text: str = "= 1"
) -> Mutant:
    return Mutant(("row 0",), name, "a.py", text, instead, (test,), hangs)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one module, and tests of it."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # each of many starts is then three times as fast
    (tmp_path / "src" / "zeuxis").mkdir(parents=True)
    (tmp_path / "tests").mkdir()
    (tmp_path / "src" / "zeuxis" / "__init__.py").touch()
    (tmp_path / "src" / "zeuxis" / "a.py").write_text("VALUE = 1  # 1 of 1 lines\n")
    (tmp_path / "tests" / "test_a.py").write_text(
        "from zeuxis.a import VALUE\n\ndef test_one():\n    assert VALUE == 1\n\n\ndef test_any():\n    assert VALUE\n"
        "\n\ndef test_two():\n    assert VALUE == 2\n"
    )
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\npythonpath = ['src']\n")
    return tmp_path


def test_the_killed_are_told_from_the_survivors(tree: Path) -> None:
    chosen = [
        small("killed", "= 2"),
        small("survives", "= 3", "test_a.py::test_any"),
        small("crashes", "= __import__('os').abort()"),
        small("hangs", "= __import__('time').sleep(900)", hangs=True),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mutants, "LEAST", 0.0)
        outcomes = mutants.run(tree, chosen, jobs=2)
    by = [outcome.by for outcome in outcomes]
    assert by == [
        "test_a.py::test_one",
        "",
        *(f"test_a.py::test_one ({end})" for end in ("ended by SIGABRT", "waits for ever")),
    ]
    text = mutants.report(outcomes)
    assert (
        text.startswith("3 of 4 mutants killed\n")
        and "| row 0 | survives | `a.py` | `test_a.py::test_any` | **survived** |" in text
    )
    assert (tree / "src" / "zeuxis" / "a.py").read_text() == "VALUE = 1  # 1 of 1 lines\n", (
        "the checkout stays as it is"
    )


def test_a_mutant_that_is_no_code_is_not_killed(tree: Path) -> None:
    (outcome,) = mutants.run(tree, [small("is no code", "= (")])
    assert not outcome.by and "no verdict" in outcome.problem and "SyntaxError" in outcome.problem
    assert "0 of 1 mutants killed" in mutants.report([outcome]) and "**no verdict**" in mutants.line(outcome)


@pytest.mark.parametrize(
    ("mutant", "message"),
    [
        (small("fails anyway", "= 2", "test_a.py::test_two"), "do not pass without a mutant"),
        (small("moved", "2", text="5"), "its text occurs 0 times in a.py"),
        (small("twice", "2", text="1 "), "its text occurs 3 times in a.py"),
    ],
    ids=lambda value: value.name if isinstance(value, Mutant) else "",
)
def test_a_mutant_that_cannot_be_judged_is_an_error(tree: Path, mutant: Mutant, message: str) -> None:
    with pytest.raises((mutants.BrokenMutantError, ValueError), match=message):
        mutants.run(tree, [mutant])
