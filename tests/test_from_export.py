"""`zeuxis sample` by an exported file: the pictures of the seeds without PyTorch, and only of the weights it was made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from commandline import in_a_process, typed
from zeuxis.cli import from_export
from zeuxis.io import exported
from zeuxis.io.normals import seeded_normals

SIZE, LATENT = 48, 20  # a tile that is not enlarged


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a model with an exported file in it, whose images are the tanh of its latents, repeated."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    make = onnx.helper
    tensors = [make.make_tensor_value_info(name, 1, ["n", *shape]) for name, shape in SHAPES.items()]
    weights = [onnx.numpy_helper.from_array(SPREAD, "spread"), onnx.numpy_helper.from_array(TARGET, "target")]
    nodes = [
        make.make_node("MatMul", ["z", "spread"], ["flat"]),
        make.make_node("Tanh", ["flat"], ["bounded"]),
        make.make_node("Reshape", ["bounded", "target"], ["image"]),
    ]
    graph = make.make_graph(nodes, "decoder", tensors[:1], tensors[1:], weights)
    proto = make.make_model(graph, opset_imports=[make.make_opsetid("", 18)], ir_version=9)
    place = tmp_path / "runs" / "00004-gan-digits" / "model"
    place.mkdir(parents=True)
    (place.parent / "config.yaml").write_text("family: gan\n")
    (place / "config.json").write_text(json.dumps({"family": "gan", "options": {}}))
    (place / "model.safetensors").write_bytes(b"weights")
    (place.parent / "model.onnx").write_bytes(proto.SerializeToString())
    exported.note_export(place, place.parent / "model.onnx")
    return place


SHAPES: dict[str, list[Any]] = {"z": [LATENT], "image": [1, SIZE, SIZE]}
SPREAD = np.eye(LATENT, SIZE * SIZE, dtype=np.float32)
TARGET = np.array([-1, 1, SIZE, SIZE], np.int64)


def tile(path: Path, number: int = 0) -> np.ndarray[Any, Any]:
    """The pixels of an image in the first row of a sheet."""
    left = 2 + number * (SIZE + 2)
    return np.asarray(Image.open(path))[2 : 2 + SIZE, left : left + SIZE]


def expected(seed: int) -> np.ndarray[Any, Any]:
    z = torch.randn(LATENT, generator=torch.Generator().manual_seed(seed))
    values = torch.tanh(z @ torch.from_numpy(SPREAD)).reshape(SIZE, SIZE)
    return ((values + 1) * 127.5).round().byte().numpy()


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1, 2**40 + 7, 2**62])
def test_normal_numbers_are_those_of_pytorch(seed: int) -> None:
    for count in (*range(1, 50), 100, 128, 3 * 32 * 32):
        wanted = torch.randn(count, generator=torch.Generator().manual_seed(seed)).numpy()
        found = seeded_normals(seed, count)
        assert found.shape == (count,) and found.dtype == np.float32
        assert np.abs(found - wanted).max() < 2e-6, count


def test_a_sheet_is_drawn_without_pytorch(folder: Path, tmp_path: Path) -> None:
    code = "import os, sys; os.chdir(sys.argv[1]); from zeuxis import cli; assert cli.run(sys.argv[2:]) == 0; "
    done = in_a_process("-c", code + "assert 'torch' not in sys.modules", str(tmp_path), "sample", "4", "-n", "2")
    assert (done.returncode, done.stderr) == (0, b"")
    place = Path("runs") / "00004-gan-digits" / "figures" / "samples.png"
    assert done.stdout.decode().split() == ["wrote", str(place)]
    for seed in range(2):
        assert np.abs(tile(tmp_path / place, seed).astype(int) - expected(seed)).max() <= 1


@pytest.mark.parametrize("words", [["--seeds", "9,2"], ["--number", "2", "--columns", "1"], []])
def test_what_sample_is_asked_for_is_drawn(folder: Path, tmp_path: Path, words: list[str]) -> None:
    out = tmp_path / "new" / "sheet.png"
    assert from_export.drawn_from_export(["sample", str(folder), "--out", str(out), *words])
    assert np.abs(tile(out).astype(int) - expected(9 if "--seeds" in words else 0)).max() <= 1
    rows, columns = {0: (8, 8), 2: (1, 2), 4: (2, 1)}[len(words)]
    assert Image.open(out).size == (columns * (SIZE + 2) + 2, rows * (SIZE + 2) + 2)


@pytest.mark.parametrize(
    "words",
    [
        ["--device", "cpu"],
        ["--precision", "fp32"],
        ["-n", "65"],
        ["-n", "0"],
        ["-n", "x"],
        ["-n", "2", "--seeds", "1"],
        ["--out", "folder"],
        ["--latents", "a.safetensors"],
        ["-n"],
    ],
)
def test_all_else_is_left_to_pytorch(folder: Path, words: list[str]) -> None:
    assert not from_export.drawn_from_export(["sample", str(folder), *words])


@pytest.mark.parametrize("changed", ["model.safetensors", "config.json", "../model.onnx"])
def test_a_file_of_other_weights_is_never_used(folder: Path, tmp_path: Path, changed: str) -> None:
    words = ["sample", str(folder), "-n", "1", "--out", str(tmp_path / "a.png")]
    assert from_export.drawn_from_export(words)
    (folder / changed).write_bytes((folder / changed).read_bytes() + b" ")
    assert not from_export.drawn_from_export(words)


def test_a_file_that_somebody_else_exported_is_never_used(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZEUXIS_CACHE", str(tmp_path / "of-another-user"))
    assert not from_export.drawn_from_export(["sample", str(folder), "-n", "1"])


def test_a_broken_file_is_left_to_pytorch(folder: Path) -> None:
    (folder.parent / "model.onnx").write_bytes(b"no graph")
    exported.note_export(folder, folder.parent / "model.onnx")
    assert not from_export.drawn_from_export(["sample", str(folder), "-n", "1"])


def test_a_link_in_the_run_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder.parent / "figures").symlink_to(tmp_path)
    code, _, err = typed("sample", str(folder), "-n", "1")
    assert code == 2 and "symbolic link" in err
