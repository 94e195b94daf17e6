"""A convolutional VAE as it is commonly written: strided convolutions and batch norm, squared error and KL, plain Adam."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Adam

LATENT_DIM = 64


def networks(size: int, channels: int, width: int = 32) -> tuple[nn.Sequential, nn.Sequential]:
    """An encoder (n c h w to n 128: means and log variances) and a decoder (n 64 to n c h w); `size` a power of two."""
    doublings = size.bit_length() - 3
    if size < 8 or size != 4 << doublings:
        raise ValueError(f"size is {size}; the textbook's networks take a power of two, at least 8")
    widths = [channels, *(width << i for i in range(doublings))]
    down: list[nn.Module] = []
    for i, (before, after) in enumerate(zip(widths, widths[1:])):
        down += [nn.Conv2d(before, after, 4, 2, 1), nn.BatchNorm2d(after) if i else nn.Identity(), nn.LeakyReLU(0.1)]
    down += [nn.Flatten(), nn.Linear(widths[-1] * 16, 2 * LATENT_DIM)]
    up: list[nn.Module] = [nn.Linear(LATENT_DIM, widths[-1] * 16), nn.Unflatten(1, (widths[-1], 4, 4))]
    for before, after in zip(widths[::-1], widths[-2::-1]):
        up += [nn.BatchNorm2d(before), nn.LeakyReLU(0.1), nn.ConvTranspose2d(before, after, 4, 2, 1)]
    return nn.Sequential(*down), nn.Sequential(*up)


def step(encoder: nn.Module, decoder: nn.Module, adam: Adam, image: Tensor) -> float:
    """One step on images (n c h w, in [-1, 1]); the loss, with noise 2 in the likelihood as Zeuxis has it."""
    adam.zero_grad()
    mean, log_variance = encoder(image).chunk(2, dim=1)
    z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
    error = (image - torch.tanh(decoder(z))).pow(2).sum((1, 2, 3)) / 8
    kl = -0.5 * (1 + log_variance - mean.pow(2) - log_variance.exp()).sum(1)
    loss = (error + kl).mean()
    loss.backward()
    adam.step()
    return float(loss.item())
