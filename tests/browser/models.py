"""Small untrained models: their pictures are noise, but each latent has its own."""

from __future__ import annotations

from pathlib import Path

import torch

from zeuxis.families import find


def saved_model(family: str, folder: Path) -> Path:
    """A model of the family, saved in the folder."""
    torch.manual_seed(0)
    find(family)(size=16, channels=3, latent_dim=24).save(folder)
    return folder
