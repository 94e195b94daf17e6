"""The report of an evaluation: scores with intervals and baselines, warnings; as a table, as JSON, and as a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from PIL import Image

from zeuxis import renamed
from zeuxis.errors import UsageError
from zeuxis.escaping import ascii_json
from zeuxis.io import files, images
from zeuxis.io.paths import expanded
from zeuxis.judging.verdict import flattering, verdict
from zeuxis.scores import Better, Score
from zeuxis.version import __version__

if TYPE_CHECKING:
    from torch import Tensor

    from zeuxis.model import Model

_TILE = 96  # pixels: smaller pictures are enlarged to about this


@dataclass(frozen=True)
class ScoreRow:
    """A score of the model beside its baselines.

    `real` is the score of real images in the place of the samples, None where it has no meaning; `beside` has those of
    other baselines, by name; `of` is the number of images scored, where it is not that of the samples.
    """

    name: str
    score: Score
    real: float | None = None
    better: Better = ""
    beside: Mapping[str, float] = field(default_factory=dict)
    of: int | None = None

    def plain(self) -> dict[str, Any]:
        """As plain values; None in the place of values that are not finite."""
        values = {"value": self.score.value, "low": self.score.low, "high": self.score.high, "real": self.real}
        others: dict[str, Any] = {"beside": _finite(self.beside)} if self.beside else {}
        others |= {} if self.of is None else {"of": self.of}
        return {"name": self.name, **_finite(values), "better": self.better, **others}

    def cells(self, others: Sequence[str] = ()) -> tuple[str, ...]:
        """As a line of the table, with a column for each of the other baselines."""
        low, high = self.score.low, self.score.high
        interval = f"{format_score(low)} to {format_score(high)}" if math.isfinite(low) else ""
        return (
            self.name if self.of is None else f"{self.name}, of {self.of:,}",
            format_score(self.score.value),
            interval,
            "" if self.real is None else format_score(self.real),
            *(format_score(self.beside[name]) if name in self.beside else "" for name in others),
            self.better,
        )


def _finite(values: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: value if value is not None and math.isfinite(value) else None for name, value in values.items()}


@dataclass(frozen=True)
class ClosestPair:
    """A sample and its nearest training image (c h w, in [-1, 1] each), and the distance of their features."""

    sample: Tensor
    training: Tensor
    distance: float


@dataclass(frozen=True, repr=False)
class Evaluation:
    """Scores in the order of the table; `about` says which model was judged, and by which images.

    `closest` has the samples nearest to a training image; `examples` (n k c h w) rows of source, translation and target.
    """

    about: Mapping[str, Any]
    rows: Sequence[ScoreRow]
    warnings: Sequence[str] = ()
    closest: Sequence[ClosestPair] = field(default_factory=list)
    examples: Tensor | None = None

    def __getitem__(self, name: str) -> Score:
        """The score of that name; `KeyError` where there is none."""
        return {row.name: row.score for row in self.rows}[name]

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def values(self) -> dict[str, Any]:
        """All but the pictures, as plain values."""
        return {
            "about": dict(self.about),
            "scores": [row.plain() for row in self.rows],
            "in_words": self.in_words(),
            "warnings": list(self.warnings),
        }

    def in_words(self) -> list[str]:
        """What the scores say together; nothing for a translator."""
        return verdict({row.name: row for row in self.rows})

    def to_json(self) -> str:
        """As strict JSON."""
        return ascii_json(self.values())

    def lines(self) -> list[str]:
        """As text: the model and the images, the table, the warnings."""
        about = self.about
        head = f"{about['samples']:,} samples of {about['model']} against {about['against']}"
        network = f"features: {about['dimensions']:,} of {about['features']}, of images {about['images_seen']}"
        others = list(dict.fromkeys(name for row in self.rows for name in row.beside))
        heads = ("score", "model", "95 % interval", "real images", *others, "better")
        lines = [head, network, "", *table_lines([heads, *(self._cells(row, others) for row in self.rows)])]
        told = [*(f"in words: {text}" for text in self.in_words()), *(f"warning: {text}" for text in self.warnings)]
        return [*lines, *([""] if told else []), *told]

    def _cells(self, row: ScoreRow, others: Sequence[str]) -> tuple[str, ...]:
        """The cells of a row; a score that looks good only because samples crowd says so."""
        cells = row.cells(others)
        crowded = row.name.partition("[")[0] in flattering({each.name: each for each in self.rows})
        return (*cells[:-1], f"{cells[-1]}; see recall") if crowded else cells

    def save(self, folder: str | Path) -> list[Path]:
        """Write evaluation.json, and closest.png or translations.png, into a folder that is made if need be; their paths."""
        place = Path(expanded(str(folder)))
        written = [place / "evaluation.json", place / ("closest.png" if self.examples is None else "translations.png")]
        files.make_folder(place)
        files.write_file(written[0], self.to_json().encode())
        images.write_png(self.picture(), written[1])
        return written

    def picture(self) -> Image.Image:
        """The samples nearest to a training image, the nearest first, each above that image; or the examples."""
        if self.examples is not None:
            across = 2 * self.examples.shape[1]
            return images.sheet(self.examples.flatten(0, 1), columns=across, scale=_scale(self.examples))
        import torch  # only here: a list of runs reads scores, and draws nothing

        tiles = torch.stack([pair.sample for pair in self.closest] + [pair.training for pair in self.closest])
        return images.sheet(tiles, columns=len(self.closest), scale=_scale(tiles))


def _scale(tiles: Tensor) -> int:
    return max(1, round(_TILE / tiles.shape[-1]))


def about_model(model: Model, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The `about` of an evaluation: the model, a digest of its weights, these facts, and the version that judged it."""
    from zeuxis.metrics.features import digest

    weights = digest(model.state_dict())
    return {"model": model.family(), "weights": weights, **facts, "zeuxis": __version__}


def read_evaluation(path: str | Path) -> Evaluation:
    """The evaluation that `to_json` wrote into a file, without the pictures; `UsageError` where it is something else.

    Scores stored under a name of before have the name of today.
    """
    values = files.read_json(path, follow=False)
    try:
        rows = [_row(row) for row in values["scores"]]
        return Evaluation(dict(values["about"]), rows, [str(text) for text in values["warnings"]])
    except (TypeError, KeyError, ValueError, AttributeError):
        raise UsageError(f"{path} is not what zeuxis evaluate writes; evaluate the model again") from None


def _row(row: Mapping[str, Any]) -> ScoreRow:
    value, low, high = (math.nan if row[name] is None else float(row[name]) for name in ("value", "low", "high"))
    real, better = row["real"], row["better"]
    if better not in get_args(Better) or not isinstance(row["name"], str):
        raise ValueError(better)
    beside = {str(name): math.nan if v is None else float(v) for name, v in row.get("beside", {}).items()}
    of = row.get("of")
    return ScoreRow(
        renamed.SCORES.get(row["name"], row["name"]),
        Score(value, low, high),
        None if real is None else float(real),
        better,
        beside,
        None if of is None else int(of),
    )


def table_lines(cells: Sequence[Sequence[str]]) -> list[str]:
    """A table as text: the first and the last column aligned left, the others right."""
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    return ["  ".join(_aligned(row, widths)).rstrip() for row in cells]


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    last = len(row) - 1
    return [
        cell.ljust(width) if i in (0, last) else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))
    ]


def format_score(value: float) -> str:
    """A score with about three significant digits, its thousands separated."""
    if not math.isfinite(value):
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    digits = 3 if abs(value) < 1 else 2 if abs(value) < 10 else 1
    return f"{value:.{digits}f}" if abs(value) >= 0.01 or value == 0 else f"{value:.2g}"
