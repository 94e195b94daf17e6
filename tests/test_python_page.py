"""The examples of docs/python.md, run from its first line to its last, as a reader would in one notebook."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import zeuxis
from commandline import typed
from zeuxis import cli
from zeuxis.io.pictures import Images
from zeuxis.metrics import attributes, extractors, vgg
from zeuxis.metrics.features import Extractor
from zeuxis.web import ort_web

PAGE = (Path(__file__).parents[1] / "docs" / "python.md").read_text(encoding="utf-8")
SMALL = {"vae": "--latent-dim 64", "pix2pix": "--base-channels 4"}
SHAPE = re.compile(r"#\s*(\d+(?: \d+)+)\b")


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's two runs, of a few steps, and two pictures; networks that are small, untrained or barely trained."""
    monkeypatch.chdir(tmp_path)
    commands = [line for line in PAGE.splitlines() if line.startswith("zeuxis train ")]
    for line in commands:
        family = line.split()[2]
        words = re.findall(r'"[^"]*"|\S+', re.sub(r"--steps \S+", "--steps 2 --batch-size 8 --device cpu", line))[1:]
        code, _, error = typed(*(word.strip('"') for word in words), *SMALL[family].split(), "--kernels", "standard")
        assert code == 0, error
    for name in ("me.png", "you.png"):
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)).save(name)
    torch.manual_seed(0)
    network = vgg.VGG().requires_grad_(False)
    looks = Extractor(
        "lite0", "", lambda x: torch.nn.functional.adaptive_avg_pool2d(x, 4), lambda x: x[:, 0].flatten(1)
    )
    monkeypatch.setattr(extractors, "vgg16", lambda **named: network)
    monkeypatch.setattr(extractors, "find_extractor", lambda *words, **named: looks)
    monkeypatch.setattr(attributes, "EPOCHS", 2)
    monkeypatch.setattr(ort_web, "runtime", lambda folder=None: ort_web.OrtWeb("const ort={};", b"\0asm"))
    return tmp_path


@pytest.mark.long
def test_the_examples_of_the_page_run(runs: Path) -> None:
    """And give the shapes that their comments say."""
    names: dict[str, Any] = {}
    checked = 0
    for block in blocks():
        for line in block.splitlines():
            statement, _, comment = line.partition("  #")
            value = _run(statement, names)
            wanted = SHAPE.match(f"#{comment}")
            if wanted and value is not None:
                checked += 1
                found = value.tensor if isinstance(value, Images) else value
                assert tuple(found.shape) == tuple(map(int, wanted[1].split())), line
            if isinstance(value, Images):
                assert value._repr_png_(), line
    assert checked >= 8
    assert len([*Path("folder").iterdir()]) == 16 and Path("folder/seed-00000.png").is_file()
    for name in ("samples.png", "walk.webp", "inverted.safetensors", "translated.png", "scores/closest.png"):
        assert Path(name).stat().st_size > 100
    assert typed("sample", "1", "-n", "16", "--device", "cpu", "--out", "command.png")[0] == 0
    assert Path("command.png").read_bytes() == Path("samples.png").read_bytes()


def _run(statement: str, names: dict[str, Any]) -> Any:
    """Run one line; the value of an expression, or what is assigned, as the last name of the line."""
    if not statement.strip():
        return None
    code = compile(f"_value = ({statement})" if _is_expression(statement) else statement, "docs/python.md", "exec")
    exec(code, names)
    assigned = re.match(r"(\w+) = ", statement)
    return names[assigned[1]] if assigned else names.pop("_value", None)


def _is_expression(statement: str) -> bool:
    try:
        compile(statement.strip(), "docs/python.md", "eval")
    except SyntaxError:
        return False
    return True


def test_the_table_names_every_command_and_function() -> None:
    """But for those that show something of their own, or have a page of their own."""
    table = PAGE[PAGE.index("| command | function |") :]
    rows = [row.split("|")[1:3] for row in table.splitlines() if row.startswith("| `")]
    commands = {word for row in rows for word in re.findall(r"[\w-]+", row[0])}
    missing = {*cli.ORDER} - commands - {"completion", "explore", "new-family", "version"}
    assert not missing, f"give {', '.join(sorted(missing))} a row in the table of docs/python.md"
    for _, functions in rows:
        for name in re.findall(r"`zeuxis\.([\w.]+)`", functions):
            found: Any = zeuxis
            for part in name.split("."):
                found = getattr(found, part)
            assert callable(found)
