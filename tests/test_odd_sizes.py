"""Runs of odd sizes: every family trains on them, or refuses in one line before there is a run folder."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from commandline import refused
from release import long_but
from zeuxis import families, storage
from zeuxis.data import DataSpec
from zeuxis.errors import UsageError, ZeuxisError
from zeuxis.model import Model, Translator, options_of
from zeuxis.runtime.progress import Lines
from zeuxis.training import run_data, runs
from zeuxis.training.dry_run import plan_run
from zeuxis.training.settings import TrainSettings

TINY = {
    "size": 16,
    "base_channels": 4,
    "latent_dim": 6,
    "blocks": 1,
    "pool_size": 4,
    "num_inference_steps": 2,
    "pretrain_steps": 1,
    "vgg_weight": 0.0,
    "mapping_layers": 1,
    "chains": 4,
    "sample_steps": 2,
}
# Images there are, batch size, micro-batches.
SIZES = [(1, 1, 1), (1, 4, 1), (1, 2, 2), (2, 3, 3), (2, 7, 1), (3, 6, 2), (5, 5, 1), (5, 8, 4)]
NEED_TWO = {"gan", "srgan"}  # their batch norms see one value per channel of each image


def folder(path: Path, count: int) -> Path:
    """A folder of so many images of noise."""
    path.mkdir()
    for i in range(count):
        pixels = np.random.default_rng(i).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path / f"{i}.png")
    return path


def tiny(family: type[Model], **changed: Any) -> dict[str, Any]:
    """Options of a small model of the family."""
    known = {f.name for f in options_of(family)}
    return {name: value for name, value in {**TINY, **changed}.items() if name in known}


def asked(out: Path, **changed: Any) -> TrainSettings:
    plain = {"steps": 3, "threads": 1, "kernels": "standard", "device": "cpu", "log_every": 1, "sample_every": 2}
    return TrainSettings(out=str(out), **{**plain, **changed})


def begin(
    out: Path, family: type[Model], data: str, *, options: Mapping[str, Any] | None = None, **changed: Any
) -> Path:
    """Train for a few steps; the run's folder."""
    spec, display = DataSpec.parse(data), Lines(io.StringIO())
    return runs.start(asked(out, **changed), family, options or tiny(family), data=spec, display=display)


@pytest.mark.parametrize("name", long_but("dcgan", "rbm", "cyclegan", among=families.names()))
def test_few_images_and_small_batches_train_or_are_refused_at_once(tmp_path: Path, name: str) -> None:
    family = families.find(name)
    trained = []
    for number, (count, batch_size, micro_batches) in enumerate(SIZES):
        pictures = folder(tmp_path / f"pictures{number}", count)
        made = issubclass(family, Translator) and family.degradation is None
        data, options = (f"grey -> {pictures}", tiny(family, source_channels=1)) if made else (pictures, tiny(family))
        out, sizes = tmp_path / f"runs{number}", {"batch_size": batch_size, "micro_batches": micro_batches}
        try:
            run = begin(out, family, str(data), options=options, **sizes)
        except ZeuxisError as error:
            assert not list(out.glob("*")), f"{sizes} left a folder: {error}"
            assert "one image at a time" in str(error) or "one pair" in str(error), error
            continue
        trained.append((count, batch_size, micro_batches))
        rows = storage.RunFolder.open(run).metrics()
        assert [row["step"] for row in rows] == [1, 2, 3]
        assert all(value is not None and math.isfinite(value) for row in rows for value in row.values()), rows
    fits = [(n, b, m) for n, b, m in SIZES if (b > m or name not in NEED_TWO) and (n > 1 or name != "cyclegan")]
    assert trained == fits


@pytest.mark.parametrize("name", ["cyclegan", "pix2pix"])
def test_two_folders_of_one_image_each(tmp_path: Path, name: str) -> None:
    one, two = folder(tmp_path / "one", 1), folder(tmp_path / "two", 1)
    run = begin(tmp_path / "runs", families.find(name), f"{one} -> {two}", batch_size=1)
    assert len(storage.RunFolder.open(run).metrics()) == 3


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("dcgan", {"discriminator_norm": "batch"}),
        ("wgan", {"critic_norm": "batch"}),
        ("vae", {"size": 8}),
        ("pix2pix", {"norm": "batch"}),
        ("stylegan2", {"ada_target": 0.6}),
        ("rbm", {"method": "pcd", "chains": 1}),
        ("rbm", {"method": "pcd", "chains": 9}),
    ],
)
def test_other_options_of_a_family_with_one_image(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    family = families.find(name)
    pictures = folder(tmp_path / "pictures", 1)
    data = f"edges -> {pictures}" if issubclass(family, Translator) else str(pictures)
    try:
        run = begin(tmp_path / "runs", family, data, options=tiny(family, source_channels=1, **options), batch_size=1)
    except UsageError as error:
        assert "choose --batch-size 2 or more" in str(error)
        assert not list(tmp_path.glob("runs/*"))
    else:
        assert storage.RunFolder.open(run).load_checkpoint().step == 3


def test_a_later_phase_is_tried_too(tmp_path: Path) -> None:
    """The discriminator of srgan plays from the second phase on, which a longer run alone reaches."""
    family, pictures = families.find("srgan"), folder(tmp_path / "pictures", 2)
    pixels_alone = {"options": tiny(family, pretrain_steps=3), "batch_size": 1}
    run = begin(tmp_path / "runs", family, str(pictures), **pixels_alone)
    with pytest.raises(UsageError, match="srgan cannot train on one image at a time"):
        runs.resume_run(run, steps=4, display=Lines(io.StringIO()))
    with pytest.raises(UsageError, match="srgan cannot train on one image at a time"):
        begin(tmp_path / "more", family, str(pictures), steps=4, **pixels_alone)
    assert not list(tmp_path.glob("more/*"))


@pytest.mark.parametrize(
    ("batch_size", "micro_batches", "advice"),
    [
        (3, 2, "--batch-size 4 or --micro-batches 1"),
        (4, 3, "--batch-size 6 or --micro-batches 2"),
        (2, 3, "--batch-size 3 or --micro-batches 2"),
        (1, 64, "--batch-size 64 or --micro-batches 1"),
        (None, 5, "--batch-size 65 or --micro-batches 4"),
    ],
)
def test_micro_batches_that_would_not_count_alike_are_refused(
    tmp_path: Path, batch_size: int | None, micro_batches: int, advice: str
) -> None:
    vae, sizes = families.find("vae"), {"batch_size": batch_size, "micro_batches": micro_batches}
    with pytest.raises(UsageError, match=f"divides into equal micro-batches: choose {advice}"):
        begin(tmp_path / "runs", vae, str(folder(tmp_path / "pictures", 4)), **sizes)
    assert not (tmp_path / "runs").exists()
    with pytest.raises(UsageError, match=f"choose {advice}"):
        plan_run(asked(tmp_path, **sizes), vae, tiny(vae))


def test_a_dry_run_refuses_what_a_run_would() -> None:
    message = refused("train", "gan", "digits", "--size", "8", "--batch-size", "3", "--micro-batches", "3", "--dry-run")
    assert "choose --batch-size 6 or fewer --micro-batches" in message


def test_trying_one_image_changes_nothing(tmp_path: Path) -> None:
    """Weights, buffers and noise after it are those of a run without it."""
    family, pictures = families.find("progan"), folder(tmp_path / "pictures", 2)
    ends = []
    for number in range(2):
        with pytest.MonkeyPatch.context() as patch:
            if number:
                patch.setattr(run_data, "check_one_image", lambda *_: None)
            run = begin(tmp_path / f"runs{number}", family, str(pictures), batch_size=1)
        ends.append((run / "model" / "model.safetensors").read_bytes())
    assert ends[0] == ends[1]


def test_what_the_data_lacks_is_said_before_there_is_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    family = families.find("vae")
    monkeypatch.setattr(family, "needs", frozenset({"image", "label"}))
    with pytest.raises(ZeuxisError, match="learns from label, which .* does not have"):
        begin(tmp_path / "runs", family, str(folder(tmp_path / "pictures", 4)))
    assert not (tmp_path / "runs").exists()
