"""An attribute or class classifier, trained once on labelled data and cached."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
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
from zeuxis.runtime.callbacks import MessageCallback

_VERSION = 1  # of the network and its training: a change of either must not read the old cache
LARGEST = 64  # pixels: larger images are reduced to this before they are read
MOST_IMAGES = 20_000  # of a large pack, as many as this serve
EPOCHS = 12
_BATCH = 64
FASTEST = 2e-3  # learning rate
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
    key = hashlib.sha256(json.dumps([_VERSION, pack.fingerprint, asdict(task), seed]).encode())
    folder = cache.folder("attributes", key.hexdigest()[:32])
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


def train_reader(
    pack: Labelled, *, device: str = "cpu", seed: int = 0, progress: MessageCallback | None = None
) -> AttributeReader:
    """Train on 90 % of a labelled pack, validate on 10 %; early stopping where all accuracies reach 99.5 %."""
    task = _task(pack)
    images, labels = _examples(pack, task, seed)
    held = max(1, len(images) // 10)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network(task).to(device)
    learner = _Learner(network, task, torch.Generator().manual_seed(seed))
    accuracy: list[float] = []
    for epoch in range(EPOCHS):
        learner.epoch(images[held:], labels[held:], share=epoch / EPOCHS)
        accuracy = learner.accuracy(images[:held], labels[:held])
        if progress:
            progress(f"attribute network: epoch {epoch + 1} of at most {EPOCHS}, weakest {100 * min(accuracy):.1f} %")
        # Generated images are never quite clean, so it goes on until it reads the disturbed ones well too.
        if min(accuracy) >= ENOUGH and min(learner.accuracy(images[:held], labels[:held], disturbed=True)) >= STEADY:
            break
    network.eval()
    return AttributeReader(network, task, dict(zip(task.names, accuracy)))


class _Learner:
    """The training of a classifier: its optimizer, and its own random generator."""

    def __init__(self, network: nn.Module, task: Task, random: torch.Generator) -> None:
        self.network, self.task, self.random = network, task, random
        self.device = next(network.parameters()).device
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=FASTEST, weight_decay=0.02)

    def epoch(self, images: Tensor, labels: Tensor, *, share: float) -> None:
        """One epoch over the images (uint8 n c h w), at the learning rate for this `share` of the training."""
        self.network.train()
        for group in self.optimizer.param_groups:
            group["lr"] = FASTEST * (0.02 + 0.98 * (1 + math.cos(math.pi * share)) / 2)
        order = torch.randperm(len(images), generator=self.random)
        for part in torch.split(order, _BATCH):
            if len(part) > 1:  # batch norm has no variance of one image
                self._step(_float(images[part]), labels[part])

    def _step(self, images: Tensor, labels: Tensor) -> None:
        shown = disturb(images, self.random).to(self.device, memory_format=torch.channels_last)
        logits, labels = self.network(shown), labels.to(self.device)
        if self.task.exclusive:
            loss = F.cross_entropy(logits, labels)
        else:
            loss = F.binary_cross_entropy_with_logits(logits, labels)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()

    @torch.no_grad()
    def accuracy(self, images: Tensor, labels: Tensor, *, disturbed: bool = False) -> list[float]:
        """The accuracy (on clean or augmented images) of each attribute or class."""
        self.network.eval()
        parts = [_float(part) for part in torch.split(images, 256)]
        if disturbed:
            parts = [disturb(part, self.random) for part in parts]
        logits = torch.cat([self.network(part.to(self.device)).cpu() for part in parts])
        if not self.task.exclusive:
            return [float(value) for value in ((logits > 0) == (labels > 0.5)).float().mean(0)]
        right = (logits.argmax(1) == labels).float()
        of_class = [right[labels == index] for index in range(len(self.task.names))]
        return [float(values.mean()) if len(values) else 1.0 for values in of_class]


def disturb(images: Tensor, random: torch.Generator) -> Tensor:
    """Images (n c h w) shifted, blurred, with noise and contrast jitter: robustness to artefacts of generated images."""

    def each(low: float, high: float) -> Tensor:
        return torch.rand(len(images), 1, 1, 1, generator=random) * (high - low) + low

    reach = max(1, images.shape[-1] // 21)
    dy, dx = (torch.randint(-reach, reach + 1, (2,), generator=random)).tolist()
    padded = F.pad(images, (reach, reach, reach, reach), mode="replicate")
    moved = padded[:, :, reach + dy :, reach + dx :][:, :, : images.shape[2], : images.shape[3]]
    blurred = F.avg_pool2d(F.pad(moved, (2, 2, 2, 2), mode="replicate"), 3, 1)
    blurred = F.avg_pool2d(blurred, 3, 1)
    amount = (each(-0.6, 1.0)).clamp(min=0)
    noise = torch.randn(images.shape, generator=random) * each(-0.06, 0.12).clamp(min=0)
    mixed = (moved + amount * (blurred - moved)) * each(0.75, 1.2) + each(-0.12, 0.12) + noise
    return mixed.clamp(-1, 1)


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
    return ((_as_input(_float(images), task) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def _float(images: Tensor) -> Tensor:
    """uint8 to [-1, 1]."""
    return images.float() / 127.5 - 1


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
