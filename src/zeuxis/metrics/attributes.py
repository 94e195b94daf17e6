"""An attribute or class classifier, trained once on labelled data and cached."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeuxis.data.listing import Attribute
from zeuxis.errors import DataError, UsageError
from zeuxis.io import cache, files
from zeuxis.io.parsing import expecting, parse_json
from zeuxis.metrics.features import cached_tensors
from zeuxis.metrics.learner import Learner, as_float
from zeuxis.runtime.callbacks import MessageCallback
from zeuxis.runtime.steps import finished

_VERSION = 1  # of the network and its training: a change of either must not read the old cache
LARGEST = 64  # pixels: larger images are reduced to this before they are read
MOST_IMAGES = 20_000  # of a large pack, as many as this serve
EPOCHS = 12
GOOD = 0.95  # held-out accuracy below which a reader warns
ENOUGH, STEADY = 0.995, 0.98  # the same, of clean and of disturbed images, at which its training stops


class Labelled(Protocol):
    """Training data of a classifier: a pack with attributes (labels n k in {0, 1}) or classes (labels n)."""

    def __len__(self) -> int: ...
    def rows(self, places: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]: ...  # uint8 n h w c, of these images alone
    @property
    def labels(self) -> np.ndarray[Any, Any] | None: ...
    @property
    def attributes(self) -> Sequence[Attribute]: ...
    @property
    def classes(self) -> Sequence[str]: ...
    @property
    def fingerprint(self) -> str: ...


@dataclass(frozen=True)
class Task:
    """The classification task: attributes or mutually exclusive classes, and the image shape."""

    names: tuple[str, ...]
    exclusive: bool
    size: int
    channels: int


@dataclass(frozen=True)
class AttributeReader:
    """Classifies attributes (or classes) of images; `accuracy` by name is on held-out images."""

    network: nn.Module
    task: Task
    accuracy: dict[str, float]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns of `read`."""
        return self.task.names

    @torch.no_grad()
    def read(self, images: Tensor, *, batch_size: int = 256) -> Tensor:
        """Probabilities (n k) for images (n c h w, in [-1, 1], of any size); of classes they sum to 1."""
        device = next(self.network.parameters()).device
        logits = [self.network(_as_input(part.to(device), self.task)) for part in torch.split(images, batch_size)]
        scores = torch.cat(logits).float()
        return scores.softmax(1) if self.task.exclusive else scores.sigmoid()

    def weak(self) -> list[str]:
        """The names with a held-out accuracy below 95 %."""
        return [name for name, value in self.accuracy.items() if value < GOOD]

    def describe(self) -> list[str]:
        """Lines for the user: the accuracy by name, and a warning for each below 95 %."""
        values = ", ".join(f"{name} {100 * value:.1f} %" for name, value in self.accuracy.items())
        warnings = [
            f"warning: held-out accuracy of {name!r} is only {100 * self.accuracy[name]:.1f} % (below 95 %): "
            "scores that depend on it are unreliable; more labelled images would help"
            for name in self.weak()
        ]
        return [f"attribute network, held-out accuracy: {values}", *warnings]


def reader_for(
    pack: Labelled, *, device: str = "cpu", seed: int = 0, progress: MessageCallback | None = None
) -> AttributeReader:
    """The classifier of a pack: from the cache, or trained and cached; its accuracy is reported either way."""
    task = _task(pack)
    folder = _folder(pack, task, seed)
    with files.lock(folder):  # who comes second finds the first one's reader
        reader = _load(folder, task)
        if reader is None:
            reader = train_reader(pack, device=device, seed=seed, progress=progress)
            _save(reader, folder)
    reader.network.to(device)
    if progress:
        for line in reader.describe():
            progress(line)
    return reader


def reader_steps(
    pack: Labelled, *, device: str = "cpu", seed: int = 0
) -> Generator[tuple[int, int], None, AttributeReader]:
    """As `reader_for`, batch by batch: yields how many images it was trained on, and of how many; returns the classifier.

    Nothing is locked meanwhile, as whoever asked may never come back.
    """
    task = _task(pack)
    folder = _folder(pack, task, seed)
    with files.lock(folder):
        reader = _load(folder, task)
    if reader is None:
        steps = _training(pack, task, device=device, seed=seed)
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                reader = end.value
                break
            yield step.done, step.total
        with files.lock(folder):
            _save(reader, folder)
    reader.network.to(device)
    return reader


def train_reader(
    pack: Labelled, *, device: str = "cpu", seed: int = 0, progress: MessageCallback | None = None
) -> AttributeReader:
    """Train on 90 % of a labelled pack, validate on 10 %; early stopping where all accuracies reach 99.5 %."""

    def told(step: _Trained) -> None:
        if progress and step.weakest is not None:
            progress(f"attribute network: epoch {step.epoch} of at most {EPOCHS}, weakest {100 * step.weakest:.1f} %")

    return finished(_training(pack, _task(pack), device=device, seed=seed), told)


@dataclass(frozen=True)
class _Trained:
    """A step of a classifier's training: the epoch (from 1 on), images seen in all epochs, and accuracy after an epoch."""

    epoch: int
    done: int
    total: int
    weakest: float | None = None


def _training(pack: Labelled, task: Task, *, device: str, seed: int) -> Generator[_Trained, None, AttributeReader]:
    images, labels = _examples(pack, task, seed)
    held = max(1, len(images) // 10)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network(task).to(device)
    learner = Learner(network, exclusive=task.exclusive, random=torch.Generator().manual_seed(seed))
    accuracy: list[float] = []
    of = len(images) - held
    for epoch in range(EPOCHS):
        for done in learner.epoch(images[held:], labels[held:], share=epoch / EPOCHS):
            yield _Trained(epoch + 1, epoch * of + done, EPOCHS * of)
        accuracy = learner.accuracy(images[:held], labels[:held])
        yield _Trained(epoch + 1, (epoch + 1) * of, EPOCHS * of, min(accuracy))
        # Generated images are never quite clean, so it goes on until it reads the disturbed ones well too.
        if min(accuracy) >= ENOUGH and min(learner.accuracy(images[:held], labels[:held], disturbed=True)) >= STEADY:
            break
    network.eval()
    return AttributeReader(network, task, dict(zip(task.names, accuracy)))


def _network(task: Task) -> nn.Sequential:
    """Strided convolutions down to 4x4, global average pooling, and a logit per name."""
    layers: list[nn.Module] = []
    width, size, before = 24, task.size, task.channels
    while size > 4 or not layers:
        layers += [nn.Conv2d(before, width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        if 4 < size // 2 <= 16:
            layers += [nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        size, before, width = (size + 1) // 2, width, min(width * 2, 128)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, len(task.names)))


def _folder(pack: Labelled, task: Task, seed: int) -> Path:
    """The place of a classifier in the cache."""
    key = hashlib.sha256(json.dumps([_VERSION, pack.fingerprint, asdict(task), seed]).encode())
    return cache.folder("attributes", key.hexdigest()[:32])


def _task(pack: Labelled) -> Task:
    if pack.labels is None or not (pack.attributes or pack.classes):
        raise UsageError("the images have no attributes or classes; give a data set with labels")
    names = [item.name for item in pack.attributes] if pack.attributes else list(pack.classes)
    _, height, _, channels = pack.rows(np.arange(min(1, len(pack)))).shape
    return Task(tuple(names), not pack.attributes, min(height, LARGEST), channels)


def _examples(pack: Labelled, task: Task, seed: int) -> tuple[Tensor, Tensor]:
    """Images (uint8 n c h w) at the task's size, and labels (float n k, or long n), in a random order."""
    if len(pack) < 20 or pack.labels is None:
        raise DataError(
            f"{len(pack)} labelled images are too few to train the attribute network; at least 20 are needed"
        )
    chosen = np.sort(np.random.default_rng(seed).permutation(len(pack))[:MOST_IMAGES])
    parts = [pack.rows(chosen[i : i + 512]) for i in range(0, len(chosen), 512)]
    small = [_small(torch.from_numpy(np.ascontiguousarray(part)).permute(0, 3, 1, 2), task) for part in parts]
    labels = torch.from_numpy(np.asarray(pack.labels)[chosen])
    order = torch.randperm(len(chosen), generator=torch.Generator().manual_seed(seed))
    return torch.cat(small)[order], (labels.long() if task.exclusive else labels.float())[order]


def _small(images: Tensor, task: Task) -> Tensor:
    if images.shape[-1] == task.size:
        return images
    return ((_as_input(as_float(images), task) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def _as_input(images: Tensor, task: Task) -> Tensor:
    """Images (n c h w) in the network's size and channels."""
    if images.shape[1] != task.channels:
        images = images.mean(1, keepdim=True) if task.channels == 1 else images[:, :1].expand(-1, task.channels, -1, -1)
    if images.shape[-2:] != (task.size, task.size):
        images = F.interpolate(images, (task.size, task.size), mode="bilinear", antialias=True, align_corners=False)
    return images.float()


def _save(reader: AttributeReader, folder: Path) -> None:
    """Save a classifier; the weights come last, so a folder with weights is complete."""
    weights = {name: value.detach().cpu().contiguous() for name, value in reader.network.state_dict().items()}
    data = safetensors.torch.save(weights)
    cache.make_room(len(data))
    cache.write_entry(folder / "reader.json", json.dumps({"accuracy": reader.accuracy}).encode())
    cache.write_entry(folder / "reader.safetensors", data)


def _load(folder: Path, task: Task) -> AttributeReader | None:
    """The classifier in a folder; None where there is none, or it is damaged (and trained again)."""
    network, about = _network(task), cache.read_entry(folder / "reader.json")
    choose = expecting({name: tuple(value.shape) for name, value in network.state_dict().items()})
    weights = cached_tensors(folder / "reader.safetensors", choose)
    if not weights or about is None:
        return None
    try:
        accuracy = parse_json(about, folder / "reader.json")["accuracy"]
        known = {name: float(accuracy[name]) for name in task.names}
        network.load_state_dict(weights)
    except (UsageError, TypeError, ValueError, KeyError, RuntimeError):
        return None
    cache.touch(folder)
    return AttributeReader(network.eval(), task, known)
