"""The attribute network: it learns, reads what is blurred or shifted, is cached, and says what it reads badly."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from zeuxis.errors import DataError, UsageError
from zeuxis.io import files
from zeuxis.metrics import attributes
from zeuxis.metrics.attributes import AttributeReader, Task, reader_for, train_reader
from zeuxis.metrics.learner import disturb


@dataclass
class Name:
    name: str


@dataclass
class Pictures:
    """Images with a bar on top or not, a square below or not; and of a class of four."""

    images: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any] | None
    attributes: Sequence[Name] = field(default_factory=list)
    classes: Sequence[str] = field(default_factory=list)
    fingerprint: str = "drawn"

    def __len__(self) -> int:
        return len(self.images)

    def rows(self, places: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return self.images[places]


def drawn(n: int, *, size: int = 32, channels: int = 3, seed: int = 0) -> Pictures:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, (n, 2)).astype(np.uint8)
    images = random.integers(60, 100, (n, size, size, channels)).astype(np.uint8)
    images[:, size // 8 : size // 4, size // 4 : -size // 4] += (labels[:, 0] * 120).astype(np.uint8)[
        :, None, None, None
    ]
    images[:, size // 2 : -size // 4, size // 3 : -size // 3] += (labels[:, 1] * 120).astype(np.uint8)[
        :, None, None, None
    ]
    return Pictures(images, labels, [Name("bar"), Name("square")])


def tensors(pack: Pictures) -> Tensor:
    return torch.from_numpy(pack.images).permute(0, 3, 1, 2).float() / 127.5 - 1


@pytest.fixture(scope="module")
def reader() -> AttributeReader:
    return train_reader(drawn(600))


def test_it_reads_what_it_has_not_seen(reader: AttributeReader) -> None:
    new = drawn(200, seed=1)
    assert new.labels is not None
    probabilities = reader.read(tensors(new), batch_size=64)
    assert probabilities.shape == (200, 2)
    assert reader.names == ("bar", "square")
    right = (probabilities.numpy() > 0.5) == (new.labels == 1)
    assert (right.mean(0) >= 0.99).all()
    assert min(reader.accuracy.values()) >= 0.95
    assert reader.weak() == []


def test_it_reads_disturbed_images_and_other_sizes(reader: AttributeReader) -> None:
    new = drawn(200, seed=2)
    truth = torch.from_numpy(np.asarray(new.labels)) == 1
    images = tensors(new)
    noisy = disturb(images, torch.Generator().manual_seed(0))
    small = torch.nn.functional.interpolate(images, 16, mode="area")
    for shown in (noisy, small, images.repeat_interleave(2, 2).repeat_interleave(2, 3), images[:, :1]):
        assert ((reader.read(shown) > 0.5) == truth).float().mean() > 0.95


def test_reading_leaves_the_network_as_it_was(reader: AttributeReader) -> None:
    images = tensors(drawn(10))
    first = reader.read(images)
    assert torch.equal(first, reader.read(images))
    assert torch.allclose(first[:3], reader.read(images[:3]), atol=1e-5)
    assert not first.requires_grad


def test_training_is_a_function_of_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attributes, "EPOCHS", 1)
    pack, images = drawn(60), tensors(drawn(8, seed=3))
    first = train_reader(pack, seed=5).read(images)
    torch.rand(7)
    assert torch.equal(first, train_reader(pack, seed=5).read(images))
    assert not torch.equal(first, train_reader(pack, seed=6).read(images))


def test_training_leaves_the_global_generator_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attributes, "EPOCHS", 1)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    train_reader(drawn(30))
    assert torch.equal(torch.rand(3), expected)


def test_classes_are_read_as_one_of_them() -> None:
    pack = drawn(600, size=28, channels=1)
    labels = np.asarray(pack.labels)
    pack.labels, pack.attributes, pack.classes = labels[:, 0] * 2 + labels[:, 1], [], ["none", "square", "bar", "both"]
    reader = train_reader(pack)
    probabilities = reader.read(tensors(pack))
    assert torch.allclose(probabilities.sum(1), torch.ones(600), atol=1e-5)
    assert (probabilities.argmax(1).numpy() == pack.labels).mean() > 0.97
    assert list(reader.accuracy) == ["none", "square", "bar", "both"]


def test_a_reader_is_trained_once_and_then_read_from_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZEUXIS_CACHE", str(tmp_path))
    said: list[str] = []
    pack = drawn(200)
    first = reader_for(pack, progress=said.append)
    assert any(line.startswith("attribute network: epoch 1") for line in said)
    assert said[-1].startswith("attribute network, held-out accuracy: bar ") or "warning" in said[-1]
    monkeypatch.setattr(attributes, "train_reader", _never)
    said.clear()
    second = reader_for(pack, progress=said.append)
    assert len(said) >= 1
    assert said[0].startswith("attribute network, held-out accuracy")
    images = tensors(drawn(20, seed=4))
    assert torch.allclose(first.read(images), second.read(images), atol=1e-6)
    assert first.accuracy == second.accuracy
    pack.fingerprint = "another"
    with pytest.raises(AssertionError, match="trained again"):
        reader_for(pack)


def _never(*_: object, **__: object) -> AttributeReader:
    raise AssertionError("trained again")


@pytest.mark.parametrize("name", ["reader.json", "reader.safetensors"])
def test_a_damaged_cache_is_made_again(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZEUXIS_CACHE", str(tmp_path))
    monkeypatch.setattr(attributes, "EPOCHS", 1)
    pack = drawn(40)
    reader_for(pack)
    [kept] = (files.cache_dir() / "attributes").rglob(name)
    kept.write_bytes(kept.read_bytes()[:-20])
    assert reader_for(pack).names == ("bar", "square")
    assert set(json.loads(next((files.cache_dir() / "attributes").rglob("reader.json")).read_text())["accuracy"]) == {
        "bar",
        "square",
    }


def test_a_weak_attribute_is_named() -> None:
    reader = AttributeReader(nn.Identity(), Task(("bar", "square"), False, 32, 3), {"bar": 0.99, "square": 0.81})
    assert reader.weak() == ["square"]
    said = reader.describe()
    assert said[0] == "attribute network, held-out accuracy: bar 99.0 %, square 81.0 %"
    assert said[1].startswith("warning: held-out accuracy of 'square' is only 81.0 % (below 95 %)")


def test_what_cannot_be_learned_is_refused() -> None:
    pack = drawn(40)
    with pytest.raises(UsageError, match="no attributes or classes"):
        train_reader(Pictures(pack.images, None, pack.attributes))
    with pytest.raises(UsageError, match="no attributes or classes"):
        train_reader(Pictures(pack.images, pack.labels))
    with pytest.raises(DataError, match="10 labelled images are too few"):
        train_reader(Pictures(pack.images[:10], np.asarray(pack.labels)[:10], pack.attributes))


def test_disturbed_images_stay_images() -> None:
    images = tensors(drawn(30))
    shown = disturb(images, torch.Generator().manual_seed(0))
    assert shown.shape == images.shape
    assert shown.abs().max() <= 1
    assert 0.01 < (shown - images).abs().mean() < 0.4
    assert torch.equal(shown, disturb(images, torch.Generator().manual_seed(0)))
