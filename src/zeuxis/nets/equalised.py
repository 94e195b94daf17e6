"""Layers of ProGAN and StyleGAN2: equalised learning rate, pixel norm, minibatch deviation, modulation, resampling."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeuxis.nets.conv import spread

# Doubled or halved through `FILTER`; doubled by neighbours or halved by means, computed with the convolution as one.
Resample = Literal["up", "down", "nearest", "mean", "none"]
FILTER = (1.0, 3.0, 3.0, 1.0)  # Karras 2020, appendix B, of each side; over 8 it keeps the mean


class EqualLinear(nn.Linear):
    """A linear layer with equalised learning rate (Karras 2018, section 4.1): weights from N(0, 1), scaled by He's constant
    at run time. `pace` multiplies the learning rate of this layer."""

    def __init__(self, inputs: int, outputs: int, *, bias: float = 0.0, pace: float = 1.0) -> None:
        super().__init__(inputs, outputs)
        nn.init.normal_(self.weight, 0.0, 1 / pace)
        nn.init.constant_(self.bias, bias / pace)
        self.gain, self.pace = pace / math.sqrt(inputs), pace

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.gain, self.bias * self.pace)


class EqualConv2d(nn.Conv2d):
    """A convolution with equalised learning rate, optionally with up- or downsampling by 2 (n c h w).

    "up" is a transposed convolution and a low-pass filter; "down" the filter, then a convolution (Karras 2019, section 2).
    """

    low_pass: Tensor | None

    def __init__(
        self, before: int, after: int, kernel: int = 3, *, resample: Resample = "none", bias: bool = True
    ) -> None:
        super().__init__(before, after, kernel, bias=bias)
        _drawn(self)
        self.gain = 1 / math.sqrt(before * kernel**2)
        self.resample: Resample = resample
        _with_filter(self, resample)

    def forward(self, x: Tensor, *, odd: bool = False, gain: float = 1.0) -> Tensor:
        """The features of x (n c h w), all times `gain`; `odd`: doubled to one row and column more than twice as many."""
        bias = None if self.bias is None else self.bias * gain
        weight = self.weight * (self.gain * gain)
        return convolve(x, weight, bias, resample=self.resample, odd=odd, low_pass=self.low_pass)


class ModulatedConv2d(nn.Conv2d):
    """A convolution (n c h w) with weight modulation by the style, per input channel, and demodulation per output channel:
    equations 1 and 3 of Karras 2020.

    Computed by scaling input and output instead of the weights, which is equivalent, with one convolution for all images.
    """

    low_pass: Tensor | None

    def __init__(
        self,
        before: int,
        after: int,
        style: int,
        kernel: int = 3,
        *,
        resample: Resample = "none",
        demodulate: bool = True,
    ) -> None:
        super().__init__(before, after, kernel)
        _drawn(self)
        self.affine = EqualLinear(style, before, bias=1.0)
        self.gain = 1 / math.sqrt(before * kernel**2)
        self.resample: Resample = resample
        _with_filter(self, resample)
        self.demodulate = demodulate

    def forward(  # type: ignore[override]
        self, x: Tensor, w: Tensor, *, odd: bool = False, gain: float = 1.0, noise: Tensor | None = None
    ) -> Tensor:
        """The features of x (n c h w) modulated by w (n d), times `gain`; noise (n or 1, 1, h, w) is added."""
        weight = self.weight * self.gain
        s = self.affine(w).float()  # n c
        scaled = x * s.to(x.dtype)[..., None, None]
        y = convolve(scaled, weight, resample=self.resample, odd=odd, low_pass=self.low_pass)
        assert self.bias is not None
        shift = self.bias.to(y.dtype)[:, None, None] * gain
        if noise is not None:
            shift = shift + noise.to(y.dtype) * gain
        if not self.demodulate:
            return y * gain + shift
        scale = gain * demodulation(weight, s)
        return torch.addcmul(shift, y, scale.to(y.dtype)[..., None, None])


def _with_filter(layer: nn.Module, resample: Resample) -> None:
    """Give a layer the constant `filter_kernel`, where it filters: as a buffer it is on the layer's device, and not saved."""
    kernel = filter_kernel() if resample in ("up", "down") else None
    layer.register_buffer("low_pass", kernel, persistent=False)


def _drawn(layer: nn.Conv2d) -> None:
    nn.init.normal_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def demodulation(weight: Tensor, style: Tensor) -> Tensor:
    """The demodulation factors (n o) for weights o c k k and styles n c, in float32."""
    with torch.autocast(weight.device.type, enabled=False):
        variance = style.float().square() @ weight.float().square().sum((2, 3)).t()
    return torch.rsqrt(variance + 1e-8)


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    resample: Resample = "none",
    odd: bool = False,
    low_pass: Tensor | None = None,
) -> Tensor:
    """The convolution of x (n c h w) by weights o c k k, at the same, double (+ 1 if `odd`) or half the size.

    `low_pass` is the `filter_kernel` on the device of x, where a layer has it.
    """
    around = weight.shape[-1] // 2
    if resample == "nearest":
        return F.conv_transpose2d(x, spread(weight.transpose(0, 1).flip(2, 3)), bias, 2, around, int(odd))
    if resample == "mean":
        return F.conv2d(x, spread(weight) / 4, bias, 2, around)
    if resample == "up":
        y = F.conv_transpose2d(x, weight.transpose(0, 1), None, 2, 0, int(odd))
        y = smooth(y, 1, gain=4.0, low_pass=low_pass)
        return y if bias is None else y + bias[:, None, None].to(y.dtype)
    if resample == "down":
        return F.conv2d(smooth(x, 1 + around, low_pass=low_pass), weight, bias, 2)
    return F.conv2d(x, weight, bias, 1, around)


def filter_kernel() -> Tensor:
    """`FILTER` along both axes (4 4); it keeps the mean."""
    taps = [tap / sum(FILTER) for tap in FILTER]
    return torch.tensor([[one * other for other in taps] for one in taps])


def smooth(x: Tensor, around: int, *, step: int = 1, gain: float = 1.0, low_pass: Tensor | None = None) -> Tensor:
    """Images (n c h w), zero padded and filtered by `FILTER` along both axes; every `step`-th pixel.

    `low_pass` is as in `convolve`.
    """
    low_pass = filter_kernel().to(x.device) if low_pass is None else low_pass
    filtered = x.float() if x.device.type == "cpu" else x  # a CPU takes ten times as long for it in bfloat16
    kernel = (gain * low_pass).to(filtered.dtype).expand(x.shape[1], 1, -1, -1)
    with torch.autocast(x.device.type, enabled=False):
        return F.conv2d(filtered, kernel, None, step, around, groups=x.shape[1]).to(x.dtype)


def halved(x: Tensor, low_pass: Tensor | None = None) -> Tensor:
    """Images (n c h w) filtered and halved (an odd side downwards)."""
    return smooth(x, 1, step=2, low_pass=low_pass)


def pixel_norm(x: Tensor) -> Tensor:
    """Pixel norm: each vector (n c ...) scaled to mean square 1 over its channels (Karras 2018, section 4.2)."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


def minibatch_deviation(x: Tensor, group: int = 4) -> Tensor:
    """Features (n c h w) with a channel of minibatch standard deviation (Karras 2018, section 3).

    Groups have at most `group` images; the channel is the mean over positions of the standard deviation in the group.
    """
    n, c, h, w = x.shape
    size = math.gcd(n, group)
    variance = x.float().view(size, n // size, c, h, w).var(0, unbiased=False)
    deviation = torch.sqrt(variance + 1e-8).mean((1, 2, 3))  # n / size
    channel = deviation.to(x.dtype).repeat(size).view(n, 1, 1, 1).expand(n, 1, h, w)
    return torch.cat([x, channel], 1)
