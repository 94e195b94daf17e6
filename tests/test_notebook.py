"""Training in a notebook, with a real kernel: the live bar and its samples, the run that shows itself, Interrupt."""

from __future__ import annotations

import base64
import io
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest
from jupyter_client.manager import start_new_kernel
from PIL import Image

import notebooks
import zeuxis
from waiting import PATIENCE
from zeuxis.runtime import kernel as kernels
from zeuxis.runtime.notebook import LiveCell
from zeuxis.runtime.progress import Tick

SMALL = "size=8, hidden_dim=8, latent_dim=4, batch_size=4, threads=1, device='cpu', kernels='standard'"
FOREVER = f"zeuxis.train('gan', 'digits', steps=10**9, checkpoint_every=10**9, {SMALL})"
SAVED = "saved at step "


def surroundings(folder: Path) -> dict[str, str]:
    """The environment of a kernel that imports this Zeuxis, and leaves the user's IPython alone."""
    source = str(Path(zeuxis.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": source, "IPYTHONDIR": str(folder), "JUPYTER_RUNTIME_DIR": str(folder)}


def png(output: Any) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(output["data"]["image/png"])))


def test_a_notebook_trains_shows_and_refuses(tmp_path: Path) -> None:
    cells = [
        f"import zeuxis\nrun = zeuxis.train('gan', 'digits', steps=120, sample_every=60, {SMALL})",
        "run",
        "import pandas\npandas.DataFrame(run.metrics)[['step', 'images']].tail(1)",
        "zeuxis.train('gan', 'digits', latnt_dim=3)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.cells[-1].metadata["tags"] = ["raises-exception"]
    resources = {"metadata": {"path": str(tmp_path)}}
    client = nbclient.NotebookClient(notebook, timeout=PATIENCE, kernel_name="python3", resources=resources)
    client.execute(env=surroundings(tmp_path))
    trains, shows, columns, refuses = (cell.outputs for cell in notebook.cells)

    bar, samples = trains  # and nothing on the standard streams
    assert 'value="1.0000" max="1"' in bar["data"]["text/html"] and "step 120/120" in bar["data"]["text/html"]
    assert "run runs/00001-gan-digits" in bar["data"]["text/plain"] and "done at step 120" in bar["data"]["text/plain"]
    sheet = tmp_path / "runs" / "00001-gan-digits" / "samples" / "00000120.png"
    with Image.open(sheet) as kept:
        scale = png(samples).width // kept.width
        small = png(samples).convert("RGB").resize(kept.size, 0)
        assert scale == 5 and small.tobytes() == kept.convert("RGB").tobytes()

    (shown,) = shows
    assert shown["output_type"] == "execute_result" and min(png(shown).size) > 500
    assert shown["data"]["text/plain"] == "Run runs/00001-gan-digits: gan on digits, step 120 of 120, done"
    assert "120" in columns[0]["data"]["text/plain"] and "480" in columns[0]["data"]["text/plain"]

    (error,) = refuses
    assert error["traceback"] == ["UsageError: gan has no option 'latnt_dim'; did you mean latent_dim?"]


def test_a_notebook_of_the_documentation_runs() -> None:
    """The quickest, with a hundredth of its steps; `make docs` runs all of them, whole."""
    (source,) = (each for each in notebooks.sources() if each.stem == "your-own-family")
    notebook = notebooks.read(source)
    for cell in notebook.cells:
        cell.source = re.sub(r"steps=(\d+)", lambda match: f"steps={int(match[1]) // 100}", cell.source)
        cell.source = cell.source.replace("progress.step % 60", "progress.step % 2").replace(
            "avatars:1000", "avatars:300"
        )
        assert not cell.get("outputs")
    markdown, pictures = notebooks.page(notebooks.run(notebook), source.stem)
    assert markdown.startswith("# ") and len(pictures) >= 4
    for name, content in pictures.items():
        assert f"]({name})" in markdown and min(Image.open(io.BytesIO(content)).size) > 60
    assert not re.search(r"^\n+<(?:style|script)", markdown) and "Traceback" not in markdown


class Kernel:
    """A kernel whose cells a test runs one by one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manager, self.client = start_new_kernel(
            startup_timeout=int(PATIENCE), kernel_name="python3", cwd=str(folder), env=surroundings(folder)
        )

    def send(self, code: str) -> str:
        return str(self.client.execute(code, allow_stdin=False, stop_on_error=False))

    def until(self, cell: str, wanted: Any) -> dict[str, Any]:
        """The content of the first message of a cell that is wanted."""
        while True:
            message = self.client.get_iopub_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") == cell:
                assert message["msg_type"] != "error" or wanted(message), message["content"]
                if wanted(message):
                    return dict(message["content"])

    def run(self, code: str) -> str:
        """What a cell prints."""
        printed = self.until(self.send(f"print({code})"), lambda message: message["msg_type"] == "stream")
        return str(printed["text"]).strip()

    def error_of(self, cell: str) -> dict[str, Any]:
        return self.until(cell, lambda message: message["msg_type"] == "error")

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    """A kernel that has imported Zeuxis."""
    made = Kernel(tmp_path)
    try:
        assert made.run("__import__('zeuxis').__name__") == "zeuxis"
        made.send("import os, signal, threading, zeuxis")
        yield made
    finally:
        made.close()


def has_samples(message: dict[str, Any]) -> bool:
    return "image/png" in message["content"].get("data", {})


def says(text: str) -> Any:
    return lambda message: text in message["content"].get("text", "")


def test_interrupt_saves_the_run_and_leaves_the_kernel_as_it_was(kernel: Kernel) -> None:
    before = kernel.run("signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)")
    cell = kernel.send(FOREVER)
    kernel.until(cell, has_samples)
    kernel.manager.interrupt_kernel()
    error = kernel.error_of(cell)
    assert error["ename"] == "Stopped" and error["traceback"] == [f"Stopped: {error['evalue']}"]
    told, _, rest = error["evalue"].partition(SAVED)
    step = int(rest.partition(";")[0])
    assert told == "ended by SIGINT, " and step >= 100
    assert kernel.run("signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)") == before
    assert kernel.run(f"zeuxis.Run(1).resume(steps={step + 3}).config['settings']['steps']") == str(step + 3)


def test_a_second_interrupt_cuts_a_save_short_and_spares_the_kernel(kernel: Kernel) -> None:
    kernel.send(
        "from zeuxis.storage import RunFolder\n"
        "def slow(*given, **named):\n"
        "    print('saving', flush=True)\n"
        "    threading.Event().wait(600)\n"
        "RunFolder.save_checkpoint = slow\n"
        "kept = 'still here'"
    )
    cell = kernel.send(FOREVER)
    kernel.until(cell, has_samples)
    kernel.manager.interrupt_kernel()
    kernel.until(cell, says("saving"))
    kernel.manager.interrupt_kernel()
    error = kernel.error_of(cell)
    assert error["ename"] == "Stopped" and "no checkpoint was due yet" in error["evalue"]
    assert kernel.run("kept") == "still here"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal that asks a process to end")
def test_a_signal_that_ends_the_kernel_saves_the_run_first(kernel: Kernel) -> None:
    number = int(kernel.run("os.getpid()"))
    kernel.until(kernel.send(FOREVER), has_samples)
    os.kill(number, signal.SIGTERM)
    process = kernel.manager.provisioner.process  # type: ignore[union-attr]
    assert process.wait(PATIENCE) == -signal.SIGTERM
    assert f"ended by SIGTERM, {SAVED}" in (kernel.folder / "runs" / "00001-gan-digits" / "log.txt").read_text()


def test_a_thread_of_the_kernel_trains(kernel: Kernel) -> None:
    kernel.send(
        "found = []\n"
        f"def work(): found.append(zeuxis.train('gan', 'digits', steps=6, {SMALL}))\n"
        "thread = threading.Thread(target=work)\n"
        "thread.start()\n"
        "thread.join()"
    )
    assert kernel.run("found[0].step") == "6"


def test_outside_a_kernel_there_is_no_live_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not kernels.in_kernel()
    import IPython

    assert IPython.get_ipython() is None and not kernels.in_kernel()  # type: ignore[no-untyped-call]


def test_what_a_live_cell_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: dict[int, dict[str, Any]] = {}

    class Handle:
        def __init__(self, number: int, data: dict[str, Any]) -> None:
            self.number = number
            self.update(data, raw=True)

        def update(self, data: dict[str, Any], *, raw: bool) -> None:
            shown[self.number] = data

    def display(data: dict[str, Any], *, raw: bool, display_id: bool) -> Handle:
        return Handle(len(shown), data)

    monkeypatch.setattr("IPython.display.display", display)
    with LiveCell() as cell:
        cell.work("reading images", 5, 20)
        assert 'reading images <progress value="0.2500"' in shown[0]["text/html"] and "5/20" in shown[0]["text/html"]
        cell.note("warning: <b> & \x1b[31m")
        assert "warning: &lt;b&gt; &amp; " in shown[0]["text/html"] and "\x1b" not in shown[0]["text/html"]
        cell.tick(Tick(50, 200, 0.25, 1234.0, 8.0, {"vae/loss": 3.0, "vae/kl": 1.0}))
        assert (
            'value="0.2500"' in shown[0]["text/html"]
            and "step 50/200  1,234 images/s  8 s left" in shown[0]["text/plain"]
        )
        assert "kl 1" in shown[0]["text/html"] and "warning" in shown[0]["text/plain"]
        cell.sheet(Image.new("RGB", (2000, 1000)))
    assert Image.open(io.BytesIO(shown[1]["image/png"])).size == (800, 400) and shown.keys() == {0, 1}

    monkeypatch.setattr("IPython.display.display", lambda *given, **named: 1 / 0)
    with LiveCell() as cell:
        cell.note("nobody sees it, and the run goes on")
