"""Exports while the page is open: each model in a process of its own; then onnxruntime draws it."""

from __future__ import annotations

import contextlib
import importlib.util
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from zeuxis.io.images import to_uint8
from zeuxis.onnx import PACKAGES
from zeuxis.web.engines import OnnxEngine
from zeuxis.web.served import Served

EngineName = Literal["auto", "torch"]
_COMPARED = range(8)  # seeds whose pictures both engines draw


@contextlib.contextmanager
def faster(served: Sequence[Served], engine: EngineName = "auto") -> Iterator[None]:
    """Within the block the engines of models are exchanged for faster ones as those become ready, each in its own time."""
    able = [each for each in served if engine == "auto" and _gains(each)]
    if not able:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="zeuxis-page-", ignore_cleanup_errors=True) as folder:
        exports = _Exports(able, Path(folder))
        exports.start()
        try:
            yield
        finally:
            exports.end()


class _Exports(threading.Thread):
    """Exports one model after the other, each in a process of its own."""

    def __init__(self, served: Sequence[Served], folder: Path) -> None:
        super().__init__(name="zeuxis-exports", daemon=True)
        self._served, self._folder = served, folder
        self._process: subprocess.Popen[bytes] | None = None
        self._ended, self._starting = False, threading.Lock()

    def run(self) -> None:
        for number, each in enumerate(self._served):
            path = self._folder / f"{number}.onnx"
            # -P: a module in the current folder must not pass for a library.
            words = [sys.executable, "-P", "-m", "zeuxis.web.exporting", str(each.folder), str(path)]
            with self._starting:
                if self._ended:
                    return
                self._process = subprocess.Popen(
                    words + ([each.family] if each.family else []),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is for the server, which ends this process itself
                )
            if self._process.wait() == 0 and path.is_file() and not self._ended:
                exchange(each, path)
                path.unlink()

    def end(self) -> None:
        """End what runs, and start no more."""
        with self._starting:
            self._ended = True
        if self._process is not None:
            self._process.kill()
        self.join()


def exchange(served: Served, path: Path) -> bool:
    """Let onnxruntime draw from now on, by an exported file; not where a picture differs by more than one level."""
    if served.engine is None or served.space is None:
        return False
    found = OnnxEngine(path)
    z = served.space.prior(_COMPARED)
    apart = to_uint8(found.decode(z)).astype(int) - to_uint8(served.engine.decode(z)).astype(int)
    close = bool((abs(apart) <= 1).all())
    if close:
        served.engine = found
    return close


def _gains(served: Served) -> bool:
    """Whether an export pays: the packages are there, and a picture is one pass of a network on the CPU."""
    here = all(importlib.util.find_spec(name) for name in PACKAGES)
    return here and served.space is not None and served.model.device.type == "cpu" and served.passes == 1
