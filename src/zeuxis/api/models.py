"""A saved model: loaded, and exported; and the models that are installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from zeuxis import inference, loading, onnx
from zeuxis.api.examples import own_sources
from zeuxis.capabilities import latent
from zeuxis.errors import UsageError
from zeuxis.io import files
from zeuxis.io.exported import note_export
from zeuxis.io.normals import seeded_normals
from zeuxis.io.paths import expanded
from zeuxis.judging.report import read_evaluation
from zeuxis.loading import RunPath
from zeuxis.loading.installed import InstalledModel, installed_models
from zeuxis.model import Latent, Model, Translator
from zeuxis.onnx import Exported
from zeuxis.options import Precision
from zeuxis.runtime.callbacks import MessageCallback, ProgressCallback
from zeuxis.runtime.device import choose_device
from zeuxis.storage.models import parse_description
from zeuxis.training.published_card import head_of, without_head

Family = type[Model] | str | None
Options = Mapping[str, Any] | None
_LATENTS = (0, 1, 2**40 + 7)  # seeds whose latents are compared


def load(
    path: RunPath,
    *,
    device: str = "auto",
    family: Family = None,
    options: Options = None,
    precision: Precision = "auto",
) -> Model:
    """The model saved in a folder, a run's folder, or the run of this number or name under runs/; an installed one by its
    name, as in "faces"; or one on the Hugging Face hub, "hf://USER/NAME". It is ready to be sampled.

    A model of a family outside Zeuxis is only loaded when `family` names its class. `options` are those that a trained
    model may be given anew, as by `Model.adjust`. `precision` is the number format of its pictures.
    `UsageError` where there is no model, its files do not fit, or a CPU has no instructions for bf16.
    """
    model = loading.load_model(path, device=choose_device(device), family=family, options=options)
    inference.draw_in(model, precision)
    if isinstance(model, Translator):
        model.sources = own_sources
    return model


@dataclass(frozen=True)
class ModelSummary:
    """An installed model: what made it, of which data (empty: not told), its size in pixels and in megabytes, its scores."""

    name: str
    family: str
    data: str
    size: int
    channels: int
    megabytes: float
    license: str
    scores: Mapping[str, float]
    distribution: str
    folder: Path


def available_models() -> list[ModelSummary]:
    """The models of installed packages, which `load` takes by their names; those that cannot be read are left out."""
    found = []
    for model in installed_models().values():
        try:
            found.append(_summary(model))
        except UsageError:
            continue
    return found


def _summary(model: InstalledModel) -> ModelSummary:
    folder, scores = model.folder, model.folder / "evaluation.json"
    about = parse_description(files.read_bytes(folder / "config.json", max_bytes=1 << 20), folder)
    size, channels = (int(about["options"].get(name, 0)) for name in ("size", "channels"))
    return ModelSummary(
        model.name,
        about["family"],
        str(about.get("data", "")),
        size,
        channels,
        round((folder / "model.safetensors").stat().st_size / 1e6, 2),
        str(head_of(_card_in(folder)).get("license", "")),
        {row.name: row.score.value for row in read_evaluation(scores).rows} if scores.is_file() else {},
        model.distribution,
        folder,
    )


def _card_in(folder: Path) -> str:
    card = folder / "README.md"
    return files.read_bytes(card, max_bytes=1 << 20).decode("utf-8", "replace") if card.is_file() else ""


@dataclass(frozen=True)
class ExportedPage:
    """The written page: its path, its size in bytes, and the number format of its weights."""

    path: Path
    size: int
    precision: str


def export(model: Model | RunPath, out: str | Path | None = None, *, family: str | None = None) -> Exported:
    """Write a model's way from latents to images as an ONNX file, by default `model.onnx` in its run's folder, or here.

    The card of a saved model goes with it, and `zeuxis sample` draws with a file that lies beside the model. `UsageError`
    where the extra `export` is missing, or ONNX cannot do what the family does.
    """
    if isinstance(model, Model) and model.origin is None:
        return onnx.export_onnx(latent(model), expanded(str(out or "model.onnx")))
    folder = loading.find_model(_saved(model))
    run = folder.parent if (folder.parent / "config.yaml").is_file() else Path()
    target = expanded(str(out)) if out else run / "model.onnx"
    able = latent(model if isinstance(model, Model) else load(folder, device="cpu", family=family))
    written = onnx.export_onnx(able, target, card=without_head(_card_in(folder)))
    if not isinstance(model, Model) and _is_normal(able):  # one in memory may be another than the saved one
        note_export(folder, written.path)
    return written


def _is_normal(model: Latent) -> bool:
    """Whether the latents of seeds are the normal numbers that are drawn without PyTorch, too."""
    z = model.prior(_LATENTS)
    drawn = [torch.from_numpy(seeded_normals(seed, z[0].numel())) for seed in _LATENTS]
    return torch.allclose(z.cpu().flatten(1), torch.stack(drawn), atol=1e-5)


def _saved(model: Model | RunPath) -> RunPath:
    """Where a model is saved."""
    if not isinstance(model, Model):
        return model
    if model.origin is None:
        raise UsageError(f"this {model.family()} is not saved; save it first, as in: model.save('folder')")
    return model.origin


def export_page(
    model: Model | RunPath,
    out: str | Path,
    *,
    directions: Sequence[str] = (),
    runtime: str | Path | None = None,
    family: str | None = None,
    report: MessageCallback | None = None,
    progress: ProgressCallback | None = None,
) -> ExportedPage:
    """Write a saved model (as it is saved) as a page that needs no server: an .html file, or a folder for a web host.

    `directions` are its sliders: attributes of the training data, or "components". `runtime` is a folder or .tgz of
    onnxruntime-web, fetched once if not given. `report` is told how well attributes can be read, `progress` how many
    images are decoded, of how many. `UsageError` where the extra `export` is missing, or the family cannot be exported.
    """
    from zeuxis.web.carried import carried
    from zeuxis.web.served import open_served
    from zeuxis.web.single_file import is_file, write_page

    place = Path(expanded(str(out)))
    if not is_file(place) and place.suffix:
        raise UsageError(f"--page is {out}; expected a name that ends in .html, or a folder")
    trusted = model.family() if isinstance(model, Model) else family
    served = open_served(_saved(model), device="cpu", family=trusted)
    held = carried(served, wanted=directions, runtime=runtime, report=report, progress=progress)
    return ExportedPage(place, write_page(held, place), held.networks.precision)
