"""The page's engines: onnxruntime takes over once a model is exported, where its pictures are the model's own."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from page_client import floats, opened, serving
from waiting import wait_for
from zeuxis.families import find
from zeuxis.io.images import to_uint8
from zeuxis.onnx import PACKAGES
from zeuxis.web import exports
from zeuxis.web.exporting import export_main, write_decoder
from zeuxis.web.exports import exchange, faster
from zeuxis.web.served import Served, open_served

needs_export = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in PACKAGES), reason="the extra export is not installed"
)


def small(folder: Path, family: str, *, seed: int = 0) -> Served:
    torch.manual_seed(seed)
    sizes = {} if family == "diffusion" else {"latent_dim": 8}
    find(family)(size=8, channels=1, **sizes).save(folder)
    return open_served(folder, device="cpu")


@needs_export
def test_an_exported_decoder_takes_over(tmp_path: Path) -> None:
    """In the page's own space: of styles, its graph begins at w."""
    served = small(tmp_path / "model", "stylegan2")
    assert served.space is not None and served.engine is not None
    z = served.space.prior(range(100, 170))
    by_torch = to_uint8(served.engine.decode(z)).astype(int)
    write_decoder(served.folder, tmp_path / "model.onnx", None)
    assert exchange(served, tmp_path / "model.onnx") and served.info["engine"] == "onnxruntime"
    by_onnx = to_uint8(served.engine.decode(z)).astype(int)
    assert np.abs(by_onnx - by_torch).max() <= 1 and by_onnx.shape == (70, 8, 8, 1)


@needs_export
def test_another_model_does_not_take_over(tmp_path: Path) -> None:
    served, other = small(tmp_path / "model", "rbm"), small(tmp_path / "other", "rbm", seed=1)
    write_decoder(other.folder, tmp_path / "other.onnx", None)
    assert not exchange(served, tmp_path / "other.onnx") and served.info["engine"] == "torch"


@needs_export
def test_the_page_is_drawn_by_torch_until_the_export_is_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where files of the current folder have the names of libraries: none of them runs."""
    served = small(tmp_path / "model", "rbm")
    for name in ("torch", "numpy", "psutil", "onnx", "zeuxis", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("open('RAN', 'w').close()\n")
    monkeypatch.chdir(tmp_path)
    with serving(served) as link, opened(link) as page, faster([served]):
        z = page.ask("prior", seeds=[3]).numbers
        before = page.ask("decode", floats(z))
        assert before.fields["engine"] == "torch"
        wait_for(lambda: page.ask("engine").fields["engine"] == "onnxruntime", "the export")
        after = page.ask("decode", floats(z))
    assert after.fields["engine"] == "onnxruntime" and not (tmp_path / "RAN").exists()
    assert np.abs(after.pictures.astype(int) - before.pictures).max() <= 1


@needs_export
def test_an_export_ends_with_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    popen = exports.subprocess.Popen
    monkeypatch.setattr(
        exports.subprocess, "Popen", lambda *words, **how: started.append(popen(*words, **how)) or started[0]
    )
    served = small(tmp_path / "model", "rbm")
    with faster([served, served]):
        wait_for(lambda: started, "the process")
    assert started[0].returncode != 0 and len(started) == 1, "killed, and no second one begun"
    assert served.info["engine"] == "torch"


def test_where_an_export_gains_nothing_none_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*words: object, **how: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(exports.subprocess, "Popen", fails)
    of_many_passes, plain = small(tmp_path / "diffusion", "diffusion"), small(tmp_path / "rbm", "rbm")
    with faster([of_many_passes]), faster([plain], "torch"):
        pass
    monkeypatch.setattr(exports, "PACKAGES", ("a_package_that_is_not_there",))
    with faster([plain]):
        pass
    assert plain.info["engine"] == of_many_passes.info["engine"] == "torch"


def test_what_cannot_be_exported_is_no_error(tmp_path: Path) -> None:
    assert export_main([str(tmp_path / "no such model"), str(tmp_path / "out.onnx")]) == 1
    assert not (tmp_path / "out.onnx").exists()
