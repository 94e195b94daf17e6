"""Operations on a run: its state while it trains, contact sheets, and the discriminator's answers. They read files alone."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from zeuxis.errors import UsageError
from zeuxis.io import files, images
from zeuxis.io.pixel_modes import Unusable
from zeuxis.training.config import Recipe
from zeuxis.training.histograms import BINS
from zeuxis.web.clients import Client
from zeuxis.web.requests import Reply, Request, Steps
from zeuxis.web.run_files import RunFiles, seconds_left
from zeuxis.web.served import Served

_EVERY = 0.5  # seconds between two looks at a run's files
_TOLD = 5.0  # seconds after which pace and time left are told again
_MOST_STEP = 10**12
_MOST_SIDE = 1600  # pixels of a sheet on the page
_MOST_FILE = 64 << 20  # bytes of a sheet
_COLUMNS = 120  # records in a picture of the game, at most
_MOST_NAMES = 16  # histograms of each


@functools.lru_cache(maxsize=64)
def files_of(served: Served) -> RunFiles:
    """The files of the run that a model comes from; `UsageError` where it comes from none."""
    if served.run is None:
        raise UsageError(f"{served.name} comes from no run; explore a run's folder instead")
    return RunFiles(served.run)


def answer_state(served: Served, client: Client, request: Request) -> Steps:
    """All that the page shows of a run now."""
    run = files_of(served)
    while run.read():
        yield None
    yield _told(run, from_epoch=-1, rows=0, more=False)


def answer_follow(served: Served, client: Client, request: Request) -> Steps:
    """What the page shows of a run, then again whenever it changes: rows of metrics after those told already."""
    run = files_of(served)
    version: tuple[Any, ...] | None = None
    epoch, rows, told = -1, 0, 0.0
    while True:
        while run.read():
            yield None
        due = run.live and time.monotonic() - told > _TOLD
        if run.version != version or due:
            reply = _told(run, from_epoch=epoch, rows=rows, more=True)
            version, epoch, rows, told = run.version, run.metrics.epoch, len(run.metrics.rows), time.monotonic()
            yield reply
        yield _EVERY


def _told(run: RunFiles, *, from_epoch: int, rows: int, more: bool) -> Reply:
    """The state of a run; of its rows those that were not told before."""
    start = rows if run.metrics.epoch == from_epoch else 0
    fresh, recipe = run.metrics.rows[start:], run.recipe
    newest: Mapping[str, float] = run.newest[-1] if run.newest else {}
    table = [[row.get(name, math.nan) for name in run.names] for row in fresh]
    pace = run.pace()
    fields = {
        "run": None if recipe is None else _asked(recipe),
        "names": run.names,
        "start": start,
        "steps": [row["step"] for row in fresh],
        "step": newest.get("step", 0),
        "images": newest.get("images", 0),
        "live": run.live,
        "state": run.state,
        "speed": pace.speed,
        "left": seconds_left(recipe, newest, pace) if recipe and run.live else None,
        "warnings": run.warnings(recipe),
        "sheets": run.sheets.steps(),
        "answers": [step for step, _ in run.answers.rows],
    }
    return Reply(fields, numbers=np.array(table, np.float32).reshape(len(fresh), len(run.names)), more=more)


def _asked(recipe: Recipe) -> dict[str, Any]:
    """What a run was asked to do, as plain values."""
    settings = recipe.settings
    last = None if settings.endless else settings.last_step
    return {"data": str(recipe.data), "images": recipe.images, "steps": last, "minutes": settings.minutes}


def answer_sheet(served: Served, client: Client, request: Request) -> Steps:
    """The contact sheet of a step; a large one is reduced. `width` and `height` are those of its file."""
    run = files_of(served)
    kind, step = request.text("kind", default="samples"), request.whole("step", low=0, high=_MOST_STEP)
    path = run.sheets.path(kind, step)
    if path is None:
        raise UsageError(f"the run has no sheet {kind!a} of step {step:,}")
    width, height, pixels = _sheet(path)
    yield Reply({"kind": kind, "step": step, "width": width, "height": height}, pictures=pixels[None])


def _sheet(path: Path) -> tuple[int, int, np.ndarray[Any, Any]]:
    """Width and height of a sheet's file, and its pixels (h w c)."""
    try:
        with files.open_file(path, max_bytes=_MOST_FILE, follow=False) as (file, _):
            picture = images.whole(file).convert("RGB")
    except Unusable as error:
        raise UsageError(f"{path}: {error}") from None
    width, height = picture.size
    picture.thumbnail((_MOST_SIDE, _MOST_SIDE), Image.Resampling.BOX)
    return width, height, np.asarray(picture)


def answer_answers(served: Served, client: Client, request: Request) -> Steps:
    """The discriminator's answers at a step: a histogram by name, its range and counts; none where none are recorded."""
    run = files_of(served)
    while run.read():
        yield None
    found = run.histogram(request.whole("step", low=0, high=_MOST_STEP))
    yield Reply({"step": None if found is None else found[0], "histograms": {} if found is None else found[1]})


def answer_game(served: Served, client: Client, request: Request) -> Steps:
    """The answers of the whole run: shares (columns names bins) at up to 120 steps, and the range of each histogram."""
    run = files_of(served)
    while run.read():
        yield None
    found = []
    for step in _spread([step for step, _ in run.answers.rows], _COLUMNS):
        if (record := run.histogram(step)) is not None:
            found.append(record)
        yield None
    names = list(dict.fromkeys(name for _, row in found for name in row))[:_MOST_NAMES]
    ranges = [[[row[name]["low"], row[name]["high"]] if name in row else None for name in names] for _, row in found]
    shares = np.zeros((len(found), len(names), BINS), np.float32)
    for i, (_, row) in enumerate(found):
        for k, name in enumerate(names):
            counts = np.array(row[name]["counts"] if name in row else [0] * BINS, np.float64)
            shares[i, k] = counts / max(counts.sum(), 1.0)
    yield Reply({"steps": [step for step, _ in found], "names": names, "ranges": ranges}, numbers=shares)


def _spread(steps: Sequence[int], most: int) -> list[int]:
    """At most so many of the steps, evenly spaced, the first and the last among them."""
    if len(steps) <= most:
        return list(steps)
    return [steps[i * (len(steps) - 1) // (most - 1)] for i in range(most)]
