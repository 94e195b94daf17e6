"""A saved model: loaded, and exported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zeuxis import loading, onnx
from zeuxis.capabilities import latent
from zeuxis.io import files
from zeuxis.io.paths import expanded
from zeuxis.model import Model
from zeuxis.onnx import Exported
from zeuxis.runtime.device import choose_device

Family = type[Model] | str | None
Options = Mapping[str, Any] | None


def load(path: str | Path, *, device: str = "auto", family: Family = None, options: Options = None) -> Model:
    """The model saved in a folder, a run's folder, or the run of this number or name under runs/; ready to be sampled.

    A model of a family outside Zeuxis is only loaded when `family` names its class. `options` are those that a trained
    model may be given anew, as by `Model.adjust`.
    """
    return loading.load_model(path, device=choose_device(device), family=family, options=options)


def export(model: str | Path, out: str | Path | None = None, *, family: str | None = None) -> Exported:
    """Write a saved model's way from latents to images as an ONNX file, by default `model.onnx` in its run's folder.

    The model's card goes with it. `UsageError` where the extra `export` is missing, or ONNX cannot do what the family does.
    """
    folder = loading.find_model(model)
    run = folder.parent if (folder.parent / "config.yaml").is_file() else Path()
    card = folder / "README.md"
    text = files.read_bytes(card, max_bytes=1 << 20).decode("utf-8", "replace") if card.is_file() else ""
    target = expanded(str(out)) if out else run / "model.onnx"
    return onnx.export_onnx(latent(load(folder, device="cpu", family=family)), target, card=text)
