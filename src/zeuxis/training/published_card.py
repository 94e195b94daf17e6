"""The model card of a published model: a YAML head as the Hugging Face hub reads it, samples, and scores."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from zeuxis.data import DataSpec
from zeuxis.data.places import is_named, named_sets_of
from zeuxis.errors import UsageError
from zeuxis.escaping import markdown
from zeuxis.io.parsing import dump_yaml, parse_yaml
from zeuxis.judging.report import Evaluation
from zeuxis.model import Model, Translator
from zeuxis.training.model_card import LOADED

LIBRARY = "zeuxis"
_FENCE = "---\n"
_SCORES = "\n## Scores\n"
_PICTURE = "![Samples](samples.png)\n"
# Scores by the names that the hub has for metrics, up to the feature network in brackets.
_METRICS = {
    "FID": "fid",
    "KID": "kid",
    "precision": "precision",
    "recall": "recall",
    "PSNR (dB)": "psnr",
    "SSIM": "ssim",
}


def head_of(card: str) -> Mapping[str, Any]:
    """The values in the YAML head of a card; none where it has no head that can be read."""
    text = _parted(card)[0]
    try:
        found = parse_yaml(text.encode(), "the card")
    except UsageError:
        return {}
    return found if isinstance(found, dict) else {}


def without_head(card: str) -> str:
    """The card without its YAML head."""
    return _parted(card)[1]


def _parted(card: str) -> tuple[str, str]:
    if not card.startswith(_FENCE) or f"\n{_FENCE}" not in card[3:]:
        return "", card
    text, _, rest = card[len(_FENCE) :].partition(f"\n{_FENCE}")
    return text, rest.lstrip("\n")


def published_card(
    card: str,
    model: Model,
    *,
    name: str,
    license: str | None = None,
    data: DataSpec | None = None,
    evaluation: Evaluation | None = None,
    thumbnail: str | None = None,
) -> str:
    """The card of a model that is loaded by `name`; `card` is the one it has, of which a head and scores are renewed.

    `license` is that of the weights, as the hub names it, by default that of the head before. `thumbnail` is the address
    of the picture.
    """
    licensed = license or head_of(card).get("license")
    head = {
        "library_name": LIBRARY,
        **({"license": licensed} if licensed else {}),
        "pipeline_tag": _task(model),
        "tags": [LIBRARY, model.family().rpartition(":")[2], "generative-model", _task(model)],
        **({"datasets": sets} if (sets := _set_names(data)) else {}),
        **({"thumbnail": thumbnail} if thumbnail else {}),
        **(_scores(evaluation, name, model, sets) if evaluation else {}),
    }
    return f"{_FENCE}{dump_yaml(head).decode()}{_FENCE}\n{_body(card, name)}{_table(evaluation) if evaluation else ''}"


def _task(model: Model) -> str:
    return "image-to-image" if isinstance(model, Translator) else "unconditional-image-generation"


def _set_names(data: DataSpec | None) -> list[str]:
    """The named sets of the data, without splits and counts; none where it has paths of the user's own."""
    return [each.name for each in named_sets_of(data)] if data is not None and is_named(data) else []


def _scores(evaluation: Evaluation, name: str, model: Model, sets: list[str]) -> dict[str, Any]:
    """The metrics, and the scores as the hub lists them."""
    known = [(row, _METRICS[kind]) for row in evaluation.rows if (kind := row.name.partition("[")[0]) in _METRICS]
    found = [{"type": kind, "name": row.name, "value": round(row.score.value, 4)} for row, kind in known]
    if not found:
        return {}
    about = {"name": str(evaluation.about["data"]), "type": sets[0] if sets else "images"}
    results = [{"task": {"type": _task(model)}, "dataset": about, "metrics": found}]
    title = name.rpartition("/")[2].partition("@")[0]
    return {
        "metrics": list(dict.fromkeys(kind for _, kind in known)),
        "model-index": [{"name": title, "results": results}],
    }


def _body(card: str, name: str) -> str:
    """The text with the samples under its title, loaded by its name, up to the scores."""
    text = without_head(card).partition(_SCORES)[0].replace(f"{_PICTURE}\n", "")
    loads = re.compile(r'zeuxis\.load\("[^"\n]*"\)')
    title, _, rest = loads.sub(lambda _: LOADED.replace("path/to/this/folder", name), text).partition("\n")
    return f"{title or '# ' + markdown(name)}\n\n{_PICTURE}\n{rest.strip()}\n"


def _table(evaluation: Evaluation) -> str:
    """The scores as a table in Markdown, and how they were measured."""
    about = evaluation.about
    rows = [" | ".join(markdown(cell) for cell in row.cells()[:4]) for row in evaluation.rows]
    lines = ["| score | model | 95 % interval | real images |", "|---|---|---|---|", *(f"| {row} |" for row in rows)]
    told = f"{about['samples']:,} samples against {markdown(str(about['against']))}, by `zeuxis evaluate`."
    return "\n".join([_SCORES, told, "", *lines, ""])
