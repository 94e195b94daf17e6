"""Command lines run in this process, or in one of their own, for the tests of the command line."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

from zeuxis import cli


def typed(*tokens: str) -> tuple[int, str, str]:
    """Run a command line in this process: exit code, stdout, stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.run(tokens)
    return code, out.getvalue(), err.getvalue()


def refused(*tokens: str) -> str:
    """The one line that a wrong command line gives."""
    code, out, err = typed(*tokens)
    assert code == 2, (code, out, err)
    assert err.startswith("zeuxis: ") and err.endswith("\n") and err.count("\n") == 1, err
    assert "Traceback" not in err and "unexpected" not in err.replace("unexpected argument", "")
    assert out == ""
    return err


def forget_modules(folder: Path) -> None:
    """Forget the modules that were imported from files in the folder."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file is not None and folder in Path(file).parents:
            del sys.modules[name]


def in_a_process(*words: str, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[bytes]:
    """Run Python in a process of its own, with this Zeuxis."""
    env = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    return subprocess.run([sys.executable, *words], stdout=stdout, stderr=subprocess.PIPE, env=env, check=False)
