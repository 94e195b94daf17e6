"""What a notebook shows of a model: some of its images."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from zeuxis.errors import ZeuxisError
from zeuxis.io.pictures import Images
from zeuxis.io.sheets import beside

SHOWN = 16  # images


class ShowsImages(nn.Module):
    """A module that a notebook shows by images."""

    def notebook_images(self) -> Images | None:
        """Some images for a notebook; None where there are none to show."""
        return None

    def _repr_png_(self) -> bytes | None:
        modes = {module: module.training for module in self.modules()}  # in training, batch norm would learn from it
        try:
            found = self.eval().notebook_images()
        except ZeuxisError:
            return None  # the notebook shows the options instead
        finally:
            for module, training in modes.items():
                module.training = training
        return None if found is None else found._repr_png_()


@torch.no_grad()
def beside_sources(sources: Tensor, translate: Callable[[Tensor], Tensor], device: torch.device) -> Images:
    """Sources (n c h w), each beside its translation, two pairs in a row."""
    return Images(beside(sources, translate(sources.to(device))).flatten(0, 1)).in_columns(4)
