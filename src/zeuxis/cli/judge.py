"""`zeuxis evaluate` and `zeuxis compare`: how good trained models are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from zeuxis.cli import flags, sampling
from zeuxis.cli.explore import ModelName
from zeuxis.cli.sampling import Place
from zeuxis.errors import UsageError

if TYPE_CHECKING:
    from zeuxis.data import DataSpec
    from zeuxis.judging.report import Evaluation
    from zeuxis.model import Model


Count = Annotated[int, flags.flag("samples, and real images to compare them with", low=20, high=1_000_000)]
Baselines = Annotated[
    Sequence[str], Parameter(help="runs to judge beside one that translates, such as L1 alone", negative=())
]


def register(app: App, tokens: Sequence[str]) -> None:
    """Add the commands; `evaluate` with the flags of the model that the tokens name."""
    app.command(sampling.accepting(evaluate, tokens))
    app.command(compare)


def evaluate(
    model: ModelName,
    data: str | None = None,
    /,
    *,
    images: Count = 10_000,
    features: str = "lite0",
    weights: Path | None = None,
    seed: Annotated[int, flags.flag("of the first sample", low=0, high=2**62)] = 0,
    baseline: Baselines = (),
    json: Annotated[bool, Parameter(negative=())] = False,
    out: Path | None = None,
    load: sampling.Load,
) -> None:
    """Judge a model: FID, KID, precision, recall, density, coverage, copies, and what its family allows.

    Each score stands beside what real images get in the samples' stead. A model that translates is judged by its
    translations instead, beside what no change gets, one colour, and each --baseline.

    Parameters
    ----------
    data
        the images it was trained on (default: those of its run); of a named set its test images judge
    features
        the network that compares images: lite0, inception, or a function of your own as my_module:function
    weights
        the file of the official weights of --features inception
    json
        print the scores as JSON
    out
        the folder for evaluation.json and closest.png, or translations.png (default: the run's, or here)
    """
    from zeuxis import api
    from zeuxis.data import DataSpec
    from zeuxis.judging import runs
    from zeuxis.runtime.progress import open_display

    spec = runs.selected(model, _trained_on(model) if data is None else DataSpec.parse(data))
    loaded = load()
    judged = partial(api.evaluate, loaded, spec, features=features, weights=weights)
    with open_display() as shown:
        found = judged(baselines=_loaded(baseline, str(loaded.device)), images=images, seed=seed, progress=shown.work)
    print(found.to_json() if json else "\n".join(found.lines()))
    written = _write(found, out or runs.run_of(model) or Path())
    if not json:
        print("", *(f"wrote {path}" for path in written), sep="\n")


def _loaded(runs: Sequence[str], device: str) -> dict[str, Model]:
    """Models by the names of their runs."""
    from zeuxis import api, loading

    return {loading.find_model(run).parent.name: api.load(run, device=device) for run in runs}


def _trained_on(model: str) -> DataSpec:
    from zeuxis import loading

    data = loading.data_of(model)
    if data is None:
        raise UsageError(f"{model} does not say what it was trained on; name the DATA after it")
    return data


def _write(found: Evaluation, folder: Path) -> list[Path]:
    """Write the scores and the picture of the closest pairs into the folder; their paths."""
    from zeuxis.io import files, images

    scores = folder / "evaluation.json"
    picture = folder / ("closest.png" if found.examples is None else "translations.png")
    files.make_folder(folder)
    files.write_file(scores, found.to_json().encode())
    images.write_png(found.picture(), picture)
    return [scores, picture]


def compare(
    *runs: Annotated[str, Parameter(help="folders of runs, or their numbers or names under runs/; two or more")],
    columns: Annotated[int, flags.flag("samples of each run, of the seeds 0, 1, 2 ..", low=1, high=100)] = 10,
    out: Path = Path(),
    device: Place = "auto",
) -> None:
    """Put runs side by side: the scores that evaluate left in them, and samples of the same seeds.

    Parameters
    ----------
    out
        the folder for comparison.csv, comparison.png and comparison.html, which holds both
    """
    if len(runs) < 2:
        raise UsageError(f"there is nothing to compare: {len(runs)} runs; give two or more")
    from zeuxis import api
    from zeuxis.io import files, images

    found = api.compare(runs, columns=columns, device=device)
    print("\n".join(found.lines()))
    files.make_folder(out)
    files.write_file(out / "comparison.csv", found.to_csv().encode(errors="backslashreplace"))
    files.write_file(out / "comparison.html", found.to_html().encode(errors="backslashreplace"))
    images.write_png(found.picture(), out / "comparison.png")
    print("", *(f"wrote {out / f'comparison.{kind}'}" for kind in ("csv", "html", "png")), sep="\n")
