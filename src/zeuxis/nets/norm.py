"""Normalisation of feature maps: over the batch (Ioffe 2015), or over each image alone (Ba 2016, Ulyanov 2016)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Norm = Literal["instance", "batch", "none"]


class InstanceNorm(nn.Module):
    """Instance norm: each channel of each image (n c h w) to mean 0 and variance 1, independent of the batch."""

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return F.instance_norm(x)
        # The batch norm of one image at a time: where channels come last, on a CPU faster than torch's instance norm.
        parts = [F.batch_norm(image, None, None, training=True) for image in torch.split(x, 1)]
        return torch.cat(parts) if len(parts) > 1 else parts[0]


def norm_layer(kind: Literal["batch", "layer", "instance", "none"], channels: int) -> nn.Module:
    """The layer of that kind; that of `layer` has its gain and bias by channel."""
    if kind == "instance":
        return InstanceNorm()
    if kind == "layer":
        return nn.GroupNorm(1, channels)
    return nn.BatchNorm2d(channels) if kind == "batch" else nn.Identity()


def padded(image: Tensor, multiple: int) -> Tensor:
    """Images (n c h w), padded to multiples by replication at the bottom and right."""
    down, right = (-side % multiple for side in image.shape[-2:])
    return F.pad(image, (0, right, 0, down), mode="replicate") if down or right else image
