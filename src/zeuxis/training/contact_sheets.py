"""The contact sheets of a run: real images, images of the EMA for fixed seeds or sources, and visualisations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from zeuxis.data.batches import PairSource, open_held_out_pairs
from zeuxis.io import files, images
from zeuxis.io.sheets import beside
from zeuxis.model import Batch, Encoder, Latent, Model, Translator
from zeuxis.storage import RunFolder
from zeuxis.training import diagnostics
from zeuxis.training.config import Recipe
from zeuxis.training.engine import Source

COUNT = 64  # images on a sheet
EXAMPLES = 24  # translations on a sheet
_COLUMNS = 8


@dataclass(frozen=True)
class Reals:
    """The references of the contact sheets: real images (n c h w), their diversity (None where too few), and for a
    translator the sources and targets."""

    images: Tensor
    diversity: float | None
    examples: Batch | None = None

    def compare(self, samples: Tensor) -> dict[str, float]:
        """The diversity of samples (n c h w), relative to real images, as a column of the metrics."""
        if not self.diversity:
            return {}
        return {"samples/diversity": diagnostics.diversity(samples) / self.diversity}


@dataclass(frozen=True)
class Sheet:
    """Images by a model (n c h w), and the tiles (m c h w, in [-1, 1]) of their contact sheet, row by row."""

    made: Tensor
    tiles: Tensor
    columns: int = _COLUMNS


def look_at(source: Source, count: int, *, held_out: Source | None = None) -> tuple[Sheet, Reals]:
    """The references: the first of the source's `count` images, and held-out pairs if any."""
    batch = source.batch(0, min(COUNT, count))
    diversity = diagnostics.diversity(batch.image) if len(batch.image) > 1 else None
    if batch.source is None:
        return Sheet(batch.image, batch.image), Reals(batch.image, diversity)
    examples = (held_out or source).batch(0, min(EXAMPLES, count))
    return Sheet(batch.image, beside(batch.source, batch.image).flatten(0, 1)), Reals(batch.image, diversity, examples)


@torch.no_grad()
def samples(model: Model, reals: Reals) -> Sheet | None:
    """Samples of the fixed seeds, or translations of the examples; None for other models.

    Each row: source, translation, target; then the translation of the target where there is a reverse direction.
    """
    if isinstance(model, Latent):
        made = model.sample(COUNT)
        return Sheet(made, made)
    if not isinstance(model, Translator) or reals.examples is None or reals.examples.source is None:
        return None
    source, truth = reals.examples.source, reals.examples.image
    made = model.translate(source)
    backs = [model.translate(truth, direction) for direction in model.directions[1:]]
    tiles = beside(source, made, truth, *backs).flatten(0, 1)
    return Sheet(made, tiles, columns=(3 + len(backs)) * (4 - len(backs)))


@torch.no_grad()
def inside(model: Model, reals: Reals) -> dict[str, Sheet]:
    """The family's diagnostics by name, and reconstructions where it has an encoder."""
    found = dict(model.diagnostics())
    if isinstance(model, Encoder):
        given = reals.images[: COUNT // 2]
        found["reconstructions"] = torch.stack((given, model.decode(model.encode(given))), 1).flatten(0, 1)
    return {name: Sheet(shown, shown) for name, shown in found.items()}


def draw(sheet: Sheet, path: Path) -> Image.Image:
    """Write a contact sheet; the image."""
    files.make_folder(path.parent)
    picture = images.sheet(sheet.tiles.cpu(), columns=sheet.columns)
    images.write_png(picture, path)
    return picture


def write_text(path: Path, text: str) -> None:
    """Write a text file, unless it has that content already."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        files.write_file(path, text.encode(errors="backslashreplace"))


def reals_of(run: RunFolder, recipe: Recipe, model: Model, source: Source) -> Reals:
    """The references of a run; the sheet of its real images is written if missing."""
    sheet, reals = look_at(source, recipe.images, held_out=_held_out(recipe, model))
    if not (run.path / "reals.png").exists():
        draw(sheet, run.path / "reals.png")
    return reals


def _held_out(recipe: Recipe, model: Model) -> PairSource | None:
    """Held-out pairs for a translator, where there are any."""
    parted = recipe.data.held_out(EXAMPLES)
    if not isinstance(model, Translator) or parted is None:
        return None
    unseen = open_held_out_pairs(parted[1], model, EXAMPLES)
    return PairSource(unseen, seed=0, device=recipe.settings.device)
