"""`zeuxis evaluate` and `zeuxis compare`: judging trained models."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from zeuxis.cli import flags, sampling
from zeuxis.cli.explore import ModelName
from zeuxis.cli.output import say
from zeuxis.cli.sampling import Place
from zeuxis.errors import UsageError
from zeuxis.io.paths import check_apart
from zeuxis.runtime import launch

if TYPE_CHECKING:
    from zeuxis.data import DataSpec
    from zeuxis.judging.report import Evaluation
    from zeuxis.model import Model


Count = Annotated[int, flags.flag("number of samples, and of real images to compare them with", low=20, high=1_000_000)]
Baselines = Annotated[
    Sequence[str], Parameter(help="runs to compare a translator with, such as one of L1 alone", negative=())
]


def register(app: App, tokens: Sequence[str]) -> None:
    """Add the commands; `evaluate` with the flags of the model that the tokens name."""
    app.command(sampling.accepting(evaluate_command, tokens))
    app.command(compare_command, name=flags.verb(compare_command))


def evaluate_command(
    model: ModelName,
    data: str | None = None,
    /,
    *,
    images: Count = 10_000,
    features: str = "lite0",
    weights: Path | None = None,
    seed: Annotated[int, flags.flag("seed of the first sample", low=0, high=2**62)] = 0,
    baseline: Baselines = (),
    path_length: bool = True,
    json: Annotated[bool, Parameter(negative=())] = False,
    out: Path | None = None,
    load: sampling.Load,
) -> None:
    """Judge a model: FID, KID, precision, recall, density, coverage, memorization, and the scores of its capabilities.

    Each score is shown beside that of real images. A translator is judged by its translations, each score beside three
    baselines: the unchanged source, the mean colour and --baseline.

    Parameters
    ----------
    data
        the images it was trained on (default: those of its run); the test images of a named set are the reference
    features
        the feature network: lite0, inception, or a function of your own as my_module:function
    weights
        the file of the official weights of --features inception
    path_length
        also the perceptual path length, which takes as long as two thousand samples
    json
        print the scores as JSON
    out
        folder for evaluation.json and closest.png, or translations.png (default: the run's, or here)
    """
    from zeuxis import api
    from zeuxis.data import DataSpec
    from zeuxis.runtime.progress import open_display

    spec = _trained_on(model) if data is None else DataSpec.parse(data)
    place = _place(model, out, spec)
    loaded = load()
    beside = _loaded(baseline, str(loaded.device))
    judged = partial(api.evaluate, loaded, spec, features=features, weights=weights, baselines=beside, seed=seed)
    with _shown_if_stopped() as scored, open_display() as shown:
        found = judged(images=images, path_length=path_length, progress=shown.work, scored=scored)
    _tell(found, place, json=json)


def _tell(found: Evaluation, place: Path, *, json: bool) -> None:
    """Print the evaluation, and write it into a folder; of many processes the first one does."""
    if launch.rank() > 0:
        return
    say(*(found.to_json().splitlines() if json else found.lines()))
    written = found.save(place)
    if not json:
        say("", *(f"wrote {path}" for path in written))


@contextlib.contextmanager
def _shown_if_stopped() -> Iterator[Callable[[Evaluation], None]]:
    """What is told how far an evaluation has come; a signal shows the last of it on its way out."""
    told: list[Evaluation] = []
    try:
        yield told.append
    except KeyboardInterrupt:
        if told:
            say(*told[-1].lines(), "stopped: the scores that come after these are missing, and nothing was written")
        raise


def _place(model: str, out: Path | None, data: DataSpec) -> Path:
    """The folder for scores: that asked for, the run's, or this one; none of the data's."""
    from zeuxis.data.places import paths_of
    from zeuxis.judging.training_data import run_of

    run = run_of(model)
    if out is not None or run is None:
        check_apart(out or Path(), paths_of(data))
    return out or run or Path()


def _loaded(runs: Sequence[str], device: str) -> dict[str, Model]:
    """Models by the names of their runs."""
    from zeuxis import api, loading

    return {loading.find_model(run).parent.name: api.load(run, device=device) for run in runs}


def _trained_on(model: str) -> DataSpec:
    from zeuxis.loading import training_data

    data = training_data(model, "name the DATA after it")
    if data is None:
        raise UsageError(f"{model} does not say what it was trained on; name the DATA after it")
    return data


def compare_command(
    *runs: Annotated[
        str, Parameter(help="two or more runs: folders, or numbers or names under runs/; or a sweep's folder")
    ],
    columns: Annotated[int, flags.flag("samples of each run, of the seeds 0, 1, 2 ...", low=1, high=100)] = 10,
    out: Path = Path(),
    device: Place = "auto",
) -> None:
    """Compare runs: the scores that evaluate wrote into them, and samples of the same seeds.

    Runs that differ by their seed alone are one column: their mean, with its interval over seeds. A branch is compared
    with the run that it was forked from, from the fork on.

    Parameters
    ----------
    out
        folder for comparison.csv, comparison.png and comparison.html (table and samples)
    """
    if len(runs) < 2 and not _are_of_a_sweep(runs):
        raise UsageError(f"there is nothing to compare: {len(runs)} runs; give two or more")
    from zeuxis import api

    found = api.compare(runs, columns=columns, device=device)
    say(*found.lines())
    say("", *(f"wrote {path}" for path in found.save(out)))


def _are_of_a_sweep(runs: Sequence[str]) -> bool:
    """Whether one of them is the folder of a sweep, which stands for its runs."""
    from zeuxis.training.sweeps import runs_of

    return any(runs_of(run) for run in runs)
