"""The model card: its command repeats the training, its data are named, and no path is told."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from commandline import typed
from zeuxis import families
from zeuxis.data import DataSpec
from zeuxis.io import files
from zeuxis.training.command import command_line
from zeuxis.training.config import Recipe
from zeuxis.training.settings import TrainSettings


def card_of(run: str) -> str:
    (folder,) = Path("runs").glob(f"*-{run}")
    return (folder / "model" / "README.md").read_text(encoding="utf-8")


def told(card: str) -> list[str]:
    (line,) = re.findall(r"^```\n(zeuxis train .*)\n```$", card, re.MULTILINE)
    return shlex.split(line)


def test_the_command_of_the_card_trains_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    flags = ["--hidden-dim", "8", "--steps", "3", "--batch-size", "4", "--seed", "3", "--hflip", "--lr", "0.001"]
    standard = ["--kernels", "standard", "--threads", "1"]
    assert typed("train", "gan", "digits", *flags, *standard, "--name", "first")[0] == 0
    words = told(card_of("first"))
    assert words[:4] == ["zeuxis", "train", "gan", "digits"] and not {"--channels", "--size", "--out"} & {*words}
    assert typed(*words[1:], *standard, "--name", "again")[0] == 0
    assert told(card_of("again")) == words
    one, two = (
        files.read_tensors(next(Path("runs").glob(f"*-{name}")) / "model" / "model.safetensors")
        for name in ("first", "again")
    )
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    assert "- `digits`: Handwritten digits" in card_of("first") and "CC BY 4.0" in card_of("first")


def test_paths_are_told_by_their_last_part_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    secret = tmp_path / "secret place" / "my birds"
    secret.mkdir(parents=True)
    for i, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), np.uint8)):
        Image.fromarray(pixels).save(secret / f"{i}.png")
    small = [
        "--size",
        "8",
        "--hidden-dim",
        "8",
        "--batch-size",
        "4",
        "--steps",
        "1",
        "--threads",
        "1",
        "--kernels",
        "standard",
    ]
    assert typed("train", "gan", str(secret), *small, "--name", "first")[0] == 0
    assert typed("train", "gan", str(secret), *small, "--name", "second", "--init-from", "1")[0] == 0
    card = card_of("second")
    assert told(card)[3] == "my birds" and told(card)[-2:] == ["--init-from", "00001-first"]
    assert "init\\_from 00001-first" in card or "init_from 00001-first" in card
    assert re.search(r"platform \w+\.\n", card), "the system, without the version of its kernel"
    assert "secret place" not in card and str(tmp_path) not in card


def test_a_preset_and_no_flag_are_told() -> None:
    kind = families.find("dcgan")
    asked = TrainSettings(
        preset="paper",
        resize_mode="crop",
        cpu_minutes=2.5,
        ema_half_life=kind.ema_half_life,
        batch_size=kind.batch_size,
    )
    options = {field: getattr(kind(**kind.presets["paper"]), field) for field in kind(**kind.presets["paper"]).options}
    line = command_line(Recipe("dcgan", DataSpec.parse("avatars:20"), options | {"lr": 0.5}, asked), kind)
    assert line == "zeuxis train dcgan avatars:20 --lr 0.5 --cpu-minutes 2.5 --preset paper"
