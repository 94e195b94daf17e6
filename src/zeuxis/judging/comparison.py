"""Comparison of runs: scores in one table, samples of the same seeds on one contact sheet."""

from __future__ import annotations

import base64
import csv
import html
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from zeuxis import loading, renamed
from zeuxis.capabilities import latent
from zeuxis.errors import UsageError
from zeuxis.escaping import printable, table_cell
from zeuxis.inference import prepared
from zeuxis.io import files, images
from zeuxis.io.paths import expanded
from zeuxis.judging.branches import Fork, forks_of
from zeuxis.judging.groups import NOTE, SeedGroup, seed_groups
from zeuxis.judging.records import RunRecord, read_record
from zeuxis.judging.report import Evaluation, ScoreRow, format_score, read_evaluation, table_lines
from zeuxis.judging.translation import first_translations
from zeuxis.metrics.features import digest
from zeuxis.model import Model, Translator
from zeuxis.scores import Score, student_mean

_TILE, _TEXT, _GAP = 96, 16, 6  # pixels: the least width of a sample, the height of a name, the space around it
_ALIKE = ("data", "held_out", "hold_out", "features", "samples")  # must be the same for scores to be compared
_STYLE = (
    "body{font:15px sans-serif;margin:2em}table{border-collapse:collapse}td,th{padding:.3em .8em;text-align:right}"
    "td:first-child,th:first-child{text-align:left}tr:nth-child(even){background:#f2f3f5}img{max-width:100%}"
)


@dataclass(frozen=True)
class ComparedRun:
    """A run by its name, its evaluation (None: there is none), and samples (n c h w, in [-1, 1]) of the seeds.

    `stale`: trained further since its evaluation.
    """

    name: str
    evaluation: Evaluation | None
    samples: Tensor
    stale: bool = False
    record: RunRecord = field(default_factory=RunRecord)


def compared_run(folder: Path, model: Model, seeds: range) -> ComparedRun:
    """A run with the evaluation that `zeuxis evaluate` wrote into its folder, and samples of its model."""
    scores = folder / "evaluation.json"
    found = read_evaluation(scores) if scores.is_file() else None
    weights = model.state_dict()
    digests = digest(weights), digest(renamed.tensors_before(model.family(), weights))
    stale = found is not None and found.about.get("weights") not in digests
    return ComparedRun(folder.name, found, _samples(model, folder, seeds), stale, read_record(folder))


def _samples(model: Model, folder: Path, seeds: range) -> Tensor:
    """Samples (n c h w) of the seeds; for a translator, translations of as many sources, the same for every run."""
    if isinstance(model, Translator):
        if (data := loading.data_of(folder)) is None:
            raise UsageError(f"{folder} does not record what it was trained on; write its data into config.yaml")
        return first_translations(model, data, len(seeds))
    return prepared(latent(model)).sample(len(seeds), seed=seeds.start).cpu()


@dataclass(frozen=True, repr=False)
class Comparison:
    """Runs in the order given, with samples of the same seeds."""

    runs: Sequence[ComparedRun]

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def cells(self) -> list[list[str]]:
        """The table: a line for each score, a column for each run or group of seeds, and the score of real images."""
        groups = self.groups()
        lines = [["score", *(group.name for group in groups), "real images", "better"]]
        for name in self._scores():
            known = [row for row in (self._row(run, name) for run in self.runs) if row is not None]
            scores = [self._score(group, name) for group in groups]
            values = ["" if score is None else _shown(score) for score in scores]
            real = dict.fromkeys(format_score(row.real) for row in known if row.real is not None)
            lines.append([name, *values, " / ".join(real), known[0].better])
        return lines

    def groups(self) -> list[SeedGroup]:
        """Runs that differ by their seed alone, together; others alone."""
        return seed_groups([run.name for run in self.runs], [run.record for run in self.runs])

    def forks(self) -> list[Fork]:
        """Branches beside what they were forked from."""
        return forks_of([run.name for run in self.runs], [run.record for run in self.runs])

    def warnings(self) -> list[str]:
        """Reasons for missing or incomparable scores."""
        found = [
            f"{run.name} has not been evaluated; run zeuxis evaluate on it first"
            for run in self.runs
            if not run.evaluation
        ]
        found += [
            f"{run.name} has been trained further since it was evaluated; evaluate it again"
            for run in self.runs
            if run.stale
        ]
        judged = [run.evaluation for run in self.runs if run.evaluation]
        for what in _ALIKE:
            values = sorted({str(each.about.get(what)) for each in judged})
            if len(values) > 1:
                found.append(
                    f"the runs were evaluated differently ({what}: {'; '.join(values)}): do not compare their scores"
                )
        return found

    def lines(self) -> list[str]:
        """As text."""
        forks = [line for fork in self.forks() for line in ("", *fork.lines())]
        return [*table_lines(self.cells()), *self.notes(), *forks, *(f"warning: {text}" for text in self.warnings())]

    def notes(self) -> list[str]:
        """How to read the columns of several seeds, where there are any."""
        return [NOTE] if any(len(group.places) > 1 for group in self.groups()) else []

    def to_csv(self) -> str:
        """A line for each run and score, then for each group of seeds: run, score, value, low, high, real."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(["run", "score", "value", "low", "high", "real"])
        for run in self.runs:
            for row in run.evaluation.rows if run.evaluation else ():
                writer.writerow([table_cell(run.name), table_cell(row.name), *_plain(*row.score, row.real)])
        for group in self.groups():
            for name in self._scores() if len(group.places) > 1 else ():
                if (score := self._score(group, name)) is not None:
                    writer.writerow([table_cell(group.name), table_cell(name), *_plain(*score, None)])
        return buffer.getvalue()

    def to_html(self) -> str:
        """One page with the table and the sheet inside, without other files."""
        head, *rows = [[html.escape(printable(cell)) for cell in row] for row in self.cells()]
        lines = ["<tr>" + "".join(f"<th>{cell}</th>" for cell in head) + "</tr>"]
        lines += ["<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows]
        notes = "".join(f"<p>{html.escape(printable(text))}</p>" for text in (*self.notes(), *self.warnings()))
        notes += "".join(f"<pre>{html.escape(printable(line))}</pre>" for fork in self.forks() for line in fork.lines())
        sheet = base64.b64encode(images.png(self.picture())).decode()
        top = f'<!doctype html><meta charset="utf-8"><title>Zeuxis: runs compared</title><style>{_STYLE}</style>'
        return f'{top}<table>{"".join(lines)}</table>{notes}<img alt="samples" src="data:image/png;base64,{sheet}">\n'

    def save(self, folder: str | Path) -> list[Path]:
        """Write comparison.csv, .html and .png into a folder that is made if need be; their paths."""
        place = Path(expanded(str(folder)))
        files.make_folder(place)
        written = [place / f"comparison.{kind}" for kind in ("csv", "html", "png")]
        for path, text in zip(written, (self.to_csv(), self.to_html())):
            files.write_file(path, text.encode(errors="backslashreplace"))
        images.write_png(self.picture(), written[2])
        return written

    def picture(self) -> Image.Image:
        """A row of samples for each run under its name, a column being a seed; below, the curves of branches."""
        rows, curves = [_strip(run.samples) for run in self.runs], [fork.picture() for fork in self.forks()]
        high = _TEXT + 2 * _GAP
        width, height = max(each.width for each in (*rows, *curves)), sum(each.height + high for each in rows)
        page = Image.new("RGB", (width, height + sum(each.height for each in curves)), "white")
        top = 0
        for run, row in zip(self.runs, rows):
            place = (_GAP, top + _GAP)
            ImageDraw.Draw(page).text(place, printable(run.name), fill="black", font=ImageFont.load_default(_TEXT))
            page.paste(row, (0, top + high))
            top += row.height + high
        for figure in curves:
            page.paste(figure, (0, top))
            top += figure.height
        return page

    def _scores(self) -> list[str]:
        names = [row.name for run in self.runs if run.evaluation for row in run.evaluation.rows]
        return list(dict.fromkeys(names))

    def _score(self, group: SeedGroup, name: str) -> Score | None:
        """The score of a run, or its mean over the seeds of a group that have it."""
        rows = [row for row in (self._row(self.runs[place], name) for place in group.places) if row is not None]
        if len(group.places) == 1 or not rows:
            return rows[0].score if rows else None
        return student_mean([row.score.value for row in rows])

    def _row(self, run: ComparedRun, name: str) -> ScoreRow | None:
        return next((row for row in run.evaluation.rows if row.name == name), None) if run.evaluation else None


def _plain(*values: float | None) -> list[float | str]:
    """As cells of a CSV file: empty where there is no value."""
    return [value if value is not None and math.isfinite(value) else "" for value in values]


def _shown(score: Score) -> str:
    half = (score.high - score.low) / 2
    return format_score(score.value) + (f" ± {format_score(half)}" if math.isfinite(half) else "")


def _strip(samples: Tensor) -> Image.Image:
    scale = -(-_TILE // samples.shape[-1])
    return images.sheet(samples, columns=len(samples), scale=scale, gap=1).convert("RGB")
