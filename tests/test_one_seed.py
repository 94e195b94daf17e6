"""One seed is one image: on the command line, in Python, and in batches of any size (`test_export.py`: and as ONNX)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from commandline import typed
from release import RELEASE
from test_export import LATENT, SEEDS, far_from_its_start, small
from zeuxis import api
from zeuxis.families.pix2pix import Pix2Pix
from zeuxis.io.images import read_whole, to_uint8

CLOSE = 1e-5  # what a pixel, in [-1, 1], may differ by in a batch of another size, of one evaluation of the network


def in_batches(seeds: Sequence[int], size: int) -> list[Sequence[int]]:
    return [seeds[i : i + size] for i in range(0, len(seeds), size)]


def is_written(path: Path, image: Tensor) -> bool:
    """Whether the file has the pixels of the image (c h w), bit for bit."""
    wanted = to_uint8(image[None])[0]
    return np.array_equal(np.asarray(Image.open(path)), wanted[..., 0] if wanted.shape[2] == 1 else wanted)


@pytest.mark.parametrize("name", LATENT)
def test_one_seed_is_one_image(name: str, tmp_path: Path) -> None:
    """Nor does it matter which seeds are drawn beside it, in which order."""
    small(name, size=20, channels=1).save(tmp_path / "model")
    model = api.load(tmp_path / "model", device="cpu")
    images = api.sample(model, seeds=SEEDS).tensor
    words = ("--seeds", f"{SEEDS[0]}-{SEEDS[-1]}", "--device", "cpu", "--out", str(tmp_path / "drawn"))
    assert typed("sample", str(tmp_path / "model"), *words)[0] == 0
    assert all(is_written(tmp_path / "drawn" / f"seed-{seed:05}.png", image) for seed, image in zip(SEEDS, images))
    assert torch.equal(api.sample(model, len(SEEDS), seed=SEEDS[0]).tensor, images)
    for size in (1, 5):
        again = torch.cat([api.sample(model, seeds=part).tensor for part in in_batches(SEEDS[::-1], size)])
        # Roundings of several evaluations add up as a random walk does.
        assert (again.flip(0) - images).abs().max() <= CLOSE * math.sqrt(model.decode_nfe)
    assert images.std(0).max() > 0.05, "images that are all alike would prove nothing"


def test_one_seed_is_one_translation(tmp_path: Path) -> None:
    """By pix2pix, whose dropout draws from seeds; every eighth by the command line, all of them before a release."""
    torch.manual_seed(0)
    fresh = Pix2Pix(size=16, base_channels=4, dropout=0.5)
    far_from_its_start(fresh)
    fresh.save(tmp_path / "model")
    model, picture = api.load(tmp_path / "model", device="cpu"), tmp_path / "source.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)).save(picture)
    source = read_whole(picture, channels=3)
    together = api.translate(model, source.expand(len(SEEDS), -1, -1, -1), seed=SEEDS[0]).tensor
    for i, seed in enumerate(SEEDS):
        alone = api.translate(model, source, seed=seed).tensor[0]
        assert (alone - together[i]).abs().max() <= CLOSE
        if RELEASE or i % 8 == 0:
            place = tmp_path / f"{seed}.png"
            words = ("--seed", str(seed), "--device", "cpu", "--out", str(place))
            assert typed("translate", str(tmp_path / "model"), str(picture), *words)[0] == 0
            assert is_written(place, alone)
    assert together.std(0).max() > 0.05
