"""The contact sheets of a run: real images once, samples of the average on seeds that stay the same, what is inside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from zeuxis import files, health, images
from zeuxis.model import Encoder, Latent, Model
from zeuxis.training import Source

COUNT = 64  # images on a sheet
_COLUMNS = 8


@dataclass(frozen=True)
class Reals:
    """Real images (n c h w), and how diverse they are; None where there are too few to tell."""

    images: Tensor
    diversity: float | None

    def compare(self, samples: Tensor) -> dict[str, float]:
        """The samples' diversity (n c h w), that of real images being 1, as a column of a row of metrics."""
        if not self.diversity:
            return {}
        return {"samples/diversity": health.diversity(samples) / self.diversity}


def look_at(source: Source, count: int) -> Reals:
    """The first of the source's images, of `count` there are, and how diverse they are."""
    real = source.batch(0, min(COUNT, count)).image
    return Reals(real, health.diversity(real) if len(real) > 1 else None)


@torch.no_grad()
def samples(model: Model) -> Tensor | None:
    """Images (n c h w) for the fixed seeds, or None of a model without a latent space."""
    return model.sample(COUNT) if isinstance(model, Latent) else None


@torch.no_grad()
def inside(model: Model, real: Tensor) -> dict[str, Tensor]:
    """Pictures (n c h w) by name: what the family shows of itself, and of one that encodes real images made again."""
    found = dict(model.figures())
    if isinstance(model, Encoder):
        given = real[: COUNT // 2]
        found["reconstructions"] = torch.stack((given, model.decode(model.encode(given))), 1).flatten(0, 1)
    return found


def draw(pictures: Tensor, path: Path) -> Image.Image:
    """Write images (n c h w, in [-1, 1]) as a contact sheet; the sheet."""
    files.make_folder(path.parent)
    sheet = images.sheet(pictures.cpu(), columns=_COLUMNS)
    images.write_png(sheet, path)
    return sheet


def write_text(path: Path, text: str) -> None:
    """Write a text file, if it is not there already as it should be."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        files.write_file(path, text.encode())
