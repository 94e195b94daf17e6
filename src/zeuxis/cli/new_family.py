"""`zeuxis new-family`: a family of one's own to begin with, which trains as it is."""

from __future__ import annotations

import ast
import keyword
import shlex
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

import zeuxis
from zeuxis.cli.output import say
from zeuxis.errors import UsageError

NAMES = "my_family", "MyFamily"  # of module and class in the templates


def register(app: App) -> None:
    """Add the command."""
    app.command(new_family)


def new_family(
    file: Annotated[Path, Parameter(help="Python file to write, as my_family.py; the class is called after it")],
    /,
) -> None:
    """Write a family of your own: a small GAN that trains as it is, with a comment on every hook."""
    from zeuxis.io import files

    text = (Path(zeuxis.__file__).parent / "templates" / "gan.py").read_text(encoding="utf-8")
    module, owner = _names(file, taken=_imported(text))
    for old, new in zip(NAMES, (module, owner)):
        text = text.replace(old, new)
    with files.explained(file, len(text)):
        try:
            with file.open("x", encoding="utf-8") as out:
                out.write(text)
        except FileExistsError:
            raise UsageError(f"{file} is there already; choose another name") from None
    say(*_next(file, module, owner).splitlines())


def _names(file: Path, *, taken: set[str]) -> tuple[str, str]:
    """The names of module and class: my_family.py holds MyFamily; `UsageError` where Python could not import them."""
    module = file.stem
    owner = "".join(part[:1].upper() + part[1:] for part in module.split("_"))
    if file.suffix != ".py" or not module.isidentifier() or not owner.isidentifier() or keyword.iskeyword(module):
        raise UsageError(f"{file} cannot be imported; choose a name of letters, digits and _, such as my_family.py")
    if keyword.iskeyword(owner) or owner in taken:
        raise UsageError(f"the class of {file} would be {owner}, which has a meaning already; choose another name")
    if module in sys.stdlib_module_names or (not file.exists() and PathFinder.find_spec(module) is not None):
        raise UsageError(f"there is a module {module} already, which would be imported instead; choose another name")
    return module, owner


def _imported(text: str) -> set[str]:
    """The names that a file imports."""
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    return {alias.asname or alias.name for node in nodes for alias in node.names}


def _next(file: Path, module: str, owner: str) -> str:
    """What to type next."""
    trust, run = f"--family {module}:{owner}", f"{owner}-digits"
    move = f"    cd {shlex.quote(str(file.parent))}\n" if file.parent != Path() else ""
    return f"""\
wrote {file}: a small GAN, the class {owner}. Next:

{move}    zeuxis train {module}:{owner} digits --minutes 1
    zeuxis sample {run} {trust}
    zeuxis interpolate {run} {trust}

Check it with pytest, by a test_{module}.py:

    from {module} import {owner}
    from zeuxis.testing import check_family

    def test_{module}() -> None:
        check_family({owner})"""
