"""What is read in a model's pictures is kept by content: read once, and again where anything it depends on is another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from toys import Sound, SoundEncoder, SoundStyleBased
from zeuxis import explore
from zeuxis.explore.directions import components
from zeuxis.explore.readings import pictures_key
from zeuxis.explore.spaces import StyleSpace
from zeuxis.io import cache, files
from zeuxis.metrics.attributes import AttributeReader, Task
from zeuxis.metrics.features import Extractor
from zeuxis.model import Latent

SEEDS = range(40)


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEUXIS_CACHE", str(tmp_path / "cache"))


class Eyes(nn.Module):
    """Reads brightness, and counts how often."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.calls = nn.Parameter(torch.ones(1)), 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return images.mean((2, 3)) * self.scale


def model_of(kind: type[Latent] = Sound, seed: int = 0) -> Latent:
    torch.manual_seed(seed)
    return kind(size=8).eval().requires_grad_(False)


def reader_of(eyes: Eyes) -> AttributeReader:
    return AttributeReader(eyes, Task(("red", "green", "blue"), False, 8, 3), {})


def test_pictures_are_read_once() -> None:
    eyes = Eyes()
    first = explore.sampled(model_of(), reader_of(eyes), seeds=SEEDS)
    calls, again = eyes.calls, explore.sampled(model_of(), reader_of(eyes), seeds=SEEDS)
    assert calls > 0 and eyes.calls == calls
    assert torch.equal(first.labels, again.labels) and torch.equal(first.latents, again.latents)
    assert torch.equal(first.origins, again.origins)


def _weights(model: Latent, eyes: Eyes) -> dict[str, Any]:
    next(model.parameters()).mul_(2)
    return {}


def _reader(model: Latent, eyes: Eyes) -> dict[str, Any]:
    eyes.scale.data.mul_(2)
    return {}


def _format(model: Latent, eyes: Eyes) -> dict[str, Any]:
    model.inference_precision = "bf16"
    return {}


CHANGES: dict[str, Callable[[Latent, Eyes], dict[str, Any]]] = {
    "weights": _weights,
    "the reader": _reader,
    "the number format": _format,
    "seeds": lambda model, eyes: {"seeds": range(1, 41)},
    "how many": lambda model, eyes: {"seeds": range(39)},
}


@torch.no_grad()
@pytest.mark.parametrize("what", CHANGES)
def test_they_are_read_again_where_anything_is_another(what: str) -> None:
    model, eyes = model_of(), Eyes()
    explore.sampled(model, reader_of(eyes), seeds=SEEDS)
    calls = eyes.calls
    changed: dict[str, Any] = {"seeds": SEEDS, **CHANGES[what](model, eyes)}
    explore.sampled(model, reader_of(eyes), **changed)
    assert eyes.calls > calls


def test_spaces_and_families_are_told_apart() -> None:
    styled = model_of(SoundStyleBased)
    contents = [pictures_key(space) for space in (styled, StyleSpace(styled), model_of(), model_of(SoundEncoder))]  # type: ignore[arg-type]
    assert None not in contents and len({str(each) for each in contents[:3]}) == 3

    class Anywhere(Sound):
        __module__ = "nowhere"  # as of a class that was typed into a notebook

    assert pictures_key(model_of(Anywhere)) is None


def test_what_was_damaged_or_evicted_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model, eyes = model_of(), Eyes()
    wanted = explore.sampled(model, reader_of(eyes), seeds=SEEDS).labels
    (entry,) = (files.cache_dir() / "readings").glob("*.safetensors")
    entry.write_bytes(entry.read_bytes()[:-1] + b"\x01")
    calls = eyes.calls
    assert torch.equal(explore.sampled(model, reader_of(eyes), seeds=SEEDS).labels, wanted)
    assert eyes.calls == 2 * calls
    monkeypatch.setenv("ZEUXIS_CACHE_SIZE", "0.001 KB")
    cache.make_room(1)
    assert not list((files.cache_dir() / "readings").iterdir())
    monkeypatch.delenv("ZEUXIS_CACHE_SIZE")
    assert torch.equal(explore.sampled(model, reader_of(eyes), seeds=SEEDS).labels, wanted)
    assert eyes.calls == 3 * calls


def test_features_of_components_are_kept() -> None:
    calls = list[int]()

    def network(values: Tensor) -> Tensor:
        calls.append(len(values))
        return values.flatten(1)

    def extractor(key: str) -> Extractor:
        return Extractor("own", key, lambda values: values, network)

    found = components(model_of(), extractor("a"), count=2, seeds=SEEDS)
    once = len(calls)
    again = components(model_of(), extractor("a"), count=2, seeds=SEEDS)
    assert len(calls) == once > 0
    assert all(torch.equal(one.step, other.step) for one, other in zip(found, again, strict=True))
    components(model_of(), extractor("b"), count=2, seeds=SEEDS)
    assert len(calls) == 2 * once
    for _ in range(2):  # of a function of the user's own it is not known what it is
        components(model_of(), extractor(""), count=2, seeds=SEEDS)
    assert len(calls) == 4 * once
