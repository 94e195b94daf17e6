"""The tables for users of other libraries: each line of them is run, in its table's order."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import zeuxis
import zeuxis.testing
from commandline import forget_modules, typed
from zeuxis import cli

PAGE = (Path(__file__).parents[1] / "docs" / "coming-from.md").read_text(encoding="utf-8")
TABLES = dict(re.findall(r"^## From (\S+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
LIBRARIES = ["diffusers", "stylegan3", "Lightning", "scikit-learn", "timm"]


def lines(table: str) -> list[list[str]]:
    """The commands and expressions of each row, in its second column."""
    rows = [line.strip("|\n ").split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
    assert all(len(row) == 2 for row in rows), "a row has two columns"
    return [[code for code in re.findall(r"`([^`]+)`", row[1]) if re.match(r"zeuxis[ .]", code)] for row in rows]


def test_each_library_has_a_table_and_each_row_something_to_run() -> None:
    assert list(TABLES) == LIBRARIES
    for library, table in TABLES.items():
        found = lines(table)
        assert len(found) >= 8 and all(found), f"{library}: {found}"


def served(line: str) -> None:
    """Run a command that serves until Ctrl-C, until it says where."""
    env = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    words = [sys.executable, "-m", "zeuxis", *shlex.split(line)[1:]]
    process = subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    said = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    error = process.communicate()[1]
    assert " at http://127.0.0.1:" in said, error


def ran(line: str) -> None:
    if line.startswith("zeuxis explore"):
        served(line)
    elif line.startswith("zeuxis."):
        exec(compile(line, "docs/coming-from.md", "exec"), {"zeuxis": zeuxis})
    else:
        words = shlex.split(line)[1:]
        # Where kernels are measured takes longer than such a run.
        quick = ["--kernels", "standard"] * (words[0] == "train" and "--dry-run" not in words)
        code, _, error = typed(*words, *quick)
        assert code == 0, f"{line}\n{error}"
        if "--out" in words:
            assert Path(words[words.index("--out") + 1]).exists()


@pytest.mark.long
@pytest.mark.parametrize("library", LIBRARIES)
def test_every_line_of_a_table_runs(library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with contextlib.ExitStack() as after:
        after.callback(forget_modules, tmp_path)
        for line in (line for row in lines(TABLES[library]) for line in row):
            ran(line)
