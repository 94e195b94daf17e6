"""How good a model becomes in how many minutes: trains one, scores it on the way, and adds its scores to the results.

    python bench/quality.py dcgan avatars:5000 --size 64 --minutes 15 [--seed 0] [--set width=32 ...]
    python bench/quality.py pix2pix map-to-aerial --size 64 --minutes 20 --set mirror=true
    python bench/quality.py --table          # results/quality.jsonl as results/quality.md
    python bench/quality.py --chart          # and as docs/pictures/quality-minutes.png

The model is a family, `textbook` (the DCGAN of pytorch/examples) or `pythae` (its VAE). A minute is one of two cores: two
minutes of this process's own CPU time in training steps. Two runs of one thread each may so go side by side, and neither
what else the machine does, nor scoring and saving, shortens what a model gets. A run that was stopped, or killed, goes on
where its last checkpoint is when the same command is given again; a longer one goes on from a shorter one.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
import platform
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import peers
import standings
from zeuxis import api, families, loading
from zeuxis.data import DataSpec
from zeuxis.errors import UsageError, ZeuxisError
from zeuxis.io import files, images
from zeuxis.judging.report import Evaluation
from zeuxis.mechanisms import Denoising
from zeuxis.model import Latent, Model
from zeuxis.runtime import signals
from zeuxis.runtime.progress import open_display
from zeuxis.storage import RunFolder
from zeuxis.training import runs
from zeuxis.training.build import values_in_force
from zeuxis.training.config import read_recipe, versions
from zeuxis.training.settings import TrainSettings

CORES = 2  # of the machine whose minutes are counted
MARKS = (5.0, 15.0, 60.0)
SHEET = 64  # samples in the picture of a mark
READ_AS = ("resize_mode", "max_images", "hold_out")  # options that say which images are learned from, and how
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Job:
    """What is trained on what, and how it is judged; `chosen` are the options that were named."""

    model: str
    data: str
    size: int | None = None
    seed: int = 0
    threads: int = 1
    samples: int = 5000
    chosen: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of its folder: the same whenever the same is asked."""
        plain = json.dumps(dataclasses.asdict(self), sort_keys=True)
        parts = [self.model, self.data, str(self.size or ""), f"seed{self.seed}"]
        words = re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower())
        return f"{words}-{hashlib.sha256(plain.encode()).hexdigest()[:8]}"

    def settings(self, home: Path, minutes: float) -> TrainSettings:
        """The general options, `out` being its folder."""
        known = {f.name for f in dataclasses.fields(TrainSettings)}
        named = {name: value for name, value in self.chosen.items() if name in known}
        fixed = {"out": str(home), "name": self.model, "seed": self.seed, "threads": self.threads, "device": "cpu"}
        return TrainSettings(**{**named, **fixed, "cpu_minutes": CORES * minutes})

    def options(self) -> dict[str, Any]:
        """The model's own options."""
        general = {f.name for f in dataclasses.fields(TrainSettings)}
        own = {name: value for name, value in self.chosen.items() if name not in general}
        given = {**({"size": self.size} if self.size else {}), **own}
        if peer := peers.PEERS.get(self.model):  # families find theirs when a run begins
            shape = DataSpec.parse(self.data).own_shape
            return values_in_force(peer, shape=shape, preset=None, given=given)
        return given

    def command(self, minutes: float) -> str:
        """What is typed to have it again."""
        words = ["python", "bench/quality.py", self.model, self.data]
        words += ["--size", str(self.size)] if self.size else []
        words += ["--minutes", f"{minutes:g}", "--seed", str(self.seed)]
        words += ["--threads", str(self.threads)] if self.threads != 1 else []
        words += ["--images", str(self.samples)] if self.samples != 5000 else []
        return shlex.join([*words, *(w for name in self.chosen for w in ("--set", f"{name}={self.chosen[name]}"))])


def main() -> None:
    arguments = _parser().parse_args()
    named = bool(arguments.model and arguments.data)
    if not (named or arguments.table or arguments.chart):
        _parser().error("name a model and its data, or --table or --chart")
    try:
        if named:
            with signals.signals():
                _run(arguments)
    except ZeuxisError as error:
        print(f"quality: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    rows = standings.read(arguments.results)
    if arguments.table:
        files.write_file(arguments.results.with_suffix(".md"), standings.table(rows).encode())
    if arguments.chart:
        standings.chart(rows, arguments.picture)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", help=f"a family, or one of {', '.join(peers.PEERS)}")
    parser.add_argument(
        "data", nargs="?", help="a named set, as avatars:5000, a folder, or pairs, as 'edges -> avatars'"
    )
    parser.add_argument("--size", type=int, help="pixels (named sets: their own)")
    parser.add_argument("--minutes", type=float, default=15.0, help="of two cores: half the CPU minutes of training")
    parser.add_argument("--marks", default=",".join(f"{mark:g}" for mark in MARKS), help="minutes to be scored after")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--images", type=int, default=5000, help="samples, and held-out images, of each score")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="an option, as width=48")
    parser.add_argument("--out", type=Path, default=Path("runs/quality"), help="folder for the runs")
    parser.add_argument("--results", type=Path, default=HERE / "results" / "quality.jsonl")
    parser.add_argument("--picture", type=Path, default=HERE.parent / "docs" / "pictures" / "quality-minutes.png")
    parser.add_argument("--machine", default=f"{platform.machine()}, {os.cpu_count()} cores", help="noted in the row")
    parser.add_argument("--table", action="store_true", help="write the results as a table")
    parser.add_argument("--chart", action="store_true", help="draw the results")
    return parser


def _run(arguments: argparse.Namespace) -> None:
    chosen = dict(_pair(text) for text in arguments.set)
    job = Job(
        arguments.model,
        arguments.data,
        arguments.size,
        arguments.seed,
        arguments.threads,
        arguments.images,
        dict(sorted(chosen.items())),
    )
    marks = [float(mark) for mark in arguments.marks.split(",")]
    run(
        job,
        [*(mark for mark in sorted(marks) if mark < arguments.minutes), arguments.minutes],
        home=arguments.out / job.name,
        results=arguments.results,
        machine=arguments.machine,
    )


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set is {text!r}; expected NAME=VALUE, as width=48")
    try:
        return name.replace("-", "_"), json.loads(value)
    except ValueError:  # a word
        return name.replace("-", "_"), value


def run(job: Job, marks: list[float], *, home: Path, results: Path, machine: str = "") -> None:
    """Train up to each mark (minutes), ascending, and score there; what a run that was stopped has done is not done again."""
    files.make_folder(home)
    for mark in marks:
        place = home / f"mark-{mark:g}"
        if not (place / "row.json").is_file():
            model = _trained(job, home, mark)
            model.save(place)
            if isinstance(model, Latent):
                images.write_png(images.sheet(model.sample(SHEET), columns=8), place / "samples.png")
            row = _row(job, home, mark, _scored(job, model, place), model) | {"machine": machine}
            files.write_file(place / "row.json", json.dumps(row, allow_nan=False).encode())
        row = files.read_json(place / "row.json")
        standings.add(results, row)
        print(standings.line(row), flush=True)


def _trained(job: Job, home: Path, mark: float) -> Model:
    """The model as it is after so many minutes: of a family the average, of a peer its last weights."""
    found = sorted(home.glob("[0-9]*/config.yaml"))
    peer = peers.PEERS.get(job.model)
    settings = job.settings(home, mark)
    if peer:
        run = (
            RunFolder.open(found[0].parent)
            if found
            else peers.start(settings, peer, job.options(), data=DataSpec.parse(job.data))
        )
        with run.lock():
            peers.go_on(run, peer, CORES * mark)
    elif found:
        runs.resume_run(found[0].parent, cpu_minutes=CORES * mark)
    else:
        runs.start(settings, families.find(job.model), job.options(), data=DataSpec.parse(job.data))
    return loading.load_model(_folder(home) / "model", family=peer)


def _folder(home: Path) -> Path:
    (config,) = home.glob("[0-9]*/config.yaml")
    return config.parent


def _scored(job: Job, model: Model, place: Path) -> Evaluation:
    with open_display() as shown:
        read = {name: job.chosen[name] for name in READ_AS if name in job.chosen}
        cheap = not isinstance(model, Denoising)  # whose path lengths take longer than all other scores
        found = api.evaluate(model, job.data, images=job.samples, path_length=cheap, progress=shown.work, **read)
    files.write_file(place / "evaluation.json", found.to_json().encode())
    images.write_png(found.picture(), place / ("closest.png" if found.examples is None else "translations.png"))
    return found


def _row(job: Job, home: Path, mark: float, found: Evaluation, model: Model) -> dict[str, Any]:
    """A line of the results."""
    run = RunFolder.open(_folder(home))
    state = files.read_json(run.checkpoints()[-1] / "state.json")
    made_with = {name: version for name, version in versions().items() if name != "platform"}
    recipe = read_recipe(run.config)
    start = {"started_from": recipe.started_from} if recipe.started_from else {}
    return {
        "name": job.name,
        **dataclasses.asdict(job),
        "size": model.size,
        "channels": model.channels,
        "options": model.options,
        **start,
        "precision": recipe.settings.number_format,
        "minutes": mark,
        "cpu_minutes": round(state["processor_seconds"] / 60, 4),
        "steps": state["step"],
        "images": state["images"],
        "against": found.about["against"],
        "samples": found.about["samples"],
        "scores": found.values()["scores"],
        "warnings": list(found.warnings),
        "command": job.command(mark),
        "versions": {**made_with, "commit": _commit()},
    }


def _commit() -> str:
    """The revision that this bench belongs to, as far as it is known."""
    asked = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
