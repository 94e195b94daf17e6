"""A model made ready for others: its weights, its card, samples and scores, in a folder or on the Hugging Face hub."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from zeuxis import hub, loading
from zeuxis.api.drawing import sample
from zeuxis.api.examples import EXAMPLE_COUNT, SOURCES, own_sources, source_strip, translated_examples
from zeuxis.api.models import Family
from zeuxis.data.places import is_named
from zeuxis.errors import UsageError
from zeuxis.io import files
from zeuxis.io.paths import expanded
from zeuxis.io.weights import StoredPrecision
from zeuxis.judging.report import Evaluation, read_evaluation
from zeuxis.judging.training_data import run_of
from zeuxis.loading import RunPath
from zeuxis.model import Latent, Model, Translator
from zeuxis.training.published_card import published_card

_SAMPLES, _SLOW_SAMPLES = 64, 16  # on the sheet; of a model that takes many passes for each
_CARD = 1 << 20  # bytes


def publish(
    model: RunPath,
    name: str,
    *,
    private: bool = False,
    revision: str | None = None,
    license: str | None = None,
    precision: StoredPrecision | None = None,
    out: str | Path | None = None,
    family: Family = None,
) -> str:
    """Publish a model on the Hugging Face hub as `name`, USER/NAME, in one commit; the commit's address.

    It holds config.json, model.safetensors, README.md (the card), samples.png, and evaluation.json where the model has
    been evaluated. `license` is that of the weights as the hub names it, `precision` fp16 halves the weights. `private`
    decides about a new repository, `revision` is a branch. With `out` they are written into that folder, which must be
    new or empty, and nothing is published. `UsageError` where the extra `hub` is missing, or the hub refuses.
    """
    target = None if out is not None else hub.HubModel(name, revision)
    page = None if target is None else f"{hub.page_of(name)}/resolve/{revision or 'main'}/samples.png"
    source = loading.find_model(model)
    loaded = loading.load_model(source, family=family)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _write_weights(loaded, source, folder, precision)
        shown = loading.load_model(folder, family=family)  # the weights that are published, as they are read again
        _write_rest(shown, source, folder, str(target or name), license=license, picture=page)
        if target is None:
            return str(_moved(folder, Path(expanded(str(out)))))
        return hub.upload(target, folder, private=private, message=f"{loaded.family()}, published by Zeuxis")


def _write_weights(model: Model, source: Path, folder: Path, precision: StoredPrecision | None) -> None:
    """config.json, which names the data where that is public, and the weights: as they are, or in another precision."""
    if precision is None:
        weights = files.read_bytes(source / "model.safetensors", max_bytes=1 << 36, follow=False)
        files.write_file(folder / "model.safetensors", weights)
        about = files.read_json(source / "config.json", follow=False)
    else:
        model.save(folder, precision=precision)
        about = files.read_json(folder / "config.json")
    data = loading.data_of(source)
    if data is not None and is_named(data):
        about |= {"data": str(data), **({"hold_out": data.hold_out.share} if data.hold_out else {})}
    files.write_file(folder / "config.json", json.dumps(about, indent=2).encode())


def _write_rest(
    model: Model, source: Path, folder: Path, name: str, *, license: str | None, picture: str | None
) -> None:
    """Samples, scores and the card. Of a translator whose data are the user's own no pictures are shown: they are that data."""
    data = loading.data_of(source)
    if isinstance(model, Latent):
        count = _SAMPLES if model.decode_nfe == 1 else _SLOW_SAMPLES
        sample(model, count).save(folder / "samples.png")
    elif isinstance(model, Translator) and data is not None and is_named(data):
        model.origin = source
        found = own_sources(model, EXAMPLE_COUNT)
        files.write_file(folder / SOURCES, source_strip(found))
        translated_examples(model, found).save(folder / "samples.png")
    if evaluation := _evaluation(source):
        files.write_file(folder / "evaluation.json", evaluation.to_json().encode())
    card = source / "README.md"
    text = files.read_bytes(card, max_bytes=_CARD, follow=False).decode("utf-8", "replace") if card.is_file() else ""
    shown = picture if (folder / "samples.png").exists() else None
    told = published_card(text, model, name=name, license=license, data=data, evaluation=evaluation, thumbnail=shown)
    files.write_file(folder / "README.md", told.encode())


def _evaluation(source: Path) -> Evaluation | None:
    """The scores that `zeuxis evaluate` left beside the model, or in its run."""
    place = (run_of(source) or source) / "evaluation.json"
    return read_evaluation(place) if place.is_file() else None


def _moved(folder: Path, target: Path) -> Path:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} is not empty; choose a new or empty folder")
    files.make_folder(target)
    for path in sorted(folder.iterdir(), key=lambda path: path.name == "config.json"):  # the description goes last
        files.write_file(target / path.name, path.read_bytes())
    return target
