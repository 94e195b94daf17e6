"""Small untrained models: their pictures are noise, but each latent has its own."""

from __future__ import annotations

from pathlib import Path

import torch

from zeuxis.families import find

CARD = """# Faces of [noise](https://example.org/noise)

Drawn by **nobody**, <script>alert(1)</script> and [none](javascript:alert(1)).

| option | value |
|---|---|
| `size` | 16 |

- untrained
- small
"""


def saved_model(family: str, folder: Path) -> Path:
    """A model of the family, saved in the folder with a card."""
    torch.manual_seed(0)
    find(family)(size=16, channels=3, latent_dim=24).save(folder)
    (folder / "README.md").write_text(CARD)
    return folder
