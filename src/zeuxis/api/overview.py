"""Runs at a glance: a line for each, their curves, and the story of one."""

from __future__ import annotations

import os
from pathlib import Path

from PIL import Image

from zeuxis import loading
from zeuxis.charts.curves import SMOOTHING, curves_figure
from zeuxis.charts.histories import Against
from zeuxis.errors import UsageError
from zeuxis.io import animation, files
from zeuxis.loading import RunPath
from zeuxis.runtime.callbacks import ProgressCallback
from zeuxis.storage import RunFolder
from zeuxis.stories.film import FILM_FPS, film
from zeuxis.stories.page import story_page
from zeuxis.stories.scenes import gather_story
from zeuxis.training.curves import history_of
from zeuxis.training.run_list import RunList, listed_runs

STORY_KINDS = (".webp", ".mp4", ".html")


def runs(folder: str | Path = "runs") -> RunList:
    """The runs in a folder, by number, each at a glance: state, steps, minutes, newest losses, FID, newest sheet.

    A folder that is no whole run is among them as broken, with what is wrong. The default folder may be missing.
    A notebook shows the list as a table, and `pandas.DataFrame` takes it.
    """
    return listed_runs(folder)


def curves(
    *chosen: RunPath,
    against: Against = "steps",
    smoothing: float = SMOOTHING,
    every: bool = False,
) -> Image.Image:
    """The curves of one run or several (folders, or numbers or names under runs/), a panel for each metric.

    `against` is the axis across: steps, or images seen. `smoothing` is the standard deviation of the kernel as a share of
    it; 0: none. Losses, the discriminator's answers, diversity and FID are shown; with `every`, all metrics.
    `UsageError` where no run has a row of metrics yet.
    """
    if not chosen:
        raise UsageError("there are no runs to draw; give one or more, such as 1 2 3")
    found = dict.fromkeys(loading.find_run(run) for run in chosen)
    return curves_figure(
        [history_of(RunFolder(path)) for path in found], against=against, smoothing=smoothing, every=every
    )


def story(
    run: RunPath,
    out: str | os.PathLike[str],
    *,
    seconds: float = 10.0,
    progress: ProgressCallback | None = None,
) -> list[str]:
    """Write the story of a run: the same samples from noise to pictures, its curves beside them, captions of its health.

    `out` ends in `.webp`, `.mp4` (the extra `video`), or `.html`, one page with a slider. Between its first and its last
    picture a film takes `seconds`. Works while the run trains. The result says in lines what the story lacks, and why.
    `UsageError` where the run has no contact sheet yet.
    """
    path = Path(out)
    if path.suffix.lower() not in STORY_KINDS:
        raise UsageError(f"{path} is no story; expected a name that ends in .webp, .mp4 or .html")
    if not 1 <= seconds <= 60:
        raise UsageError(f"seconds is {seconds:g}; expected 1 to 60")
    told = gather_story(RunFolder(loading.find_run(run)))
    files.make_folder(path.parent)
    if path.suffix.lower() == ".html":
        files.write_file(path, story_page(told).encode(errors="backslashreplace"))
    else:
        animation.write_film(film(told, seconds=seconds, progress=progress), path, fps=FILM_FPS)
    return list(told.missing)
