"""Images that belong together, side by side: what was given, what was made of it, what it should have become."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def beside(*columns: Tensor) -> Tensor:
    """Images that belong together (n c h w each; of any size, grey or colour) as rows of one size: n k c h w."""
    size, channels = (max(each.shape[axis] for each in columns) for axis in (-1, 1))
    alike = [F.interpolate(each.float().cpu(), (size, size)) for each in columns]
    return torch.stack([each.expand(-1, channels if each.shape[1] == 1 else -1, -1, -1) for each in alike], 1)
