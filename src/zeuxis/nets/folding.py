"""Networks as they compute fastest once they are trained: batch norm folded into the layer before it, channels last."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from zeuxis.nets.conv import ResizeConv2d, spread


def foldable(network: nn.Module) -> bool:
    """Whether a network has a layer that `fold_norms` may change."""
    return any(isinstance(each, nn.BatchNorm1d | nn.BatchNorm2d | ResizeConv2d) for each in network.modules())


@torch.no_grad()
def fold_norms(network: nn.Module) -> bool:
    """Fold the batch norms of a network in evaluation (in place); whether there was anything to fold.

    In a sequence a norm that follows a convolution or a linear layer becomes the identity. Upsampling by neighbours and
    a convolution becomes the one transposed convolution that it equals.
    """
    # Of a class that derives from these it is not known what it does with its layers.
    sequences = [module for module in network.modules() if type(module) is nn.Sequential and not module.training]
    changed = [_fold_sequence(layers) for layers in sequences]
    if any(changed):
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return any(changed)


def _fold_sequence(layers: nn.Sequential) -> bool:
    changed = False
    for place, layer in enumerate(layers):
        if type(layer) is ResizeConv2d:
            layers[place], changed = _plain(layer), True
        elif place and (fused := _fused(layers[place - 1], layer)):
            layers[place - 1], layers[place], changed = fused, nn.Identity(), True
    return changed


def _fused(layer: nn.Module, norm: nn.Module) -> nn.Module | None:
    """The layer and the norm after it as one layer; None where they are none of those that can be."""
    if not isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d) or norm.running_mean is None or not norm.affine:
        return None
    if type(layer) is nn.Linear and type(norm) is nn.BatchNorm1d:
        return fuse_linear_bn_eval(layer, norm)
    if type(norm) is not nn.BatchNorm2d:
        return None
    if type(layer) is nn.Conv2d:
        return fuse_conv_bn_eval(layer, norm)
    if type(layer) is nn.ConvTranspose2d and layer.groups == 1:
        return fuse_conv_bn_eval(layer, norm, transpose=True)
    return None


def _plain(layer: ResizeConv2d) -> nn.ConvTranspose2d:
    """The transposed convolution with weights that are already spread over the neighbours."""
    before, after, kind = layer.in_channels, layer.out_channels, layer.weight.dtype
    spare, bias = layer.output_padding, layer.bias is not None
    plain = nn.ConvTranspose2d(before, after, 4, 2, 1, output_padding=spare, bias=bias, dtype=kind)  # type: ignore[arg-type]
    plain.weight.data = spread(layer.weight)
    if layer.bias is not None and plain.bias is not None:
        plain.bias.data = layer.bias.clone()
    return plain.eval().requires_grad_(False)
