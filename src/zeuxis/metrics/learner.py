"""The training of a classifier of attributes or classes: its steps, its accuracy, and the noise that it learns to bear."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FASTEST = 2e-3  # learning rate
_BATCH = 64


class Learner:
    """The training of a classifier, of classes where `exclusive`: its optimizer, and its own random generator."""

    def __init__(self, network: nn.Module, *, exclusive: bool, random: torch.Generator) -> None:
        self.network, self.exclusive, self.random = network, exclusive, random
        self.device = next(network.parameters()).device
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=FASTEST, weight_decay=0.02)

    def epoch(self, images: Tensor, labels: Tensor, *, share: float) -> Iterator[int]:
        """One epoch over the images (uint8 n c h w), at the learning rate for this `share` of the training.

        Yields how many images it has seen.
        """
        self.network.train()
        for group in self.optimizer.param_groups:
            group["lr"] = FASTEST * (0.02 + 0.98 * (1 + math.cos(math.pi * share)) / 2)
        order = torch.randperm(len(images), generator=self.random)
        for at, part in enumerate(torch.split(order, _BATCH)):
            if len(part) > 1:  # batch norm has no variance of one image
                self._step(as_float(images[part]), labels[part])
            yield at * _BATCH + len(part)

    @torch.enable_grad()
    def _step(self, images: Tensor, labels: Tensor) -> None:
        shown = disturb(images, self.random).to(self.device, memory_format=torch.channels_last)
        logits, labels = self.network(shown), labels.to(self.device)
        if self.exclusive:
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
        parts = [as_float(part) for part in torch.split(images, 256)]
        if disturbed:
            parts = [disturb(part, self.random) for part in parts]
        logits = torch.cat([self.network(part.to(self.device)).cpu() for part in parts])
        if not self.exclusive:
            return [float(value) for value in ((logits > 0) == (labels > 0.5)).float().mean(0)]
        right = (logits.argmax(1) == labels).float()
        of_class = [right[labels == index] for index in range(logits.shape[1])]
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


def as_float(images: Tensor) -> Tensor:
    """uint8 to [-1, 1]."""
    return images.float() / 127.5 - 1
