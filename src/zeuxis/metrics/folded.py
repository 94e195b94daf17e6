"""Convolutions with folded batch norm, filled from published weights: the layers of feature networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights

from zeuxis.io.parsing import expecting

EPSILON = 1e-3  # of the batch norms of both networks (TensorFlow's)
COUNTER = "num_batches_tracked"  # of a batch norm, which needs it in training only
# What PyTorch's own compiler makes of a convolution and a clip on a CPU; not in every build.
_CLIPS = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")  # type: ignore[no-untyped-call]
_NORM = ("running_mean", "running_var", "weight", "bias")


class Unit(nn.Module):
    """A convolution with a bias, and a ReLU clipped at `most` (None: linear).

    `before` pads unevenly, as TensorFlow does for an even size and a stride of 2.
    """

    def __init__(
        self,
        before: int,
        after: int,
        kernel: int | tuple[int, int] = 1,
        *,
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
        uneven: int = 0,
        groups: int = 1,
        most: float | None = float("inf"),
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride, padding, groups=groups)
        self.most = most
        # The smaller half in front: what TensorFlow calls "same".
        self.uneven = (uneven // 2, uneven - uneven // 2) * 2

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, self.uneven) if self.uneven[1] else x
        if self.most is not None and _CLIPS and x.device.type == "cpu" and not torch.is_grad_enabled():
            return self._at_once(x, self.most)
        x = self.conv(x)
        if self.most is None:
            return x
        return x.relu_() if self.most == float("inf") else x.clamp_(0, self.most)

    def _at_once(self, x: Tensor, most: float) -> Tensor:
        """The convolution, clipped before its result is written: the same bits, and one pass over memory less."""
        conv, rest = self.conv, (self.conv.padding, self.conv.stride, self.conv.dilation, self.conv.groups)
        clip = ("relu", []) if most == float("inf") else ("hardtanh", [0.0, most])
        result: Tensor = torch.ops.mkldnn._convolution_pointwise(x, conv.weight, conv.bias, *rest, *clip, "")
        return result

    def pad_evenly(self) -> None:
        """The same convolution (in place, to within rounding) with an even padding: no padded copy is made of its input.

        The kernel gets a row and a column of zeros in front, which see what is now padded too much.
        """
        if not self.uneven[1]:
            return
        old, front = self.conv, self.uneven[0] + 1
        sides = (old.kernel_size[0] + 1, old.kernel_size[1] + 1)
        conv = nn.Conv2d(old.in_channels, old.out_channels, sides, old.stride[0], front, groups=old.groups)
        conv.weight.data, conv.bias = F.pad(old.weight, (1, 0, 1, 0)), old.bias
        self.conv, self.uneven = conv, (0, 0, 0, 0)


def fill_units(
    network: nn.Module,
    weights: Mapping[str, Tensor],
    names: Callable[[str], tuple[str, str]],
    *,
    ignored: str,
) -> None:
    """Fill the network's units (in place; they may be on `meta`) with published convolutions and batch norms after them.

    `names` gives, for the path of a unit in the network, the published names of its convolution and of its batch norm.
    `UsageError` for the first missing, misshapen or unused weight; unused names may begin with `ignored`.
    """
    expecting(unit_shapes(network, names), others=(ignored, COUNTER))(
        {name: ("F32", tuple(value.shape)) for name, value in weights.items()}
    )
    for path, unit in network.named_modules():
        if isinstance(unit, Unit):
            conv, norm = names(path)
            kernel = weights[f"{conv}.weight"].float()
            mean, variance, scale, shift = (weights[f"{norm}.{name}"].float() for name in _NORM)
            folded = fuse_conv_bn_weights(kernel, None, mean, variance, EPSILON, scale, shift)
            unit.conv.weight, unit.conv.bias = folded
            unit.pad_evenly()
    network.eval().requires_grad_(False)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def unit_shapes(network: nn.Module, names: Callable[[str], tuple[str, str]]) -> dict[str, tuple[int, ...]]:
    """The shapes of what is published for a network's units, by its published name."""
    wanted: dict[str, tuple[int, ...]] = {}
    for path, unit in network.named_modules():
        if isinstance(unit, Unit):
            conv, norm = names(path)
            wanted[f"{conv}.weight"] = tuple(unit.conv.weight.shape)
            wanted |= dict.fromkeys((f"{norm}.{name}" for name in _NORM), (unit.conv.out_channels,))
    return wanted
