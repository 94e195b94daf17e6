"""A folder that somebody else made, as the working directory: no command imports a module of it that nobody has typed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from PIL import Image

from commandline import typed
from zeuxis import cli
from zeuxis.errors import UsageError
from zeuxis.runtime import own_code

SOURCE = str(Path(cli.__file__).parents[2])
# Tried by libraries that do not need them, and absent here or not; those that are installed could be shadowed.
# fmt: off
OPTIONAL = [
    "attr", "bcolz", "bs4", "chardet", "cuda", "cupy", "cv2", "dask", "defusedxml", "dill", "einops",
    "expecttest", "fsspec", "gmpy2", "h5py", "hypothesis", "IPython", "ipywidgets", "jax", "jinja2", "lark",
    "libarchive", "lxml", "markupsafe", "matplotlib", "monkeytype", "mpmath", "mypy", "nltk", "numexpr",
    "numba", "olefile", "onnx", "onnxscript", "opt_einsum", "optree", "org", "pandas", "psutil", "pyarrow",
    "pydot", "pynvml", "pytest", "redis", "regex", "requests", "sitecustomize", "sklearn", "tensorboard",
    "tensorflow", "tomllib", "torch_xla", "torchcomms", "torchvision", "tqdm", "triton", "ucc",
    "usercustomize", "xarray", "zstandard", "helpers", "my_module", "main", "setup", "utils", "test",
    "conftest", "vae", "gan", "model", "families",
]
# fmt: on
COMMANDS = [
    ["train", "vae", "pictures", "--size", "16", "--base-channels", "4", "--steps", "2", "--kernels", "standard"],
    ["train", "vae", "pictures", "--size", "16", "--dry-run"],
    ["train", "--config", "options.yaml"],
    ["train", "--config", "options.yaml", "--help"],
    ["train", "vae", "pictures", "--config", "options.yaml", "--dry-run"],
    ["resume", "1", "--steps", "3"],
    ["runs"],
    ["curves", "1"],
    ["story", "1", "--out", "story.html"],
    ["branch", "1", "--steps", "4"],
    ["verify", "1"],
    ["sweep", "vae", "pictures", "--seed", "0-1", "--steps", "1", "--size", "16", "--base-channels", "4"],
    ["plan", "pictures -> pictures", "--minutes", "1"],
    ["families"],
    ["families", "--matrix"],
    ["data", "pictures", "--size", "16"],
    ["sample", "1", "-n", "4"],
    ["sample", "."],
    ["sample", "stranger"],
    ["interpolate", "1", "--rows", "1"],
    ["arithmetic", "1", "--plus", "1", "--minus", "2"],
    ["invert", "1", "pictures/0.png", "--steps", "1"],
    ["edit", "1", "pictures/0.png", "+ light"],
    ["directions", "1", "--method", "factors"],
    ["mix", "1"],
    ["translate", "1", "pictures"],
    ["evaluate", "1", "--images", "20"],
    ["compare", "1", "1"],
    ["export", "1"],
    ["explore", "1", "--no-browser", "--port", "0", "--device", "cpu"],
    ["explore", "stranger", "--no-browser", "--port", "0"],
    ["models"],
    ["publish", "1", "me/odd", "--out", "published"],
    ["completion", "bash"],
    ["demo", "--out", "options.yaml"],
    ["version"],
    ["new-family", "own_family.py"],
]
RUN_ALL = """
import json, sys
from zeuxis import cli
import zeuxis.training.runs
from zeuxis.web import server
def served_for_a_moment(served, listening, host, told, **how):
    with server.running(served, listening, host) as (link, _):
        told(link)
server.serve_page = served_for_a_moment
for words in json.loads(sys.argv[1]):
    code = cli.run(words)
    sys.stderr.write(f"-> {code} {' '.join(words)}\\n")
"""


@pytest.fixture
def download(tmp_path: Path) -> Path:
    """A folder of images, a model and options that name code, and modules of every name that a library may look for."""
    for name in {*OPTIONAL, *metadata.packages_distributions()} - {"zeuxis"}:
        if name.isidentifier():
            (tmp_path / f"{name}.py").write_text("open('RAN', 'a').write(__name__ + '\\n')\nraise ImportError\n")
    (tmp_path / "fake-1.0.dist-info").mkdir()
    (tmp_path / "fake-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: fake\nVersion: 1.0\n")
    (tmp_path / "fake-1.0.dist-info" / "entry_points.txt").write_text("[zeuxis.families]\nfake = helpers:Net\n")
    (tmp_path / "options.yaml").write_text("family: helpers:Net\ndata: pictures\nsteps: 2\n")
    (tmp_path / "stranger").mkdir()
    (tmp_path / "stranger" / "config.json").write_text('{"family": "helpers:Net", "options": {}}')
    for i in range(8):
        folder = tmp_path / "pictures" / ("dark" if i < 4 else "light")
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (30 * i,) * 3).save(folder / f"{i}.png")
    Image.new("RGB", (16, 16)).save(tmp_path / "pictures" / "0.png")
    return tmp_path


def started(folder: Path, *words: str, path: str = SOURCE) -> subprocess.CompletedProcess[str]:
    """A process of its own that is started in the folder, and downloads nothing."""
    env = {
        **os.environ,
        "PYTHONPATH": path,
        "OMP_NUM_THREADS": "1",
        "PIP_NO_INDEX": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run([sys.executable, *words], cwd=folder, env=env, capture_output=True, text=True, check=False)


def ran(folder: Path) -> list[str]:
    return (folder / "RAN").read_text().split() if (folder / "RAN").exists() else []


def test_every_command_is_tried() -> None:
    assert {words[0] for words in COMMANDS} >= set(cli.ORDER)


def test_no_command_imports_from_the_folder_it_runs_in(download: Path) -> None:
    done = started(download, "-P", "-c", RUN_ALL, json.dumps(COMMANDS))
    assert ran(download) == [], done.stderr
    codes = re.findall(r"^-> (\d+) (.*)$", done.stderr, re.MULTILINE)
    assert len(codes) == len(COMMANDS), done.stderr
    assert {words.split()[0] for code, words in codes if code == "0"} >= {
        "train",
        "resume",
        "sample",
        "data",
        "export",
        "explore",
    }
    assert "unexpected" not in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_processes_that_decode_import_nothing_from_the_folder_they_run_in(download: Path) -> None:
    for i in range(100):  # of fewer, none is started
        Image.new("RGB", (8, 8), (i, i, i)).save(download / "pictures" / f"more-{i}.png")
    words = ["data", "pictures", "--size", "8", "--out", "sheet.png"]
    done = started(download, "-P", "-c", RUN_ALL, json.dumps([words]))
    assert "-> 0 data" in done.stderr and "109 images" in done.stdout, done.stderr
    assert ran(download) == []


@pytest.mark.long
@pytest.mark.parametrize("words", ["families", "sample .", "data pictures", "train vae pictures --dry-run --size 16"])
def test_nor_does_python_m(words: str, download: Path) -> None:
    started(download, "-m", "zeuxis", *words.split())
    assert ran(download) == []


def test_a_folder_that_pythonpath_names_is_the_users_wish(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("from zeuxis.families.vae import VAE\nclass Mine(VAE):\n    pass\n")
    words = ["-m", "zeuxis", "train", "own:Mine", "--dry-run", "--size", "16"]
    for path in (SOURCE, os.pathsep.join([SOURCE, str(tmp_path)])):
        done = started(tmp_path, *words, path=path)
        assert done.returncode == 0 and "parameters:" in done.stdout, done.stderr


# What is typed


OWN = """
import sys, os
from zeuxis.families.vae import VAE
import beside
SEEN = os.getcwd() in sys.path
class Mine(VAE):
    pass
class Other:
    class Inner(VAE):
        pass
def look(images):
    return images.flatten(1)[:, :8]
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module of the user's own in the current folder, and one beside it that it imports."""
    (tmp_path / "typed_here.py").write_text(OWN)
    (tmp_path / "beside.py").write_text("open('RAN', 'a').write('beside\\n')")
    (tmp_path / "canary.py").write_text("open('RAN', 'a').write('canary\\n')")
    (tmp_path / "options.yaml").write_text("family: typed_here:Mine\ndata: digits\nsteps: 7\nsize: 16\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place not in ("", str(tmp_path))])
    yield tmp_path
    for name in ("typed_here", "beside", "canary"):
        sys.modules.pop(name, None)


def test_a_class_that_is_typed_is_found_here_and_the_folder_counts_for_it_alone(own: Path) -> None:
    before = list(sys.path)
    found = own_code.imported("typed_here:Mine", "my_module:MyModel")
    assert found.__name__ == "Mine" and sys.modules["typed_here"].SEEN and ran(own) == ["beside"]
    assert sys.path == before
    with pytest.raises(ModuleNotFoundError):
        __import__("canary")
    assert own_code.imported("typed_here:Other.Inner", "").__name__ == "Inner"
    with pytest.raises(UsageError, match=r"cannot import typed_here:Yours: .*Yours.*; expected m:C, importable"):
        own_code.imported("typed_here:Yours", "m:C")
    (own / "broken_here.py").write_text("raise ImportError('no luck')")
    with pytest.raises(UsageError, match="no luck"):
        own_code.imported("broken_here:X", "m:C")
    assert sys.path == before


@pytest.mark.parametrize(
    "name", ["..x:y", ":", "a.:b", "a:", ":b", "a b:c", "a:b:c", "/tmp/a:b", "a\n:b", "1a:b", "a..b:c"]
)
def test_what_is_no_name_of_code_is_refused(name: str, own: Path) -> None:
    with pytest.raises(UsageError, match="names no code; expected m:C") as caught:
        own_code.imported(name, "m:C")
    assert "\n" not in str(caught.value)
    code, _, err = typed("train", name, "digits")
    assert code == 2 and err.count("\n") == 1 and "unexpected Error" not in err


@pytest.mark.parametrize("more", [[], ["--help"], ["--dry-run"], ["--size", "16"]])
def test_a_file_of_options_names_no_code(own: Path, more: list[str]) -> None:
    code, out, err = typed("train", "--config", "options.yaml", *more)
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert "--config names code from outside Zeuxis, 'typed_here:Mine'; if you trust it, type it" in err
    assert ran(own) == []


def test_a_file_of_options_may_name_what_is_typed(own: Path) -> None:
    code, out, err = typed("train", "typed_here:Mine", "--config", "options.yaml", "--dry-run")
    assert code == 0 and "all 7 steps" in out, err
    assert typed("train", "vae", "digits", "--config", "options.yaml", "--dry-run")[0] == 0
