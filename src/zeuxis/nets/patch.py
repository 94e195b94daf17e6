"""The PatchGAN discriminator (Isola 2017, appendix 6.1.2)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from zeuxis.nets.conv import widths
from zeuxis.nets.norm import Norm, norm_layer

Field = Literal[1, 16, 70, 286]  # receptive field of one score, in pixels
_HALVINGS = {16: 1, 70: 3, 286: 5}


class Patch(nn.Module):
    """Images (n c h w) to scores (n 1 h' w'), each with a receptive field of `field` by `field` pixels.

    For images of a smaller `size`, the last strided convolutions are omitted; the receptive field covers the image.
    """

    def __init__(self, channels: int, *, width: int, field: Field, norm: Norm, size: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*(_pixels(channels, width, norm) if field == 1 else []))
        if field > 1:
            halvings = max(1, min(_HALVINGS[field], (size // 3).bit_length() - 1))  # down to 3 pixels or more
            self.body = nn.Sequential(*_convolutions(channels, width, norm, halvings))

    def forward(self, image: Tensor) -> Tensor:
        scores: Tensor = self.body(image)
        return scores


def _pixels(channels: int, width: int, kind: Norm) -> list[nn.Module]:
    """PixelGAN: convolutions of 1 by 1, a score per pixel."""
    second = [nn.Conv2d(width, 2 * width, 1, bias=kind == "none"), norm_layer(kind, 2 * width), nn.LeakyReLU(0.2)]
    return [nn.Conv2d(channels, width, 1), nn.LeakyReLU(0.2), *second, nn.Conv2d(2 * width, 1, 1)]


def _convolutions(channels: int, width: int, kind: Norm, halvings: int) -> list[nn.Module]:
    """Convolutions of 4 by 4: so many with stride 2, then two with stride 1."""
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
    counts = widths(halvings + 1, width)
    for i, (before, after) in enumerate(zip(counts, counts[1:]), start=1):
        stride = 2 if i < halvings else 1
        layers += [
            nn.Conv2d(before, after, 4, stride, 1, bias=kind == "none"),
            norm_layer(kind, after),
            nn.LeakyReLU(0.2),
        ]
    return [*layers, nn.Conv2d(counts[-1], 1, 4, 1, 1)]
