"""The device guards that make a CPU build of torch pretend an accelerator: built once a machine, loaded before torch is."""

from __future__ import annotations

import ctypes
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import filelock
import platformdirs

SOURCE = Path(__file__).with_name("guard.cpp")


def reason_to_skip() -> str:
    """Why no device can be pretended here; empty where it can."""
    if sys.platform != "linux":
        return "devices are pretended on Linux alone"
    if shutil.which("g++") is None:
        return "there is no g++ to build tests/devices/guard.cpp with"
    if "+cpu" not in importlib.metadata.version("torch") and shutil.which("nvidia-smi"):
        return "this build of torch has a device of its own"
    return ""


def built() -> Path:
    """The library, out of the cache of the tests; it is built where it is not there for this torch and its folder."""
    version = importlib.metadata.version("torch")
    key = hashlib.sha256(f"{version} {_torch()} {sys.version}".encode() + SOURCE.read_bytes()).hexdigest()[:16]
    folder = Path(os.environ.get("ZEUXIS_TEST_CACHE") or platformdirs.user_cache_dir("zeuxis-tests"))
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / f"guard-{key}.so"
    with filelock.FileLock(folder / f"guard-{key}.lock"):
        if not library.exists():
            _compile(library)
    return library


def _compile(library: Path) -> None:
    torch = _torch()
    made = library.with_suffix(f".{os.getpid()}")
    flags = ["-O0", "-shared", "-fPIC", "-std=c++20", f"-I{torch}/include", f"-L{torch}/lib", f"-Wl,-rpath,{torch}/lib"]
    command = ["g++", *flags[:5], str(SOURCE), "-o", str(made), *flags[5:], "-lc10", "-ltorch_cpu"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"tests/devices/guard.cpp cannot be built:\n{done.stderr[-2000:]}")
    made.replace(library)


def _torch() -> Path:
    """The folder of torch, which is not imported for it."""
    spec = importlib.util.find_spec("torch")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent


def load(kind: str) -> None:
    """Pretend this kind of device from now on, in a process that has not imported torch: it asks for devices once."""
    assert "torch" not in sys.modules
    os.environ["ZEUXIS_PRETEND"] = kind
    ctypes.CDLL(str(built()))
