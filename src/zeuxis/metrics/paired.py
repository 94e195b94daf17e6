"""Full-reference metrics per image: L1, PSNR and SSIM; and luminance (Y)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from zeuxis.runtime.accelerator import to_float64

SSIM_WINDOW = 11  # pixels: smaller images have no SSIM
_SIGMA = 1.5  # pixels
_K1, _K2 = 0.01, 0.03
_RANGE = 2.0  # images are in [-1, 1]
_LUMA = (65.481, 128.553, 24.966)  # levels of red, green and blue at their most
_BLACK = 16  # levels

LEVELS = 255  # between black and white


def l1(image: Tensor, truth: Tensor) -> Tensor:
    """The mean absolute error (n), in 8-bit levels, of images (n c h w, in [-1, 1])."""
    return (to_float64(image) - to_float64(truth)).abs().mean((1, 2, 3)) * (LEVELS / _RANGE)


def luminance(image: Tensor) -> Tensor:
    """The luminance (n 1 h w, float64, in [-1, 1]) of images (n c h w, in [-1, 1], grey or colour): ITU-R BT.601's Y, on
    which papers on super-resolution compute PSNR and SSIM.

    Black is level 16 of 255 and white 235, as in video: PSNR is 1.3 dB higher than at full range.
    """
    colour = to_float64(image[:, :3] if image.shape[1] >= 3 else image[:, :1].expand(-1, 3, -1, -1))
    weights = torch.tensor(_LUMA, dtype=torch.float64, device=colour.device).view(1, 3, 1, 1)
    levels = _BLACK + ((colour + 1) / _RANGE * weights).sum(1, keepdim=True)
    return levels * (_RANGE / LEVELS) - 1


def psnr(image: Tensor, truth: Tensor) -> Tensor:
    """Peak signal to noise ratio in dB (n) of images (n c h w, in [-1, 1]); infinite for the same image."""
    return 10 * torch.log10(_RANGE**2 / (to_float64(image) - to_float64(truth)).square().mean((1, 2, 3)))


def ssim(image: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity (n), 1 for the same image, of images (n c h w, in [-1, 1], at least 11 pixels wide).

    Means, variances and covariances use a Gaussian window (Wang 2004, equation 13); SSIM is averaged over all full
    windows and channels. Black is 0, as in files, since the luminance term compares ratios.
    """
    x, y = to_float64(image) + 1, to_float64(truth) + 1
    kernel = torch.exp(
        -((torch.arange(SSIM_WINDOW, device=x.device).double() - SSIM_WINDOW // 2) ** 2) / (2 * _SIGMA**2)
    )
    kernel /= kernel.sum()

    def local(values: Tensor) -> Tensor:
        planes = values.flatten(0, 1)[:, None]
        planes = F.conv2d(F.conv2d(planes, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))
        return planes.view(*values.shape[:2], *planes.shape[2:])

    mean_x, mean_y = local(x), local(y)
    variance = local(x * x) - mean_x**2, local(y * y) - mean_y**2
    covariance = local(x * y) - mean_x * mean_y
    c1, c2 = (_K1 * _RANGE) ** 2, (_K2 * _RANGE) ** 2
    above = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    below = (mean_x**2 + mean_y**2 + c1) * (variance[0] + variance[1] + c2)
    return (above / below).mean((1, 2, 3))
