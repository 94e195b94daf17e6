"""A ResNet generator: residual blocks between two down- and upsamplings (Johnson 2016; Zhu 2017, appendix 7.2)."""

from __future__ import annotations

from torch import Tensor, nn

from zeuxis.nets.conv import Upsampling, doubling
from zeuxis.nets.noise import Noise
from zeuxis.nets.norm import Norm, norm_layer, padded


class Residual(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self, channels: int, kind: Norm, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1, padding_mode="reflect", bias=kind == "none"),
            norm_layer(kind, channels),
            nn.ReLU(),
            Noise(dropout),
            nn.Conv2d(channels, channels, 3, 1, 1, padding_mode="reflect", bias=kind == "none"),
            norm_layer(kind, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.body(x)
        return y


class ResNet(nn.Module):
    """Images (n inputs h w) to images (n outputs h w) in [-1, 1], of any height and width.

    `transposed` upsamples by transposed convolutions, `nearest` by `ResizeConv2d`.
    """

    multiple = 4

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        width: int,
        blocks: int,
        norm: Norm = "instance",
        dropout: float = 0.0,
        upsampling: Upsampling = "transposed",
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_layer(nn.Conv2d(inputs, width, 7, 1, 3, padding_mode="reflect", bias=norm == "none"), norm),
            *_layer(nn.Conv2d(width, 2 * width, 3, 2, 1, bias=norm == "none"), norm),
            *_layer(nn.Conv2d(2 * width, 4 * width, 3, 2, 1, bias=norm == "none"), norm),
            *(Residual(4 * width, norm, dropout) for _ in range(blocks)),
            *_layer(doubling(upsampling, 4 * width, 2 * width, kernel=3, bias=norm == "none"), norm),
            *_layer(doubling(upsampling, 2 * width, width, kernel=3, bias=norm == "none"), norm),
            nn.Conv2d(width, outputs, 7, 1, 3, padding_mode="reflect"),
            nn.Tanh(),
        )

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        result: Tensor = self.body(padded(image, self.multiple))[..., :height, :width]
        return result


def _layer(convolution: nn.Conv2d | nn.ConvTranspose2d, kind: Norm) -> list[nn.Module]:
    return [convolution, norm_layer(kind, convolution.out_channels), nn.ReLU()]
