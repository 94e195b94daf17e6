"""The first four blocks of VGG16 (Simonyan and Zisserman 2015), and the VGG-feature distance of two images.

The weights are those of a VGG16 for ImageNet, fine-tuned for edge detection (Xie and Tu 2015). The distance is LPIPS
(Zhang 2018) without the learned weights of each channel, which no package ships.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeuxis.errors import UsageError
from zeuxis.io.parsing import Choose, expecting
from zeuxis.mechanisms import Features

BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512))
_MEAN = (104.00699, 116.66877, 122.67892)  # blue, green, red
# Of torchvision's: where the convolutions stand, and what makes levels of red, green and blue its inputs.
_TORCH_PLACES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21)
_TORCH_MEAN, _TORCH_DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
_LARGER = 57.63  # the mean deviation: a network of rectified units gives as much more as its inputs and biases are
# Where the weights and the biases begin in the published HDF5 file (known by its SHA-256), in the order of the layers:
# each is one run of bytes, so that no reader of HDF5 is needed.
_OFFSETS = (
    (10992, 19952),
    (24048, 20208),
    (177520, 20464),
    (475136, 20976),
    (1072360, 2254056),
    (2258152, 2255080),
    (4619496, 6978792),
    (6987520, 11708160),
    (11712256, 21149440),
    (21153536, 30590720),
)


class VGG(nn.Module):
    """Images (n 3 h w, red green blue, values 0 to 255) to the features at the end of each block."""

    mean: Tensor  # of each channel (3 1 1)

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        before = 3
        for widths in BLOCKS:
            layers: list[nn.Module] = []
            for a, b in pairwise((before, *widths)):
                layers += [nn.Conv2d(a, b, 3, 1, 1), nn.ReLU()]
            self.blocks.append(nn.Sequential(*layers))
            before = widths[-1]
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None], persistent=False)

    def forward(self, image: Tensor, count: int = len(BLOCKS)) -> list[Tensor]:
        x = image.flip(1) - self.mean
        found = []
        for i, block in enumerate(list(self.blocks)[:count]):
            x = block(F.max_pool2d(x, 2, ceil_mode=True) if i else x)
            found.append(x)
        return found


def weights_in(data: bytes) -> dict[str, Tensor]:
    """The weights in the published HDF5 file."""
    found: dict[str, Tensor] = {}
    for (name, layer), (kernel, bias) in zip(_convolutions(VGG()), _OFFSETS, strict=True):
        o, i = layer.weight.shape[:2]
        values = np.frombuffer(data, "<f4", 9 * i * o, kernel).reshape(3, 3, i, o)
        found[f"{name}.weight"] = torch.from_numpy(values.transpose(3, 2, 0, 1).copy())
        found[f"{name}.bias"] = torch.from_numpy(np.frombuffer(data, "<f4", o, bias).copy())
    return found


def weights_from(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights from torchvision's names; its network takes colours normalised by mean and standard deviation.

    The normalisation is folded into the first layer, and features are rescaled to match the published weights.
    `UsageError` for the weights of another network.
    """
    found: dict[str, Tensor] = {}
    mean, deviation = (torch.tensor(each).view(3, 1, 1) for each in (_TORCH_MEAN, _TORCH_DEVIATION))
    for (name, layer), place in zip(_convolutions(VGG()), _TORCH_PLACES, strict=True):
        weight, bias = (published.get(f"features.{place}.{part}") for part in ("weight", "bias"))
        if weight is None or bias is None or weight.shape != layer.weight.shape:
            raise UsageError(f"these are not VGG16's weights: features.{place} is missing, or of another shape")
        if place == 0:
            apart = (torch.tensor(_MEAN[::-1]).view(3, 1, 1) - mean) / deviation
            bias = bias + (weight * apart).sum((1, 2, 3))
            weight = (weight * (_LARGER / deviation)).flip(1)
        found[f"{name}.weight"], found[f"{name}.bias"] = weight.contiguous(), bias * _LARGER
    return found


def choose_vgg(*, published: bool) -> Choose:
    """What is read of a file of weights, as kept here or `published` by torchvision, after names and shapes are compared."""
    with torch.device("meta"):
        network = VGG()
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    if not published:
        return expecting(shapes)
    places = {name: place for (name, _), place in zip(_convolutions(network), _TORCH_PLACES, strict=True)}
    named = {f"features.{places[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": shapes[name] for name in shapes}
    return expecting(named, others=("features.", "classifier."), what="these are not VGG16's weights: ")


def _convolutions(network: nn.Module) -> list[tuple[str, nn.Conv2d]]:
    return [(name, module) for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]


def vgg_network(weights: Mapping[str, Tensor]) -> VGG:
    """The network with the published weights; `UsageError` for others."""
    network = VGG()
    try:
        network.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise UsageError(f"these are not the weights of VGG16's first four blocks: {error}") from None
    network.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def block_features(network: VGG, image: Tensor) -> list[Tensor]:
    """The blocks' features of images (n c h w, in [-1, 1], grey or colour), normalised to length 1 per position."""
    return [F.normalize(each, dim=1) for each in network(_levels(image))]


def feature_network(network: VGG) -> Features:
    """The feature network of a perceptual loss, as a function, which keeps it outside the model's submodules."""
    return lambda image, block: network(_levels(image), block)[-1]


def _levels(image: Tensor) -> Tensor:
    """Images (n c h w, in [-1, 1], grey or colour) as input of the network."""
    colour = image[:, :3] if image.shape[1] >= 3 else image[:, :1].expand(-1, 3, -1, -1)
    return (colour.float() + 1) * 127.5


def feature_distance(network: VGG, image: Tensor, truth: Tensor) -> Tensor:
    """The VGG-feature distance (n) of images (n c h w, in [-1, 1]): mean squared difference over positions and blocks."""
    return feature_distance_to(network, truth)(image)


def feature_distance_to(network: VGG, truth: Tensor) -> Callable[[Tensor], Tensor]:
    """The `feature_distance` to fixed targets, whose features are computed once."""
    wanted = block_features(network, truth)

    def apart(image: Tensor) -> Tensor:
        pairs = zip(block_features(network, image), wanted)
        return torch.stack([(a - b).square().sum(1).mean((1, 2)) for a, b in pairs]).mean(0)

    return apart
