"""The image pool of CycleGAN: generated images of earlier steps for the discriminator."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ImagePool(nn.Module):
    """A history of generated images for the discriminator (Shrivastava 2017, section 2.3).

    The pool is a buffer, kept by a resume.
    """

    images: Tensor  # size c h w
    filled: Tensor  # how many of them are there

    def __init__(self, size: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.register_buffer("images", torch.zeros(size, *shape))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))

    def draw(self, made: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Images (n c h w) for the discriminator, given generated ones, and the arguments of `keep`: slots in the pool,
        and which of them take a new image.

        Until the pool is full, images pass unchanged and are stored; then each is swapped for a stored one with
        probability 1/2.
        """
        size = len(self.images)
        new = made[:size]  # no more than all of the pool are exchanged at once
        # All on the images' own device and of fixed shapes, so that an accelerator is never waited for.
        filled = self.filled.clamp(0, size)  # within the pool, whatever a checkpoint says that somebody else made
        at = filled + torch.arange(len(new), device=made.device)
        fresh = at < size
        there = torch.arange(size, device=made.device) < filled
        olds = torch.rand(size, device=made.device).where(there, 2.0).argsort()  # those that are there come first
        slots = at.where(fresh, olds[(at - size).clamp(min=0)])
        old = ~fresh & (torch.rand(len(new), device=made.device) < 0.5)
        kept = self.images[slots].to(made.dtype)
        return torch.cat((kept.where(old[:, None, None, None], new), made[size:])), (slots, old | fresh)

    def keep(self, made: Tensor, places: tuple[Tensor, Tensor]) -> None:
        """Store the images in the slots from `draw`."""
        slots, given = places
        if not len(slots):
            return
        new = made[: len(slots)].float().where(given[:, None, None, None], self.images[slots])
        self.images.index_copy_(0, slots, new)
        self.filled.copy_(torch.maximum(self.filled, slots.max() + 1))
