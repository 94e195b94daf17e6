"""Very many samples as files: drawn as they are written, whole or not there after a kill, with one sync for all."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from commandline import refused, typed
from waiting import wait_for_file
from zeuxis import api, cli, families
from zeuxis.errors import DiskFullError, UsageError
from zeuxis.explore import editing
from zeuxis.io import files, series
from zeuxis.model import Latent
from zeuxis.runtime.signals import Interrupt, Stopped

ENDLESS = """\
import itertools, sys
import numpy as np
from zeuxis.io import series
pictures = ((f"seed-{i:05}.png", np.full((64, 64, 3), i % 256, np.uint8)) for i in itertools.count())
series.write_series(sys.argv[1], pictures, wrote=lambda name: None)
"""


@pytest.fixture
def model() -> Latent:
    torch.manual_seed(0)
    made = families.find("gan")(size=8, channels=1, hidden_dim=8).eval()
    assert isinstance(made, Latent)
    return made


@pytest.fixture
def saved(model: Latent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    model.save(tmp_path / "model")
    return "model"


def pixels(path: Path) -> Any:
    with Image.open(path) as image:
        return np.asarray(image)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_batches_are_those_of_sample_and_drawn_as_they_are_asked_for(
    model: Latent, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    prior = model.prior

    def counted(seeds: Sequence[int]) -> Tensor:
        asked.extend(seeds)
        return prior(seeds)

    object.__setattr__(model, "prior", counted)
    batches = api.sample_batches(model, iter(range(100, 250)))
    assert asked == []
    first = next(batches)
    assert asked == list(range(100, 164))
    together = torch.cat([first.tensor, *(batch.tensor for batch in batches)])
    assert torch.equal(together, api.sample(model, seeds=range(100, 250)).tensor)
    assert [len(each) for each in api.sample_batches(model, range(5), batch_size=2)] == [2, 2, 1]
    with pytest.raises(UsageError, match="batch_size is 0"):
        next(api.sample_batches(model, [1], batch_size=0))


def test_each_seed_has_a_file_with_the_pixels_of_the_sheet(model: Latent, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    assert api.write_samples(model, tmp_path / "out", 130, progress=lambda *at: told.append(at)) == 130
    assert told == [(i + 1, 130) for i in range(130)]
    assert names(tmp_path / "out") == [f"seed-{i:05}.png" for i in range(130)]
    for i, wanted in enumerate(api.sample(model, 130).numpy()):
        assert np.array_equal(pixels(tmp_path / "out" / f"seed-{i:05}.png"), wanted[..., 0])
    assert api.write_samples(model, tmp_path / "some", seeds=[7, 123456, 7]) == 2
    assert names(tmp_path / "some") == ["seed-00007.png", "seed-123456.png"]
    with pytest.raises(UsageError, match="n is 0"):
        api.write_samples(model, tmp_path / "none", 0)


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 7, 1), (4, 4, 2), (64, 64, 3), (3, 9, 4)])
def test_files_written_quickly_have_the_pixels_and_the_colour_space(shape: tuple[int, int, int]) -> None:
    wanted = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    with Image.open(io.BytesIO(series.quick_png(wanted))) as image:
        image.verify()
    with Image.open(io.BytesIO(series.quick_png(wanted))) as image:
        assert np.array_equal(np.asarray(image).reshape(shape), wanted) and image.info["srgb"] == 0


def test_latents_of_a_file_are_written_too(model: Latent, tmp_path: Path) -> None:
    z = model.prior(range(70))
    editing.save_latents(tmp_path / "z.safetensors", z, family="gan")
    assert api.write_samples(model, tmp_path / "out", latents=tmp_path / "z.safetensors") == 70
    wanted = api.decode(model, z).numpy()
    assert np.array_equal(pixels(tmp_path / "out" / "latent-00069.png"), wanted[69, ..., 0])


def test_what_waits_to_be_written_does_not_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "_AHEAD", 8)
    written: list[str] = []
    most = 0

    def drawn() -> Iterator[tuple[str, Any]]:
        nonlocal most
        for i in range(200):
            most = max(most, i - len(written))
            yield f"{i}.png", np.zeros((4, 4, 3), np.uint8)

    series.write_series(tmp_path / "out", drawn(), wrote=written.append)
    assert written == [f"{i}.png" for i in range(200)] and 0 < most <= 8


def test_all_files_take_one_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    fsync, whole = os.fsync, files._SYNC
    if whole is None:
        pytest.skip("no call here syncs a volume")
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(os, "fsync", lambda descriptor: (calls.append("file"), fsync(descriptor)))
    monkeypatch.setattr(files, "_SYNC", lambda descriptor: (calls.append("volume"), whole(descriptor)))
    pictures = ((f"{i}.png", np.zeros((4, 4, 1), np.uint8)) for i in range(50))
    series.write_series(tmp_path / "out", pictures, wrote=lambda _: None)
    assert calls == ["volume"] and len(names(tmp_path / "out")) == 50


def test_where_no_call_syncs_a_volume_each_file_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(files, "_SYNC", None)
    monkeypatch.setattr(os, "fsync", synced.append)
    pictures = ((f"{i}.png", np.zeros((4, 4, 1), np.uint8)) for i in range(5))
    series.write_series(tmp_path / "out", pictures, wrote=lambda _: None)
    assert len(synced) == 5


def test_a_kill_leaves_whole_pictures_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    env = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    process = subprocess.Popen([sys.executable, "-c", ENDLESS, str(out)], env=env)
    try:
        wait_for_file(out / "seed-00300.png")
    finally:
        process.kill()
        process.wait()
    seen = [name for name in names(out) if not name.startswith(".")]
    assert seen[:301] == [f"seed-{i:05}.png" for i in range(301)]
    for i, name in enumerate(seen):
        assert name == f"seed-{i:05}.png" and (pixels(out / name) == i % 256).all()
    assert len(names(out)) <= len(seen) + 1


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT for another process")
def test_ctrl_c_keeps_what_is_written_and_says_how_much(saved: str, tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    words = [sys.executable, "-m", "zeuxis", "sample", saved, "-n", "1M", "--out", "out"]
    process = subprocess.Popen(words, env=env, stderr=subprocess.PIPE, text=True)
    wait_for_file(tmp_path / "out" / "seed-00200.png")
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1].splitlines()
    assert process.returncode == 130
    assert said[-1].startswith("zeuxis: ended by SIGINT; ") and said[-1].endswith("of 1,000,000 pictures are in out")
    assert int(said[-1].split()[4].replace(",", "")) <= len(names(tmp_path / "out"))
    assert not [name for name in names(tmp_path / "out") if name.startswith(".")]


def test_a_signal_is_told_with_what_is_there(model: Latent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(folder: Path, pictures: Any, *, wrote: Any) -> None:
        wrote("a")
        raise Interrupt(signal.SIGTERM)

    monkeypatch.setattr(series, "write_series", cut)
    with pytest.raises(Stopped, match=r"ended by SIGTERM; 1 of 64 pictures are in") as stopped:
        api.write_samples(model, tmp_path / "out")
    assert stopped.value.exit_code == 128 + signal.SIGTERM


def test_a_full_disk_ends_it_with_those_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, left = files._write_new, [5]

    def full(*given: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(*given)

    monkeypatch.setattr(files, "_write_new", full)
    pictures = ((f"{i}.png", np.zeros((4, 4, 1), np.uint8)) for i in range(3000))
    with pytest.raises(DiskFullError, match=r"5\.png could not be written"):
        series.write_series(tmp_path / "out", pictures, wrote=lambda _: None)
    assert names(tmp_path / "out") == [f"{i}.png" for i in range(5)]


def test_the_command_writes_a_folder_with_a_bar_and_no_sheet_of_millions(saved: str, tmp_path: Path) -> None:
    code, out, err = typed("sample", saved, "-n", "100", "--out", "many")
    assert (code, out) == (0, "wrote 100 pictures into many\n")
    assert err.splitlines()[-1] == "drawing samples 100/100"
    assert "expected at most 100000 in a sheet, or --out FOLDER" in refused("sample", saved, "-n", "1M")
    (tmp_path / "file").write_text("x")
    assert "file is a file; expected a folder" in refused("sample", saved, "--out", "file")
