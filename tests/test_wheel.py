"""What is built holds all of the package: each file of the page, and the tests and docs in the sdist."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "zeuxis"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder


def files(folder: Path, root: Path) -> set[str]:
    """Each file below a folder, as named from the root; without what Python makes."""
    found: Iterable[Path] = (path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(root).as_posix() for path in found if "__pycache__" not in path.parts and path.name != ".lock"
    }


def test_the_wheel_is_the_package(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert inside == files(PACKAGE, PACKAGE.parent)
    page = {name for name in inside if name.startswith("zeuxis/web/page/")}
    assert {"zeuxis/web/page/index.html", "zeuxis/py.typed"} <= inside and len(page) > 50


def test_the_sdist_has_what_builds_tests_and_documents_it(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"Makefile", "pyproject.toml", "constraints.txt", "Dockerfile", ".dockerignore", ".ci/run", "README.md"}
    for folder in ("src", "docs", "bench", "scripts", "tests"):
        wanted |= {name for name in files(ROOT / folder, ROOT) if "/node_modules/" not in name}
    assert not wanted - inside, f"the sdist lacks {sorted(wanted - inside)[:5]}"
