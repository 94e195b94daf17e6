"""Mutation test of the protections: does the suite fail for each one that is taken out?

    python bench/mutants.py                              all mutants of mutants.toml, one after the other
    python bench/mutants.py --only "row 20" --jobs 2     those whose rows, names or files match
    python bench/mutants.py --out results.md             also write the table there

A mutant replaces one text in one file of the package by another. The tests that should notice run on a copy of the tree, never
on the checkout; first they run once without a mutant, and must pass. *Killed*: a test failed. *Survived*: all passed; then
the exit code is 1. Rows are those of the reliability table, items those of the list of reports.
"""

from __future__ import annotations

import argparse
import compileall
import os
import py_compile
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TABLE = Path(__file__).with_suffix(".toml")
PACKAGE = Path("src", "zeuxis")
COPIED = ("src", "tests", "bench", "docs/site", "docs/architecture.md", "pyproject.toml", "README.md")
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+?)(?:\[.*?\])?(?: - .*)?$", re.MULTILINE)
LIMIT = 900.0  # seconds for the tests of one mutant
LEAST, TIMES = (
    30.0,
    5.0,
)  # where a mutant may wait for ever: these seconds, and so many times what its tests take without it

CRASHES = (-signal.SIGSEGV, -signal.SIGABRT, -getattr(signal, "SIGBUS", signal.SIGSEGV))  # what the tests may end by


@dataclass(frozen=True)
class Mutant:
    """A protection taken out: the rows that ask for it, the text in a file, what replaces it, and the tests to run."""

    of: tuple[str, ...]
    name: str
    file: str
    text: str
    instead: str
    tests: tuple[str, ...]
    hangs: bool = False  # whether its tests may wait for ever: then an end by the clock counts as killed

    @property
    def nodes(self) -> list[str]:
        """The tests as arguments of pytest."""
        return [f"tests/{test}" for test in self.tests]

    def applied(self, source: str) -> str:
        """The source of the file with the protection taken out; `ValueError` unless the text occurs in it exactly once."""
        if (count := source.count(self.text)) != 1:
            raise ValueError(f"{self.name}: its text occurs {count} times in {self.file}; correct mutants.toml")
        return source.replace(self.text, self.instead)


@dataclass(frozen=True)
class Outcome:
    """What the tests said of a mutant: `by` is the test that failed first, "" where none did, or `problem` kept them from it."""

    mutant: Mutant
    by: str
    problem: str = ""


class BrokenMutantError(Exception):
    """The tests gave no verdict: they do not pass without a mutant, cannot be collected, or do not end."""


def read_table(path: Path = TABLE) -> list[Mutant]:
    """The mutants of a table, in its order."""
    rows = tomllib.loads(path.read_text(encoding="utf-8"))["mutant"]
    return [Mutant(**{**row, "of": tuple(row["of"]), "tests": tuple(row["tests"])}) for row in rows]


@dataclass(frozen=True)
class Tree:
    """A copy of what the tests need, to be mutated."""

    root: Path

    @classmethod
    def copied(cls, source: Path, root: Path) -> Tree:
        """A copy of a checkout."""
        for name in COPIED:
            origin, target = source / name, root / name
            if origin.is_dir():
                shutil.copytree(origin, target, ignore=shutil.ignore_patterns("__pycache__"))
            elif origin.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(origin, target)
        # By hashes: a file may be mutated and restored within a second, at the same size.
        mode = py_compile.PycInvalidationMode.CHECKED_HASH
        compileall.compile_dir(root / "src", quiet=1, invalidation_mode=mode)
        return cls(root)

    @contextmanager
    def mutated(self, mutant: Mutant) -> Iterator[None]:
        """Within the block the protection is out."""
        path = self.root / PACKAGE / mutant.file
        before = path.read_text(encoding="utf-8")
        path.write_text(mutant.applied(before), encoding="utf-8")
        try:
            yield
        finally:
            path.write_text(before, encoding="utf-8")

    def run(self, nodes: Sequence[str], limit: float) -> tuple[int | None, str]:
        """The exit code of pytest, None where it does not end within the limit, and what it printed."""
        paths = os.pathsep.join(str(self.root / name) for name in ("src", "tests", "bench"))
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--tb=short"]
        process = subprocess.Popen(
            [*command, f"--basetemp={self.root.parent / (self.root.name + '-temporary')}", *nodes],
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "ZEUXIS_LONG": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            _end_group(process)
            return None, ""
        return process.returncode, output.decode(errors="replace")


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and those that it started."""
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def time_limit(tree: Tree, mutant: Mutant) -> float:
    """Seconds that the tests of a mutant may take."""
    if not mutant.hangs:
        return LIMIT
    begin = time.monotonic()
    code, output = tree.run(mutant.nodes, LIMIT)
    if code != 0:
        raise BrokenMutantError(f"the tests of {mutant.name} do not pass without it\n{output[-3000:]}")
    return LEAST + TIMES * (time.monotonic() - begin)


def judge(tree: Tree, mutant: Mutant) -> Outcome:
    """Run the tests of a mutant on the tree; `BrokenMutantError` where they give no verdict."""
    limit = time_limit(tree, mutant)
    with tree.mutated(mutant):
        code, output = tree.run(mutant.nodes, limit)
    if code is None and mutant.hangs:
        return Outcome(mutant, f"{mutant.tests[0]} (waits for ever)")
    if code == 0:
        return Outcome(mutant, "")
    if code is not None and code in CRASHES:
        return Outcome(mutant, f"{mutant.tests[0]} (ended by {signal.Signals(-code).name})")
    failed = FAILED.search(output)
    if code != 1 or failed is None:
        raise BrokenMutantError(f"{mutant.name}: pytest gave {code} and no verdict\n{output[-3000:]}")
    return Outcome(mutant, failed[1].removeprefix("tests/"))


def check_unmutated(trees: Sequence[Tree], mutants: Sequence[Mutant]) -> None:
    """Run every test once without a mutant; `BrokenMutantError` unless all pass."""
    nodes = list(dict.fromkeys(node for mutant in mutants for node in mutant.nodes))
    parts = [sorted(nodes)[i :: len(trees)] for i in range(len(trees))]
    with ThreadPoolExecutor(len(trees)) as pool:
        for code, output in pool.map(lambda tree, part: tree.run(part, 10 * LIMIT) if part else (0, ""), trees, parts):
            if code != 0:
                raise BrokenMutantError(f"the tests do not pass without a mutant\n{output[-3000:]}")


def judge_all(trees: Sequence[Tree], mutants: Sequence[Mutant]) -> list[Outcome]:
    """The outcome of each mutant in order, as many at once as there are trees; each is told on stderr."""
    idle: queue.SimpleQueue[Tree] = queue.SimpleQueue()
    for tree in trees:
        idle.put(tree)

    def judged(mutant: Mutant) -> Outcome:
        begin, tree = time.monotonic(), idle.get()
        try:
            outcome = judge(tree, mutant)
        except BrokenMutantError as error:  # the others are still of interest
            outcome = Outcome(mutant, "", str(error))
        finally:
            idle.put(tree)
        told = f"{line(outcome)}  {time.monotonic() - begin:.0f} s"
        print(*filter(None, (told, outcome.problem)), sep="\n", file=sys.stderr, flush=True)
        return outcome

    with ThreadPoolExecutor(len(trees)) as pool:
        return list(pool.map(judged, mutants))


def line(outcome: Outcome) -> str:
    """An outcome as a row of the table."""
    mutant = outcome.mutant
    tests = ", ".join(f"`{test}`" for test in mutant.tests)
    without = "**no verdict**" if outcome.problem else "**survived**"
    verdict = f"`{outcome.by.partition('::')[2]}`" if outcome.by else without
    return f"| {', '.join(mutant.of)} | {mutant.name} | `{mutant.file}` | {tests} | {verdict} |"


def report(outcomes: Sequence[Outcome]) -> str:
    """All outcomes as a table in Markdown, the count first."""
    killed = sum(bool(outcome.by) for outcome in outcomes)
    head = ["| of | mutant | file | tests | killed by |", "|---|---|---|---|---|"]
    return "\n".join([f"{killed} of {len(outcomes)} mutants killed", "", *head, *map(line, outcomes)]) + "\n"


def run(source: Path, mutants: Sequence[Mutant], *, jobs: int = 1, checked: bool = True) -> list[Outcome]:
    """The outcomes of mutants of a checkout; `checked` runs their tests once without a mutant before."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        trees = [Tree.copied(source, Path(folder, f"tree{i}")) for i in range(jobs)]
        for mutant in mutants:  # all of them before any test runs
            mutant.applied((source / PACKAGE / mutant.file).read_text(encoding="utf-8"))
        if checked:
            check_unmutated(trees, mutants)
        return judge_all(trees, mutants)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="REGEX", help="mutants whose rows, name or file match")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time, each on a copy of its own")
    parser.add_argument("--out", type=Path, help="a file for the table")
    parser.add_argument("--unchecked", action="store_true", help="do not run the tests without a mutant first")
    arguments = parser.parse_args()
    chosen = [m for m in read_table() if re.search(arguments.only, " ".join([*m.of, m.name, m.file]))]
    outcomes = run(ROOT, chosen, jobs=arguments.jobs, checked=not arguments.unchecked)
    text = report(outcomes)
    print(text)
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    return int(not all(outcome.by for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
