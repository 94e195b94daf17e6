"""The U-Net of pix2pix: an encoder and a decoder with skip connections (Ronneberger 2015; Isola 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zeuxis.nets.conv import Upsampling, doubling, widths
from zeuxis.nets.noise import Noise
from zeuxis.nets.norm import Norm, norm_layer, padded

_NOISY = 3  # innermost decoder layers with dropout (Isola 2017, appendix 6.1.1)
_DEEPEST = 7


class UNet(nn.Module):
    """Images (n inputs h w) to images (n outputs h w) in [-1, 1], of any height and width.

    The training `size` is downsampled to 2 or 3 pixels. Images with indivisible sides are padded, and the output is
    cropped.

    `transposed` upsamples by transposed convolutions, the last of which outputs the image. `nearest` upsamples by
    `ResizeConv2d`, and a convolution at full resolution outputs the image.
    """

    def __init__(
        self,
        size: int,
        inputs: int,
        outputs: int,
        *,
        width: int,
        norm: Norm,
        dropout: float,
        upsampling: Upsampling = "transposed",
    ) -> None:
        super().__init__()
        depth = min(_DEEPEST, size.bit_length() - 2)
        counts = widths(depth, width)
        self.multiple = 1 << depth
        self.downs = nn.ModuleList(
            _down(before, after, norm, first=i == 0, last=i == depth - 1)
            for i, (before, after) in enumerate(zip([inputs, *counts], counts))
        )
        # Innermost first; all others also take the skip connection.
        befores = [counts[-1], *(2 * each for each in counts[-2:0:-1])]
        self.ups = nn.ModuleList(
            _up(before, after, norm, upsampling=upsampling, noise=Noise(dropout) if i < _NOISY else nn.Identity())
            for i, (before, after) in enumerate(zip(befores, counts[-2::-1]))
        )
        self.head = nn.Sequential(nn.ReLU(), *_image(2 * width, outputs, norm, upsampling), nn.Tanh())

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        x, seen = padded(image, self.multiple), []
        for down in self.downs:
            x = down(x)
            seen.append(x)
        seen.pop()
        for up in self.ups:
            x = torch.cat((up(x), seen.pop()), 1)
        result: Tensor = self.head(x)[..., :height, :width]
        return result


def _down(before: int, after: int, kind: Norm, *, first: bool, last: bool) -> nn.Sequential:
    """Downsampling by 2. No norm on the input layer, which would remove contrast, nor on the few pixels at the bottleneck."""
    kind = "none" if first or last else kind
    activation = nn.Identity() if first else nn.LeakyReLU(0.2)
    return nn.Sequential(activation, nn.Conv2d(before, after, 4, 2, 1, bias=kind == "none"), norm_layer(kind, after))


def _up(before: int, after: int, kind: Norm, *, upsampling: Upsampling, noise: nn.Module) -> nn.Sequential:
    """Twice the size."""
    doubled = doubling(upsampling, before, after, bias=kind == "none")
    return nn.Sequential(nn.ReLU(), doubled, norm_layer(kind, after), noise)


def _image(before: int, outputs: int, kind: Norm, upsampling: Upsampling) -> list[nn.Module]:
    """Twice the size, as an image."""
    if upsampling == "transposed":
        return [doubling(upsampling, before, outputs)]
    after = before // 4  # at full size, where channels are dear
    doubled = doubling(upsampling, before, after, bias=kind == "none")
    return [doubled, norm_layer(kind, after), nn.ReLU(), nn.Conv2d(after, outputs, 3, 1, 1)]
