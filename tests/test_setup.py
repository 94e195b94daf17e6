"""What `make setup` installs, upon which Python, and that the package needs no more than it says."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "scripts" / "find_python.sh"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
VERSIONS = [
    line.rpartition(" ")[2] for line in PROJECT["project"]["classifiers"] if re.search(r":: Python :: 3\.\d", line)
]

needs_sh = pytest.mark.skipif(not Path("/bin/sh").exists(), reason="make runs a POSIX shell")


# Which Python: stand-ins for interpreters, in a folder that is all of the PATH.


def stub(folder: Path, name: str, version: str, *, venv: bool = True) -> None:
    """An interpreter that knows its version, whether it has venv, and how to make an empty one."""
    (folder / name).write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        f"    *version_info*) echo {version} ;;\n"
        f"    *ensurepip*) exit {0 if venv else 1} ;;\n"
        f'    "-m venv "*) /bin/mkdir -p "$3/bin"; echo {name} > "$3/bin/python" ;;\n'
        "esac\n"
    )
    (folder / name).chmod(0o755)


def found(folder: Path, named: str = "") -> tuple[str, str]:
    """What the script prints and what it complains of."""
    command = ["/bin/sh", str(SCRIPT), *([named] if named else [])]
    done = subprocess.run(command, capture_output=True, text=True, env={"PATH": str(folder)})
    assert (done.returncode == 0) == bool(done.stdout) == (not done.stderr)
    assert done.stderr.count("\n") <= 1, "an error is one line"
    return done.stdout.strip(), done.stderr.strip()


# The interpreters on the PATH with their versions, and which is taken.
PATHS = {
    "the default": ({"python3": "3.12"}, "python3"),
    "the default is too old": ({"python3": "3.9", "python3.12": "3.12"}, "python3.12"),
    "the default is too new": ({"python3": "3.15", "python3.13": "3.13", "python3.15": "3.15"}, "python3.13"),
    "the newest": ({"python3": "3.11", "python3.11": "3.11", "python3.14": "3.14", "python3.13": "3.13"}, "python3.14"),
    "the default is the newest": ({"python3": "3.14", "python3.11": "3.11"}, "python3"),
    "no python3": ({"python": "3.13"}, "python"),
    "a name of another version": ({"python3.14": "3.8", "python3": "3.11"}, "python3"),
    "one that does not run": ({"python3.14": "", "python3.12": "3.12"}, "python3.12"),
}


@needs_sh
@pytest.mark.parametrize("case", PATHS)
def test_the_newest_supported_python_is_taken(tmp_path: Path, case: str) -> None:
    interpreters, expected = PATHS[case]
    for name, version in interpreters.items():
        stub(tmp_path, name, version)
    assert found(tmp_path) == (expected, "")


@needs_sh
def test_a_python_without_venv_is_passed_over(tmp_path: Path) -> None:
    stub(tmp_path, "python3", "3.13", venv=False)
    assert "python3 is Python 3.13 without venv (Debian, Ubuntu: apt install python3.13-venv)" in found(tmp_path)[1]
    stub(tmp_path, "python3.11", "3.11")
    assert found(tmp_path) == ("python3.11", "")


@needs_sh
def test_where_no_python_is_supported_a_line_says_what_to_install(tmp_path: Path) -> None:
    assert found(tmp_path)[1].startswith("make: python3 is missing or does not run, and no Python from 3.11 to 3.14")
    stub(tmp_path, "python3", "3.10")
    assert found(tmp_path)[1].startswith("make: python3 is Python 3.10, and no Python from 3.11 to 3.14 is on the PATH")
    assert found(tmp_path)[1].endswith("or name it: make PYTHON=/path/to/python3.12 setup")


@needs_sh
def test_a_python_that_is_named_is_taken_or_another_is_named(tmp_path: Path) -> None:
    for name in ("3.10", "3.11", "3.13", "3.15"):
        stub(tmp_path, f"python{name}", name)
    assert found(tmp_path, "python3.11") == ("python3.11", "")
    assert found(tmp_path, str(tmp_path / "python3.11")) == (str(tmp_path / "python3.11"), "")
    for named, fault in [("python3.10", "is Python 3.10"), ("python3.15", "is Python 3.15"), ("snake", "is missing")]:
        wrong = found(tmp_path, named)[1]
        assert wrong.startswith(f"make: {named} {fault}") and wrong.endswith("make PYTHON=python3.13 setup")


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_make_builds_upon_the_python_that_was_found(tmp_path: Path) -> None:
    stub(tmp_path, "python3", "3.15")
    stub(tmp_path, "python3.12", "3.12")
    target = f"VENV={tmp_path / 'made'}", str(tmp_path / "made" / "bin" / "python")

    def make(*words: str) -> subprocess.CompletedProcess[str]:
        command = [shutil.which("make") or "make", "-C", str(ROOT), *target, *words]
        return subprocess.run(command, capture_output=True, text=True, env={"PATH": str(tmp_path)})

    refused = make("PYTHON=python3")
    assert refused.returncode and "python3 is Python 3.15; Zeuxis needs Python 3.11 to 3.14" in refused.stderr
    assert not (tmp_path / "made").exists()
    done = make()
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "made" / "bin" / "python").read_text() == "python3.12\n"


# What is said of versions, in the places where it must be said.


def test_every_place_names_the_same_pythons() -> None:
    (supported,) = re.findall(r'^supported="([\d. ]+)"', SCRIPT.read_text(encoding="utf-8"), re.MULTILINE)
    assert supported.split() == VERSIONS[::-1]
    assert PROJECT["project"]["requires-python"] == f">={VERSIONS[0]}"
    assert PROJECT["tool"]["mypy"]["python_version"] == VERSIONS[0]
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{VERSIONS[0].replace('.', '')}"
    assert f"--python-version {VERSIONS[0]} " in MAKEFILE
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in VERSIONS


def setting(name: str) -> str:
    """What the Makefile sets a variable to."""
    (value,) = re.findall(rf"^{name} := (.+)$", MAKEFILE, re.MULTILINE)
    return str(value)


def wanted() -> list[Requirement]:
    """What `make setup` asks pip for."""
    lines = [*PROJECT["project"]["dependencies"], *setting("BUILD").split(), setting("TORCH")]
    for extra in setting("EXTRAS").split(","):
        lines += PROJECT["project"]["optional-dependencies"][extra]
    return [Requirement(line) for line in lines]


SYSTEMS = {"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("version", VERSIONS)
def test_each_python_has_one_version_of_each_package(version: str, system: str) -> None:
    here = {
        "python_version": version,
        "python_full_version": f"{version}.0",
        "sys_platform": system,
        "platform_system": SYSTEMS[system],
    }
    pinned: dict[str, str] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            pin = Requirement(line)
            if pin.marker is None or pin.marker.evaluate(here):
                assert pin.name not in pinned, f"two versions of {pin.name}: make constraints"
                (each,) = pin.specifier
                assert each.operator == "=="
                pinned[pin.name] = each.version
    for requirement in wanted():
        version_here = pinned.get(canonicalize_name(requirement.name))
        assert version_here, f"constraints.txt has no {requirement.name}: make constraints"
        assert requirement.specifier.contains(version_here), f"{requirement} is not {version_here}: make constraints"


def test_the_dockerfile_builds_what_make_setup_builds() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    (python,) = re.findall(r"^FROM python:([\d.]+)-slim$", text, re.MULTILINE)
    assert python in VERSIONS
    assert f"{setting('TORCH')}+cpu" in text and setting("CPU_INDEX") in text
    (extras,) = re.findall(r"'/src\[([\w,]+)\]' /src/models ", text)
    assert set(extras.split(",")) <= PROJECT["project"]["optional-dependencies"].keys()
    copied = {word for line in re.findall(r"^COPY (.+) /src/\S*$", text, re.MULTILINE) for word in line.split()}
    needed = {"pyproject.toml", PROJECT["project"]["readme"], "LICENSE", "src", "models", "constraints.txt"}
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").split() if line[0] == "!"}
    assert copied == needed == let_through and all((ROOT / name).exists() for name in copied)


# What the package imports.


def imported(path: Path) -> Iterator[tuple[str, bool]]:
    """The first names of the modules that a file imports, and whether it does so when it is imported itself."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {id(node) for each in ast.walk(tree) if isinstance(each, ast.FunctionDef) for node in ast.walk(each)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], id(node) not in inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").split(".")[0], id(node) not in inside


def test_the_package_imports_only_what_it_asks_for() -> None:
    names = {
        name: {canonicalize_name(each) for each in owners} for name, owners in metadata.packages_distributions().items()
    }
    project = PROJECT["project"]
    base = {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}
    used = ("export", "parquet", "video", "tensorboard", "wandb", "mlflow", "hub")
    extras = {line for name in used for line in project["optional-dependencies"][name]}
    optional = base | {canonicalize_name(Requirement(line).name) for line in extras}
    seen = set()
    for path in sorted((ROOT / "src").rglob("*.py")):
        for name, at_once in imported(path):
            if name not in sys.stdlib_module_names and name != "zeuxis":
                allowed = base if at_once else optional
                assert names.get(name, set()) & allowed, f"{path.name} imports {name}, which is no dependency"
                seen |= names[name]
    assert 'ws="websockets' in (ROOT / "src" / "zeuxis" / "web" / "server.py").read_text(), (
        "uvicorn imports it, by name"
    )
    assert base - {"websockets"} <= seen, f"nothing imports {base - seen}"


def test_the_licence_of_what_is_bundled_is_in_the_package() -> None:
    bundled = ROOT / "src" / "zeuxis" / "data" / "catalog" / "bundled"
    licences = [path for pattern in PROJECT["project"]["license-files"] for path in ROOT.glob(pattern)]
    told = "".join(path.read_text(encoding="utf-8") for path in licences)
    data = {path for path in bundled.iterdir() if path not in licences}
    assert len(data) == 2 and all(path.name in told for path in data)
